//! Bad input: each gets its documented status and names what is wrong, spoils nothing beside it,
//! and leaves no trace. [`samples`] are bad samples in good reports, [`requests`] are bad requests.

mod requests;
mod samples;

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::harness::{Contract, gauge_at, now};

const REPORT: &str = "/api/metrics/report";

#[tokio::test]
async fn a_bad_sample_is_refused_by_field_and_the_good_ones_beside_it_are_kept() {
    let contract = Contract::start().await;
    contract.register("w").await;
    let cases = samples::cases();
    assert!(cases.len() >= 60, "{}", cases.len());
    let start = now() - 600_000;
    for (at, (why, metric, field)) in cases.iter().enumerate() {
        let alone = format!(r#"{{"component_name": "w", "metrics": [{metric}]}}"#);
        let answer = contract.send(Method::POST, REPORT, &[], alone.into_bytes()).await;
        assert_eq!(answer.status, 422, "{why}: {}", answer.text());
        let problem = answer.problem(422, "invalid-report");
        assert_eq!(problem["errors"][0]["field"], *field, "{why}: {problem}");
        assert_eq!(problem["errors"][0]["index"], 0, "{why}: {problem}");
        assert!(problem["detail"].as_str().unwrap().starts_with("metrics[0]."), "{why}: {problem}");
        assert!(answer.body.len() < 2000, "{why}: an answer of {} bytes", answer.body.len());

        let place = start + 2 * i64::try_from(at).unwrap();
        let (before, after) = (gauge_at("good", 1.0, place), gauge_at("good", 2.0, place + 1));
        let beside = format!(r#"{{"component_name": "w", "metrics": [{before}, {metric}, {after}]}}"#);
        let reply = contract.send(Method::POST, REPORT, &[], beside.into_bytes()).await.ok();
        assert_eq!(reply["metrics_inserted"], 2, "{why}: {reply}");
        assert_eq!(reply["rejected"].as_array().unwrap().len(), 1, "{why}: {reply}");
        assert_eq!(reply["rejected"][0]["index"], 1, "{why}: {reply}");
        assert_eq!(reply["rejected"][0]["field"], *field, "{why}: {reply}");
    }
    let expected = 2 * i64::try_from(cases.len()).unwrap();
    let good = "select count(*) from noetl.metrics where metric_name = 'good' and metric_value in (1, 2)";
    assert_eq!(contract.value::<i64>(good).await, expected);
    nothing_else_was_stored(&contract, &["good"]).await;
}

#[tokio::test]
async fn a_bad_request_gets_its_status_and_the_server_goes_on() {
    let contract = Contract::start().await;
    contract.register("w").await;
    let cases = requests::cases();
    assert!(cases.len() >= 60, "{}", cases.len());
    for case in cases {
        let headers: Vec<(&str, &str)> = case.headers.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let answer = contract.send(case.method.clone(), &case.path, &headers, case.body.clone()).await;
        let why = case.why;
        assert_eq!(answer.status, case.status, "{why}: {}", answer.text());
        let problem = answer.problem(case.status, case.slug);
        if let Some(field) = case.names {
            let in_errors = problem["errors"][0]["field"] == field;
            assert!(in_errors, "{why} should name {field}: {problem}");
            assert!(problem["detail"].as_str().unwrap().contains(field), "{why}: {problem}");
        }
        if case.status == 405 {
            assert_eq!(answer.header("allow"), case.allow, "{why}");
        }
        assert!(answer.body.len() < 3000, "{why}: an answer of {} bytes", answer.body.len());
    }
    contract.get("/livez").await.expect(200);
    nothing_else_was_stored(&contract, &[]).await;
    assert_eq!(contract.value::<i64>("select count(*) from noetl_metrics.idempotency").await, 0);
    contract.report("w", json!([gauge_at("m", 1.0, now())])).await.ok();
}

/// Of the component `w` only these metrics have samples, and no others got a name.
async fn nothing_else_was_stored(contract: &Contract, metrics: &[&str]) {
    let stored = contract
        .column::<String>(
            "select distinct metric_name::text from noetl.metrics m join noetl.runtime r using (runtime_id) \
             where r.name = 'w' order by 1",
        )
        .await;
    assert_eq!(stored, metrics);
    let names = contract
        .column::<String>(
            "select metric_name::text from noetl_metrics.metric_name n where not exists \
             (select from noetl_metrics.series s join noetl_metrics.metric_name o using (metric_name) \
              where o.family = n.family) order by 1",
        )
        .await;
    assert_eq!(names, [""; 0], "names were claimed for nothing");
    let components =
        contract.column::<String>("select name from noetl.runtime where kind <> 'server_api'").await;
    assert_eq!(components, ["w"]);
}

#[tokio::test]
async fn garbage_on_the_wire_gets_a_4xx_or_a_closed_door() {
    let contract = Contract::start().await;
    let long = "x".repeat(1 << 20);
    for (why, bytes) in [
        ("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
        ("binary", vec![0; 4096]),
        ("an unknown version", b"GET /livez HTTP/9.9\r\n\r\n".to_vec()),
        ("no version", b"GET /livez\r\n\r\n".to_vec()),
        ("a header without colon", b"GET /livez HTTP/1.1\r\nhost\r\n\r\n".to_vec()),
        ("a control character", b"GET /livez HTTP/1.1\r\na: \x01\r\n\r\n".to_vec()),
        ("a negative length", b"POST /heartbeat HTTP/1.1\r\ncontent-length: -1\r\n\r\n".to_vec()),
        (
            "two lengths",
            b"POST /heartbeat HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab".to_vec(),
        ),
        ("an endless path", format!("GET /{long} HTTP/1.1\r\n\r\n").into_bytes()),
        ("endless headers", format!("GET / HTTP/1.1\r\na: {long}\r\n\r\n").into_bytes()),
        (
            "a broken chunk",
            b"POST /api/metrics/report HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"
                .to_vec(),
        ),
    ] {
        let answer = contract.raw(&bytes, Duration::from_secs(5)).await;
        let head = String::from_utf8_lossy(&answer[..answer.len().min(12)]).into_owned();
        assert!(head.is_empty() || head.starts_with("HTTP/1.1 4"), "{why}: {head}");
        contract.get("/livez").await.expect(200);
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_with_and_without_its_length() {
    let contract = Contract::start().await;
    contract.register("w").await;
    let mut body = vec![b' '; (16 << 20) + 1];
    body[0] = b'{';
    for chunked in [false, true] {
        let head = if chunked {
            "transfer-encoding: chunked".to_owned()
        } else {
            format!("content-length: {}", body.len())
        };
        let mut bytes =
            format!("POST {REPORT} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{head}\r\n\r\n").into_bytes();
        if chunked {
            for chunk in body.chunks(1 << 20) {
                bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
                bytes.extend_from_slice(chunk);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\n\r\n");
        } else {
            bytes.extend_from_slice(&body);
        }
        let answer = contract.raw(&bytes, Duration::from_secs(30)).await;
        let text = String::from_utf8_lossy(&answer);
        assert!(text.starts_with("HTTP/1.1 413 "), "chunked: {chunked}: {text:?}");
        assert!(text.contains("application/problem+json") && text.contains("body-too-large"), "{text}");
    }
    // Just the limit is fine.
    body.pop();
    let last = body.len() - 1;
    body[last] = b'}';
    contract.send(Method::POST, REPORT, &[], body).await.problem(422, "invalid-report");
}

/// The largest body of the two tests below, and the most memory that the server may have held.
const LARGEST: usize = 4 << 20;
const MOST_MIB: u64 = 300;

#[tokio::test]
async fn small_bodies_that_want_much_memory_do_not_get_it() {
    let contract = Contract::with(&["--max-body-bytes", &LARGEST.to_string()]).await;
    contract.register("w").await;
    let filled = |head: &str, item: &str, tail: &str| {
        let count = (LARGEST - head.len() - tail.len()) / item.len();
        format!("{head}{}{tail}", item.repeat(count))
    };
    // All of them have the same labels, which each of their series would carry.
    let histograms = |count: usize, buckets: usize| {
        let labels: Vec<String> = (0..39).map(|i| format!(r#""l{i}":"{}\n""#, "x".repeat(2000))).collect();
        let buckets: Vec<String> = (0..buckets).map(|i| format!(r#""{i}":0"#)).collect();
        let (labels, buckets) = (labels.join(","), buckets.join(","));
        let one = format!(
            r#"{{"metric_name":"h","metric_type":"histogram","labels":{{{labels}}},"buckets":{{{buckets},"+Inf":0}},"sum":0,"count":0}}"#
        );
        format!(r#"{{"component_name":"w","metrics":[{}]}}"#, vec![one; count].join(","))
    };
    for (why, body) in [
        ("empty metrics", filled(r#"{"component_name":"w","metrics":[{}"#, ",{}", "]}")),
        ("numbers", filled(r#"{"component_name":"w","metrics":[1"#, ",1", "]}")),
        ("nested lists", filled(r#"{"component_name":"w","metrics":["#, "[", "")),
        ("nested objects", filled("", r#"{"a":"#, "")),
        ("equal labels", filled(r#"{"component_name":"w","metrics":[{"labels":{"a":1"#, r#","a":1"#, "}}]}")),
        ("buckets that repeat long labels", histograms(1, 100_000)),
        ("histograms that repeat long labels", histograms(45, 500)),
    ] {
        let packed = crate::report::pack("zstd", body.as_bytes());
        assert!(packed.len() < 400_000, "{why}: {} bytes", packed.len());
        let answer = contract.send(Method::POST, REPORT, &[("content-encoding", "zstd")], packed).await;
        assert!(matches!(answer.status, 200 | 400 | 422), "{why}: {}", answer.status);
        let held = contract.server.resident_bytes() >> 20;
        assert!(held < MOST_MIB, "{why}: the server took {held} MiB");
    }
    nothing_else_was_stored(&contract, &[]).await;
}

/// A field of bytes in protobuf.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    prost::encode_length_delimiter(bytes.len(), &mut field).unwrap();
    field.extend(bytes);
    field
}

#[tokio::test]
async fn small_requests_of_open_telemetry_that_want_much_memory_do_not_get_it() {
    let contract = Contract::with(&["--max-body-bytes", &LARGEST.to_string()]).await;
    contract.register("w").await;
    let nested = |numbers: &[u8], bytes: Vec<u8>| {
        numbers.iter().rev().fold(bytes, |bytes, number| field(*number, &bytes))
    };
    let room = LARGEST - 100;
    let empty = |number: u8| [number << 3 | 2, 0].repeat(room / 2);
    let filled = |head: &str, item: &str, tail: &str| {
        let count = (LARGEST - head.len() - tail.len()) / item.len();
        format!("{head}{}{tail}", item.repeat(count)).into_bytes()
    };
    let metric = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"gauge":{"dataPoints":["#;
    let long = field(1, &vec![b'n'; LARGEST / 4]);
    // A hundred thousand of the value 0 each, of a metric with a long name, or of a service that has one.
    let points = [&[0x0a, 9, 0x31][..], &[0; 8]].concat().repeat(100_000);
    let of_long_metric = nested(&[1, 2, 2], [long, field(5, &points)].concat());
    let service = [field(1, b"service.name"), field(2, &field(1, &vec![b's'; LARGEST / 4]))].concat();
    let metrics = nested(&[2, 2], [field(1, b"n"), field(5, &points)].concat());
    let of_long_service = field(1, &[nested(&[1, 1], service), metrics].concat());
    let (protobuf, json) = ("application/x-protobuf", "application/json");
    for (why, form, body, status) in [
        ("points of a metric with a long name", protobuf, of_long_metric, 200),
        ("points of a service with a long name", protobuf, of_long_service, 200),
        ("resources", protobuf, empty(1), 413),
        ("attributes of a resource", protobuf, nested(&[1, 1], empty(1)), 413),
        ("points", protobuf, nested(&[1, 2, 2, 5], empty(1)), 413),
        ("counts", protobuf, nested(&[1, 2, 2, 10, 1, 8, 2], vec![0; room]), 413),
        ("empty points", json, filled(&format!("{metric}{{}}"), ",{}", "]}}]}]}]}"), 413),
        ("what is not known", json, filled(&format!("{metric}{{\"a\":[0"), ",0", "]}]}}]}]}]}"), 413),
        ("nested lists", json, filled(&format!("{metric}{{\"a\":"), "[", ""), 400),
        (
            "nested values",
            json,
            filled(&format!("{metric}{{\"attributes\":[{{\"value\":"), r#"{"arrayValue":{"values":["#, ""),
            413,
        ),
    ] {
        let packed = crate::report::pack("zstd", &body);
        let headers = [("content-encoding", "zstd"), ("content-type", form)];
        let answer = contract.send(Method::POST, "/v1/metrics", &headers, packed).await;
        assert_eq!(answer.status, status, "{why} in {form}: {}", answer.text());
        let held = contract.server.resident_bytes() >> 20;
        assert!(held < MOST_MIB, "{why} in {form}: the server took {held} MiB");
    }
    nothing_else_was_stored(&contract, &[]).await;
}

#[tokio::test]
async fn many_large_bodies_at_once_wait_for_each_other() {
    let contract = Contract::with(&["--max-body-bytes", &LARGEST.to_string()]).await;
    contract.register("w").await;
    let packed = crate::report::pack("zstd", &vec![b' '; LARGEST]);
    let headers = [("content-encoding", "zstd")];
    let sent = (0..80).map(|_| contract.send(Method::POST, REPORT, &headers, packed.clone()));
    for answer in futures_util::future::join_all(sent).await {
        if answer.status == 400 {
            answer.problem(400, "malformed-body");
        } else {
            answer.problem(429, "too-many-requests");
        }
    }
    let held = contract.server.resident_bytes() >> 20;
    assert!(held < MOST_MIB, "the server took {held} MiB");
}

/// One report's body.
fn report(metrics: &Value) -> Vec<u8> {
    json!({"component_name": "w", "metrics": metrics}).to_string().into_bytes()
}
