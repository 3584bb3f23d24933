//! From a value to the trace and the execution behind it: exemplars of all ways in, in the export, by the
//! API and on the pages.

use serde_json::{Value, json};

use crate::harness::remote_write::{COUNTER, HISTOGRAM, Series, encode_v1, encode_v2};
use crate::harness::{Contract, Exposition, Http, now, time};
use crate::remote_write;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const OPEN_METRICS: &str = "application/openmetrics-text;version=1.0.0";

/// The exposition as OpenMetrics, checked.
pub async fn open_metrics(http: &Http) -> Exposition {
    Exposition::checked(http.get_as("/api/metrics/prometheus", OPEN_METRICS).await.expect(200).text())
}

async fn found(http: &Http, parameters: &str) -> Vec<Value> {
    let reply = http.get(&format!("/api/metrics/exemplars?{parameters}")).await.ok();
    reply["exemplars"].as_array().unwrap().clone()
}

async fn names(http: &Http, parameters: &str) -> Vec<String> {
    let found = found(http, parameters).await;
    let mut names: Vec<String> =
        found.iter().map(|one| one["metric_name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

fn counter(name: &str, value: f64, exemplars: &Value) -> Value {
    json!({"metric_name": name, "metric_type": "counter", "metric_value": value, "exemplars": exemplars})
}

/// One that names a trace.
fn of_trace(at: i64, value: f64) -> Value {
    json!({"labels": {"trace_id": TRACE}, "value": value, "timestamp": time(at)})
}

#[tokio::test]
async fn exemplars_of_every_way_in_are_stored_exported_found_and_shown() {
    let contract = Contract::with(&["--trace-url", "https://tempo.example/trace/{trace_id}?x=1"]).await;
    let id = contract.register("w").await;
    let at = now() - 5000;
    let histogram = json!({"metric_name": "reported_seconds", "metric_type": "histogram", "sum": 3, "count": 2,
        "buckets": {"1": 1, "+Inf": 2}, "exemplars": [of_trace(at, 0.25), of_trace(at, 2.5)]});
    let reported = json!([counter("reported_total", 7.0, &json!([of_trace(at, 0.5)])), histogram,
        {"metric_name": "reported_now", "metric_type": "gauge", "metric_value": 1, "exemplars": [of_trace(at, 1.0)]}]);
    contract.report("w", reported).await.ok();
    let written = |name: &str, labels: &[(&str, &str)]| {
        Series::new(name, &[&[("component", "w")], labels].concat()).exemplar(
            &[("trace_id", TRACE)],
            at,
            0.75,
        )
    };
    let first = [written("written_total", &[]).at(at, 1.0).about(COUNTER, "", "")];
    assert_eq!(remote_write::send(&contract, remote_write::V1, &encode_v1(&first)).await.status, 204);
    let part = |suffix: &str, labels: &[(&str, &str)]| {
        let name = format!("written_seconds_{suffix}");
        Series::new(&name, &[&[("component", "w")], labels].concat()).at(at, 1.0).about(HISTOGRAM, "", "")
    };
    let second = [
        written("written_seconds_bucket", &[("le", "1")]).at(at, 1.0).about(HISTOGRAM, "", ""),
        part("bucket", &[("le", "+Inf")]),
        part("sum", &[]),
        part("count", &[]),
    ];
    assert_eq!(remote_write::send(&contract, remote_write::V2, &encode_v2(&second)).await.status, 204);
    let exemplar = json!({"asDouble": 0.125, "timeUnixNano": (at * 1_000_000).to_string(), "traceId": TRACE,
        "filteredAttributes": [{"key": "noetl.execution_id", "value": {"intValue": "42"}}]});
    let point =
        json!({"timeUnixNano": (at * 1_000_000).to_string(), "asDouble": 4.0, "exemplars": [exemplar]});
    let measured = json!({"timeUnixNano": (at * 1_000_000).to_string(), "count": "1", "sum": 0.125,
        "bucketCounts": ["1", "0"], "explicitBounds": [0.5], "exemplars": [exemplar]});
    let metrics = json!([
        {"name": "otel", "sum": {"isMonotonic": true, "aggregationTemporality": 2, "dataPoints": [point]}},
        {"name": "otel.seconds", "histogram": {"aggregationTemporality": 2, "dataPoints": [measured]}},
        {"name": "otel.up_down", "sum": {"aggregationTemporality": 2, "dataPoints": [point]}},
        {"name": "otel.heat", "gauge": {"dataPoints": [point]}},
    ]);
    let resource = json!({"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]});
    let body = json!({"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": metrics}]}]});
    assert_eq!(contract.post("/v1/metrics", &body).await.ok(), json!({}));

    let all = names(&contract, &format!("trace_id={TRACE}")).await;
    let expected = [
        "otel_heat",
        "otel_seconds_bucket",
        "otel_total",
        "otel_up_down",
        "reported_now",
        "reported_seconds_bucket",
        "reported_seconds_bucket",
        "reported_total",
        "written_seconds_bucket",
        "written_total",
    ];
    assert_eq!(all, expected);
    let [one] = &found(&contract, "metric_name=reported_total").await[..] else { panic!("one") };
    let link = format!("https://tempo.example/trace/{TRACE}?x=1");
    assert_eq!(one["exemplar_labels"], json!({"trace_id": TRACE}));
    assert_eq!((&one["value"], &one["timestamp"]), (&json!(0.5), &json!(time(at))));
    assert_eq!((&one["component_name"], &one["trace_url"]), (&json!("w"), &json!(link)));
    let of_execution = names(&contract, "execution_id=42&component_name=shop").await;
    assert_eq!(of_execution, ["otel_heat", "otel_seconds_bucket", "otel_total", "otel_up_down"]);

    let export = open_metrics(&contract).await;
    let exemplar =
        |name: &str, labels: &[(&str, &str)]| export.exemplar(name, labels).map(|(_, value)| value);
    for (name, value) in [("reported_total", "0.5"), ("written_total", "0.75"), ("otel_total", "0.125")] {
        assert_eq!(exemplar(name, &[]).as_deref(), Some(value), "{name}");
    }
    for (name, le, value) in [
        ("reported_seconds_bucket", "1.0", Some("0.25")),
        ("reported_seconds_bucket", "+Inf", Some("2.5")),
        ("written_seconds_bucket", "1.0", Some("0.75")),
        ("written_seconds_bucket", "+Inf", None),
        ("otel_seconds_bucket", "0.5", Some("0.125")),
    ] {
        assert_eq!(exemplar(name, &[("le", le)]).as_deref(), value, "{name} {le}");
    }
    let (labels, _) = export.exemplar("otel_total", &[]).unwrap();
    assert_eq!(labels, [("execution_id".into(), "42".into()), ("trace_id".into(), TRACE.to_owned())].into());
    assert_eq!(export.with_exemplars(), 7, "neither gauges nor sums nor counts have any");
    let text = contract.get("/api/metrics/prometheus").await;
    assert!(!text.text().contains(TRACE) && text.text().contains("reported_total{"), "0.0.4 has none");

    let page = contract.get(&format!("/components/{id}?format=json")).await.ok();
    let row = page["rows"].as_array().unwrap().iter().find(|row| row["name"] == "reported_total").unwrap();
    let address = format!("/components/{id}?series={}", row["series_id"]);
    let page = contract.get(&format!("{address}&format=json")).await.ok();
    assert_eq!(page["chart"]["exemplars"][0]["trace_url"], json!(link));
    let html = contract.get_as(&address, "text/html").await.expect(200);
    assert!(html.text().contains(&format!("<a href=\"{link}\">{TRACE}</a>")), "{}", html.text());
}

#[tokio::test]
async fn the_export_has_the_newest_exemplar_where_the_standard_allows_one() {
    let contract = Contract::start().await;
    contract.register("w").await;
    let at = now() - 120_000;
    let exemplar = |at: i64, value: f64| json!({"labels": {"trace_id": value.to_string()}, "value": value, "timestamp": time(at)});
    let newest = [exemplar(at, 1.0), exemplar(at + 60_000, 3.0), exemplar(at + 30_000, 2.0)];
    let old = [exemplar(now() - 2 * 3_600_000, 1.0)];
    let bucket = json!({"metric_name": "odd_seconds_bucket", "metric_type": "histogram", "metric_value": 1,
        "labels": {"le": "1"}, "exemplars": [exemplar(at, 0.5)]});
    // It is in no bucket that counts it.
    let whole = json!({"metric_name": "h", "metric_type": "histogram", "buckets": {"1": 1, "+Inf": 1}, "sum": 1, "count": 1});
    let beyond = json!({"metric_name": "h_bucket", "metric_type": "histogram", "metric_value": 1, "labels": {"le": "1"},
        "exemplars": [exemplar(at, 1.5)]});
    let metrics = json!([
        counter("a_total", 5.0, &json!(newest)),
        counter("old_total", 5.0, &json!(old)),
        counter("no_suffix", 5.0, &json!(newest)),
        bucket,
        whole,
        beyond
    ]);
    contract.report("w", metrics).await.ok();
    // An older one that comes later changes nothing.
    contract.report("w", json!([counter("a_total", 6.0, &json!([exemplar(at + 1000, 9.0)]))])).await.ok();
    let export = open_metrics(&contract).await;
    assert_eq!(export.exemplar("a_total", &[]).unwrap().1, "3");
    assert_eq!(export.get("a_total", &[]), Some("6"));
    assert_eq!(export.with_exemplars(), 1, "{export:?}");
    let selected =
        contract.get_as("/api/metrics/prometheus?match[]=a_total&timestamps=1", OPEN_METRICS).await;
    let selected = Exposition::checked(selected.text());
    assert!(selected.samples[0].timestamp.is_some() && selected.samples[0].exemplar.is_some());
    assert_eq!(
        found(&contract, "metric_name=no_suffix").await.len(),
        2,
        "stored are the newest of each minute"
    );
}

#[tokio::test]
async fn the_metrics_of_an_execution_are_found_by_its_id_which_no_series_has() {
    let contract = Contract::start().await;
    contract.register("w").await;
    let at = now();
    let report = async |execution: Value, value: f64| {
        let metrics = json!([
            {"metric_name": "steps", "metric_type": "gauge", "metric_value": value, "timestamp": time(at)},
            counter("rows_total", value, &json!([of_trace(at, value)])),
        ]);
        let body = json!({"component_name": "w", "execution_id": execution, "metrics": metrics});
        contract.post("/api/metrics/report", &body).await.ok();
    };
    // All in one minute, and the first one sent again.
    for (execution, value) in
        [(json!(470_000_000_000_000_001_i64), 1.0), (json!("e/2"), 2.0), (json!("e/2"), 2.0)]
    {
        report(execution, value).await;
    }
    let values = async |parameters: &str| -> Vec<String> {
        let found = found(&contract, parameters).await;
        let mut values: Vec<String> = found
            .iter()
            .map(|one| {
                format!(
                    "{} {} {}",
                    one["metric_name"].as_str().unwrap(),
                    one["value"],
                    one["exemplar_labels"]["execution_id"]
                )
            })
            .collect();
        values.sort();
        values
    };
    let first = ["rows_total 1.0 \"470000000000000001\"", "steps 1.0 \"470000000000000001\""];
    assert_eq!(values("execution_id=470000000000000001").await, first);
    assert_eq!(values("execution_id=e/2&metric_name=steps").await, ["steps 2.0 \"e/2\""]);
    assert_eq!(values(&format!("execution_id=e/2&trace_id={TRACE}")).await, ["rows_total 2.0 \"e/2\""]);
    let nowhere = ["execution_id=none", "execution_id=e/2&component_name=x", "execution_id=e/2&label.a=b"];
    for parameters in nowhere {
        assert_eq!(values(parameters).await, [] as [String; 0], "{parameters}");
    }
    let until = format!("execution_id=e/2&end_time={}", time(at - 1000));
    assert_eq!(values(&until).await, [] as [String; 0]);
    // Page by page.
    let (mut pages, mut token) = (Vec::new(), String::new());
    loop {
        let reply =
            contract.get(&format!("/api/metrics/exemplars?component_name=w&limit=1{token}")).await.ok();
        pages.extend(reply["exemplars"].as_array().unwrap().iter().map(|one| one["value"].to_string()));
        match reply["next_page_token"].as_str() {
            Some(next) => token = format!("&page_token={next}"),
            None => break,
        }
    }
    pages.sort();
    assert_eq!(pages, ["1.0", "1.0", "2.0", "2.0"]);
    let labels = "select count(*) from noetl_metrics.series where labels::text like '%execution%' or labels::text like '%e/2%'";
    assert_eq!(contract.value::<i64>(labels).await, 0);
    let text = contract.get("/api/metrics/prometheus").await;
    assert!(!text.text().contains("e/2") && !text.text().contains("execution_id"), "{}", text.text());
}

#[tokio::test]
async fn a_bad_exemplar_and_a_bad_question_are_named() {
    let contract = Contract::start().await;
    contract.register("w").await;
    let long = json!([{"labels": {"trace_id": "é".repeat(121)}}]);
    let body =
        json!([counter("a_total", 1.0, &long), counter("b_total", 1.0, &json!([of_trace(now(), 1.0)]))]);
    let reply = contract.report("w", body).await.ok();
    assert_eq!(
        (&reply["metrics_inserted"], &reply["rejected"][0]["field"]),
        (&json!(1), &json!("exemplars"))
    );
    assert!(reply["rejected"][0]["reason"].as_str().unwrap().contains("129 characters"), "{reply}");
    let body = json!({"component_name": "w", "execution_id": 1.5, "metrics": []});
    let problem = contract.post("/api/metrics/report", &body).await.problem(422, "invalid-report");
    assert!(problem["detail"].as_str().unwrap().starts_with("execution_id"), "{problem}");
    for (parameters, name) in [
        ("limit=0", "limit"),
        ("limit=10001", "limit"),
        ("page_token=x", "page_token"),
        ("page_token=1-ffffffffffffffff", "page_token"),
        ("trace_id=a%00", "trace_id"),
        ("execution_id=a&execution_id=b", "execution_id"),
        ("start_time=soon", "start_time"),
        ("label.a-b=c", "label.a-b"),
        ("step=1m", "step"),
        ("traceid=a", "traceid"),
    ] {
        let answer = contract.get(&format!("/api/metrics/exemplars?{parameters}")).await;
        let problem = answer.problem(400, "invalid-parameter");
        assert_eq!(problem["errors"][0]["field"], name, "{parameters}: {problem}");
    }
    assert_eq!(names(&contract, "").await, ["b_total"]);
}

#[tokio::test]
async fn exemplars_are_bounded_in_number_and_age_and_outlive_a_restart() {
    let mut contract = Contract::with(&["--max-exemplars", "3"]).await;
    contract.register("w").await;
    let at = now() - 10 * 60_000;
    for minute in 0..5 {
        let exemplars = json!([of_trace(at + minute * 60_000, minute as f64)]);
        contract.report("w", json!([counter("a_total", 1.0, &exemplars)])).await.ok();
    }
    let values = async |contract: &Contract| -> Vec<f64> {
        found(contract, "").await.iter().map(|one| one["value"].as_f64().unwrap()).collect()
    };
    assert_eq!(values(&contract).await, [4.0, 3.0, 2.0], "the oldest go");
    let own = Exposition::checked(contract.get("/metrics").await.text());
    for (name, value) in [("stored_total", "5"), ("pushed_out_total", "2"), ("exported", "1")] {
        assert_eq!(own.get(&format!("noetl_metrics_exemplars_{name}"), &[]), Some(value), "{name}");
    }
    contract.restart().await;
    let export = open_metrics(&contract).await;
    assert_eq!(export.exemplar("a_total", &[]).unwrap().1, "4", "the newest is exported again");
    contract.server.kill();
    contract.start_again().await;
    assert_eq!(open_metrics(&contract).await.exemplar("a_total", &[]).unwrap().1, "4");
    // Whatever samples are kept for, a week is the most.
    contract
        .run("update noetl_metrics.exemplar set \"timestamp\" = now() - interval '169 hours' where value < 4")
        .await;
    let plan = crate::maintenance::maintain(&contract, &["--retention-raw", "30d", "--dry-run"]).await;
    let run = crate::maintenance::maintain(&contract, &["--retention-raw", "30d"]).await;
    assert_eq!((&plan["deleted_exemplars"], &run["deleted_exemplars"]), (&json!(2), &json!(2)));
    assert_eq!(values(&contract).await, [4.0]);
}
