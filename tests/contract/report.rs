//! `POST /api/metrics/report`: what is stored, and what comes back.

use std::io::Write as _;

use noetl_metrics::model::parse_timestamp;
use serde_json::{Value, json};

use crate::harness::{Contract, SOON, eventually, gauge, gauge_at, now, time};

const REPORT: &str = "/api/metrics/report";

#[tokio::test]
async fn the_documented_example_is_stored_and_found_again() {
    let contract = Contract::start().await;
    let id = contract.register("worker-cpu-01").await;
    let body = json!({
        "component_name": "worker-cpu-01",
        "component_type": "worker_pool",
        "metrics": [{
            "metric_name": "noetl_system_cpu_usage_percent",
            "metric_type": "gauge",
            "metric_value": 45.2,
            "timestamp": "2024-01-01T12:00:00Z",
            "labels": {"component": "worker-cpu-01", "hostname": "node-1"},
            "help_text": "CPU usage percentage",
            "unit": "percent"
        }]
    });
    let reply = contract.post(REPORT, &body).await.ok();
    assert_eq!(reply, json!({"status": "ok", "runtime_id": id, "metrics_inserted": 1}));

    let rows =
        contract.query("component_name=worker-cpu-01&metric_name=noetl_system_cpu_usage_percent").await;
    assert_eq!(rows.len(), 1);
    let row = &rows[0];
    assert_eq!(row["runtime_id"], id);
    assert_eq!(row["component_type"], "worker_pool");
    assert_eq!(row["metric_type"], "gauge");
    assert_eq!(row["metric_value"], 45.2);
    assert_eq!(row["timestamp"], "2024-01-01T12:00:00.000Z");
    assert_eq!(row["labels"], body["metrics"][0]["labels"]);
    assert_eq!(row["help_text"], "CPU usage percentage");
    assert_eq!(row["unit"], "percent");

    let export = contract.export_of("?component_name=worker-cpu-01").await;
    let own = &[("component_type", "worker_pool"), ("hostname", "node-1")];
    assert_eq!(export.get("noetl_system_cpu_usage_percent", own), Some("45.2"));
    assert_eq!(export.types["noetl_system_cpu_usage_percent"], "gauge");
}

#[tokio::test]
async fn python_s_timestamp_without_offset_is_utc() {
    let contract = Contract::start().await;
    contract.register("my-worker").await;
    let metric = json!({
        "metric_name": "custom_work_items_processed", "metric_type": "counter", "metric_value": 150,
        "timestamp": "2024-05-05T10:11:12.123456", "labels": {"worker_type": "batch_processor"},
        "help_text": "Number of work items processed", "unit": "items"
    });
    contract.report("my-worker", json!([metric])).await.ok();
    let rows = contract.query("metric_name=custom_work_items_processed").await;
    assert_eq!(rows[0]["timestamp"], "2024-05-05T10:11:12.123Z");
    assert_eq!(rows[0]["metric_value"], 150.0);
}

#[tokio::test]
async fn good_samples_of_a_mixed_batch_are_kept_and_the_bad_ones_named() {
    let contract = Contract::start().await;
    contract.register("w").await;
    let batch = json!([
        gauge("good_1", 1.0),
        {"metric_name": "bad", "metric_type": "gauge", "metric_value": "much"},
        gauge("good_2", 2.0),
        {"metric_name": "bad", "metric_type": "thing", "metric_value": 1},
        17
    ]);
    let reply = contract.report("w", batch).await.ok();
    assert_eq!(reply["metrics_inserted"], 2);
    let rejected: Vec<(u64, &str)> = reply["rejected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| (r["index"].as_u64().unwrap(), r["field"].as_str().unwrap()))
        .collect();
    assert_eq!(rejected, [(1, "metric_value"), (3, "metric_type"), (4, "metric")]);
    assert_eq!(names(&contract.query("component_name=w").await), ["good_1", "good_2"]);
    let status = component(&contract, "w").await;
    assert_eq!((&status["accepted_samples"], &status["rejected_samples"]), (&json!(2), &json!(3)));
    assert!(status["last_rejection"].as_str().unwrap().contains("must be an object"), "{status}");
}

#[tokio::test]
async fn a_sample_without_timestamp_gets_the_time_of_its_arrival() {
    let contract = Contract::start().await;
    contract.register("w").await;
    let before = now();
    contract.report("w", json!([gauge("m", 1.0)])).await.ok();
    let at = contract.query("metric_name=m").await[0]["timestamp"].as_str().unwrap().to_owned();
    assert!((time(before)..=time(now())).contains(&at), "{at}");
}

#[tokio::test]
async fn one_sample_ahead_takes_no_other_series_with_it() {
    let contract = Contract::start().await;
    contract.register("w").await;
    let ahead = now() + 300_000;
    contract.report("w", json!([gauge_at("ahead", 1.0, ahead)])).await.ok();
    let begun = now();
    contract.report("w", json!([gauge("ahead", 2.0), gauge("other", 2.0)])).await.ok();
    contract.report("w", json!([gauge("other", 3.0), gauge("third", 3.0)])).await.ok();
    let end = now();
    let times = async |name: &str| {
        let rows = contract.query(&format!("metric_name={name}&end_time={}", time(ahead + 1000))).await;
        let at = |row: &Value| parse_timestamp(row["timestamp"].as_str().unwrap()).unwrap().0;
        rows.iter().map(at).collect::<Vec<_>>()
    };
    assert_eq!(times("ahead").await, [ahead + 1, ahead]);
    for (name, count) in [("other", 1..=2), ("third", 1..=1)] {
        let found = times(name).await;
        // Two reports of one millisecond have one row.
        assert!(count.contains(&found.len()), "{name}: {found:?}");
        assert!(found.iter().all(|at| (begun..=end).contains(at)), "{name}: {found:?}");
    }
}

#[tokio::test]
async fn a_retry_with_timestamps_overwrites_and_never_duplicates() {
    let contract = Contract::start().await;
    contract.register("w").await;
    let at = now() - 60_000;
    for value in [1.0, 1.0, 2.0] {
        contract.report("w", json!([gauge_at("m", value, at)])).await.ok();
    }
    assert_eq!(values(&contract, "m").await, [2.0]);
    // Newer samples came between, of this series and of another.
    contract
        .report("w", json!([gauge_at("m", 5.0, at + 1000), gauge_at("other", 1.0, at + 2000)]))
        .await
        .ok();
    contract.report("w", json!([gauge_at("m", 3.0, at)])).await.ok();
    assert_eq!(values(&contract, "m").await, [5.0, 3.0], "newest first");
    let twice = contract.value::<i64>("select count(*) - count(distinct metric_id) from noetl.metrics").await;
    assert_eq!(twice, 0);
}

#[tokio::test]
async fn the_last_of_equal_samples_in_one_report_wins() {
    let contract = Contract::start().await;
    contract.register("w").await;
    let at = now();
    let batch = json!([gauge_at("m", 1.0, at), gauge_at("m", 2.0, at), gauge_at("m", 3.0, at)]);
    contract.report("w", batch).await.ok();
    assert_eq!(values(&contract, "m").await, [3.0]);
    assert_eq!(contract.export().await.get("m", &[]), Some("3"));
}

#[tokio::test]
async fn an_overwrite_holds_wherever_the_first_sample_went() {
    let contract = Contract::with(&["--stale-after", "4s"]).await;
    let id = contract.register("w").await;
    let hour = 3_600_000;
    let old = now() - 30 * hour;
    contract.report("w", json!([gauge_at("m", 1.0, old)])).await.ok();
    // A partition for that hour comes later.
    contract.run(format!("select noetl_metrics.create_partitions('{}', 1)", time(old))).await;
    let made = contract.post("/api/metrics/partitions/create", &json!({})).await;
    assert_eq!(made.status, 200, "the server looks at what partitions there are");
    contract.report("w", json!([gauge_at("m", 2.0, old)])).await.ok();
    assert_eq!(values(&contract, "m").await, [2.0]);
    // The first came by SQL, ahead of all that was reported.
    let at = now();
    let insert = |value: u32| {
        format!(
            "insert into noetl.metrics (runtime_id, metric_name, metric_type, metric_value, timestamp) \
             values ({id}, 'sql', 'gauge', {value}, '{}')",
            time(at)
        )
    };
    contract.run(insert(1)).await;
    eventually("the sample is exported", SOON, async || {
        contract.export().await.get("sql", &[]).map(str::to_owned)
    })
    .await;
    contract.report("w", json!([gauge_at("sql", 2.0, at)])).await.ok();
    assert_eq!(values(&contract, "sql").await, [2.0]);
    contract.run(insert(3)).await;
    assert_eq!(values(&contract, "sql").await, [3.0]);
}

#[tokio::test]
async fn a_component_is_found_by_its_id_as_number_and_as_string() {
    let contract = Contract::start().await;
    let id = contract.register("w").await;
    assert!(id > 1 << 53, "a double can't hold {id}");
    for runtime_id in [json!(id), json!(id.to_string())] {
        // The id wins over the name.
        let body =
            json!({"runtime_id": runtime_id, "component_name": "nobody", "metrics": [gauge("m", 1.0)]});
        let reply = contract.post(REPORT, &body).await.ok();
        assert_eq!(reply["runtime_id"], id);
    }
    let body = json!({"runtime_id": id + 1, "metrics": []});
    let problem = contract.post(REPORT, &body).await.problem(404, "unknown-component");
    assert!(problem["detail"].as_str().unwrap().contains(&(id + 1).to_string()));
}

/// Reports that are written as the ones before are not taken apart.
#[tokio::test]
async fn the_same_words_are_the_series_of_whoever_says_them() {
    let contract = Contract::start().await;
    let ids = [contract.register("a").await, contract.register("b").await];
    let metrics = |values: &[(&str, f64)]| -> Value {
        values.iter().map(|(name, value)| gauge(name, *value)).collect()
    };
    let five = |from: f64| -> Value {
        let names = ["m0", "m1", "m2", "m3", "m4"];
        metrics(&names.iter().zip(0..).map(|(name, n)| (*name, from + f64::from(n))).collect::<Vec<_>>())
    };
    let exported = async |component: &str| -> Vec<f64> {
        let export = contract.export_of(&format!("?component_name={component}")).await;
        (0..6).filter_map(|n| export.get(&format!("m{n}"), &[])?.parse().ok()).collect()
    };
    for turn in 1..=4 {
        for (name, from) in [("a", 10.0), ("b", 100.0)] {
            contract.report(name, five(from * f64::from(turn))).await.ok();
        }
    }
    assert_eq!(exported("a").await, [40.0, 41.0, 42.0, 43.0, 44.0]);
    assert_eq!(exported("b").await, [400.0, 401.0, 402.0, 403.0, 404.0]);

    // The id comes behind the list, and wins over the name before it.
    let body = json!({"component_name": "a", "metrics": five(7.0), "runtime_id": ids[1]});
    assert_eq!(contract.post(REPORT, &body).await.ok()["runtime_id"], ids[1]);
    assert_eq!(exported("a").await, [40.0, 41.0, 42.0, 43.0, 44.0]);
    assert_eq!(exported("b").await, [7.0, 8.0, 9.0, 10.0, 11.0]);

    // In another order, with one that is new, without two.
    for from in [50.0, 60.0, 70.0] {
        let body = [("m3", from), ("m1", from + 1.0), ("m5", from + 2.0), ("m0", from + 3.0)];
        contract.report("a", metrics(&body)).await.ok();
    }
    assert_eq!(exported("a").await, [73.0, 71.0, 42.0, 70.0, 44.0, 72.0]);
    let stored = "select string_agg(metric_value::text, ' ' order by timestamp) from noetl.metrics \
                  where metric_name = 'm1' and runtime_id = ";
    assert_eq!(contract.value::<String>(format!("{stored}{}", ids[0])).await, "11 21 31 41 51 61 71");
    assert_eq!(contract.value::<String>(format!("{stored}{}", ids[1])).await, "101 201 301 401 8");
}

#[tokio::test]
async fn a_name_of_several_kinds_needs_the_kind() {
    let contract = Contract::start().await;
    let ids =
        [contract.register_as("twin", "worker_pool").await, contract.register_as("twin", "broker").await];
    let problem = contract.report("twin", json!([gauge("m", 1.0)])).await.problem(409, "ambiguous-component");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("worker_pool") && detail.contains("broker"), "{detail}");
    for (key, kind, id) in [("component_type", "worker_pool", ids[0]), ("kind", "broker", ids[1])] {
        let body = json!({"component_name": "twin", key: kind, "metrics": [gauge("m", 1.0)]});
        assert_eq!(contract.post(REPORT, &body).await.ok()["runtime_id"], id);
    }
    assert_eq!(contract.export().await.count("m"), 2);
    let body = json!({"component_name": "twin", "kind": "node_agent", "metrics": []});
    contract.post(REPORT, &body).await.problem(404, "unknown-component");
}

#[tokio::test]
async fn an_unknown_component_is_told_how_to_register() {
    let contract = Contract::start().await;
    let problem = contract.report("ghost", json!([gauge("m", 1.0)])).await.problem(404, "unknown-component");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("ghost") && detail.contains("/api/worker/pool/register"), "{detail}");
    let advice = contract.get(problem["type"].as_str().unwrap()).await.expect(200);
    assert!(advice.text().contains("--unknown-components register"));
    assert_eq!(contract.value::<i64>("select count(*) from noetl.metrics where metric_name = 'm'").await, 0);
}

#[tokio::test]
async fn unknown_components_are_registered_where_the_server_is_told_so() {
    let contract = Contract::with(&["--unknown-components", "register"]).await;
    let many = (0..8).map(|_| contract.report("new", json!([gauge("m", 1.0)])));
    let ids: Vec<Value> = futures_util::future::join_all(many)
        .await
        .into_iter()
        .map(|a| a.ok()["runtime_id"].clone())
        .collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let body = json!({"component_name": "app", "component_type": "app", "metrics": [gauge("m", 1.0)]});
    contract.post(REPORT, &body).await.ok();
    let kinds =
        contract.column::<String>("select name || ' ' || kind from noetl.runtime order by name").await;
    assert_eq!(kinds[..2], ["app app", "new worker_pool"]);
}

#[tokio::test]
async fn a_purged_component_is_unknown_until_it_registers_and_then_goes_on_with_its_series() {
    let contract = Contract::start().await;
    contract.register("w").await;
    contract.report("w", json!([gauge_at("m", 1.0, now() - 5000)])).await.ok();
    contract.run("delete from noetl.runtime where name = 'w'").await;
    // A new series would need the component's row; an old one must not pretend that there is one.
    contract.report("w", json!([gauge("new", 1.0)])).await.problem(404, "unknown-component");
    let id = contract.register("w").await;
    contract.report("w", json!([gauge("m", 2.0)])).await.ok();
    let rows = contract.query("metric_name=m").await;
    assert_eq!(rows.len(), 2, "the history is still there");
    assert!(rows.iter().all(|r| r["runtime_id"] == id), "{rows:?}");
    let export = contract.export().await;
    assert_eq!(export.get("m", &[]), Some("2"));
    assert_eq!(export.get("noetl_component_up", &[("component", "w")]), Some("1"));
}

#[tokio::test]
async fn nan_and_infinities_come_back_as_they_were_sent() {
    let contract = Contract::start().await;
    contract.register("w").await;
    for (name, sent, json, text) in [
        ("nan", json!("NaN"), json!("NaN"), "NaN"),
        ("up", json!("+Inf"), json!("+Inf"), "+Inf"),
        ("infinity", json!("Infinity"), json!("+Inf"), "+Inf"),
        ("down", json!("-Inf"), json!("-Inf"), "-Inf"),
        (
            "large",
            json!(1.797_693_134_862_315_7e308),
            json!(1.797_693_134_862_315_7e308),
            "1.7976931348623157e308",
        ),
        ("tiny", json!(5e-324), json!(5e-324), "5e-324"),
        ("exact", json!(9_007_199_254_740_993_i64), json!(9_007_199_254_740_992.0), "9007199254740992"),
    ] {
        let metric = json!({"metric_name": name, "metric_type": "gauge", "metric_value": sent});
        contract.report("w", json!([metric])).await.ok();
        assert_eq!(contract.query(&format!("metric_name={name}")).await[0]["metric_value"], json, "{name}");
        let exported = contract.export().await.get(name, &[]).map(str::to_owned).unwrap();
        let same = |a: &str, b: &str| a == b || a.parse::<f64>() == b.parse::<f64>();
        assert!(same(&exported, text), "{name}: {exported}");
    }
}

#[tokio::test]
async fn compressed_bodies_are_taken() {
    let contract = Contract::start().await;
    contract.register("w").await;
    for (encoding, value) in [("gzip", 1.0), ("x-gzip", 2.0), ("zstd", 3.0), ("identity", 4.0), ("GZIP", 5.0)]
    {
        let body = json!({"component_name": "w", "metrics": [gauge("m", value)]}).to_string();
        let headers = [("content-type", "application/json"), ("content-encoding", encoding)];
        let packed = pack(encoding, body.as_bytes());
        let answer = contract.send(http::Method::POST, REPORT, &headers, packed).await;
        assert_eq!(answer.ok()["metrics_inserted"], 1, "{encoding}");
    }
    assert_eq!(values(&contract, "m").await, [5.0, 4.0, 3.0, 2.0, 1.0]);
}

/// A body in a content encoding.
pub fn pack(encoding: &str, body: &[u8]) -> Vec<u8> {
    match encoding.to_ascii_lowercase().as_str() {
        "gzip" | "x-gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
        "zstd" => zstd::bulk::compress(body, 3).unwrap(),
        _ => body.to_vec(),
    }
}

#[tokio::test]
async fn an_empty_report_is_fine() {
    let contract = Contract::start().await;
    let id = contract.register("w").await;
    let reply = contract.report("w", json!([])).await.ok();
    assert_eq!(reply, json!({"status": "ok", "runtime_id": id, "metrics_inserted": 0}));
}

#[tokio::test]
async fn past_samples_in_any_order_are_stored() {
    let contract = Contract::start().await;
    contract.register("w").await;
    let now = now();
    let day = 86_400_000;
    // Back and forth over the present, a week ago, years ago.
    let ages = [0, 10_000, 5_000, 7 * day, 8 * day, 365 * day, 3 * 365 * day, 3_700_000, 1];
    for (value, age) in ages.iter().enumerate() {
        contract.report("w", json!([gauge_at("m", value as f64, now - age)])).await.ok();
    }
    let mut expected: Vec<(String, f64)> =
        ages.iter().enumerate().map(|(value, age)| (time(now - age), value as f64)).collect();
    expected.sort_by(|a, b| b.0.cmp(&a.0));
    let found: Vec<(String, f64)> = contract
        .query("metric_name=m")
        .await
        .iter()
        .map(|r| (r["timestamp"].as_str().unwrap().to_owned(), r["metric_value"].as_f64().unwrap()))
        .collect();
    assert_eq!(found, expected);
    assert_eq!(contract.export().await.get("m", &[]), Some("0"), "the newest is shown");
}

/// Names of the metrics of rows, sorted.
fn names(rows: &[Value]) -> Vec<&str> {
    let mut names: Vec<&str> = rows.iter().map(|r| r["metric_name"].as_str().unwrap()).collect();
    names.sort_unstable();
    names
}

/// Values of a metric, newest first; the API and SQL have to agree.
pub async fn values(contract: &Contract, metric: &str) -> Vec<f64> {
    let rows = contract.query(&format!("metric_name={metric}")).await;
    let values: Vec<f64> = rows.iter().map(|r| r["metric_value"].as_f64().unwrap()).collect();
    let sql = format!(
        "select metric_value from noetl.metrics where metric_name = '{metric}' order by timestamp desc, metric_id desc"
    );
    assert_eq!(contract.column::<f64>(sql).await, values);
    values
}

/// A component as the server lists it.
pub async fn component(contract: &Contract, name: &str) -> Value {
    let list = contract.get("/api/metrics/components").await.ok();
    let found = list["components"].as_array().unwrap().iter().find(|c| c["name"] == name).cloned();
    found.unwrap_or_else(|| panic!("{name} is not in {list}"))
}

#[tokio::test]
async fn a_series_that_says_it_ended_leaves_until_its_next_value() {
    let mut contract = Contract::start().await;
    contract.register("w").await;
    let counter = |value: Value| json!({"metric_name": "c", "metric_type": "counter", "metric_value": value});
    contract.report("w", json!([gauge("g", 1.0), counter(json!(5))])).await.ok();
    let reply = contract.report("w", json!([counter(json!("Stale")), gauge("g", 2.0)])).await.ok();
    assert_eq!(reply["metrics_inserted"], 1, "the end is not stored");
    let export = contract.export().await;
    assert_eq!((export.count("c"), export.get("g", &[])), (0, Some("2")));
    assert_eq!(contract.query("metric_name=c").await.len(), 1);
    contract.report("w", json!([counter(json!(6))])).await.ok();
    assert_eq!(contract.export().await.get("c", &[]), Some("6"));
    let reply = contract.report("w", json!([counter(json!("Stale"))])).await.ok();
    assert_eq!((&reply["status"], &reply["metrics_inserted"]), (&json!("ok"), &json!(0)));
    assert_eq!(contract.export().await.count("c"), 0);
    // The next server knows it too.
    contract.restart().await;
    let export = contract.export().await;
    assert_eq!((export.count("c"), export.get("g", &[])), (0, Some("2")));
    contract.report("w", json!([counter(json!(7))])).await.ok();
    assert_eq!(contract.export().await.get("c", &[]), Some("7"));
    contract.restart().await;
    assert_eq!(contract.export().await.get("c", &[]), Some("7"));
}
