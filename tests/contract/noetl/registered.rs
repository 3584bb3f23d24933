//! Requests as NoETL's workers send them, and the answers that keep each client content.
//!
//! A Rust worker ends where its registration gets anything but 2xx, and never registers again
//! after a heartbeat that failed. A Python worker registers again as its heartbeat, or beats with
//! its registration along; it reads `status` and `runtime_id`.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Contract, gauge};

const REGISTER: &str = "/api/worker/pool/register";
const HEARTBEAT: &str = "/api/worker/pool/heartbeat";
const DEREGISTER: &str = "/api/worker/pool/deregister";
const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// Bytes as a worker sends them, no user agent and no token.
async fn send(contract: &Contract, method: Method, path: &str, body: &str) -> Answer {
    contract.send(method, path, &JSON, body.as_bytes().to_vec()).await
}

#[tokio::test]
async fn a_rust_worker_is_content_all_its_life() {
    let contract = Contract::start().await;
    let register = r#"{"component_type":"worker_pool","hostname":"h","labels":{"pool_name":"default"},"name":"worker-1","runtime":{"kind":"rust","worker_public_key":"c2VjcmV0IGtleQ=="},"status":"ready"}"#;
    let row = send(&contract, Method::POST, REGISTER, register).await.ok();
    let id = row["runtime_id"].as_i64().expect("a number");
    assert_eq!(
        (&row["name"], &row["kind"], &row["status"]),
        (&json!("worker-1"), &json!("worker_pool"), &json!("ready"))
    );
    assert_eq!(row["labels"], json!({"pool_name": "default"}));
    assert_eq!(row["runtime"]["worker_public_key"], "c2VjcmV0IGtleQ==");
    for _ in 0..2 {
        let beat = send(&contract, Method::POST, HEARTBEAT, r#"{"name":"worker-1"}"#).await.ok();
        assert_eq!((&beat["status"], &beat["message"]), (&json!("ok"), &json!("Heartbeat recorded")));
    }
    // It was started again: the same row, all else written over.
    let again = register.replace("c2VjcmV0IGtleQ==", "b3RoZXIga2V5");
    let row = send(&contract, Method::POST, REGISTER, &again).await.ok();
    assert_eq!(
        (&row["runtime_id"], &row["runtime"]["worker_public_key"]),
        (&json!(id), &json!("b3RoZXIga2V5"))
    );
    // NoETL's own server takes DELETE, its worker sends POST: both are understood here.
    let farewell = r#"{"component_type":"worker_pool","name":"worker-1"}"#;
    for method in [Method::POST, Method::DELETE] {
        let reply = send(&contract, method, DEREGISTER, farewell).await.ok();
        assert_eq!(reply["status"], "ok");
    }
    // What beats after that is back.
    send(&contract, Method::POST, HEARTBEAT, r#"{"name":"worker-1"}"#).await.ok();
    let rows = contract.get("/api/worker/pools?kind=worker_pool").await.ok();
    assert_eq!(rows.as_array().expect("a bare list").len(), 1);
}

#[tokio::test]
async fn python_workers_register_as_they_beat() {
    let contract = Contract::start().await;
    let v4 = r#"{"name":"3f2b","component_type":"worker_pool","runtime":"python","status":"ready","capacity":1,"pid":7,"hostname":"h","labels":{"nats_consumer":"noetl_worker_pool"},"meta":{"nats_url":"nats://nats:4222","started_at":"2026-01-01T00:00:00"}}"#;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let row = send(&contract, Method::POST, REGISTER, v4).await.ok();
        assert_eq!((&row["kind"], &row["capacity"]), (&json!("worker_pool"), &json!(1)));
        assert_eq!(row["runtime"]["type"], "python");
        assert_eq!(row["runtime"]["meta"]["nats_url"], "nats://nats:4222");
        ids.push(row["runtime_id"].clone());
    }
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "{ids:?}");
    // The worker of 2025: labels as a list or null, the address as base_url.
    for labels in [r#"["cpu","batch"]"#, "null"] {
        let body = format!(
            r#"{{"name":"worker-cpu","runtime":"cpu","base_url":"http://h:9","status":"ready","capacity":null,"labels":{labels},"pid":1,"hostname":"h"}}"#
        );
        let row = send(&contract, Method::POST, REGISTER, &body).await.ok();
        assert_eq!((&row["kind"], &row["uri"]), (&json!("worker_pool"), &json!("http://h:9")));
        assert_eq!(row["labels"].to_string(), labels);
    }
}

#[tokio::test]
async fn a_heartbeat_with_its_registration_recreates_an_unknown_worker() {
    let contract = Contract::start().await;
    let registration = json!({
        "name": "worker-cpu", "component_type": "worker_pool", "runtime": "cpu", "base_url": null,
        "status": "ready", "capacity": 2, "labels": null, "pid": 7, "hostname": "h"
    });
    let beat = json!({"name": "worker-cpu", "registration": registration});
    let reply = contract.post(HEARTBEAT, &beat).await.ok();
    assert_eq!((&reply["status"], &reply["name"]), (&json!("recreated"), &json!("worker-cpu")));
    let row = contract.get("/api/worker/pools?name=worker-cpu").await.ok()[0].clone();
    assert_eq!((&row["runtime_id"], &row["capacity"]), (&reply["runtime_id"], &json!(2)));
    assert_eq!(row["runtime"], json!({"type": "cpu", "pid": 7, "hostname": "h"}));
    // Known now: a heartbeat like any other, which writes nothing over.
    let other = json!({"name": "worker-cpu", "registration": {"name": "worker-cpu", "capacity": 9}});
    let reply = contract.post(HEARTBEAT, &other).await.ok();
    assert_eq!(reply["status"], "ok");
    let row = contract.get("/api/worker/pools?name=worker-cpu").await.ok()[0].clone();
    assert_eq!(row["capacity"], 2);
    // One that left and beats with samples.
    contract.run("delete from noetl.runtime where name = 'worker-cpu'").await;
    let beat = json!({"name": "worker-cpu", "registration": registration, "metrics": [gauge("m", 1.0)]});
    let reply = contract.post(HEARTBEAT, &beat).await.ok();
    assert_eq!((&reply["status"], &reply["metrics_inserted"]), (&json!("recreated"), &json!(1)));
}

#[tokio::test]
async fn a_registration_in_a_heartbeat_is_checked_and_is_the_senders_own() {
    let contract = Contract::start().await;
    let beat = async |registration: Value| {
        contract.post(HEARTBEAT, &json!({"name": "w", "registration": registration})).await
    };
    for registration in [json!(7), json!([]), json!({"capacity": "many"}), json!({"name": "another"})] {
        let problem = beat(registration.clone()).await.problem(422, "invalid-report");
        let field = problem["errors"][0]["field"].as_str().unwrap();
        assert!(field.starts_with("registration"), "{registration}: {problem}");
    }
    // Null is none: unknown, as before, and when to try again.
    let answer = beat(Value::Null).await;
    answer.problem(404, "unknown-component");
    assert_eq!(answer.header("retry-after"), "3");
    // Without a name it is the sender's.
    assert_eq!(beat(json!({"labels": ["a"]})).await.ok()["status"], "recreated");
}

#[tokio::test]
async fn broken_requests_get_the_codes_that_noetl_gives() {
    let contract = Contract::start().await;
    for (path, body, status) in [
        (REGISTER, r#"{"name":"w","kind":"a b"}"#, 422),
        (REGISTER, r#"{"kind":"worker_pool"}"#, 422),
        (REGISTER, r#"{"name":"w","capacity":"4"}"#, 422),
        (REGISTER, "{", 400),
        (HEARTBEAT, r#"{"name":"ghost"}"#, 404),
        (DEREGISTER, r#"{"name":"ghost"}"#, 404),
    ] {
        let answer = send(&contract, Method::POST, path, body).await;
        assert_eq!(answer.status, status, "{path} {body}: {}", answer.text());
        // A line that both kinds of clients can log: `detail` is a text.
        assert!(answer.json()["detail"].is_string(), "{path} {body}: {}", answer.text());
    }
}
