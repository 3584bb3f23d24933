//! Aggregates that the active server makes: their values, when they end, and what a restart, another
//! server and roll-ups change of that: nothing.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Value, json};

use crate::alerting::{Rules, number};
use crate::harness::{Contract, Exposition, SOON, eventually, gauge_at, now, time};
use crate::maintenance::maintain;
use crate::replicas::Pair;

const COMPONENT: &str = "noetl-metrics-aggregates";
const OFTEN: &str = "--rules-interval=100ms";
const HOUR: i64 = 3_600_000;

/// Sums of each pool, out of them one of all, and what each component has.
const FILE: &str = "
aggregates:
- {name: pool_tasks, metric: tasks, labels: {pool: '!=none'}, by: [pool], function: sum, help: Tasks of a pool.}
- {name: all_tasks, metric: pool_tasks, function: max}
- {name: own_tasks, metric: tasks, by: [component], function: count}
rules:
- {name: Busy, metric: pool_tasks, comparison: '>', threshold: 4}
";

fn tasks(pool: &str, queue: &str, value: impl Into<Value>) -> Value {
    json!({"metric_name": "tasks", "metric_type": "gauge", "metric_value": value.into(),
        "labels": {"pool": pool, "queue": queue}})
}

async fn two_workers(contract: &Contract) {
    for name in ["w1", "w2"] {
        contract.register(name).await;
    }
    contract.report("w1", json!([tasks("blue", "a", 1), tasks("blue", "b", 2)])).await.ok();
    contract
        .report("w2", json!([tasks("blue", "a", 4), tasks("red", "a", 3), tasks("none", "a", 99)]))
        .await
        .ok();
}

/// What aggregates are exported: the value of each by its name and labels, without its component's.
fn made(export: &Exposition) -> BTreeMap<String, String> {
    let own = |(name, _): &(&String, &String)| !["component", "component_type"].contains(&name.as_str());
    let samples = export.of(COMPONENT).into_iter();
    let shown = samples.map(|sample| {
        let labels: Vec<String> = sample.labels.iter().filter(own).map(|(k, v)| format!("{k}={v}")).collect();
        (format!("{}{{{}}}", sample.name, labels.join(",")), sample.value.clone())
    });
    shown.collect()
}

async fn become_so(contract: &Contract, what: &str, expected: &[(&str, &str)]) {
    let expected: BTreeMap<_, _> = expected.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    eventually(what, SOON, async || (made(&contract.export().await) == expected).then_some(())).await;
}

#[tokio::test]
async fn aggregates_are_made_of_newest_values_and_end_with_their_series() {
    let rules = Rules::new(FILE);
    let contract = Contract::with(&[&rules.flag(), OFTEN]).await;
    two_workers(&contract).await;
    let own = [("own_tasks{exported_component=w1}", "2"), ("own_tasks{exported_component=w2}", "3")];
    let pools = [("all_tasks{}", "7"), ("pool_tasks{pool=blue}", "7"), ("pool_tasks{pool=red}", "3")];
    become_so(&contract, "all are made", &[&own[..], &pools].concat()).await;
    let export = contract.export().await;
    assert_eq!(export.types["pool_tasks"], "gauge");
    assert_eq!(export.help["pool_tasks"], "Tasks of a pool.");
    assert_eq!(export.get("noetl_component_up", &[("component", COMPONENT)]), None);
    for (aggregate, series) in [("pool_tasks", 2.0), ("all_tasks", 1.0), ("own_tasks", 2.0)] {
        let label = [("aggregate", aggregate)];
        assert_eq!(number(&contract, "noetl_metrics_aggregate_series", &label).await, Some(series));
        assert_eq!(number(&contract, "noetl_metrics_aggregate_series_left_out", &label).await, Some(0.0));
    }
    // An alert has the labels of the group, and no other.
    let labels = "select labels::text from noetl_metrics.alert where state = 'firing'";
    eventually("the rule over the aggregate fires", SOON, async || {
        let labels = contract.column::<String>(labels).await;
        let [one] = &labels[..] else { return None };
        let expected = json!({"alertname": "Busy", "severity": "warning", "pool": "blue"});
        assert_eq!(serde_json::from_str::<Value>(one).unwrap(), expected);
        Some(())
    })
    .await;
    // They are stored as any other metric.
    let row = &contract.query("metric_name=pool_tasks&label.pool=blue&limit=1").await[0];
    assert_eq!((&row["metric_value"], &row["component_name"]), (&json!(7.0), &json!(COMPONENT)));
    let by_sql =
        "select count(*) from noetl.metrics where metric_name = 'pool_tasks' and labels->>'pool' = 'red'";
    assert!(contract.value::<i64>(by_sql).await > 0);

    // A series that ends counts no more; a group of which nothing is left ends; so does a component.
    contract.report("w1", json!([tasks("blue", "b", "Stale")])).await.ok();
    contract.report("w2", json!([tasks("red", "a", "Stale")])).await.ok();
    let own = [("own_tasks{exported_component=w1}", "1"), ("own_tasks{exported_component=w2}", "2")];
    let pools = [("all_tasks{}", "5"), ("pool_tasks{pool=blue}", "5")];
    become_so(&contract, "the group has left", &[&own[..], &pools].concat()).await;
    contract.post("/api/worker/pool/deregister", &json!({"name": "w2"})).await.ok();
    let one =
        [("all_tasks{}", "1"), ("own_tasks{exported_component=w1}", "1"), ("pool_tasks{pool=blue}", "1")];
    become_so(&contract, "the component's part has left", &one).await;
    // An aggregate that the file has no longer ends, and so do all.
    rules.write("rules: []\naggregates: [{name: all_tasks, metric: tasks, function: avg}]");
    become_so(&contract, "two of them ended", &[("all_tasks{}", "1")]).await;
    rules.write("rules: []");
    become_so(&contract, "all ended", &[]).await;
    let status = format!("select status from noetl.runtime where name = '{COMPONENT}'");
    eventually("their component has left", SOON, async || {
        (contract.value::<String>(status.clone()).await == "offline").then_some(())
    })
    .await;
}

#[tokio::test]
async fn aggregates_go_on_after_a_kill_and_what_is_not_there_any_more_ends() {
    let rules = Rules::new(FILE);
    let mut contract = Contract::with(&[&rules.flag(), OFTEN]).await;
    two_workers(&contract).await;
    eventually("all are made", SOON, async || (made(&contract.export().await).len() == 5).then_some(()))
        .await;
    contract.server.kill();
    // Meanwhile the file has two of them no longer.
    rules.write("aggregates: [{name: pool_tasks, metric: tasks, labels: {pool: '!=none'}, by: [pool], function: sum}]");
    contract.start_again().await;
    let killed = now();
    assert_eq!(
        made(&contract.export().await)["pool_tasks{pool=blue}"],
        "7",
        "it is there from the beginning"
    );
    let expected = [("pool_tasks{pool=blue}", "7"), ("pool_tasks{pool=red}", "3")];
    become_so(&contract, "two of them ended", &expected).await;
    let since = format!("metric_name=pool_tasks&label.pool=blue&start_time={}", time(killed));
    eventually("it goes on", SOON, async || (contract.query(&since).await.len() > 2).then_some(())).await;
    let series = "select count(*) from noetl_metrics.series where metric_name = 'pool_tasks'";
    assert_eq!(contract.value::<i64>(series).await, 2, "the same series");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_server_goes_on_with_aggregates_and_nothing_is_doubled() {
    let rules = Rules::new("aggregates: [{name: all_tasks, metric: tasks, function: sum}]");
    let mut pair = Pair::with(&[rules.flag(), OFTEN.into(), "--metrics-interval=1s".into()]).await;
    let body = json!({"name": "w", "component_type": "worker_pool"});
    pair.https[0].post("/api/worker/pool/register", &body).await.ok();
    let body = json!({"component_name": "w", "metrics": [tasks("blue", "a", 1), tasks("red", "a", 2)]});
    pair.https[0].post("/api/metrics/report", &body).await.ok();
    let count = async |pair: &Pair, from: i64| {
        let sql = "select count(*) from noetl.metrics where metric_name = 'all_tasks' and \"timestamp\" >";
        pair.database.column::<i64>(format!("{sql} '{}'", time(from))).await[0]
    };
    eventually("it is made", SOON, async || (count(&pair, 0).await > 5).then_some(())).await;
    let (killed, began) = (now(), Instant::now());
    pair.servers[0].kill();
    pair.becomes_active(1, SOON).await;
    let taken_over = i64::try_from(began.elapsed().as_millis()).unwrap();
    let export = pair.https[1].get("/api/metrics/prometheus").await.expect(200);
    assert_eq!(Exposition::checked(export.text()).get("all_tasks", &[]), Some("3"));
    let active = now();
    eventually("it goes on", SOON, async || (count(&pair, active).await > 5).then_some(())).await;
    let series = "select count(*) from noetl_metrics.series where metric_name = 'all_tasks'";
    assert_eq!(pair.database.column::<i64>(series).await, [1]);
    let others = "select count(*) from noetl.metrics where metric_name = 'all_tasks' and metric_value <> 3";
    assert_eq!(pair.database.column::<i64>(others).await, [0], "never a part of it, never twice");
    let first = format!(
        "select (extract(epoch from min(\"timestamp\")) * 1000)::bigint from noetl.metrics \
         where metric_name = 'all_tasks' and \"timestamp\" > '{}'",
        time(killed)
    );
    let gap = pair.database.column::<i64>(first).await[0] - killed;
    let most = taken_over + i64::try_from(SOON.as_millis()).unwrap() / 2;
    assert!(gap < most, "{gap} ms without, of which {taken_over} without an active server");
}

#[tokio::test]
async fn a_name_that_is_reported_is_not_made_and_the_others_are() {
    let rules = Rules::new("rules: []");
    let contract = Contract::with(&[&rules.flag(), OFTEN]).await;
    two_workers(&contract).await;
    contract.report("w1", json!([gauge_at("heat", 1.0, now())])).await.ok();
    let file = |name: &str| {
        format!(
            "aggregates: [{{name: {name}, metric: tasks, function: sum}}, {{name: most, metric: tasks, function: max}}]"
        )
    };
    rules.write(&file("heat"));
    become_so(&contract, "only the other is made", &[("most{}", "99")]).await;
    let clashing = "noetl_metrics_aggregates_clashing";
    assert_eq!(number(&contract, clashing, &[]).await, Some(1.0));
    contract.server.says(&["ERROR", "component reports a metric of this name", "heat", "w1"]).await;
    rules.write(&file("heat_of_all"));
    become_so(&contract, "both are made", &[("heat_of_all{}", "109"), ("most{}", "99")]).await;
    assert_eq!(number(&contract, clashing, &[]).await, Some(0.0));
    // One that is reported later, too.
    contract.report("w2", json!([gauge_at("heat_of_all", 1.0, now())])).await.ok();
    become_so(&contract, "it has ended", &[("most{}", "99")]).await;
    // A name that has another type.
    let counter = json!({"metric_name": "all_total", "metric_type": "counter", "metric_value": 1});
    contract.report("w2", json!([counter])).await.ok();
    contract.post("/api/worker/pool/deregister", &json!({"name": "w2"})).await.ok();
    rules.write("aggregates: [{name: all_total, metric: tasks, function: sum}]");
    let left_out = "noetl_metrics_aggregate_series_left_out";
    eventually("it is left out", SOON, async || {
        (number(&contract, left_out, &[("aggregate", "all_total")]).await? == 1.0).then_some(())
    })
    .await;
}

/// The steps that rows come to, by the begin of each.
fn steps_of(rows: &[Value], step: i64, aggregate: &str) -> BTreeMap<i64, f64> {
    let mut steps: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
    for row in rows {
        let at = row["timestamp"].as_str().unwrap();
        let at = noetl_metrics::model::parse_timestamp(at).unwrap().0;
        steps.entry(at - at.rem_euclid(step)).or_default().push(row["metric_value"].as_f64().unwrap());
    }
    let value = |values: Vec<f64>| match aggregate {
        "avg" => values.iter().sum::<f64>() / values.len() as f64,
        "min" => values.iter().copied().fold(f64::INFINITY, f64::min),
        "max" => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        "sum" => values.iter().sum(),
        _ => values.len() as f64,
    };
    steps.into_iter().map(|(at, values)| (at, value(values))).collect()
}

#[tokio::test]
async fn hours_and_days_of_an_aggregate_are_what_its_samples_come_to() {
    let rules = Rules::new("aggregates: [{name: pool_tasks, metric: tasks, by: [pool], function: sum}]");
    let contract = Contract::with(&[&rules.flag(), OFTEN]).await;
    contract.register("w").await;
    for value in 1..=5 {
        contract.report("w", json!([tasks("blue", "a", value), tasks("blue", "b", value * 7)])).await.ok();
        let expected = (value * 8).to_string();
        become_so(&contract, "it follows", &[("pool_tasks{pool=blue}", &expected)]).await;
    }
    let end = now();
    // Two days of it, as if it had been made then; those hours are sealed.
    let begin = now() - now().rem_euclid(HOUR) - 49 * HOUR;
    let past: Vec<Value> = (0..48 * 6)
        .map(|n| {
            let mut one = gauge_at("pool_tasks", f64::from(n * n % 97), begin + i64::from(n) * HOUR / 6);
            one["labels"] = json!({"pool": "blue"});
            one
        })
        .collect();
    contract.report(COMPONENT, past.into()).await.ok();
    maintain(&contract, &["--retention-raw", "300d"]).await;
    let rolled = "select count(*) from noetl_metrics.rollup r join noetl_metrics.series using (series_id) \
        where metric_name = 'pool_tasks'";
    assert!(contract.value::<i64>(rolled).await >= 48);
    let of = format!("metric_name=pool_tasks&start_time={}&end_time={}", time(begin), time(end));
    let rows = contract.query(&format!("{of}&limit=10000")).await;
    assert!(rows.len() > 48 * 6);
    for (step, ms) in [("1h", HOUR), ("1d", 24 * HOUR)] {
        for aggregate in ["avg", "min", "max", "sum", "count"] {
            let found =
                steps_of(&contract.query(&format!("{of}&step={step}&agg={aggregate}")).await, 1, "sum");
            let expected = steps_of(&rows, ms, aggregate);
            assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
            for (at, value) in &expected {
                assert!((found[at] - value).abs() <= value.abs() * 1e-12, "{aggregate} of {step}: {at}");
            }
        }
    }
}
