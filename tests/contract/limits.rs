//! Limits on series: who reaches one is told, and nobody else feels it.

use serde_json::{Value, json};

use crate::harness::{Contract, SOON, eventually, now, time};

fn labelled(label: &str, at: i64) -> Value {
    json!({"metric_name": "m", "metric_type": "gauge", "metric_value": 1, "labels": {"l": label}, "timestamp": time(at)})
}

fn refused(reply: &Value) -> Vec<u64> {
    let list = reply["rejected"].as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().map(|r| r["index"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_component_s_series_are_limited_and_the_rest_of_its_report_is_kept() {
    let contract = Contract::with(&["--max-component-series", "3"]).await;
    contract.register("w").await;
    contract.register("v").await;
    let at = now();
    let labels = ["a", "b", "c", "d", "e"];
    let batch: Vec<Value> = labels.iter().map(|l| labelled(l, at)).collect();
    let reply = contract.report("w", batch.into()).await.ok();
    assert_eq!((reply["metrics_inserted"].clone(), refused(&reply)), (json!(3), vec![3, 4]));
    let first = &reply["rejected"][0];
    assert_eq!(first["field"], "labels");
    assert!(first["reason"].as_str().unwrap().contains("3 live series"), "{first}");
    // What is known goes on, what is new does not, in whatever order they come.
    let batch = [("x", 1), ("a", 1), ("y", 1), ("b", 1), ("a", 2)].map(|(l, d)| labelled(l, at + d));
    let reply = contract.report("w", batch.to_vec().into()).await.ok();
    assert_eq!((reply["metrics_inserted"].clone(), refused(&reply)), (json!(3), vec![0, 2]));
    let all_new = contract.report("w", json!([labelled("z", at)])).await.problem(422, "invalid-report");
    assert_eq!(all_new["errors"][0]["field"], "labels");
    contract.report("v", json!([labelled("x", at)])).await.ok();
    let status = crate::report::component(&contract, "w").await;
    assert_eq!(status["series"], 3);
    assert_eq!(status["rejected_samples"], 5);
}

#[tokio::test]
async fn samples_of_a_series_that_just_fits_are_all_kept() {
    let contract = Contract::with(&["--max-component-series", "1"]).await;
    contract.register("w").await;
    let at = now();
    let batch = [("a", 0), ("b", 0), ("a", 1)].map(|(l, d)| labelled(l, at + d));
    let reply = contract.report("w", batch.to_vec().into()).await.ok();
    assert_eq!((reply["metrics_inserted"].clone(), refused(&reply)), (json!(2), vec![1]));
}

#[tokio::test]
async fn all_series_together_are_limited() {
    // The server's own series count too.
    let contract = Contract::with(&["--max-series", "1"]).await;
    contract.register("w").await;
    let at = now();
    let batch: Vec<Value> = (0..5).map(|i| labelled(&i.to_string(), at)).collect();
    let reply = contract.report("w", batch.into()).await;
    let text = reply.text().to_owned();
    assert!(text.contains("the server has 1 live series"), "{text}");
}

#[tokio::test]
async fn limits_on_labels_and_bodies_are_flags() {
    let contract = Contract::with(&[
        "--max-labels",
        "2",
        "--max-label-value-bytes",
        "4",
        "--max-body-bytes",
        "2000",
        "--max-future",
        "1h",
    ])
    .await;
    contract.register("w").await;
    let with = |labels: Value| json!({"metric_name": "m", "metric_type": "gauge", "metric_value": 1, "labels": labels});
    contract.report("w", json!([with(json!({"a": "1234", "b": "é"}))])).await.ok();
    for labels in [json!({"a": "", "b": "", "c": ""}), json!({"a": "12345"})] {
        let problem = contract.report("w", json!([with(labels)])).await.problem(422, "invalid-report");
        assert_eq!(problem["errors"][0]["field"], "labels");
    }
    contract.report("w", json!([labelled("a", now() + 3_000_000)])).await.ok();
    contract.report("w", json!([labelled("a", now() + 4_000_000)])).await.problem(422, "invalid-report");
    let long = json!([{"metric_name": "m", "help_text": "x".repeat(2000)}]);
    contract.report("w", long).await.problem(413, "body-too-large");
}

#[tokio::test]
async fn when_all_ids_of_series_are_used_up_known_series_go_on() {
    let contract = Contract::start().await;
    contract.register("w").await;
    contract.report("w", json!([labelled("known", now())])).await.ok();
    eventually("the server has made its own series", SOON, async || {
        let own = "select count(*) from noetl.metrics where metric_name = 'noetl_server_active_workers'";
        (contract.value::<i64>(own).await > 0).then_some(())
    })
    .await;
    contract.run("alter table noetl_metrics.series alter column series_id restart with 8388607").await;
    let ids = async |label: &str| {
        contract.report("w", json!([labelled("known", now()), labelled(label, now())])).await.ok()
    };
    let last = ids("last").await;
    assert_eq!(last["metrics_inserted"], 2, "the last id: {last}");
    let none = ids("none").await;
    assert_eq!((none["metrics_inserted"].clone(), refused(&none)), (json!(1), vec![1]));
    assert!(none["rejected"][0]["reason"].as_str().unwrap().contains("no id left"), "{none}");
    let rows = contract.query("label.l=last").await;
    let id = contract.value::<i64>("select metric_id from noetl.metrics where labels->>'l' = 'last'").await;
    assert_eq!(rows[0]["metric_id"], id, "an id of 23 bits makes a negative metric_id");
}
