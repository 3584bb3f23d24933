//! Requests that are refused as a whole.

use http::Method;
use serde_json::json;

use super::{REPORT, report};
use crate::harness::gauge;
use crate::report::pack;

/// A request and what has to come back.
pub struct Case {
    pub why: &'static str,
    pub method: Method,
    pub path: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    pub status: u16,
    pub slug: &'static str,
    /// The field or parameter that has to be named.
    pub names: Option<&'static str>,
    /// The `Allow` header of a 405.
    pub allow: &'static str,
}

/// All of them.
pub fn cases() -> Vec<Case> {
    let mut cases = bodies();
    cases.extend(shapes());
    cases.extend(encodings());
    cases.extend(headers());
    cases.extend(places());
    cases.extend(query_parameters());
    cases.extend(export_parameters());
    cases.extend(administration());
    cases
}

fn case(why: &'static str, method: Method, path: impl Into<String>, status: u16, slug: &'static str) -> Case {
    Case {
        why,
        method,
        path: path.into(),
        headers: Vec::new(),
        body: Vec::new(),
        status,
        slug,
        names: None,
        allow: "",
    }
}

impl Case {
    fn names(mut self, field: &'static str) -> Self {
        self.names = Some(field);
        self
    }

    fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn allow(mut self, allow: &'static str) -> Self {
        self.allow = allow;
        self
    }
}

fn bodies() -> Vec<Case> {
    let deep =
        format!(r#"{{"component_name": {}1{}, "metrics": []}}"#, r#"{"a":"#.repeat(5000), "}".repeat(5000));
    let texts: Vec<(&'static str, Vec<u8>)> = vec![
        ("no body", Vec::new()),
        ("half an object", b"{".to_vec()),
        ("a body that is no JSON", b"metric 1".to_vec()),
        ("a comma too many", br#"{"component_name": "w", "metrics": [],}"#.to_vec()),
        ("something after the body", br#"{"component_name": "w", "metrics": []} x"#.to_vec()),
        ("broken UTF-8", b"{\"component_name\": \"w\xff\", \"metrics\": []}".to_vec()),
        ("half a surrogate pair", br#"{"component_name": "\ud800", "metrics": []}"#.to_vec()),
        ("a bare NaN", br#"{"component_name": "w", "metrics": [{"metric_value": NaN}]}"#.to_vec()),
        ("deep nesting", deep.into_bytes()),
        ("UTF-16", "{}".encode_utf16().flat_map(u16::to_le_bytes).collect()),
    ];
    texts
        .into_iter()
        .map(|(why, body)| case(why, Method::POST, REPORT, 400, "malformed-body").body(body))
        .collect()
}

fn shapes() -> Vec<Case> {
    let refused = |why, body: serde_json::Value, field| {
        case(why, Method::POST, REPORT, 422, "invalid-report").body(body.to_string()).names(field)
    };
    let many = format!(r#"{{"component_name": "w", "metrics": [{}1]}}"#, "1,".repeat(200_000));
    vec![
        refused("a list for a body", json!([]), "body"),
        refused("a string for a body", json!("x"), "body"),
        refused("null for a body", json!(null), "body"),
        refused("no metrics", json!({"component_name": "w"}), "metrics"),
        refused("null for metrics", json!({"component_name": "w", "metrics": null}), "metrics"),
        refused("an object for metrics", json!({"component_name": "w", "metrics": {}}), "metrics"),
        refused("a numeric component", json!({"component_name": 1, "metrics": []}), "component_name"),
        refused(
            "a component's name of 256 bytes",
            json!({"component_name": "x".repeat(256), "metrics": []}),
            "component_name",
        ),
        refused(
            "U+0000 in a component's name",
            json!({"component_name": "w\u{0}", "metrics": []}),
            "component_name",
        ),
        refused(
            "a kind of two words",
            json!({"component_name": "w", "component_type": "a b", "metrics": []}),
            "component_type",
        ),
        refused("a numeric kind", json!({"component_name": "w", "kind": 1, "metrics": []}), "component_type"),
        refused("a fraction for an id", json!({"runtime_id": 1.5, "metrics": []}), "runtime_id"),
        refused("a boolean for an id", json!({"runtime_id": true, "metrics": []}), "runtime_id"),
        refused("a word for an id", json!({"runtime_id": "x", "metrics": []}), "runtime_id"),
        refused("an id of 65 bits", json!({"runtime_id": u64::MAX, "metrics": []}), "runtime_id"),
        case("metrics twice", Method::POST, REPORT, 422, "invalid-report")
            .body(r#"{"component_name": "w", "metrics": [], "metrics": []}"#)
            .names("metrics"),
        case("a component twice", Method::POST, REPORT, 422, "invalid-report")
            .body(r#"{"component_name": "w", "component_name": "v", "metrics": []}"#)
            .names("component_name"),
        case("too many metrics", Method::POST, REPORT, 422, "invalid-report").body(many).names("metrics"),
        case("nobody's report", Method::POST, REPORT, 400, "malformed-body").body(r#"{"metrics": []}"#),
        case("an empty name", Method::POST, REPORT, 400, "malformed-body")
            .body(r#"{"component_name": "", "metrics": []}"#),
        case("an unknown name", Method::POST, REPORT, 404, "unknown-component")
            .body(r#"{"component_name": "x", "metrics": []}"#),
        case("an unknown id", Method::POST, REPORT, 404, "unknown-component")
            .body(r#"{"runtime_id": "-1", "metrics": []}"#),
    ]
}

fn encodings() -> Vec<Case> {
    let good = report(&json!([gauge("m", 1.0)]));
    let packed = |encoding: &'static str, body: Vec<u8>, why, status, slug| {
        case(why, Method::POST, REPORT, status, slug).header("content-encoding", encoding).body(body)
    };
    let cut = |encoding: &str| {
        let mut bytes = pack(encoding, &good);
        bytes.truncate(bytes.len() - 7);
        bytes
    };
    let bomb = |encoding: &str| pack(encoding, &vec![b' '; 64 << 20]);
    let twice = [pack("gzip", &good), b"garbage".to_vec()].concat();
    vec![
        packed("gzip", good.clone(), "a plain body that says gzip", 400, "malformed-body"),
        packed("zstd", good.clone(), "a plain body that says zstd", 400, "malformed-body"),
        packed("gzip", cut("gzip"), "half a gzip body", 400, "malformed-body"),
        packed("zstd", cut("zstd"), "half a zstd body", 400, "malformed-body"),
        packed("gzip", twice, "garbage after a gzip body", 400, "malformed-body"),
        packed("gzip", Vec::new(), "an empty gzip body", 400, "malformed-body"),
        packed("gzip", bomb("gzip"), "a gzip bomb", 413, "body-too-large"),
        packed("zstd", bomb("zstd"), "a zstd bomb", 413, "body-too-large"),
        packed("br", good.clone(), "brotli", 415, "unsupported-media-type"),
        packed("deflate", good.clone(), "deflate", 415, "unsupported-media-type"),
        packed("gzip, gzip", good.clone(), "gzip in gzip", 415, "unsupported-media-type"),
        case("a form", Method::POST, REPORT, 415, "unsupported-media-type")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(good.clone()),
        case("plain text", Method::POST, REPORT, 415, "unsupported-media-type")
            .header("content-type", "text/plain; charset=utf-8")
            .body(good.clone()),
        case("a heartbeat in a form", Method::POST, "/heartbeat", 415, "unsupported-media-type")
            .header("content-type", "multipart/form-data")
            .body(good),
    ]
}

fn headers() -> Vec<Case> {
    let with_key = |why, key: String| {
        case(why, Method::POST, REPORT, 400, "invalid-parameter")
            .header("idempotency-key", key)
            .body(report(&json!([gauge("m", 1.0)])))
            .names("Idempotency-Key")
    };
    vec![
        with_key("an empty key", String::new()),
        with_key("a key of 256 bytes", "k".repeat(256)),
        with_key("a key beyond ASCII", "schlüssel".into()),
        case("a picture of samples", Method::GET, "/api/metrics/query", 406, "not-acceptable")
            .header("accept", "image/png, application/xml;q=0.5"),
    ]
}

fn places() -> Vec<Case> {
    let wrong =
        |why, method, path: &str, allow| case(why, method, path, 405, "method-not-allowed").allow(allow);
    vec![
        wrong("to read a report", Method::GET, REPORT, "POST"),
        wrong("to put a report", Method::PUT, REPORT, "POST"),
        wrong("to post a query", Method::POST, "/api/metrics/query", "GET, HEAD"),
        wrong("to delete the export", Method::DELETE, "/api/metrics/prometheus", "GET, HEAD"),
        wrong("to patch a farewell", Method::PATCH, "/api/worker/pool/deregister", "POST, DELETE"),
        wrong("to read a clean-up", Method::GET, "/api/metrics/cleanup", "POST"),
        wrong("to ask for options", Method::OPTIONS, "/livez", "GET, HEAD"),
        case("nothing there", Method::GET, "/api/metrics/nothing", 404, "not-found"),
        case("a slash too many", Method::POST, "/api/metrics/report/", 404, "not-found"),
        case("another case", Method::GET, "/API/metrics/query", 404, "not-found"),
        case("an encoded letter", Method::GET, "/api/metrics/%71uery", 404, "not-found"),
        case("a way out", Method::GET, "/api/metrics/%2e%2e/%2e%2e/etc/passwd", 404, "not-found"),
        case("a problem that there is not", Method::GET, "/problems/none", 404, "not-found"),
        case("a very long path", Method::GET, format!("/{}", "x".repeat(8000)), 404, "not-found"),
    ]
}

fn query_parameters() -> Vec<Case> {
    let refused = |why, parameters: &str, field| {
        case(why, Method::GET, format!("/api/metrics/query?{parameters}"), 400, "invalid-parameter")
            .names(field)
    };
    vec![
        refused("a limit of 0", "limit=0", "limit"),
        refused("a negative limit", "limit=-1", "limit"),
        refused("a limit over the limit", "limit=10001", "limit"),
        refused("a huge limit", "limit=99999999999999999999", "limit"),
        refused("half a row", "limit=1.5", "limit"),
        refused("two limits", "limit=1&limit=1", "limit"),
        refused("a made up token", "page_token=x", "page_token"),
        refused("a token of another sort", "page_token=-1-1", "page_token"),
        refused("a token beyond time", "page_token=ffffffffffffffff-1", "page_token"),
        refused("a word for a start", "start_time=yesterday", "start_time"),
        refused("a number for an end", "end_time=1704110400", "end_time"),
        refused(
            "an end before the start",
            "start_time=2024-01-02T00:00:00Z&end_time=2024-01-01T00:00:00Z",
            "start_time",
        ),
        refused("a start before 1970", "start_time=1900-01-01T00:00:00Z", "start_time"),
        refused("a type that there is not", "metric_type=info", "metric_type"),
        refused("a word for an id", "runtime_id=x", "runtime_id"),
        refused("an id of 65 bits", "runtime_id=18446744073709551615", "runtime_id"),
        refused("two names", "metric_name=a&metric_name=b", "metric_name"),
        refused("U+0000 in a name", "metric_name=a%00", "metric_name"),
        refused("a typing error", "metricname=a", "metricname"),
        refused("a label without a name", "label.=x", "label."),
        refused("a label of a strange name", "label.a-b=x", "label.a-b"),
        refused("a label twice", "label.a=1&label.a=2", "label.a"),
        refused("U+0000 in a label", "label.a=%00", "label.a"),
        refused("no step at all", "step=0", "step"),
        refused("a step of a word", "step=long", "step"),
        refused("a step of a millisecond", "step=1ms", "step"),
        refused("a step of two years", "step=731d", "step"),
        refused("a step that no number holds", "step=99999999999999999999", "step"),
        refused("a sum without step", "agg=sum", "step"),
        refused("a median", "step=60&agg=median", "agg"),
    ]
}

fn export_parameters() -> Vec<Case> {
    let refused = |why, parameters: String, field| {
        case(why, Method::GET, format!("/api/metrics/prometheus?{parameters}"), 400, "invalid-parameter")
            .names(field)
    };
    let long = "a".repeat(5000);
    vec![
        refused("an empty selector", "match[]=".into(), "match[]"),
        refused("half a selector", "match[]=%7B".into(), "match[]"),
        refused("a query for a selector", "match[]=rate(up[5m])".into(), "match[]"),
        refused("a range for a selector", "match[]=up[5m]".into(), "match[]"),
        refused("a bad pattern", "match[]=%7Ba%3D~%22(%22%7D".into(), "match[]"),
        refused("one bad selector of two", "match[]=up&match[]=1".into(), "match[]"),
        refused("a very long selector", format!("match[]={long}"), "match[]"),
        refused("timestamps of 2", "timestamps=2".into(), "timestamps"),
        refused("a word for an id", "runtime_id=x".into(), "runtime_id"),
        refused("a part beyond the last", "shard=3/2".into(), "shard"),
        refused("more parts than there may be", "shard=1/65".into(), "shard"),
        refused("a part of how many", "shard=1".into(), "shard"),
        refused("two names", "component_name=a&component_name=b".into(), "component_name"),
        refused("a typing error", "component=a".into(), "component"),
        case("a parameter of /livez", Method::GET, "/livez?x=1", 400, "invalid-parameter").names("x"),
        case(
            "a parameter of a report",
            Method::POST,
            format!("{REPORT}?dry_run=1"),
            400,
            "invalid-parameter",
        )
        .body(report(&json!([gauge("m", 1.0)])))
        .names("dry_run"),
    ]
}

fn administration() -> Vec<Case> {
    let refused =
        |why, path: &str, field| case(why, Method::POST, path, 400, "invalid-parameter").names(field);
    vec![
        refused("a negative number of days", "/api/metrics/partitions/create?days_ahead=-1", "days_ahead"),
        refused("too many days", "/api/metrics/partitions/create?days_ahead=32", "days_ahead"),
        refused("a word for days", "/api/metrics/partitions/create?days_ahead=week", "days_ahead"),
        refused("no metric", "/api/metrics/ttl/set?ttl_days=3", "metric_name"),
        refused("no days at all", "/api/metrics/ttl/set?metric_name=m&ttl_days=0", "ttl_days"),
        refused("days beyond a lifetime", "/api/metrics/ttl/set?metric_name=m&ttl_days=99999", "ttl_days"),
        refused("no component", "/api/metrics/ttl/extend-component", "component_name"),
        refused("a parameter of clean-up", "/api/metrics/cleanup?retention=1d", "retention"),
        case(
            "a metric that there is not",
            Method::POST,
            "/api/metrics/ttl/set?metric_name=nothing",
            404,
            "unknown-metric",
        ),
        case(
            "a component that there is not",
            Method::POST,
            "/api/metrics/ttl/extend-component?component_name=x",
            404,
            "unknown-component",
        ),
        case(
            "nobody's own report",
            Method::POST,
            "/api/metrics/self-report?component_name=x",
            404,
            "unknown-component",
        ),
    ]
}
