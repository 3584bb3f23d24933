//! Prometheus remote write: what senders may rely on.

mod bad;
mod exemplars;
mod types;

use http::Method;
use noetl_metrics::wire::encoding::{Encoding, compress};
use serde_json::{Value, json};

use crate::harness::remote_write::{COUNTER, GAUGE, Series, encode_v1, encode_v2};
use crate::harness::{Answer, Contract, Http, now};

pub const V1: &str = "application/x-protobuf";
pub const V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

type Encode = fn(&[Series]) -> Vec<u8>;
type Headers<'a> = &'a [(&'a str, &'a str)];

/// The messages, each with its content type and how it is made.
const MESSAGES: [(&str, Encode); 2] = [(V1, encode_v1), (V2, encode_v2)];

/// The quiet NaN that ends a series.
const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// Sends a body compressed by snappy, as senders do.
pub async fn send(http: &Http, content_type: &str, body: &[u8]) -> Answer {
    let packed = compress(Encoding::Snappy, body).expect("packed");
    let headers = [("content-type", content_type), ("content-encoding", "snappy")];
    http.send(Method::POST, "/api/v1/write", &headers, packed).await
}

pub async fn write(http: &Http, series: &[Series]) -> Answer {
    send(http, V1, &encode_v1(series)).await
}

/// The counts of an answer: samples, histograms, exemplars.
fn written(answer: &Answer) -> [&str; 3] {
    ["samples", "histograms", "exemplars"]
        .map(|what| answer.header(&format!("x-prometheus-remote-write-{what}-written")))
}

/// All is taken, and so many samples are counted.
#[track_caller]
fn all_taken(answer: &Answer, samples: usize) {
    assert_eq!(answer.status, 204, "{}", answer.text());
    assert_eq!(written(answer), [samples.to_string().as_str(), "0", "0"]);
    assert!(answer.body.is_empty());
}

async fn values(contract: &Contract, metric: &str) -> Vec<Value> {
    let rows = contract.query(&format!("metric_name={metric}")).await;
    rows.into_iter().map(|row| row["metric_value"].clone()).collect()
}

/// A golden request of each version: one series, `up{instance="h:1",job="j"} 1`, at a time that the
/// test puts in, which has six bytes.
fn golden_v1(at: i64) -> Vec<u8> {
    let mut body = b"\x0a\x3d\
        \x0a\x0e\x0a\x08__name__\x12\x02up\
        \x0a\x0f\x0a\x08instance\x12\x03h:1\
        \x0a\x08\x0a\x03job\x12\x01j\
        \x12\x10\x09\0\0\0\0\0\0\xf0\x3f\x10"
        .to_vec();
    varint(&mut body, at);
    body
}

fn golden_v2(at: i64) -> Vec<u8> {
    let mut body =
        b"\x22\0\x22\x08__name__\x22\x02up\x22\x08instance\x22\x03h:1\x22\x03job\x22\x01j\x22\x04Help\
        \x2a\x20\
        \x0a\x06\x01\x02\x03\x04\x05\x06\
        \x2a\x04\x08\x02\x18\x07\
        \x12\x10\x09\0\0\0\0\0\0\xf0\x3f\x10"
            .to_vec();
    varint(&mut body, at);
    body
}

fn varint(out: &mut Vec<u8>, number: i64) {
    let mut left = number.unsigned_abs();
    while left > 0x7f {
        out.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

#[tokio::test]
async fn golden_bodies_of_both_versions_are_stored_and_exported() {
    let contract = Contract::start().await;
    let at = now();
    for (content_type, body, at) in [(V1, golden_v1(at), at), (V2, golden_v2(at + 1), at + 1)] {
        all_taken(&send(&contract, content_type, &body).await, 1);
        let [row] = &contract.query("metric_name=up&limit=1").await[..] else { panic!("one row") };
        assert_eq!(row["timestamp"], crate::harness::time(at));
        assert_eq!(row["component_name"], "h:1");
        assert_eq!(row["component_type"], "application");
        assert_eq!((&row["metric_type"], &row["metric_value"]), (&json!("gauge"), &json!(1.0)));
        assert_eq!(row["labels"], json!({"instance": "h:1", "job": "j"}));
    }
    let labels = [("component", "h:1"), ("component_type", "application"), ("job", "j")];
    assert_eq!(contract.export().await.get("up", &labels), Some("1"));
    assert_eq!(values(&contract, "up").await.len(), 2);
}

#[tokio::test]
async fn a_sender_may_say_the_encoding_and_the_version_in_several_ways() {
    let contract = Contract::start().await;
    let at = now();
    let body = |n: i64| encode_v1(&[Series::new("m", &[]).at(at + n, n as f64)]);
    let ways: [(Headers<'_>, Option<Encoding>); 6] = [
        (&[("content-type", V1), ("content-encoding", "snappy")], Some(Encoding::Snappy)),
        (&[("content-type", V1), ("content-encoding", "zstd")], Some(Encoding::Zstd)),
        (&[("content-type", V1), ("content-encoding", "gzip")], Some(Encoding::Gzip)),
        (&[("content-type", V1), ("content-encoding", "identity")], None),
        (&[("content-type", "application/x-protobuf;proto=prometheus.WriteRequest")], Some(Encoding::Snappy)),
        (&[("x-prometheus-remote-write-version", "0.1.0")], Some(Encoding::Snappy)),
    ];
    for (n, (headers, encoding)) in (0..).zip(ways) {
        let body = body(n);
        let body = encoding.map_or_else(|| body.clone(), |e| compress(e, &body).expect("packed"));
        all_taken(&contract.send(Method::POST, "/api/v1/write", headers, body).await, 1);
    }
    assert_eq!(values(&contract, "m").await.len(), 6);
}

#[tokio::test]
async fn what_is_unknown_of_type_or_encoding_is_415() {
    let contract = Contract::start().await;
    let body = compress(Encoding::Snappy, &golden_v1(now())).expect("packed");
    for headers in [
        [("content-type", "application/json"), ("content-encoding", "snappy")],
        [
            ("content-type", "application/x-protobuf;proto=io.prometheus.write.v3.Request"),
            ("content-encoding", "snappy"),
        ],
        [("content-type", V1), ("content-encoding", "br")],
    ] {
        let answer = contract.send(Method::POST, "/api/v1/write", &headers, body.clone()).await;
        answer.problem(415, "unsupported-media-type");
    }
    assert_eq!(values(&contract, "up").await, [] as [Value; 0]);
}

#[tokio::test]
async fn what_is_sent_again_doubles_nothing_and_what_is_late_is_kept() {
    let contract = Contract::start().await;
    let at = now();
    let many: Vec<Series> = (0..40)
        .map(|n| Series::new("m", &[("n", &n.to_string())]).at(at - 2000, 1.0).at(at, f64::from(n)))
        .collect();
    for (content_type, encode) in MESSAGES {
        for _ in 0..3 {
            all_taken(&send(&contract, content_type, &encode(&many)).await, 80);
        }
    }
    let late = Series::new("m", &[("n", "7")]).at(at - 1000, 0.5).at(at - 3_600_000, 0.25);
    all_taken(&write(&contract, &[late]).await, 2);
    let stored = "select count(*) || ' ' || count(distinct (labels, \"timestamp\")) from noetl.metrics where metric_name = 'm'";
    assert_eq!(contract.value::<String>(stored).await, "82 82");
    assert_eq!(contract.query("metric_name=m&label.n=7").await.len(), 4);
    assert_eq!(contract.export().await.get("m", &[("n", "7")]), Some("7"), "the newest");
}

#[tokio::test]
async fn a_stale_marker_ends_a_series_until_its_next_value_and_is_not_stored() {
    let contract = Contract::start().await;
    let at = now() - 10_000;
    let one = |at: i64, value: f64| {
        [Series::new("m", &[("a", "b")]).at(at, value), Series::new("other", &[]).at(at, value)]
    };
    all_taken(&write(&contract, &one(at, 1.0)).await, 2);
    let [ended, _] = one(at + 1000, STALE);
    all_taken(&write(&contract, std::slice::from_ref(&ended)).await, 1);
    let export = contract.export().await;
    assert_eq!((export.count("m"), export.count("other")), (0, 1));
    assert_eq!(values(&contract, "m").await, [json!(1.0)]);
    all_taken(&write(&contract, &one(at + 2000, f64::NAN)).await, 2);
    assert_eq!(contract.export().await.get("m", &[]), Some("NaN"), "another NaN is a value");
    // The same again, older than the value by now.
    all_taken(&write(&contract, std::slice::from_ref(&ended)).await, 1);
    assert_eq!(contract.export().await.count("m"), 1);
    // A value and the end after it in one request.
    let both = Series::new("m", &[("a", "b")]).at(at + 3000, 3.0).at(at + 4000, STALE);
    all_taken(&write(&contract, &[both]).await, 2);
    assert_eq!(contract.export().await.count("m"), 0);
    assert_eq!(values(&contract, "m").await.len(), 3);
}

#[tokio::test]
async fn labels_name_the_component_and_one_that_is_not_registered_is() {
    let contract = Contract::start().await;
    let id = contract.register("w").await;
    contract.register_as("x", "broker").await;
    contract.register_as("x", "worker_pool").await;
    let at = now();
    let named: [&[(&str, &str)]; 7] = [
        &[("component", "w"), ("component_type", "worker_pool"), ("instance", "i"), ("n", "0")],
        &[("component_name", "w"), ("n", "1")],
        &[("component", "new"), ("component_type", "server_api")],
        &[("instance", "i:1"), ("job", "j")],
        &[("job", "j")],
        &[],
        &[("component", "x")],
    ];
    let series: Vec<Series> = named.iter().map(|labels| Series::new("m", labels).at(at, 1.0)).collect();
    let answer = write(&contract, &series).await;
    let problem = answer.problem(400, "invalid-write");
    assert_eq!(written(&answer), ["6", "0", "0"]);
    assert_eq!(problem["errors"][0]["index"], 6);
    assert!(
        problem["detail"].as_str().unwrap().contains("broker, worker_pool: add component_type"),
        "{problem}"
    );
    let names: Vec<String> = contract
        .column("select distinct component_name || ' ' || component_type from noetl_metrics.series where metric_name = 'm' order by 1")
        .await;
    let expected =
        ["i:1 application", "j application", "new server_api", "remote_write application", "w worker_pool"];
    assert_eq!(names, expected);
    let of_w = contract.query(&format!("metric_name=m&runtime_id={id}")).await;
    let mut labels: Vec<String> = of_w.iter().map(|row| row["labels"].to_string()).collect();
    labels.sort();
    assert_eq!(labels, [r#"{"instance":"i","n":"0"}"#, r#"{"n":"1"}"#]);
    assert_eq!(contract.export().await.get("noetl_component_up", &[("component", "i:1")]), Some("1"));
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let mut contract = Contract::start().await;
    let at = now();
    for n in 0..5 {
        all_taken(&write(&contract, &[Series::new("m", &[("instance", "i")]).at(at + n, n as f64)]).await, 1);
    }
    contract.server.kill();
    contract.start_again().await;
    assert_eq!(values(&contract, "m").await.len(), 5);
    // The sender did not hear of the last one, and sends it again.
    all_taken(&write(&contract, &[Series::new("m", &[("instance", "i")]).at(at + 4, 4.0)]).await, 1);
    assert_eq!(values(&contract, "m").await.len(), 5);
}

#[tokio::test]
async fn series_of_reports_and_of_remote_write_are_the_same() {
    let contract = Contract::start().await;
    contract.register("w").await;
    let at = now();
    let report = json!([{"metric_name": "m", "metric_type": "counter", "metric_value": 1, "labels": {"a": "b"}, "timestamp": crate::harness::time(at)}]);
    contract.report("w", report).await.ok();
    let labels = [("component", "w"), ("component_type", "worker_pool"), ("a", "b")];
    for (content_type, encode) in MESSAGES {
        let series = [Series::new("m", &labels).at(at, 2.0).about(COUNTER, "", "")];
        all_taken(&send(&contract, content_type, &encode(&series)).await, 1);
    }
    assert_eq!(values(&contract, "m").await, [json!(2.0)]);
    let other = [Series::new("m", &labels).at(at, 2.0).about(GAUGE, "", "")];
    let problem = send(&contract, V2, &encode_v2(&other)).await.problem(400, "invalid-write");
    assert!(problem["detail"].as_str().unwrap().contains("is a counter here"), "{problem}");
}
