//! `Idempotency-Key`: the same key gets the same answer, and its samples are stored once.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{Answer, Contract, gauge};

async fn send(contract: &Contract, component: &str, key: &str, metrics: Value) -> Answer {
    let body = json!({"component_name": component, "metrics": metrics});
    contract.post_with("/api/metrics/report", &[("idempotency-key", key)], &body).await
}

async fn stored(contract: &Contract) -> i64 {
    contract.value("select count(*) from noetl.metrics where metric_name = 'm'").await
}

#[tokio::test]
async fn the_same_key_gets_the_same_answer_also_after_a_restart() {
    let mut contract = Contract::start().await;
    contract.register("w").await;
    let batch = json!([gauge("m", 1.0), {"metric_name": "bad"}]);
    let first = send(&contract, "w", "k1", batch.clone()).await.ok();
    assert_eq!((&first["metrics_inserted"], &first["rejected"][0]["index"]), (&json!(1), &json!(1)));
    assert_eq!(send(&contract, "w", "k1", batch.clone()).await.ok(), first);
    contract.restart().await;
    assert_eq!(send(&contract, "w", "k1", batch).await.ok(), first);
    assert_eq!(stored(&contract).await, 1);
}

#[tokio::test]
async fn another_key_and_another_component_are_other_reports() {
    let contract = Contract::start().await;
    for name in ["w", "v"] {
        contract.register(name).await;
        for key in ["k1", "k2"] {
            // Two reports without timestamps need two milliseconds.
            tokio::time::sleep(std::time::Duration::from_millis(3)).await;
            send(&contract, name, key, json!([gauge("m", 1.0)])).await.ok();
        }
    }
    assert_eq!(stored(&contract).await, 4);
}

#[tokio::test]
async fn of_equal_reports_at_the_same_moment_one_is_stored_and_all_get_its_answer() {
    let contract = Contract::start().await;
    contract.register("w").await;
    // The series is there, so that all of them wait for the writer together.
    contract.report("w", json!([gauge("m", 0.0)])).await.ok();
    for round in 0..10 {
        let before = stored(&contract).await;
        let key = format!("round {round}");
        let answers = join_all((0..8).map(|_| send(&contract, "w", &key, json!([gauge("m", 1.0)])))).await;
        for answer in answers {
            assert_eq!(answer.ok()["metrics_inserted"], 1);
        }
        assert_eq!(stored(&contract).await - before, 1, "round {round}");
    }
}

#[tokio::test]
async fn a_key_s_answer_with_odd_characters_spoils_nobody_s_report() {
    let contract = Contract::start().await;
    contract.register("w").await;
    let odd = json!([gauge("m", 1.0), {"metric_name": "x", "metric_type": "gauge", "metric_value": 1, "labels": {"a\u{0}b": 1}}]);
    let other = (0..4).map(|i| contract.report("w", json!([gauge(&format!("other_{i}"), 1.0)])));
    let (first, others) = tokio::join!(send(&contract, "w", "odd", odd.clone()), join_all(other));
    for answer in others {
        answer.ok();
    }
    let first = first.ok();
    assert_eq!(first["rejected"][0]["field"], "labels");
    assert_eq!(send(&contract, "w", "odd", odd).await.ok(), first);
    assert_eq!(stored(&contract).await, 1);
}
