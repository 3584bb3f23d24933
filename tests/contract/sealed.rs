//! Sealed hours: what readers see is the same before, while and after an hour is sealed, to the last
//! bit of every value.

use std::time::Duration;

use serde_json::{Value, json};

use crate::blocks::{MANY, many, move_back, shown};
use crate::harness::{Contract, gauge_at, now, time};
use crate::maintenance::{command, maintain};
use crate::report::values;

const HOUR: i64 = 3_600_000;
const LONG: [&str; 2] = ["--retention-raw", "90d"];

/// Reports 5 times many series, and moves them into an hour that is over.
async fn hour_of_many(contract: &Contract, hours: i64) {
    contract.register("w").await;
    let at = now();
    for round in 0..5 {
        contract.report("w", many(round * 1000, at + round as i64)).await.ok();
    }
    move_back(contract, hours).await;
}

async fn count(contract: &Contract, table: &str) -> i64 {
    contract.value(format!("select count(*) from noetl_metrics.{table}")).await
}

/// Sealed samples without the server's own.
async fn sealed(contract: &Contract) -> i64 {
    count(contract, "sealed join noetl_metrics.series using (series_id) where metric_name !~ '^noetl_'").await
}

/// Samples without the server's own, each with its bits.
async fn bits(contract: &Contract) -> Vec<String> {
    contract
        .column(
            "select series_id || ' ' || \"timestamp\" || ' ' || encode(float8send(value), 'hex') from ( \
               select series_id, \"timestamp\", value from noetl_metrics.unsealed \
               union all select series_id, \"timestamp\", value from noetl_metrics.sealed) s \
             join noetl_metrics.series using (series_id) where metric_name !~ '^noetl_' order by 1",
        )
        .await
}

#[tokio::test]
async fn sealing_an_hour_changes_nothing_that_readers_see() {
    let contract = Contract::start().await;
    hour_of_many(&contract, 3).await;
    let before = shown(&contract).await;
    assert_eq!((before.0.len(), before.1.len()), (5 * MANY, 5 * MANY));

    // A reader that began before sees the same while the hour is sealed and after.
    let mut reader = contract.database.pool.begin().await.unwrap();
    sqlx::raw_sql("set transaction isolation level repeatable read; select 1")
        .execute(&mut *reader)
        .await
        .unwrap();
    let seal = async {
        let report = maintain(&contract, &LONG).await;
        assert_eq!(report["sealed_samples"], 5 * MANY);
    };
    let read = async {
        let sql = "select (to_jsonb(m) - 'created_at')::text from noetl.metrics m where metric_name = 'm' order by metric_id";
        for _ in 0..10 {
            let seen: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut *reader).await.unwrap();
            assert_eq!(seen, before.0);
            assert_eq!(contract.column::<String>(sql).await, before.0, "and one that begins now");
        }
        // The partition goes only when nobody reads it any more.
        reader.commit().await.unwrap();
    };
    tokio::join!(seal, read);
    assert_eq!(shown(&contract).await, before);
    assert_eq!(sealed(&contract).await, (5 * MANY) as i64);
    let recorded = "select samples from noetl_metrics.sealed_hour";
    assert_eq!(contract.value::<i64>(recorded).await, (5 * MANY) as i64);
    assert_eq!(maintain(&contract, &LONG).await["sealed_samples"], 0, "nothing is left to do");
}

#[tokio::test]
async fn every_value_comes_back_bit_by_bit_in_sql() {
    let contract = Contract::start().await;
    contract.register("w").await;
    let at = now();
    let of = |metric: usize, round: usize| -> Value {
        let (m, r) = (metric as f64, round as f64);
        match metric % 12 {
            0 => json!("NaN"),
            1 => json!(if round.is_multiple_of(2) { "+Inf" } else { "-Inf" }),
            2 => json!(-0.0),
            3 => json!(5e-324 * (r + 1.0)),
            4 => json!((m + r).sqrt() * 1e300),
            5 => json!(1_000_000.0 + r * 37.0),
            6 => json!((r * 1.37).round() / 100.0 - 3.0),
            7 => json!(f64::from((r as f32).sin())),
            8 => json!(9_007_199_254_740_991_i64 - round as i64),
            9 => json!(-9_007_199_254_740_991_i64 + (round * 12_345) as i64),
            10 => json!(std::f64::consts::PI),
            _ => json!(if round == 17 { 1e9 } else { 0.0 }),
        }
    };
    for round in 0..30 {
        let report: Value = (0..60)
            .map(|metric| {
                let mut one = gauge_at(&format!("m_{metric}"), 0.0, at + (round * round) as i64);
                one["metric_value"] = of(metric, round);
                one
            })
            .collect();
        contract.report("w", report).await.ok();
    }
    move_back(&contract, 3).await;
    let before = bits(&contract).await;
    assert_eq!(before.len(), 30 * 60);
    assert_eq!(maintain(&contract, &LONG).await["sealed_samples"], 30 * 60);
    assert_eq!(
        count(&contract, "block").await,
        count(&contract, "block where \"timestamp\" > now() - interval '2 hours'").await
    );
    assert_eq!(bits(&contract).await, before);
    // One series and one time of it are found among all.
    let api = contract.query("metric_name=m_5&limit=1000").await;
    assert_eq!((api.len(), &api[0]["metric_value"]), (30, &json!(1_000_000.0 + 29.0 * 37.0)));
    let (from, to) = (api[20]["timestamp"].as_str().unwrap(), api[19]["timestamp"].as_str().unwrap());
    let two = contract.query(&format!("metric_name=m_5&start_time={from}&end_time={to}")).await;
    assert_eq!(two.len(), 2);
    let between =
        format!("select metric_value from noetl.metrics_between('{from}', '{to}') where metric_name = 'm_5'");
    assert_eq!(contract.column::<f64>(&between).await.len(), 2);
    // The planner sees through it: of other days, nothing is read.
    let old = now() - 9 * 24 * HOUR;
    contract.run(format!("select noetl_metrics.create_day('{}')", time(old))).await;
    let all = "explain select * from noetl.metrics where metric_name = 'm_5'".to_owned();
    for (sql, reads) in [(all, true), (format!("explain {between}"), false)] {
        let plan = contract.column::<String>(sql).await.join("\n");
        let day = time(old)[..10].replace('-', "");
        assert_eq!(plan.contains(&format!("chunk_{day}")), reads, "{plan}");
    }
}

#[tokio::test]
async fn samples_that_come_into_a_sealed_hour_are_sealed_with_it() {
    let contract = Contract::start().await;
    hour_of_many(&contract, 3).await;
    maintain(&contract, &LONG).await;
    let one = "metric_name=m&label.i=7&limit=1";
    let newest = contract.query(one).await[0].clone();
    let at = newest["timestamp"].as_str().unwrap().to_owned();
    // A late report overrides at once, and stays so when it is merged.
    let mut late = gauge_at("m", -7.0, 0);
    (late["labels"], late["timestamp"]) = (json!({"i": "7"}), json!(at));
    contract.report("w", json!([late])).await.ok();
    assert_eq!(contract.query(one).await[0]["metric_value"], -7.0);
    // Rows of the hour that were put in by hand too.
    contract.run(format!("select noetl_metrics.create_partitions('{at}', 1)")).await;
    let by_hand = "insert into noetl_metrics.sample select series_id, ";
    let of = "-8 from noetl_metrics.series where labels->>'i' = '8'";
    contract.run(format!("{by_hand} '{at}'::timestamptz + interval '1 s', {of}")).await;
    let before = shown(&contract).await;
    let report = maintain(&contract, &LONG).await;
    assert_eq!((&report["sealed_samples"], &report["merged_samples"]), (&json!(1), &json!(1)));
    assert_eq!(count(&contract, "sample_late").await, 0);
    let (sql, mut api) = shown(&contract).await;
    assert_eq!(sql, before.0);
    // The time of storing is the sample's own once it is merged.
    let strip = |rows: &mut Vec<String>| {
        for row in rows.iter_mut() {
            let mut value: Value = serde_json::from_str(row).unwrap();
            value.as_object_mut().unwrap().remove("created_at");
            *row = value.to_string();
        }
        rows.sort();
    };
    let mut expected = before.1;
    strip(&mut expected);
    strip(&mut api);
    assert_eq!(api, expected);
    let samples = "select samples from noetl_metrics.sealed_hour";
    assert_eq!(contract.value::<i64>(samples).await, (5 * MANY + 1) as i64);
    let chunks = "select chunks - (select count(*) from noetl_metrics.chunk) from noetl_metrics.sealed_hour";
    assert_eq!(contract.value::<i64>(chunks).await, 0);
}

#[tokio::test]
async fn days_that_are_past_go_as_a_whole_and_what_has_longer_stays() {
    let contract = Contract::start().await;
    contract.register("w").await;
    let at = now();
    let mut metrics = many(0, at);
    metrics.as_array_mut().unwrap().extend((0..10).map(|i| gauge_at(&format!("x_{i}"), 1.0, at)));
    contract.report("w", metrics).await.ok();
    for (metric, days) in [("x_3", 30), ("x_4", 1)] {
        contract
            .post(&format!("/api/metrics/ttl/set?metric_name={metric}&ttl_days={days}"), &json!({}))
            .await
            .ok();
    }
    move_back(&contract, 50).await;
    let at = time(now() - 50 * HOUR);
    let day = format!("chunk_{}{}{}", &at[..4], &at[5..7], &at[8..10]);
    let report = maintain(&contract, &LONG).await;
    assert_eq!(report["sealed_samples"], MANY + 10);
    assert_eq!(report["deleted_samples"], 1, "of the series with a shorter time");
    assert_eq!(sealed(&contract).await, (MANY + 9) as i64);
    let one = ["--retention-raw", "1d"];
    let planned = maintain(&contract, &["--retention-raw", "1d", "--dry-run"]).await;
    assert_eq!((&planned["dropped_partitions"], &planned["kept_samples"]), (&json!([day]), &json!(1)));
    let report = maintain(&contract, &one).await;
    assert_eq!((&report["dropped_partitions"], &report["kept_samples"]), (&json!([day]), &json!(1)));
    assert!(report["freed_bytes"].as_i64().unwrap() > 8192);
    let left: Vec<String> =
        contract.column("select metric_name::text from noetl.metrics where metric_name !~ '^noetl_'").await;
    assert_eq!(left, ["x_3"]);
    assert_eq!(values(&contract, "x_3").await, [1.0]);
    assert_eq!(count(&contract, "sealed_hour").await, 0);
}

#[tokio::test]
async fn a_late_sample_of_a_day_that_was_dropped_stays_by_itself() {
    let contract = Contract::start().await;
    hour_of_many(&contract, 50).await;
    maintain(&contract, &LONG).await;
    assert_eq!(sealed(&contract).await, (5 * MANY) as i64);
    let at = "select (extract(epoch from min(\"timestamp\")) * 1000)::bigint from noetl.metrics where metric_name = 'm'";
    let at = contract.value::<i64>(at).await;
    // So it is where a run is killed once it has dropped a day.
    let day = contract.value::<String>("select name from noetl_metrics.day order by 1 limit 1").await;
    contract.run(format!("drop table noetl_metrics.{day}")).await;
    contract.report("w", json!([gauge_at("late", 2.0, at)])).await.ok();
    maintain(&contract, &LONG).await;
    // Its hour has roll-ups that say more.
    assert_eq!((values(&contract, "late").await, sealed(&contract).await), (vec![2.0], 0));
    assert_eq!(count(&contract, "sealed_hour").await, 0);
}

#[tokio::test]
async fn of_a_day_that_is_partly_past_the_first_hours_go() {
    let contract = Contract::start().await;
    for hours in [30, 27, 23] {
        hour_of_many(&contract, hours).await;
        maintain(&contract, &LONG).await;
    }
    assert_eq!(sealed(&contract).await, 15 * MANY as i64);
    // 25 and a half hours: the hour of 27 hours ago ended before, that of 23 hours ago stays.
    let planned = maintain(&contract, &["--retention-raw", "91800s", "--dry-run"]).await;
    let mut done = maintain(&contract, &["--retention-raw", "91800s"]).await;
    for field in ["created_partitions", "store"] {
        done[field] = planned[field].clone();
    }
    assert_eq!(planned, done);
    assert_eq!(sealed(&contract).await, 5 * MANY as i64);
    let hours = "select sum(samples)::bigint from noetl_metrics.sealed_hour";
    assert_eq!(contract.value::<i64>(hours).await, 5 * MANY as i64);
}

#[tokio::test]
async fn a_server_that_starts_knows_the_newest_values_of_sealed_hours() {
    let mut contract = Contract::start().await;
    hour_of_many(&contract, 2).await;
    maintain(&contract, &LONG).await;
    contract.run("update noetl.runtime set heartbeat = now() where name = 'w'").await;
    contract.server.kill();
    let contract = Contract::on(contract.database, &["--stale-after", "4h"]).await;
    contract.ready().await;
    let export = contract.export().await;
    assert_eq!(export.count("m"), MANY);
    assert_eq!(export.get("m", &[("i", "6")]), Some("4006"));
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_where_sealing_is_killed() {
    let contract = Contract::start().await;
    hour_of_many(&contract, 3).await;
    let before = bits(&contract).await;
    for round in 1..=12 {
        let mut killed = crate::harness::spawn(command(&contract, &LONG));
        tokio::time::sleep(Duration::from_millis(round * 15)).await;
        killed.kill().unwrap();
        killed.wait().unwrap();
        assert_eq!(bits(&contract).await, before, "round {round}");
    }
    maintain(&contract, &LONG).await;
    assert_eq!(bits(&contract).await, before);
    assert_eq!(sealed(&contract).await, before.len() as i64);
}

#[tokio::test]
async fn of_two_that_seal_at_once_each_sample_is_there_once() {
    let contract = Contract::start().await;
    hour_of_many(&contract, 3).await;
    let before = bits(&contract).await;
    let run = || crate::harness::spawn(command(&contract, &LONG));
    let mut runs: Vec<_> = (0..3).map(|_| run()).collect();
    for one in &mut runs {
        // Some are told that another is under way.
        one.wait().unwrap();
    }
    assert_eq!(bits(&contract).await, before);
    assert_eq!(sealed(&contract).await, before.len() as i64);
}
