//! Roll-ups: a step of whole hours has the same value, whether it is made of them or of samples.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::harness::{Contract, SOON, eventually, now, time};
use crate::maintenance::{command, maintain};

const HOUR: i64 = 3_600_000;
const LONG: [&str; 2] = ["--retention-raw", "300d"];
const AGGREGATES: [&str; 7] = ["avg", "min", "max", "sum", "count", "last", "rate"];

/// A generator of numbers that come out the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// The begin of the hour that was so many hours ago.
/// The start of an hour; all tests see one time, also where an hour ends meanwhile.
fn hour(ago: i64) -> i64 {
    static NOW: LazyLock<i64> = LazyLock::new(now);
    *NOW - NOW.rem_euclid(HOUR) - ago * HOUR
}

fn sample(series: u64, value: &Value, at: i64) -> Value {
    json!({"metric_name": "c_total", "metric_type": "gauge", "metric_value": value, "timestamp": time(at),
           "labels": {"s": series.to_string()}})
}

/// Puts samples into hours that are over, as a server would have left them: partitions made, rows in
/// them, nothing sealed.
async fn store(contract: &Contract, samples: Vec<Value>) {
    for some in samples.chunks(5000) {
        contract.report("w", some.to_vec().into()).await.ok();
    }
}

/// Random samples of some series over some hours; counters that restart now and then, gauges of two
/// decimals, whole numbers, and values that are no finite number.
fn random_samples(random: &mut Random, hours: i64, oldest: i64) -> Vec<Value> {
    let mut samples = Vec::new();
    for series in 0..6_u64 {
        let (mut at, mut value) = (hour(oldest), 0.0);
        while at < hour(oldest - hours) {
            let one = match series {
                5 if random.below(40) == 0 => json!("NaN"),
                5 if random.below(40) == 0 => json!(["+Inf", "-Inf"][random.below(2) as usize]),
                3 => json!(f64::from(random.below(10_000) as u32).sqrt()),
                _ => json!(value),
            };
            samples.push(sample(series, &one, at));
            value = match series {
                0 => 7.25,
                1 => ((value + random.below(100) as f64 / 100.0 - 0.5) * 100.0).round() / 100.0,
                _ if random.below(30) == 0 => random.below(3) as f64,
                _ => value + random.below(1000) as f64,
            };
            at += 1 + i64::try_from(random.below(if series == 4 { 9_000_000 } else { 400_000 })).unwrap();
        }
    }
    samples
}

/// All rows of a query, page by page: what each series has at each step.
async fn steps(contract: &Contract, parameters: &str) -> BTreeMap<(i64, String), String> {
    let mut all = BTreeMap::new();
    let mut token = String::new();
    let mut before = None;
    loop {
        let path = format!("/api/metrics/query?metric_name=c_total&{parameters}&page_token={token}");
        let reply = contract.get(&path).await.ok();
        for row in reply["metrics"].as_array().unwrap() {
            let at = noetl_metrics::model::parse_timestamp(row["timestamp"].as_str().unwrap()).unwrap().0;
            let series = row["labels"]["s"].as_str().unwrap().to_owned();
            assert!(before.is_none_or(|before| at <= before), "newest first");
            before = Some(at);
            let twice = all.insert((at, series), row["metric_value"].to_string());
            assert_eq!(twice, None, "{parameters}");
        }
        match reply["next_page_token"].as_str() {
            Some(next) => next.clone_into(&mut token),
            None => return all,
        }
    }
}

/// What `noetl.metrics` shows, as a table: it is asked many times.
async fn take_down(contract: &Contract, from: i64, to: i64) {
    contract.run("drop table if exists seen").await;
    contract
        .run(format!(
            "create table seen as select labels->>'s' as s, metric_value as value, \
               floor(extract(epoch from \"timestamp\") * 1000)::bigint as ms \
             from noetl.metrics where metric_name = 'c_total' and \"timestamp\" between '{}' and '{}'",
            time(from),
            time(to)
        ))
        .await;
}

/// What SQL makes of [these samples](take_down).
async fn by_sql(contract: &Contract, step: i64, aggregate: &str) -> BTreeMap<(i64, String), String> {
    let value = match aggregate {
        "avg" => "sum(value) / count(*)",
        "count" => "count(*)::double precision",
        "last" => "(array_agg(value order by ms desc))[1]",
        "rate" => "coalesce(sum(increase), 0)",
        "min" => "min(value)",
        "max" => "max(value)",
        _ => "sum(value)",
    };
    let scale = if aggregate == "rate" { step as f64 / 1000.0 } else { 1.0 };
    let rows = contract
        .column::<String>(format!(
            "with w as (select *, case when lag(value) over o is null then null when value >= lag(value) over o \
                     then value - lag(value) over o else value end as increase from seen window o as (partition by s order by ms)) \
             select (ms / {step} * {step}) || ' ' || s || ' ' || ({value}) / {scale}::double precision from w group by ms / {step}, s"
        ))
        .await;
    let read = |row: String| {
        let mut parts = row.splitn(3, ' ').map(str::to_owned);
        let at = parts.next().unwrap().parse().unwrap();
        ((at, parts.next().unwrap()), parts.next().unwrap())
    };
    rows.into_iter().map(read).collect()
}

fn number(text: &str) -> f64 {
    let text = text.trim_matches('"');
    text.replace("Infinity", "inf").replace("Inf", "inf").parse().unwrap()
}

fn assert_same(
    found: &BTreeMap<(i64, String), String>,
    expected: &BTreeMap<(i64, String), String>,
    what: &str,
) {
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{what}");
    for (place, value) in expected {
        let (found, expected) = (number(&found[place]), number(value));
        let same = found.to_bits() == expected.to_bits()
            || (found.is_nan() && expected.is_nan())
            || (found - expected).abs() <= 1e-9 * expected.abs().max(1e3);
        assert!(same, "{what} at {place:?}: {found} instead of {expected}");
    }
}

async fn compare(contract: &Contract, from: i64, to: i64, when: &str) {
    take_down(contract, from, to).await;
    for (step, ms, limit) in
        [("1h", HOUR, 47), ("2h", 2 * HOUR, 1000), ("1d", 24 * HOUR, 5), ("90m", HOUR * 3 / 2, 1000)]
    {
        for aggregate in AGGREGATES {
            let range = format!(
                "step={step}&agg={aggregate}&start_time={}&end_time={}&limit={limit}",
                time(from),
                time(to)
            );
            let found = steps(contract, &range).await;
            let expected = by_sql(contract, ms, aggregate).await;
            assert!(!expected.is_empty(), "{when}");
            assert_same(&found, &expected, &format!("{when}: {aggregate} of {step}"));
        }
    }
}

async fn count(contract: &Contract, relation: &str) -> i64 {
    contract.value(format!("select count(*) from noetl_metrics.{relation}")).await
}

/// What the view of roll-ups has, beside what the sealed samples come to.
async fn assert_view_is_true(contract: &Contract) {
    let differ = "select count(*) from ( \
        select series_id, hour, count(*) as count, min(value), max(value), (array_agg(value order by \"timestamp\"))[1] as first, \
          (array_agg(value order by \"timestamp\" desc))[1] as last from noetl_metrics.sealed group by 1, 2) s \
        full join noetl_metrics.rollup r using (series_id, hour) \
        where r.count is distinct from s.count or r.min is distinct from s.min or r.max is distinct from s.max \
          or r.first is distinct from s.first or r.last is distinct from s.last";
    assert_eq!(contract.value::<i64>(differ).await, 0);
    let counted = "select (select sum(buckets)::bigint from noetl_metrics.rolled_hour) - (select count(*) from noetl_metrics.rollup)";
    assert_eq!(contract.value::<i64>(counted).await, 0);
}

#[tokio::test]
async fn steps_of_hours_are_the_same_from_roll_ups_and_from_samples() {
    let contract = Contract::start().await;
    contract.register("w").await;
    let mut random = Random(11);
    store(&contract, random_samples(&mut random, 49, 51)).await;
    let (from, to) = (hour(51) + 1_234_567, hour(2) - 654_321);
    compare(&contract, from, to, "all late").await;
    maintain(&contract, &LONG).await;
    assert_eq!(count(&contract, "sample_late").await, 0);
    assert!(count(&contract, "rollup_day").await > 0);
    assert_view_is_true(&contract).await;
    compare(&contract, from, to, "sealed").await;
    compare(&contract, hour(51), hour(0), "from hour to hour").await;
    // Late samples of some hours, of packed days and of others, that are not merged yet.
    let mut late = Vec::new();
    for _ in 0..60 {
        let at = hour(50) + i64::try_from(random.below(45 * 3_600_000)).unwrap();
        late.push(sample(random.below(7), &json!(random.below(5000)), at));
    }
    contract.report("w", late.into()).await.ok();
    assert!(count(&contract, "sample_late").await > 40);
    compare(&contract, from, to, "not merged").await;
    maintain(&contract, &LONG).await;
    assert_eq!(count(&contract, "sample_late").await, 0);
    assert_view_is_true(&contract).await;
    compare(&contract, from, to, "merged").await;
    // Rows that somebody puts into an hour that is sealed.
    contract.run(format!("select noetl_metrics.create_partitions('{}', 1)", time(hour(20)))).await;
    let by_hand = format!(
        "insert into noetl_metrics.sample select series_id, '{}', 9 from noetl_metrics.series where metric_name = 'c_total'",
        time(hour(20) + 1)
    );
    contract.run(by_hand).await;
    compare(&contract, from, to, "by hand").await;
    maintain(&contract, &LONG).await;
    assert_view_is_true(&contract).await;
    compare(&contract, from, to, "sealed once more").await;
}

#[tokio::test]
async fn roll_ups_answer_once_the_samples_are_gone() {
    let contract = Contract::start().await;
    contract.register("w").await;
    store(&contract, random_samples(&mut Random(5), 90, 100)).await;
    maintain(&contract, &LONG).await;
    compare(&contract, hour(102), hour(0), "with samples").await;
    let range = format!("step=6h&start_time={}&end_time={}&limit=31", time(hour(102)), time(hour(0)));
    let mut before = Vec::new();
    for aggregate in AGGREGATES {
        before.push(steps(&contract, &format!("{range}&agg={aggregate}")).await);
    }
    let report = maintain(&contract, &["--retention-raw", "30h"]).await;
    assert!(report["dropped_partitions"].as_array().unwrap().len() >= 2, "{report}");
    let oldest = "select min(hour) >= now() - interval '32 hours' from noetl_metrics.sealed";
    assert!(contract.value::<bool>(oldest).await);
    for (aggregate, before) in AGGREGATES.iter().zip(&before) {
        let after = steps(&contract, &format!("{range}&agg={aggregate}")).await;
        assert_same(&after, before, &format!("{aggregate} without samples"));
    }
    // What comes for such an hour is no more than what its roll-up says; it changes nothing, now and later.
    contract.report("w", json!([sample(0, &json!(1e9), hour(80) + 5)])).await.ok();
    for _ in 0..2 {
        for (aggregate, before) in AGGREGATES.iter().zip(&before) {
            let after = steps(&contract, &format!("{range}&agg={aggregate}")).await;
            assert_same(&after, before, &format!("{aggregate} with one that is too late"));
        }
        maintain(&contract, &LONG).await;
    }
}

#[tokio::test]
async fn hours_that_were_sealed_without_get_their_roll_ups() {
    let contract = Contract::start().await;
    contract.register("w").await;
    store(&contract, random_samples(&mut Random(3), 60, 70)).await;
    maintain(&contract, &LONG).await;
    let (from, to) = (hour(72), hour(1));
    // As an earlier version left it.
    contract
        .run("truncate noetl_metrics.rollup_hour, noetl_metrics.rollup_day, noetl_metrics.rolled_hour")
        .await;
    compare(&contract, from, to, "without").await;
    // A late one meanwhile.
    contract.report("w", json!([sample(1, &json!(3.5), hour(69) + 5)])).await.ok();
    contract.run("delete from noetl_metrics.rolled_hour where hour > now() - interval '40 hours'").await;
    let report = maintain(&contract, &LONG).await;
    assert!(report["rolled_up_hours"].as_u64().unwrap() >= 59, "{report}");
    assert_view_is_true(&contract).await;
    compare(&contract, from, to, "with").await;
    assert_eq!(maintain(&contract, &LONG).await["rolled_up_hours"], 0);
}

#[tokio::test]
async fn roll_ups_of_a_metric_whose_own_time_is_over_go_with_its_samples() {
    let contract = Contract::start().await;
    contract.register("w").await;
    let mut samples = random_samples(&mut Random(9), 60, 70);
    samples.extend((0..300).map(|i| {
        json!({"metric_name": "short", "metric_type": "gauge", "metric_value": i, "timestamp": time(hour(69) + i * 600_000)})
    }));
    store(&contract, samples).await;
    maintain(&contract, &LONG).await;
    contract.post("/api/metrics/ttl/set?metric_name=short&ttl_days=2", &json!({})).await.ok();
    for _ in 0..2 {
        // An hour may end meanwhile.
        let begun = contract.value::<String>("select now()::text").await;
        maintain(&contract, &LONG).await;
        assert_view_is_true(&contract).await;
        let of = "select count(*) from noetl_metrics.rollup join noetl_metrics.series using (series_id) where metric_name = 'short'";
        let old = format!("{of} and hour < timestamptz '{begun}' - interval '49 hours'");
        assert_eq!(contract.value::<i64>(old).await, 0);
        assert!(contract.value::<i64>(of).await > 20);
    }
    compare(&contract, hour(72), hour(0), "the others").await;
}

#[tokio::test]
async fn a_metric_that_keeps_its_samples_longer_has_its_steps_of_them() {
    let contract = Contract::start().await;
    contract.register("w").await;
    store(&contract, random_samples(&mut Random(4), 60, 70)).await;
    maintain(&contract, &LONG).await;
    contract.post("/api/metrics/ttl/set?metric_name=c_total&ttl_days=30", &json!({})).await.ok();
    let one = ["--retention-raw", "1d"];
    let kept = maintain(&contract, &one).await["kept_samples"].as_u64().unwrap();
    assert!(kept > 100, "{kept}");
    let (from, to) = (hour(72), hour(1));
    compare(&contract, from, to, "kept").await;
    let first = "select (extract(epoch from min(\"timestamp\")) * 1000)::bigint from noetl.metrics \
                 where metric_name = 'c_total' and labels->>'s' = '1'";
    let first = contract.value::<i64>(first).await;
    for (what, at) in [("one more", hour(65) + 5), ("another value", first)] {
        contract.report("w", json!([sample(1, &json!(1e6), at)])).await.ok();
        compare(&contract, from, to, what).await;
        maintain(&contract, &one).await;
        compare(&contract, from, to, &format!("{what}, after maintenance")).await;
    }
}

#[tokio::test]
async fn where_samples_are_gone_no_number_of_late_ones_takes_the_roll_up_s_place() {
    let contract = Contract::start().await;
    contract.register("w").await;
    let noon = |late: i64| hour(60) + 1_800_000 + late;
    store(&contract, vec![sample(0, &json!(5.0), noon(0)), sample(1, &json!(6.0), noon(0))]).await;
    maintain(&contract, &LONG).await;
    let one = ["--retention-raw", "1d"];
    maintain(&contract, &one).await;
    let at = (hour(60), "0".to_owned());
    let range = format!("start_time={}&end_time={}&step=1h", time(hour(61)), time(hour(59) - 1));
    for late in 1..4 {
        contract.report("w", json!([sample(0, &json!(1e9), noon(late))])).await.ok();
        for (aggregate, value) in [("max", "5.0"), ("count", "1.0"), ("sum", "5.0")] {
            let found = steps(&contract, &format!("{range}&agg={aggregate}")).await;
            assert_eq!(found.get(&at).map(String::as_str), Some(value), "{aggregate} with {late}");
            assert_eq!(found.len(), 2);
        }
    }
}

#[tokio::test]
async fn steps_of_a_day_are_there_while_it_is_dropped() {
    let contract = Contract::start().await;
    contract.register("w").await;
    let kept = json!({"metric_name": "kept", "metric_type": "gauge", "metric_value": 1, "timestamp": time(hour(60))});
    store(&contract, vec![sample(0, &json!(5.0), hour(60)), kept]).await;
    maintain(&contract, &LONG).await;
    contract.post("/api/metrics/ttl/set?metric_name=kept&ttl_days=30", &json!({})).await.ok();
    // A reader keeps the run from detaching the day of chunks.
    let mut reader = contract.database.pool.begin().await.unwrap();
    sqlx::raw_sql("select count(*) from noetl_metrics.chunk").execute(&mut *reader).await.unwrap();
    let mut run = crate::harness::spawn(command(&contract, &["--retention-raw", "1d"]));
    eventually("the day is being detached", SOON, async || {
        let pending = "select exists (select from noetl_metrics.day where detach_pending)";
        contract.value::<bool>(pending).await.then_some(())
    })
    .await;
    let range = format!("component_name=w&agg=max&start_time={}&end_time={}", time(hour(61)), time(now()));
    for step in ["1h", "1d"] {
        let reply = contract.get(&format!("/api/metrics/query?{range}&step={step}")).await.ok();
        let of =
            |name| reply["metrics"].as_array().unwrap().iter().filter(move |row| row["metric_name"] == name);
        assert_eq!((of("c_total").count(), of("kept").count()), (1, 1), "{step}: {reply}");
    }
    reader.rollback().await.unwrap();
    assert!(run.wait().unwrap().success());
}

#[tokio::test]
async fn a_late_sample_of_a_day_that_was_dropped_by_hand_leaves_its_roll_up() {
    let contract = Contract::start().await;
    contract.register("w").await;
    store(&contract, vec![sample(0, &json!(5.0), hour(60))]).await;
    maintain(&contract, &LONG).await;
    let day = contract.value::<String>("select name from noetl_metrics.day order by 1 limit 1").await;
    contract.run(format!("drop table noetl_metrics.{day}")).await;
    contract.report("w", json!([sample(0, &json!(1e9), hour(60) + 5)])).await.ok();
    let range = format!("agg=max&step=1h&start_time={}&end_time={}", time(hour(61)), time(hour(59) - 1));
    for _ in 0..2 {
        let found = steps(&contract, &range).await;
        assert_eq!(found.into_values().collect::<Vec<_>>(), ["5.0"]);
        maintain(&contract, &LONG).await;
    }
}

#[tokio::test]
async fn months_of_roll_ups_go_once_they_are_past() {
    let contract = Contract::start().await;
    contract.register("w").await;
    let days = |days: i64| hour(days * 24) + 60_000;
    let samples = [200, 199, 100, 40, 1].map(|ago| sample(0, &json!(ago), days(ago)));
    store(&contract, samples.to_vec()).await;
    maintain(&contract, &LONG).await;
    let shorter = ["--retention-raw", "2d", "--retention-hourly", "1d"];
    let refused = crate::harness::spawn(command(&contract, &shorter)).wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("--retention-hourly must not be shorter"), "{said}");

    let flags = ["--retention-raw", "2d", "--retention-hourly", "120d"];
    let mut planned = maintain(&contract, &[&flags[..], &["--dry-run"]].concat()).await;
    let mut done = maintain(&contract, &flags).await;
    let month = format!("rollup_{}", &time(days(200))[..7].replace('-', ""));
    assert!(done["dropped_partitions"].as_array().unwrap().contains(&json!(month)), "{done}");
    assert!(done["deleted_rollups"].as_u64().unwrap() >= 1 && done["freed"]["rollups"].as_u64().unwrap() > 0);
    assert_eq!(
        done["store"]["rollups"],
        contract.value::<i64>("select count(*) from noetl_metrics.rollup").await
    );
    for report in [&mut planned, &mut done] {
        report["created_partitions"].take();
        report["store"].take();
    }
    assert_eq!(planned, done);
    let range = format!("agg=last&step=1h&start_time={}&end_time={}", time(days(300)), time(now()));
    let left: Vec<String> = steps(&contract, &range).await.into_values().collect();
    assert!(left.ends_with(&["100.0".into(), "40.0".into(), "1.0".into()]) && left.len() <= 4, "{left:?}");
}

#[tokio::test]
async fn the_oldest_days_go_while_the_store_is_too_large() {
    let mut contract = Contract::start().await;
    contract.server.kill();
    let contract = Contract::on(contract.database, &["--metrics-interval", "1s"]).await;
    contract.ready().await;
    contract.register("w").await;
    let samples = (0..5).flat_map(|day| (0..200).map(move |i| sample(i, &json!(day), hour(30 + day * 24))));
    store(&contract, samples.collect()).await;
    maintain(&contract, &LONG).await;
    let days = contract.column::<String>("select name from noetl_metrics.day order by 1").await;
    assert!(days.len() >= 5);
    let bytes = "select sum(pg_total_relation_size(oid))::bigint from pg_class where relnamespace = 'noetl_metrics'::regnamespace and relkind = 'r'";
    // Vacuum changes what tables take: it does so now, not while days are counted.
    contract.run("vacuum").await;
    let (all, day): (i64, i64) = (
        contract.value(bytes).await,
        contract.value(format!("select pg_total_relation_size('noetl_metrics.{}')", days[0])).await,
    );
    // A little more than one day less: two go.
    let most = (all - day - day / 2).to_string();
    let flags = ["--once", "--retention-raw", "300d", "--retention-max-size", &most];
    let planned = maintain(&contract, &[&flags[..], &["--dry-run"]].concat()).await;
    let done = maintain(&contract, &flags).await;
    for report in [&planned, &done] {
        assert_eq!(report["over_size_partitions"], json!(days[..2]), "{report}");
        assert_eq!(report["dropped_partitions"], json!(days[..2]));
        assert_eq!(report["freed"]["chunks"], report["freed_bytes"]);
    }
    assert_eq!(planned["freed"], done["freed"]);
    assert_eq!(done["store"]["partitions"]["days"], days.len() - 2);
    let total: i64 = done["store"]["bytes"].as_object().unwrap().values().map(|b| b.as_i64().unwrap()).sum();
    assert!(total < all, "{total} of {all}");
    let left = contract.column::<String>("select name from noetl_metrics.day order by 1").await;
    assert_eq!(left, days[2..]);
    // Never the last one.
    let done = maintain(&contract, &["--retention-raw", "300d", "--retention-max-size", "1MB"]).await;
    assert_eq!(done["over_size_partitions"], json!(days[2..days.len() - 1]));
    // Their roll-ups are still there.
    let range =
        format!("agg=count&step=1h&start_time={}&end_time={}&limit=10000", time(hour(200)), time(now()));
    assert_eq!(steps(&contract, &range).await.len(), 1000);
    eventually("the server's own metrics say so", SOON, async || {
        let metrics = contract.get_as("/metrics", "text/plain").await.expect(200);
        let line = format!("noetl_metrics_retention_over_size_partitions {}", days.len() - 3);
        metrics.text().contains(&line).then_some(())
    })
    .await;
}
