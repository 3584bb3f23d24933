//! Retention, partitions, times to live: by the command, and by the API.

mod interrupted;

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Contract, SOON, eventually, gauge, gauge_at, now, time};
use crate::report::values;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

pub fn command(contract: &Contract, flags: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--", env!("CARGO_BIN_EXE_noetl-metrics"), "maintenance", "-o", "json"])
        .args(["--database-url", &contract.database.url])
        .args(flags)
        .env_clear()
        .envs(crate::harness::clock())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs `noetl-metrics maintenance`, off the test's thread.
async fn run(contract: &Contract, flags: &[&str]) -> Output {
    let child = crate::harness::spawn(command(contract, flags));
    tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap()
}

/// Its report.
pub async fn maintain(contract: &Contract, flags: &[&str]) -> Value {
    let output = run(contract, flags).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn partition(at: i64) -> String {
    let text = time(at);
    format!("sample_{}{}{}_{}", &text[..4], &text[5..7], &text[8..10], &text[11..13])
}

/// Makes the partition of an hour and puts one sample of an existing series into it.
async fn old_sample(contract: &Contract, metric: &str, value: f64, at: i64) {
    contract.run(format!("select noetl_metrics.create_partitions('{}', 1)", time(at))).await;
    let inserted = contract
        .run(format!(
            "insert into noetl_metrics.sample select series_id, '{}', {value} from noetl_metrics.series where metric_name = '{metric}'",
            time(at)
        ))
        .await;
    assert_eq!(inserted, 1, "{metric} is one series");
}

/// Whether the hour is sealed, and nothing of it is left elsewhere.
async fn is_sealed(contract: &Contract, at: i64) -> bool {
    let hour = time(at - at.rem_euclid(HOUR));
    let sql = format!(
        "select exists (select from noetl_metrics.chunk where hour = '{hour}') \
         and not exists (select from noetl_metrics.unsealed where \"timestamp\" >= '{hour}' and \"timestamp\" < '{hour}'::timestamptz + interval '1 hour')"
    );
    contract.value::<bool>(sql).await && !partitions(contract).await.contains(&partition(at))
}

async fn partitions(contract: &Contract) -> Vec<String> {
    contract.column("select name from noetl_metrics.partition order by 1").await
}

/// Tables of hours, attached or not.
async fn tables(contract: &Contract) -> Vec<String> {
    contract
        .column("select relname::text from pg_class where relnamespace = 'noetl_metrics'::regnamespace and relname ~ '^sample_[0-9]' and relkind = 'r' order by 1")
        .await
}

/// Waits until a run is in the middle of a detach.
async fn detaching(contract: &Contract) {
    eventually("a partition is being detached", SOON, async || {
        let pending = "select count(*) from noetl_metrics.partition where detach_pending";
        (contract.value::<i64>(pending).await > 0).then_some(())
    })
    .await;
}

/// Everything that the view shows but the time of storing, which is the sample's own once it is in
/// its partition.
async fn shown(contract: &Contract) -> Vec<String> {
    contract
        .column("select (to_jsonb(m) - 'created_at')::text from noetl.metrics m where metric_name !~ '^noetl_' order by metric_id")
        .await
}

#[tokio::test]
async fn partitions_are_made_ahead_and_more_on_demand() {
    let contract = Contract::start().await;
    let made = partitions(&contract).await;
    for hour in 0..=3 {
        let name = partition(now() + hour * HOUR);
        assert!(made.contains(&name), "{name} is not among {made:?}");
    }
    let reply = contract.post("/api/metrics/partitions/create?days_ahead=2", &json!({})).await.ok();
    assert_eq!(reply["days_ahead"], 2);
    let created = reply["created_partitions"].as_array().unwrap();
    assert_eq!(reply["created_count"], created.len());
    assert!((44..=48).contains(&created.len()), "{}", created.len());
    assert!(partitions(&contract).await.contains(&partition(now() + 2 * DAY)));
    let again = contract.post("/api/metrics/partitions/create?days_ahead=2", &json!({})).await.ok();
    assert_eq!(again["created_count"], 0);
}

#[tokio::test]
async fn retention_drops_what_is_past_and_nothing_else() {
    let contract = Contract::start().await;
    contract.register("w").await;
    contract.report("w", json!([gauge("m", 0.0)])).await.ok();
    let now = now();
    for (value, age) in
        [(1.0, 3 * DAY), (2.0, 2 * DAY + 2 * HOUR), (3.0, 2 * DAY - 2 * HOUR), (4.0, 10 * HOUR)]
    {
        old_sample(&contract, "m", value, now - age).await;
    }
    // Late ones without a partition: a year old, and within the time.
    contract
        .report("w", json!([gauge_at("m", 5.0, now - 365 * DAY), gauge_at("m", 6.0, now - 30 * HOUR)]))
        .await
        .ok();
    let expected = [partition(now - 3 * DAY), partition(now - 2 * DAY - 2 * HOUR)];
    let before = tables(&contract).await;

    let planned = maintain(&contract, &["--retention-raw", "2d", "--dry-run"]).await;
    assert_eq!(planned["dropped_partitions"], json!(expected));
    assert_eq!(tables(&contract).await, before, "a dry run only says");
    assert_eq!(values(&contract, "m").await, [0.0, 4.0, 6.0, 3.0, 2.0, 1.0, 5.0]);

    let done = maintain(&contract, &["--retention-raw", "2d"]).await;
    assert_eq!(done["dropped_partitions"], json!(expected));
    assert_eq!(done["deleted_samples"], 1);
    assert_eq!(done["sealed_samples"], 2);
    let sealed = [partition(now - 2 * DAY + 2 * HOUR), partition(now - 10 * HOUR)];
    let gone = |name: &String| expected.contains(name) || sealed.contains(name);
    let left: Vec<String> = before.into_iter().filter(|name| !gone(name)).collect();
    assert_eq!(tables(&contract).await, left);
    assert_eq!(values(&contract, "m").await, [0.0, 4.0, 6.0, 3.0]);
    // The server goes on, also into hours that it knew.
    contract.report("w", json!([gauge_at("m", 7.0, now - 3 * DAY), gauge("m", 8.0)])).await.ok();
    assert_eq!(values(&contract, "m").await, [8.0, 0.0, 4.0, 6.0, 3.0, 7.0]);
    let reply = contract.post("/api/metrics/cleanup", &json!({})).await.ok();
    assert_eq!(
        (&reply["dropped_count"], &reply["deleted_samples"]),
        (&json!(0), &json!(0)),
        "the server keeps 7 days"
    );
}

#[tokio::test]
async fn the_server_enforces_the_retention_that_it_was_told() {
    let mut contract = Contract::start().await;
    contract.register("w").await;
    contract.report("w", json!([gauge("m", 0.0)])).await.ok();
    old_sample(&contract, "m", 1.0, now() - 3 * DAY).await;
    contract.server.kill();
    let database = contract.database;
    let contract = Contract::on(database, &["--retention-raw", "1d"]).await;
    contract.ready().await;
    eventually("what is past is dropped", SOON, async || {
        let left = contract.column::<f64>("select metric_value from noetl.metrics where metric_name = 'm'");
        (left.await == [0.0]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn late_samples_move_into_their_hours_and_the_view_stays_the_same() {
    let contract = Contract::start().await;
    let id = contract.register("w").await;
    let t = now() - 3 * HOUR;
    contract.report("w", json!([gauge("m", 0.0), gauge("n", 0.0)])).await.ok();
    old_sample(&contract, "m", 1.0, t).await;
    old_sample(&contract, "n", 1.0, t).await;
    assert_eq!(maintain(&contract, &["--retention-raw", "90d"]).await["sealed_samples"], 2);
    assert!(is_sealed(&contract, t).await);
    let late: Vec<Value> = (1..=50).map(|i| gauge_at("m", f64::from(i), t - i64::from(i) * 1000)).collect();
    contract.report("w", late.into()).await.ok();
    contract.report("w", json!([gauge_at("m", 99.0, t), gauge_at("m", 7.0, t - 100 * DAY)])).await.ok();
    contract
        .run(format!("insert into noetl.metrics (runtime_id, metric_name, metric_type, metric_value, timestamp) values ({id}, 'sql', 'gauge', 1, '{}')", time(t)))
        .await;
    let late = "select count(*) from noetl_metrics.sample_late";
    assert_eq!(contract.value::<i64>(late).await, 53);
    let before = shown(&contract).await;
    let done = maintain(&contract, &["--retention-raw", "90d"]).await;
    assert_eq!(done["merged_samples"], 52, "all but the one that is past its time");
    assert_eq!(done["deleted_samples"], 1, "which is deleted");
    assert_eq!(contract.value::<i64>(late).await, 0);
    let past = time(t - 100 * DAY);
    let kept = |row: &&String| !row.contains(&past[..10]);
    assert_eq!(shown(&contract).await, before.iter().filter(kept).cloned().collect::<Vec<_>>());
    // And overwriting goes on as before.
    contract
        .report("w", json!([gauge_at("m", 5.0, t), gauge_at("m", 6.0, t - 3000), gauge_at("n", 2.0, t)]))
        .await
        .ok();
    assert_eq!(values(&contract, "m").await[..5], [0.0, 5.0, 1.0, 2.0, 6.0]);
    assert_eq!(values(&contract, "n").await, [0.0, 2.0]);
    // What is late for an hour that is still open stays where it is.
    contract.report("w", json!([gauge_at("n", 3.0, now() - 60_000)])).await.ok();
    let left = maintain(&contract, &["--retention-raw", "90d"]).await;
    assert_eq!(left["merged_samples"], 3);
    assert_eq!(values(&contract, "n").await, [0.0, 3.0, 2.0]);
}

#[tokio::test]
async fn an_hour_that_is_over_is_sealed_and_doubles_by_hand_go() {
    let mut contract = Contract::start().await;
    contract.register("w").await;
    contract.report("w", json!([gauge("m", 0.0)])).await.ok();
    let (old, older) = (now() - 2 * HOUR, now() - 30 * HOUR);
    for (value, at) in [(1.0, old), (2.0, old), (3.0, older)] {
        old_sample(&contract, "m", value, at).await;
    }
    // As an earlier version left hours that were over.
    let name = partition(older);
    contract.run(format!("create unique index on noetl_metrics.{name} (series_id, \"timestamp\")")).await;
    assert!(!is_sealed(&contract, old).await && !is_sealed(&contract, older).await);
    contract.server.kill();
    let contract = Contract::on(contract.database, &[]).await;
    contract.ready().await;
    eventually("both hours are sealed", SOON, async || {
        (is_sealed(&contract, old).await && is_sealed(&contract, older).await).then_some(())
    })
    .await;
    assert!(partitions(&contract).await.contains(&partition(now())), "this hour goes on");
    assert_eq!(values(&contract, "m").await, [0.0, 2.0, 3.0], "what was stored last stays");
    contract.report("w", json!([gauge_at("m", 9.0, old)])).await.ok();
    assert_eq!(values(&contract, "m").await, [0.0, 9.0, 3.0]);
    assert_eq!(maintain(&contract, &["--retention-raw", "7d"]).await["merged_samples"], 1);
    assert_eq!(values(&contract, "m").await, [0.0, 9.0, 3.0]);
}

#[tokio::test]
async fn a_restarted_server_does_not_store_again_what_the_open_hour_has() {
    let mut contract = Contract::start().await;
    let t = now();
    for component in ["reports", "silent"] {
        contract.register(component).await;
        let samples: Vec<Value> =
            [20, 4, 1].iter().map(|m| gauge_at(&format!("m{m}"), 1.0, t - m * 60_000)).collect();
        contract.report(component, samples.into()).await.ok();
    }
    contract.report("reports", json!([gauge("now", 1.0)])).await.ok();
    contract.server.kill();
    let contract = Contract::on(contract.database, &["--stale-after", "10s"]).await;
    contract.ready().await;
    for component in ["reports", "silent"] {
        for m in [20, 4, 1] {
            let again = gauge_at(&format!("m{m}"), 2.0, t - m * 60_000);
            contract.report(component, json!([again])).await.ok();
        }
    }
    for m in [20, 4, 1] {
        assert_eq!(values(&contract, &format!("m{m}")).await, [2.0, 2.0], "one of each component");
    }
}

#[tokio::test]
async fn a_metric_s_own_time_to_live_is_shorter_or_longer_than_the_retention() {
    let contract = Contract::start().await;
    contract.register("w").await;
    let histogram = json!({"metric_name": "short_h", "metric_type": "histogram", "buckets": {"+Inf": 1}, "sum": 1, "count": 1, "timestamp": time(now() - 3 * DAY)});
    contract
        .report("w", json!([gauge("short", 0.0), gauge("long", 0.0), gauge("plain", 0.0), histogram]))
        .await
        .ok();
    for metric in ["short", "long", "plain"] {
        for days in [3, 9] {
            old_sample(&contract, metric, f64::from(days), now() - i64::from(days) * DAY).await;
        }
    }
    contract
        .report(
            "w",
            json!([gauge_at("long", 20.0, now() - 20 * DAY), gauge_at("long", 40.0, now() - 40 * DAY)]),
        )
        .await
        .ok();
    for (metric, days, series) in [("short", 2, 1), ("short_h", 2, 3), ("long", 30, 1)] {
        let path = format!("/api/metrics/ttl/set?metric_name={metric}&ttl_days={days}");
        let reply = contract.post(&path, &json!({})).await.ok();
        assert_eq!(
            (&reply["metric_name"], &reply["new_ttl_days"], &reply["updated_metrics"]),
            (&json!(metric), &json!(days), &json!(series))
        );
    }
    let done = maintain(&contract, &["--retention-raw", "7d"]).await;
    assert_eq!(done["kept_samples"], 1, "the long one's of nine days ago");
    assert_eq!(values(&contract, "plain").await, [0.0, 3.0]);
    assert_eq!(values(&contract, "short").await, [0.0]);
    assert_eq!(values(&contract, "short_h_sum").await, [0.0; 0]);
    assert_eq!(values(&contract, "long").await, [0.0, 3.0, 9.0, 20.0]);
    // A second run finds nothing more to do.
    let again = maintain(&contract, &["--retention-raw", "7d"]).await;
    assert_eq!((&again["deleted_samples"], &again["dropped_partitions"]), (&json!(0), &json!([])));
    assert_eq!(values(&contract, "long").await, [0.0, 3.0, 9.0, 20.0]);
}

#[tokio::test]
async fn a_component_s_samples_can_be_kept_longer() {
    let contract = Contract::start().await;
    contract.register("w").await;
    contract.report("w", json!([gauge("m", 0.0)])).await.ok();
    old_sample(&contract, "m", 9.0, now() - 9 * DAY).await;
    contract.register("v").await;
    contract.report("v", json!([gauge("n", 0.0)])).await.ok();
    old_sample(&contract, "n", 9.0, now() - 9 * DAY).await;
    let reply = contract
        .post("/api/metrics/ttl/extend-component?component_name=w&ttl_days=10", &json!({}))
        .await
        .ok();
    assert_eq!((&reply["component_name"], &reply["updated_metrics"]), (&json!("w"), &json!(1)));
    // A metric's shorter time does not take away what the component was promised.
    contract.post("/api/metrics/ttl/set?metric_name=m&ttl_days=1", &json!({})).await.ok();
    maintain(&contract, &["--retention-raw", "7d"]).await;
    assert_eq!(values(&contract, "m").await, [0.0, 9.0]);
    assert_eq!(values(&contract, "n").await, [0.0]);
}

#[tokio::test]
async fn what_a_component_keeps_stays_where_it_comes_back_with_another_id() {
    let contract = Contract::start().await;
    contract.register("w").await;
    contract.report("w", json!([gauge("m", 0.0)])).await.ok();
    old_sample(&contract, "m", 9.0, now() - 9 * DAY).await;
    let extend = "/api/metrics/ttl/extend-component?component_name=w&ttl_days=10";
    assert_eq!(contract.post(extend, &json!({})).await.ok()["updated_metrics"], 1);
    let id = "select runtime_id from noetl.runtime where name = 'w'";
    let before = contract.value::<i64>(id).await;
    contract.run("delete from noetl.runtime where name = 'w'").await;
    maintain(&contract, &["--retention-raw", "7d"]).await;
    assert_eq!(values(&contract, "m").await, [0.0, 9.0], "nobody has registered again");
    eventually("w is registered again", SOON, async || {
        contract.register("w").await;
        let there = format!("select exists ({id})");
        contract.value::<bool>(there).await.then_some(())
    })
    .await;
    assert_ne!(contract.value::<i64>(id).await, before);
    maintain(&contract, &["--retention-raw", "7d"]).await;
    assert_eq!(values(&contract, "m").await, [0.0, 9.0]);
}

#[tokio::test]
async fn of_two_runs_at_once_one_is_told_to_come_back() {
    let contract = Contract::start().await;
    contract.register("w").await;
    contract.report("w", json!([gauge("m", 0.0)])).await.ok();
    old_sample(&contract, "m", 1.0, now() - 3 * DAY).await;
    // A reader of the table keeps the first run from detaching.
    let mut reader = contract.database.pool.begin().await.unwrap();
    sqlx::raw_sql("select count(*) from noetl_metrics.sample").execute(&mut *reader).await.unwrap();
    let first = run(&contract, &["--retention-raw", "1d"]);
    let others = async {
        eventually("the first waits for the reader", SOON, async || {
            let waits = "select count(*) from pg_stat_activity where state = 'active' and query like 'alter table % detach %' and datname = current_database()";
            (contract.value::<i64>(waits).await > 0).then_some(())
        })
        .await;
        let second = run(&contract, &["--retention-raw", "1d"]).await;
        let said = String::from_utf8_lossy(&second.stderr).into_owned();
        assert!(!second.status.success() && said.contains("another maintenance run is under way"), "{said}");
        let answer = contract.post("/api/metrics/cleanup", &json!({})).await;
        let problem = answer.problem(503, "unavailable");
        assert!(problem["detail"].as_str().unwrap().contains("under way"), "{problem}");
        // Meanwhile reports are taken and read, and partitions made.
        contract.post("/api/metrics/partitions/create?days_ahead=1", &json!({})).await.ok();
        contract.report("w", json!([gauge("m", 2.0)])).await.ok();
        assert_eq!(contract.query("metric_name=m&limit=1").await[0]["metric_value"], 2.0);
        reader.rollback().await.unwrap();
    };
    let (first, ()) = tokio::join!(first, others);
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    assert_eq!(values(&contract, "m").await, [2.0, 0.0]);
    contract.post("/api/metrics/cleanup", &json!({})).await.ok();
}

#[tokio::test]
async fn readers_and_writers_go_on_while_partitions_are_dropped() {
    let contract = Contract::start().await;
    contract.register("w").await;
    contract.report("w", json!([gauge("m", 0.0), gauge("returns", 0.0)])).await.ok();
    for hour in 0..20 {
        old_sample(&contract, "m", 1.0, now() - 3 * DAY + hour * HOUR).await;
    }
    let done = std::sync::atomic::AtomicBool::new(false);
    let going = || !done.load(std::sync::atomic::Ordering::Relaxed);
    let write = async {
        let mut count = 0;
        while going() {
            count += 1;
            // Series that are new here are looked for in all partitions.
            let name = format!("w{count}");
            contract.register(&name).await;
            let old = now() - 3 * DAY + i64::from(count % 20) * HOUR;
            contract.report(&name, json!([gauge("m", 2.0), gauge_at("m", 1.0, old)])).await.ok();
        }
    };
    let forget_and_find_again = async {
        while going() {
            // By SQL, so that the server reads the series from the database.
            let id = contract.value::<i64>("select runtime_id from noetl.runtime where name = 'w'").await;
            let sql = format!(
                "with s as (insert into noetl_metrics.series (fingerprint, runtime_id, component_name, component_type, metric_name, labels) \
                 select noetl_metrics.fingerprint('w', 'worker_pool', 'm', l), {id}, 'w', 'worker_pool', 'm', l \
                 from (select jsonb_build_object('r', random()::text) l) x returning labels->>'r' as r) select r from s"
            );
            let r = contract.value::<String>(sql).await;
            let one =
                json!({"metric_name": "m", "metric_type": "gauge", "metric_value": 1, "labels": {"r": r}});
            contract.report("w", json!([one])).await.ok();
        }
    };
    let read = async {
        while going() {
            let rows = contract.query("metric_name=m&component_name=w&limit=10000").await;
            assert!(!rows.is_empty());
            contract.query("metric_name=m&step=1h&start_time=2001-01-01T00:00:00Z").await;
            contract.export().await;
        }
    };
    let drop_them = async {
        let report = maintain(&contract, &["--retention-raw", "1d"]).await;
        assert_eq!(report["dropped_partitions"].as_array().unwrap().len(), 20);
        tokio::time::sleep(Duration::from_millis(100)).await;
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    };
    tokio::join!(write, forget_and_find_again, read, drop_them);
}

#[tokio::test]
async fn a_dry_run_counts_what_the_run_then_does() {
    let contract = Contract::start().await;
    contract.register("w").await;
    let t = now();
    contract.report("w", json!([gauge("m", 0.0), gauge("short", 0.0), gauge("long", 0.0)])).await.ok();
    for (metric, hours) in [("m", 72), ("short", 26), ("long", 72)] {
        old_sample(&contract, metric, 1.0, t - hours * HOUR).await;
    }
    // Three late ones, one of them past.
    let late = [("m", t - 3 * HOUR), ("m", t - 400 * DAY), ("n", t - 30 * HOUR)];
    for (metric, at) in late {
        contract.report("w", json!([gauge_at(metric, 2.0, at)])).await.ok();
    }
    contract.post("/api/metrics/ttl/set?metric_name=short&ttl_days=1", &json!({})).await.ok();
    contract.post("/api/metrics/ttl/set?metric_name=long&ttl_days=9", &json!({})).await.ok();
    let before = shown(&contract).await;
    let mut planned = maintain(&contract, &["--retention-raw", "2d", "--dry-run"]).await;
    assert_eq!(shown(&contract).await, before, "a dry run only says");
    let mut done = maintain(&contract, &["--retention-raw", "2d"]).await;
    assert_eq!(
        (&done["merged_samples"], &done["deleted_samples"], &done["kept_samples"]),
        (&json!(2), &json!(2), &json!(1))
    );
    // What was made ahead depends on the clock, and what there is on when it is looked at.
    for report in [&mut planned, &mut done] {
        report["created_partitions"].take();
        report["store"].take();
    }
    assert!(done["freed_bytes"].as_i64().unwrap() > 0);
    let freed: i64 = done["freed"].as_object().unwrap().values().filter_map(Value::as_i64).sum();
    assert_eq!(freed, done["freed_bytes"].as_i64().unwrap());
    assert_eq!(planned, done);
}

#[tokio::test]
async fn a_sample_that_is_stored_while_its_partition_goes_is_kept_as_long_as_was_promised() {
    let contract = Contract::start().await;
    contract.register("w").await;
    contract.report("w", json!([gauge("long", 0.0)])).await.ok();
    contract.post("/api/metrics/ttl/set?metric_name=long&ttl_days=30", &json!({})).await.ok();
    let old = now() - 3 * DAY;
    old_sample(&contract, "long", 1.0, old).await;
    // A writer that began before the run, and ends after the run has looked at the partition.
    let mut writer = contract.database.pool.begin().await.unwrap();
    let sql = format!(
        "insert into noetl_metrics.sample select series_id, '{}', 2 from noetl_metrics.series where metric_name = 'long'",
        time(old + 1)
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut *writer).await.unwrap();
    let maintenance = maintain(&contract, &["--retention-raw", "1d"]);
    let commit = async {
        detaching(&contract).await;
        writer.commit().await.unwrap();
    };
    let (done, ()) = tokio::join!(maintenance, commit);
    assert_eq!(done["kept_samples"], 2);
    assert_eq!(values(&contract, "long").await, [0.0, 2.0, 1.0]);
}

#[tokio::test]
async fn late_samples_are_overwritten_while_they_move() {
    let contract = Contract::start().await;
    contract.register("w").await;
    let t = now() - 3 * HOUR;
    contract.report("w", json!([gauge_at("m", 0.0, t + 1)])).await.ok();
    let done = std::sync::atomic::AtomicBool::new(false);
    let write = async {
        let mut round = 0;
        while !done.load(std::sync::atomic::Ordering::Relaxed) {
            round += 1;
            let samples: Vec<Value> = (0..2000).map(|i| gauge_at("m", f64::from(round), t - i)).collect();
            contract.report("w", samples.into()).await.ok();
        }
        round
    };
    let maintain_often = async {
        for _ in 0..12 {
            maintain(&contract, &["--retention-raw", "1d"]).await;
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    };
    let (rounds, ()) = tokio::join!(write, maintain_often);
    assert!(rounds > 3, "{rounds}: it wrote meanwhile");
    let sql =
        format!("select count(*) from noetl.metrics where metric_name = 'm' and metric_value = {rounds}");
    assert_eq!(contract.value::<i64>(sql).await, 2000, "each has its newest value, once");
    assert_eq!(
        contract.value::<i64>("select count(*) from noetl.metrics where metric_name = 'm'").await,
        2001
    );
}
