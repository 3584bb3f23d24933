use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::model::{Limits, MetricType, Millis, is_stale};
use crate::wire::remote_write::identify;

fn request(resource: &Value, metrics: &Value) -> ExportMetricsServiceRequest {
    let body = json!({"resourceMetrics": [{
        "resource": {"attributes": resource}, "scopeMetrics": [{"metrics": metrics}]
    }]});
    read(Form::Json, body.to_string().as_bytes()).unwrap()
}

fn attribute(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

/// Each series as a line: component, name, labels, value, time.
fn lines(request: &ExportMetricsServiceRequest) -> (Vec<String>, Translated) {
    let translated = translate(request, &Limits::default(), Millis(5)).unwrap();
    let write = translated.made.write();
    let line = |written| {
        let labels = write.labels(written).unwrap();
        let one = identify(labels, &Limits::default()).unwrap();
        let labels: Vec<String> = one.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let sample = write.samples(written)[0];
        format!("{} {}{{{}}} {} @{}", one.component, one.metric, labels.join(","), sample.value, sample.at.0)
    };
    let lines = write.series.iter().map(line).collect();
    (lines, translated)
}

#[test]
fn numbers_become_series_of_the_service() {
    let resource = json!([attribute("service.name", "shop"), attribute("service.instance.id", "a1")]);
    let point = |value: &Value| {
        let mut point = json!({
            "timeUnixNano": "7000000", "attributes": [attribute("http.method", "GET")]
        });
        point.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
        point
    };
    let request = request(
        &resource,
        &json!([
            {"name": "queue.size", "gauge": {"dataPoints": [point(&json!({"asInt": "3"}))]}},
            {"name": "jobs", "unit": "{job}", "description": "Jobs.", "sum": {"isMonotonic": true,
                "aggregationTemporality": 2, "dataPoints": [point(&json!({"asDouble": 4.5}))]}},
            {"name": "open", "sum": {"aggregationTemporality": 1, "dataPoints": [point(&json!({"asInt": -2}))]}},
            {"name": "nothing", "gauge": {"dataPoints": [point(&json!({}))]}},
            {"name": "over", "gauge": {"dataPoints": [point(&json!({"flags": 1}))]}},
        ]),
    );
    let (lines, translated) = lines(&request);
    let labels = "http_method=GET,instance=a1,job=shop";
    assert_eq!(
        lines,
        [
            format!("shop queue_size{{{labels}}} 3 @7"),
            format!("shop jobs_total{{{labels}}} 4.5 @7"),
            format!("shop open{{{labels}}} -2 @7"),
            format!("shop over{{{labels}}} NaN @7"),
        ]
    );
    let write = translated.made.write();
    let deltas: Vec<bool> = write.series.iter().map(|series| series.is_delta).collect();
    assert_eq!(deltas, [false, false, true, false]);
    let about = write.about(&write.series[1]);
    assert_eq!(
        (about.kind, about.help, about.unit),
        (Some(MetricType::Counter), Some("Jobs."), Some("{job}"))
    );
    assert!(is_stale(write.samples(&write.series[3])[0].value));
    assert_eq!((translated.points, translated.point_of), (5, vec![Some(0), Some(1), Some(2), Some(4)]));
    assert_eq!(translated.refused, [(3, "nothing: has no value".to_owned())]);
}

#[test]
fn a_resource_names_its_component_and_is_described_once() {
    let resource = json!([
        attribute("service.name", "shop"), attribute("service.namespace", "eu"),
        attribute("noetl.component.name", "w-1"), attribute("noetl.component.type", "worker_pool"),
        attribute("host.name", "n1"), {"key": "host.cpus", "value": {"intValue": "8"}},
    ]);
    let gauge = json!({"name": "g", "gauge": {"dataPoints": [{"asInt": 1, "timeUnixNano": 9_000_000}]}});
    let (lines, translated) = lines(&request(&resource, &json!([gauge])));
    assert_eq!(
        lines,
        ["w-1 g{job=eu/shop} 1 @9", "w-1 target_info{host_cpus=8,host_name=n1,job=eu/shop} 1 @9"]
    );
    let write = translated.made.write();
    assert!(
        write.labels(&write.series[0]).unwrap().contains(&("component_type".into(), "worker_pool".into()))
    );
    assert_eq!(translated.point_of, [Some(0), None]);
    let nameless = request_of_nobody();
    assert_eq!(super::tests::lines(&nameless).0, ["otlp g{} 1 @5"]);
}

fn request_of_nobody() -> ExportMetricsServiceRequest {
    request(&json!([]), &json!([{"name": "g", "gauge": {"dataPoints": [{"asInt": 1}]}}]))
}

#[test]
fn histograms_and_summaries_are_taken_apart() {
    let request = request(
        &json!([]),
        &json!([
            {"name": "took", "unit": "s", "histogram": {"aggregationTemporality": 2, "dataPoints": [{
                "count": "3", "sum": 1.5, "bucketCounts": ["1", "2"], "explicitBounds": [0.5],
                "exemplars": [{"asDouble": 0.7, "timeUnixNano": "4000000", "traceId": "0af7651916cd43dd8448eb211c80319c",
                    "spanId": "b7ad6b7169203331"}]}]}},
            {"name": "age", "summary": {"dataPoints": [{"count": 2, "sum": 4.0,
                "quantileValues": [{"quantile": 0.5, "value": 1.0}]}]}},
            {"name": "bad", "histogram": {"aggregationTemporality": 2, "dataPoints": [
                {"count": 1, "bucketCounts": [1], "explicitBounds": [1.0]}]}},
            {"name": "unsaid", "histogram": {"dataPoints": [{"count": 1}]}},
        ]),
    );
    let (lines, translated) = lines(&request);
    assert_eq!(
        lines,
        [
            "otlp took_seconds_bucket{le=0.5} 1 @5",
            "otlp took_seconds_bucket{le=+Inf} 3 @5",
            "otlp took_seconds_sum{} 1.5 @5",
            "otlp took_seconds_count{} 3 @5",
            "otlp age{quantile=0.5} 1 @5",
            "otlp age_sum{} 4 @5",
            "otlp age_count{} 2 @5",
        ]
    );
    let write = translated.made.write();
    let exemplars = write.exemplars(&write.series[1]);
    assert_eq!((exemplars.len(), exemplars[0].sample.value, exemplars[0].sample.at.0), (1, 0.7, 4));
    let trace = ("trace_id".into(), "0af7651916cd43dd8448eb211c80319c".into());
    assert_eq!(write.exemplar_labels(&exemplars[0]).unwrap()[0], trace);
    assert!(write.exemplars(&write.series[0]).is_empty());
    let refused: Vec<_> =
        translated.refused.iter().map(|(index, reason)| (*index, reason.as_str())).collect();
    assert_eq!(refused[0], (2, "bad: 1 bucket_counts do not fit 1 explicit_bounds"));
    assert!(refused[1].1.contains("aggregation_temporality"), "{refused:?}");
}

#[test]
fn a_metric_without_data_is_refused_and_not_passed_over() {
    let good = json!([{"asInt": 1}]);
    let request = request(
        &json!([]),
        &json!([{"name": "nothing"}, {"name": "new", "kind": {}}, {"name": "good", "gauge": {"dataPoints": good}},
            {"name": "名", "gauge": {"dataPoints": good}}]),
    );
    let translated = translate(&request, &Limits::default(), Millis(5)).unwrap();
    let refused: Vec<_> = translated.refused.iter().map(|(_, why)| why.split(':').next().unwrap()).collect();
    assert_eq!(refused, ["nothing", "new", "名"]);
    assert_eq!(translated.points, 4);
}

#[test]
fn what_is_too_long_or_too_many_is_refused_without_a_copy_for_each_point() {
    let long = "n".repeat(100_000);
    let points = vec![json!({"asInt": 1}); 50];
    let of =
        |metric: &Value| translate(&request(&json!([]), &json!([metric])), &Limits::default(), Millis(5));
    for (metric, why) in [
        (
            json!({"name": long, "gauge": {"dataPoints": points}}),
            "name: 100000 bytes, at most 255 are allowed",
        ),
        (
            json!({"name": "n", "unit": long, "gauge": {"dataPoints": points}}),
            "unit: 100000 bytes, at most 255 are allowed",
        ),
    ] {
        let refused = of(&metric).unwrap().refused;
        let [(0, said)] = &refused[..] else { panic!("{refused:?}") };
        assert!(said.ends_with(why) && said.len() < 200, "{said}");
    }
    // One that says nothing of how its points add up: only some of them are named.
    let refused = of(&json!({"name": "n", "sum": {"dataPoints": points}})).unwrap().refused;
    assert_eq!(refused.len(), 50);
    assert_eq!(refused.iter().filter(|(_, why)| !why.is_empty()).count(), NAMED);
    let attributes: Vec<Value> = (0..41).map(|i| attribute(&format!("a{i}"), "x")).collect();
    let many = json!([{"asInt": 1, "attributes": attributes}]);
    let refused = of(&json!({"name": "n", "gauge": {"dataPoints": many}})).unwrap().refused;
    assert_eq!(refused, [(0, "n: 41 attributes, at most 40 are allowed".to_owned())]);
    let bounds: Vec<u32> = (0..1001).collect();
    let many = json!([{"explicitBounds": bounds, "bucketCounts": vec![1; 1002]}]);
    let refused = of(&json!({"name": "n", "histogram": {"aggregationTemporality": 2, "dataPoints": many}}))
        .unwrap()
        .refused;
    assert_eq!(refused, [(0, "n: 1001 explicit_bounds, at most 1000 are allowed".to_owned())]);
}

#[test]
fn in_json_null_is_absent_and_numbers_may_be_strings() {
    let point = |value: &str| {
        let body = format!(
            r#"{{"resourceMetrics": [{{"resource": null, "schemaUrl": null, "scopeMetrics": [{{"scope": null, "metrics": [
                {{"name": "m", "description": null, "unit": null, "sum": null, "gauge": {{"dataPoints": [
                    {{"attributes": null, "startTimeUnixNano": null, "timeUnixNano": 7000000, "exemplars": null,
                      "flags": null, "asInt": null, "asDouble": {value}, "later": [{{}}]}}]}}}}]}}]}}]}}"#
        );
        let request = read(Form::Json, body.as_bytes()).unwrap();
        lines(&request).0.join(",")
    };
    for (written, value) in [
        (r#""NaN""#, "NaN"),
        (r#""Infinity""#, "inf"),
        (r#""-Infinity""#, "-inf"),
        (r#""-1.5e1""#, "-15"),
        (r#""7""#, "7"),
        ("2.5", "2.5"),
        ("3", "3"),
    ] {
        assert_eq!(point(written), format!("otlp m{{}} {value} @7"), "{written}");
    }
    assert_eq!(point("null"), "");
}

#[test]
fn in_json_all_that_a_point_has_is_read() {
    let value = |value: &Value| json!([{"key": "a", "value": value}]);
    let values = [
        (json!({"stringValue": "s"}), "s"),
        (json!({"boolValue": true}), "true"),
        (json!({"intValue": "9007199254740993"}), "9007199254740993"),
        (json!({"doubleValue": 0.5}), "0.5"),
        (json!({"bytesValue": "AQI="}), "0102"),
        (json!({"bytesValue": "-_8"}), "fbff"),
        (json!({"intValue": 3.0}), "3"),
        (json!({"intValue": "1e2"}), "100"),
        (json!({"arrayValue": {"values": [{"intValue": 1}, {}]}}), "[1,null]"),
        (json!({"kvlistValue": {"values": [{"key": "k", "value": {"boolValue": false}}]}}), "{\"k\":false}"),
    ];
    for (attribute, label) in values {
        let points = json!([{"asInt": 1, "attributes": value(&attribute)}]);
        let request = request(&json!([]), &json!([{"name": "m", "gauge": {"dataPoints": points}}]));
        assert_eq!(lines(&request).0, [format!("otlp m{{a={label}}} 1 @5")]);
    }
    let histogram = json!({"count": 3, "sum": null, "scale": 0, "zeroCount": "1", "zeroThreshold": 0,
        "positive": {"offset": 0, "bucketCounts": ["2"]}, "negative": null});
    let of = |metric: &Value| lines(&request(&json!([]), &json!([metric]))).0;
    let exponential = of(&json!({"name": "e", "exponentialHistogram": {
        "aggregationTemporality": 2, "dataPoints": [histogram]}}));
    assert!(exponential.contains(&"otlp e_bucket{le=2} 3 @5".to_owned()), "{exponential:?}");
    let summary = of(&json!({"name": "s", "summary": {"dataPoints": [
        {"count": "2", "sum": 1, "quantileValues": [{"quantile": 0.5, "value": "NaN"}]}]}}));
    assert_eq!(summary, ["otlp s{quantile=0.5} NaN @5", "otlp s_sum{} 1 @5", "otlp s_count{} 2 @5"]);
}

#[test]
fn an_error_in_json_names_the_field() {
    let of = |metric: &str| {
        let body = format!(r#"{{"resourceMetrics": [{{"scopeMetrics": [{{"metrics": [{metric}]}}]}}]}}"#);
        read(Form::Json, body.as_bytes()).unwrap_err().to_string()
    };
    let path = "body: not a valid ExportMetricsServiceRequest: resourceMetrics: scopeMetrics: metrics: ";
    for (metric, why) in [
        (r#"{"name": 5}"#, "name: invalid type: integer `5`, expected a string"),
        (
            r#"{"gauge": {"dataPoints": [{"asDouble": "nan"}]}}"#,
            "gauge: dataPoints: asDouble: invalid value: string \"nan\", expected a number, by itself or as a string, or the string NaN, Infinity or -Infinity",
        ),
        (
            r#"{"sum": {"dataPoints": [{"timeUnixNano": "soon"}]}}"#,
            "sum: dataPoints: timeUnixNano: invalid value: string \"soon\", expected a whole number of 64 bits, not negative",
        ),
        (
            r#"{"sum": {"aggregationTemporality": "AGGREGATION_TEMPORALITY_DELTA"}}"#,
            "sum: aggregationTemporality: invalid value: string \"AGGREGATION_TEMPORALITY_DELTA\", expected a whole number of 32 bits",
        ),
        (
            r#"{"gauge": {"dataPoints": [{"exemplars": [{"traceId": "0g"}]}]}}"#,
            "gauge: dataPoints: exemplars: traceId: is not a text of two hexadecimal digits a byte",
        ),
    ] {
        let said = of(metric);
        assert!(said.starts_with(&format!("{path}{why}")), "{said}");
    }
}

#[test]
fn more_messages_than_memory_is_there_for_are_refused_before_they_are_memory() {
    let limits = Limits { body_bytes: 800, ..Limits::default() };
    let body = |count| json!({"resourceMetrics": vec![json!({}); count]}).to_string();
    assert!(memory(Form::Json, body(30).as_bytes(), &limits).is_ok());
    let refused = memory(Form::Json, body(40).as_bytes(), &limits);
    assert!(matches!(refused, Err(OtlpError::TooManyMessages(40))), "{refused:?}");
    let body = |count| [0x0a, 0].repeat(count);
    assert!(memory(Form::Protobuf, &body(40), &limits).is_ok());
    let refused = memory(Form::Protobuf, &body(41), &limits);
    assert!(matches!(refused, Err(OtlpError::TooManyMessages(40))), "{refused:?}");
}

#[test]
fn more_series_than_a_report_may_have_are_refused() {
    let limits = Limits { samples: 1, ..Limits::default() };
    let point = json!({"asInt": 1});
    let request =
        request(&json!([]), &json!([{"name": "g", "gauge": {"dataPoints": [point.clone(), point]}}]));
    assert!(matches!(translate(&request, &limits, Millis(5)), Err(OtlpError::TooMany(1))));
}

#[test]
fn answers_are_written_as_the_request_was() {
    assert_eq!(answer(Form::Json, 0, ""), b"{}".to_vec());
    assert!(answer(Form::Protobuf, 0, "").is_empty());
    let partial: Value = serde_json::from_slice(&answer(Form::Json, 2, "because")).unwrap();
    assert_eq!(partial["partialSuccess"], json!({"rejectedDataPoints": "2", "errorMessage": "because"}));
    let status: Value = serde_json::from_slice(&refusal(Form::Json, 503, "later")).unwrap();
    assert_eq!(status, json!({"code": 14, "message": "later"}));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for form in [Form::Protobuf, Form::Json] {
            if let Ok(request) = read(form, &bytes) {
                let _ = translate(&request, &Limits::default(), Millis(5));
            }
        }
    }
}
