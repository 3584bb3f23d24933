//! OpenTelemetry's metrics over HTTP: what exporters may rely on.

use http::Method;
use noetl_metrics::wire::otlp;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message as _;
use serde_json::{Value, json};

use crate::harness::{Answer, Contract, now};

const PATH: &str = "/v1/metrics";

fn attribute(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

/// A request of one service.
fn of_service(metrics: &Value) -> Value {
    let attributes = [attribute("service.name", "shop"), attribute("service.instance.id", "a")];
    json!({"resourceMetrics": [{
        "resource": {"attributes": attributes}, "scopeMetrics": [{"metrics": metrics}]
    }]})
}

fn nanos(at: i64) -> String {
    (at * 1_000_000).to_string()
}

fn sum(name: &str, temporality: u8, at: i64, value: f64) -> Value {
    json!({"name": name, "sum": {"isMonotonic": true, "aggregationTemporality": temporality,
        "dataPoints": [{"timeUnixNano": nanos(at), "asDouble": value}]}})
}

async fn send(contract: &Contract, metrics: Value) -> Answer {
    contract.post(PATH, &of_service(&metrics)).await
}

/// The answer where all is taken.
#[track_caller]
fn all_taken(answer: Answer) {
    assert_eq!(answer.ok()["partialSuccess"], Value::Null);
}

#[tokio::test]
async fn points_are_stored_and_exported_as_the_service_s() {
    let contract = Contract::start().await;
    let at = now() - 1000;
    let gauge = json!({"name": "queue.size", "unit": "By", "description": "Waiting.",
        "gauge": {"dataPoints": [{"timeUnixNano": nanos(at), "asInt": "3", "attributes": [attribute("queue.name", "q")]}]}});
    let histogram = json!({"name": "took", "unit": "s", "histogram": {"aggregationTemporality": 2,
        "dataPoints": [{"timeUnixNano": nanos(at), "count": "3", "sum": 1.5,
            "bucketCounts": ["1", "2"], "explicitBounds": [0.5]}]}});
    all_taken(send(&contract, json!([gauge, sum("jobs", 2, at, 4.0), histogram])).await);
    let export = contract.export().await;
    let shop = ("component", "shop");
    let kind = ("component_type", "application");
    assert_eq!(
        export.get("queue_size_bytes", &[shop, kind, ("queue_name", "q"), ("instance", "a")]),
        Some("3")
    );
    assert_eq!(export.get("jobs_total", &[shop, ("job", "shop")]), Some("4"));
    assert_eq!(export.get("took_seconds_bucket", &[shop, ("le", "0.5")]), Some("1"));
    assert_eq!(export.get("took_seconds_count", &[shop]), Some("3"));
    let rows = contract.query("metric_name=jobs_total").await;
    assert_eq!((&rows[0]["metric_value"], &rows[0]["metric_type"]), (&json!(4.0), &json!("counter")));
    let help = contract.get("/api/metrics/prometheus").await;
    assert!(help.text().contains("# HELP queue_size_bytes Waiting."), "{}", help.text());
}

#[tokio::test]
async fn protobuf_is_answered_in_protobuf() {
    let contract = Contract::start().await;
    let body = of_service(
        &json!([sum("jobs", 2, now(), 4.0), {"name": "unsaid", "sum": {"dataPoints": [{"asInt": 1}]}}]),
    );
    let message = otlp::read(otlp::Form::Json, body.to_string().as_bytes()).unwrap();
    let headers = [("content-type", "application/x-protobuf")];
    let answer = contract.send(Method::POST, PATH, &headers, message.encode_to_vec()).await.expect(200);
    assert_eq!(answer.header("content-type"), "application/x-protobuf");
    let partial = ExportMetricsServiceResponse::decode(&*answer.body).unwrap().partial_success.unwrap();
    assert_eq!(partial.rejected_data_points, 1);
    assert!(partial.error_message.contains("aggregation_temporality"), "{}", partial.error_message);
    assert_eq!(contract.query("metric_name=jobs_total").await.len(), 1);
}

#[tokio::test]
async fn deltas_are_added_up_once_however_often_they_are_sent() {
    let mut contract = Contract::start().await;
    let at = now() - 60_000;
    let sums = async |contract: &Contract| -> Vec<f64> {
        let rows = contract.query("metric_name=jobs_total").await;
        rows.iter().rev().map(|row| row["metric_value"].as_f64().unwrap()).collect()
    };
    for _ in 0..2 {
        all_taken(send(&contract, json!([sum("jobs", 1, at, 2.0)])).await);
    }
    let two = json!({"name": "jobs", "sum": {"isMonotonic": true, "aggregationTemporality": 1, "dataPoints": [
        {"timeUnixNano": nanos(at + 2000), "asInt": 5}, {"timeUnixNano": nanos(at + 1000), "asInt": 3}]}});
    all_taken(send(&contract, json!([two])).await);
    assert_eq!(sums(&contract).await, [2.0, 5.0, 10.0]);
    // What was committed is what is added to, also by the next server.
    contract.restart().await;
    all_taken(send(&contract, json!([sum("jobs", 1, at + 3000, 1.0)])).await);
    let late = send(&contract, json!([sum("jobs", 1, at + 2500, 1.0)])).await.ok();
    assert_eq!(late["partialSuccess"]["rejectedDataPoints"], "1");
    assert_eq!(sums(&contract).await, [2.0, 5.0, 10.0, 11.0]);
    assert_eq!(contract.export().await.get("jobs_total", &[]), Some("11"));
}

#[tokio::test]
async fn deltas_of_many_requests_at_once_all_count() {
    let contract = Contract::start().await;
    let at = now() - 60_000;
    let send_one = async |i: i64| {
        // Those that come too late for their series are sent with a later time, as a client would.
        for later in 0.. {
            let answer = send(&contract, json!([sum("jobs", 1, at + i + later * 100, 1.0)])).await.ok();
            if answer["partialSuccess"] == Value::Null {
                return;
            }
        }
    };
    futures_util::future::join_all((0..20).map(send_one)).await;
    let total: f64 = contract.export().await.get("jobs_total", &[]).unwrap().parse().unwrap();
    assert!((total - 20.0).abs() < f64::EPSILON, "{total}");
}

#[tokio::test]
async fn bad_points_are_named_and_the_others_kept() {
    let contract = Contract::start().await;
    let point = |value: Value| json!([{"timeUnixNano": nanos(now()), "asDouble": value}]);
    let metrics = json!([
        {"name": "good", "gauge": {"dataPoints": point(json!(1.5))}},
        {"name": "noetl_component_up", "gauge": {"dataPoints": point(json!(1))}},
        {"name": "ahead", "gauge": {"dataPoints": [{"timeUnixNano": nanos(now() + 3_600_000), "asInt": 1}]}},
    ]);
    let answer = send(&contract, metrics).await.ok();
    let partial = &answer["partialSuccess"];
    assert_eq!(partial["rejectedDataPoints"], "2");
    let why = partial["errorMessage"].as_str().unwrap();
    assert!(
        why.contains("made by the server itself") && why.contains("ahead of the server's clock"),
        "{why}"
    );
    assert_eq!(contract.query("metric_name=good").await.len(), 1);
    assert!(contract.query("metric_name=ahead").await.is_empty());
}

#[tokio::test]
async fn what_is_no_such_message_is_refused_with_a_status() {
    let contract = Contract::start().await;
    for (content_type, body, status, code) in [
        ("application/json", &b"{\"resourceMetrics\": 7}"[..], 400, 3),
        ("application/json", b"{", 400, 3),
        ("application/json; charset=utf-8", b"[", 400, 3),
        ("text/plain", b"{}", 415, 3),
    ] {
        let answer =
            contract.send(Method::POST, PATH, &[("content-type", content_type)], body.to_vec()).await;
        assert_eq!(answer.status, status, "{content_type}: {}", answer.text());
        let body = answer.json();
        assert_eq!(body["code"], code);
        assert!(!body["message"].as_str().unwrap().is_empty());
    }
    let headers = [("content-type", "application/x-protobuf")];
    let answer = contract.send(Method::POST, PATH, &headers, vec![0xff; 9]).await;
    assert_eq!((answer.status, answer.header("content-type")), (400, "application/x-protobuf"));
    assert_eq!(answer.body[..2], [0x08, 3], "google.rpc.Status with code 3");
}

#[tokio::test]
async fn a_trace_that_a_point_came_from_is_found() {
    let contract = Contract::start().await;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let metric = json!({"name": "jobs", "sum": {"isMonotonic": true, "aggregationTemporality": 2, "dataPoints": [{
        "timeUnixNano": nanos(now()), "asDouble": 4.0, "exemplars": [{"asDouble": 1.0,
            "timeUnixNano": nanos(now()), "traceId": trace, "spanId": "b7ad6b7169203331",
            "filteredAttributes": [attribute("execution_id", "42")]}]}]}});
    all_taken(send(&contract, json!([metric])).await);
    let found = format!(
        "select exemplar_labels->>'execution_id' from noetl.exemplars where exemplar_labels->>'trace_id' = '{trace}'"
    );
    assert_eq!(contract.value::<String>(found).await, "42");
}
