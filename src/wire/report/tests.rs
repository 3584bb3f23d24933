use proptest::prelude::*;

use super::fuzz::{Remembered, recalled_as_read};
use super::*;
use crate::model::{Component, RuntimeId, SeriesId};

const NOW: Millis = Millis(1_800_000_000_000);

/// A report in which no series is known.
#[derive(Debug)]
struct Whole<'a> {
    runtime_id: Option<i64>,
    component_name: Option<Cow<'a, str>>,
    component_type: Option<Cow<'a, str>>,
    samples: Vec<Sample<'a>>,
    rejected: Vec<Rejected>,
}

fn read(body: &str) -> Result<Whole<'_>, ReportError> {
    read_bytes(body.as_bytes())
}

fn read_bytes(body: &[u8]) -> Result<Whole<'_>, ReportError> {
    let report = super::read(body, &Limits::default())?;
    let (runtime_id, component_name) = (report.runtime_id, report.component_name.clone());
    let component_type = report.component_type.clone();
    let checked = report.check(&Limits::default(), NOW, &Remembered::default())?;
    Ok(Whole {
        runtime_id,
        component_name,
        component_type,
        samples: checked.samples,
        rejected: checked.rejected,
    })
}

fn only_reason(metric: &str) -> String {
    let body = format!(r#"{{"component_name":"w","metrics":[{metric}]}}"#);
    let report = read(&body).unwrap();
    assert!(report.samples.is_empty(), "{metric}");
    format!("{}: {}", report.rejected[0].field, report.rejected[0].reason)
}

#[test]
fn the_documented_body_is_read() {
    let report = read(
        r#"{"component_name":"worker-cpu-01","component_type":"worker_pool","extra":[1,{}],"metrics":[{
        "metric_name":"noetl_system_cpu_usage_percent","metric_type":"gauge","metric_value":45.2,
        "timestamp":"2024-01-01T12:00:00Z","labels":{"component":"worker-cpu-01","hostname":"node-1"},
        "help_text":"CPU usage percentage","unit":"percent"}]}"#,
    )
    .unwrap();
    assert_eq!(report.component_name.as_deref(), Some("worker-cpu-01"));
    assert_eq!(report.component_type.as_deref(), Some("worker_pool"));
    let sample = &report.samples[0];
    assert_eq!((sample.value, sample.at), (45.2, Some(Millis(1_704_110_400_000))));
    assert_eq!(sample.labels[1], ("hostname".into(), "node-1".into()));
    assert!(matches!(sample.name, Cow::Borrowed(_)), "no copy");
}

#[test]
fn good_samples_survive_bad_ones() {
    let report = read(
        r#"{"runtime_id":"7","metrics":[{"metric_name":"a","metric_type":"gauge","metric_value":1},
        {"metric_name":"b","metric_type":"gauge","metric_value":"x"},17,
        {"metric_name":"c","metric_type":"gauge","metric_value":"NaN"}]}"#,
    )
    .unwrap();
    assert_eq!(report.runtime_id, Some(7));
    assert_eq!(report.samples.iter().map(|s| s.index).collect::<Vec<_>>(), [0, 3]);
    assert_eq!(report.rejected.iter().map(|r| r.index).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(report.rejected[0].field, "metric_value");
}

#[test]
fn whole_histograms_and_summaries_are_taken_apart() {
    let report = read(
        r#"{"component_name":"w","metrics":[
        {"metric_name":"h","metric_type":"histogram","buckets":{"1":2,"0.5":1,"+Inf":3},"sum":2.5,"count":3},
        {"metric_name":"s","metric_type":"summary","quantiles":{"0.5":1.5},"sum":2.5,"count":3,"labels":{"a":"b"}}]}"#,
    )
    .unwrap();
    assert_eq!(report.rejected, []);
    let names: Vec<String> = report
        .samples
        .iter()
        .map(|s| {
            format!(
                "{}{:?}={}",
                s.name,
                s.labels.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>(),
                s.value
            )
        })
        .collect();
    assert_eq!(
        names,
        [
            r#"h_bucket["le=0.5"]=1"#,
            r#"h_bucket["le=1.0"]=2"#,
            r#"h_bucket["le=+Inf"]=3"#,
            "h_sum[]=2.5",
            "h_count[]=3",
            r#"s["a=b", "quantile=0.5"]=1.5"#,
            r#"s_sum["a=b"]=2.5"#,
            r#"s_count["a=b"]=3"#,
        ]
    );
}

#[test]
fn errors_name_the_field() {
    for (metric, expected) in [
        (r#"{"metric_type":"gauge","metric_value":1}"#, "metric_name: is missing"),
        (r#"{"metric_name":"a-b","metric_type":"gauge","metric_value":1}"#, "metric_name: \"a-b\""),
        (r#"{"metric_name":"a","metric_type":"Gauge","metric_value":1}"#, "metric_type: \"Gauge\""),
        (r#"{"metric_name":"a","metric_type":"gauge"}"#, "metric_value: is missing"),
        (
            r#"{"metric_name":"a","metric_type":"gauge","metric_value":true}"#,
            "metric_value: must be a number",
        ),
        (
            r#"{"metric_name":"a","metric_type":"counter","metric_value":-1}"#,
            "metric_value: a counter counts up",
        ),
        (
            r#"{"metric_name":"a","metric_type":"gauge","metric_value":1,"metric_value":2}"#,
            "metric_value: occurs twice",
        ),
        (
            r#"{"metric_name":"a","metric_type":"gauge","metric_value":1,"labels":["x"]}"#,
            "labels: must be an object",
        ),
        (
            r#"{"metric_name":"a","metric_type":"gauge","metric_value":1,"labels":{"x":1}}"#,
            "labels: labels.x: must be a string",
        ),
        (
            r#"{"metric_name":"a","metric_type":"gauge","metric_value":1,"labels":{"x":"1","x":"2"}}"#,
            "labels: labels.x: occurs twice",
        ),
        (
            r#"{"metric_name":"a","metric_type":"gauge","metric_value":1,"timestamp":12}"#,
            "timestamp: must be a string",
        ),
        (
            r#"{"metric_name":"a","metric_type":"gauge","metric_value":1,"timestamp":"2027-06-01T00:00:00Z"}"#,
            "timestamp: 2027-06-01T00:00:00.000Z is more than 600 s ahead",
        ),
        (
            r#"{"metric_name":"h","metric_type":"histogram","buckets":{"1":2},"sum":1,"count":2}"#,
            "buckets: the bucket +Inf",
        ),
        (
            r#"{"metric_name":"h","metric_type":"histogram","buckets":{"1":3,"+Inf":2},"sum":1,"count":2}"#,
            "buckets: buckets are cumulative",
        ),
    ] {
        let reason = only_reason(metric);
        assert!(reason.starts_with(expected), "{metric}\n{reason}");
    }
}

#[test]
fn a_body_that_is_no_report_fails_as_a_whole() {
    assert!(matches!(read("{"), Err(ReportError::Syntax(_))));
    assert!(matches!(read("[]"), Err(ReportError::Shape { field: "body", .. })));
    assert!(matches!(read("{}"), Err(ReportError::Shape { field: "metrics", .. })));
    assert!(matches!(read(r#"{"metrics":{}}"#), Err(ReportError::Shape { field: "metrics", .. })));
    assert!(matches!(
        read(r#"{"runtime_id":1.5,"metrics":[]}"#),
        Err(ReportError::Shape { field: "runtime_id", .. })
    ));
    assert!(matches!(
        read(r#"{"component_name":[],"metrics":[]}"#),
        Err(ReportError::Shape { field: "component_name", .. })
    ));
}

/// A series that is known by the fields of a counter.
fn known_counter() -> Arc<Series> {
    let component = Component::new(RuntimeId(1), "w", "worker_pool", NOW);
    let line = b"c{component=\"w\"} ".as_slice();
    Arc::new(Series::new(SeriesId(7), Arc::new(component), MetricType::Counter, line.into()))
}

#[test]
fn of_a_known_series_only_value_and_time_are_read() {
    let body = r#"{"component_name":"w","metrics":[
        {"metric_name":"c","metric_type":"counter","metric_value":1,"labels":{"a":"b"},"timestamp":"2024-01-01T12:00:00Z"},
        {"timestamp":null,"labels":{"a":"b"},"metric_type":"counter","metric_value":"+Inf","metric_name":"c"},
        {"metric_name":"c","metric_type":"counter","metric_value":-1,"labels":{"a":"b"}},
        {"metric_name":"c","metric_type":"counter","labels":{"a":"b"}},
        {"metric_name":"c","metric_type":"counter","metric_value":1,"labels":{"a":"b"},"timestamp":"soon"},
        {"metric_name":"c","metric_type":"counter","metric_value":2,"labels":{"a":"c"}},
        {"metric_name":"c","metric_type":"histogram","sum":2,"count":1,"labels":{"a":"b"}},
        {"metric_name":"c","metric_type":"counter","metric_value":1,"labels":{"a":"b"},"metric_value":2}]}"#;
    let series = known_counter();
    let key: fn(&[&str; 5]) -> SeriesKey = |fields| match fields {
        [r#""c""#, r#""counter""#, r#"{"a":"b"}"#, "", ""] => SeriesKey(1),
        _ => SeriesKey(2),
    };
    let report = super::read(body.as_bytes(), &Limits::default()).unwrap();
    let known = Remembered { key: Some(key), series: [(1, series)].into(), ..Remembered::default() };
    let checked = report.check(&Limits::default(), NOW, &known).unwrap();
    let entries: Vec<_> = checked
        .entries
        .iter()
        .map(|entry| match entry {
            Entry::Known(known) => (known.series.id.0, known.value, known.at.map(|at| at.0)),
            Entry::Sample(place) => (-1, checked.samples[*place].value, None),
        })
        .collect();
    assert_eq!(entries, [(7, 1.0, Some(1_704_110_400_000)), (7, f64::INFINITY, None), (-1, 2.0, None)]);
    assert_eq!(checked.samples[0].key, Some(SeriesKey(2)));
    let rejected: Vec<_> =
        checked.rejected.iter().map(|r| (r.index, r.field.as_str(), r.reason.as_str())).collect();
    assert_eq!(
        rejected,
        [
            (2, "metric_value", "a counter counts up from 0: it can't be -1"),
            (3, "metric_value", "is missing"),
            (4, "timestamp", checked.rejected[2].reason.as_str()),
            (6, "buckets", checked.rejected[3].reason.as_str()),
            (7, "metric_value", "occurs twice"),
        ]
    );
}

/// Six counters, as a program writes them.
fn six(value: u32, time: &str) -> Vec<String> {
    counters(0..6, value, time)
}

fn counters(numbers: std::ops::Range<u32>, value: u32, time: &str) -> Vec<String> {
    let entry = |number: u32| {
        let value = value + number;
        format!(
            r#"{{"metric_name":"c{number}","metric_value":{value},"timestamp":"{time}","metric_type":"counter","labels":{{"a":"b"}}}}"#
        )
    };
    numbers.map(entry).collect()
}

fn of_w(entries: &[String]) -> Vec<u8> {
    format!(r#"{{"component_name":"w","metrics":[{}]}}"#, entries.join(",")).into_bytes()
}

fn remembered(body: &[u8]) -> Remembered {
    let report = super::read(body, &Limits::default()).unwrap();
    let checked = report.check(&Limits::default(), NOW, &Remembered::default()).unwrap();
    Remembered::all_of(&checked.samples)
}

#[test]
fn what_is_written_as_before_is_not_taken_apart() {
    let body = |value, time| of_w(&six(value, time));
    let first = body(1, "2024-01-01T12:00:00Z");
    let known = remembered(&first);
    let limits = Limits::default();
    assert_eq!(recalled_as_read(&first, &known, &limits), 0, "nothing is remembered yet");
    for (value, time) in [(1, "2024-01-01T12:00:00Z"), (12_345, "2025-07-01T12:00:00.125+02:00")] {
        assert_eq!(recalled_as_read(&body(value, time), &known, &limits), 5, "all but the first");
    }
    assert_eq!(recalled_as_read(&body(7, "soon"), &known, &limits), 5, "and refused");

    let mut entries = six(3, "2024-01-01T12:00:00Z");
    entries.remove(2);
    assert_eq!(recalled_as_read(&of_w(&entries), &known, &limits), 3, "c1, c4, c5");
    assert_eq!(recalled_as_read(&of_w(&entries), &known, &limits), 4, "and c3 from then on");
    entries.swap(0, 4);
    assert_eq!(recalled_as_read(&of_w(&entries), &known, &limits), 0, "no report began with c5");
    assert_eq!(recalled_as_read(&of_w(&entries), &known, &limits), 4);
}

#[test]
fn after_many_that_were_not_expected_none_is() {
    let time = "2024-01-01T12:00:00Z";
    let body = of_w(&counters(0..40, 1, time));
    let limits = Limits::default();
    for (new, same) in [(15, 39), (16, 0)] {
        let known = remembered(&body);
        recalled_as_read(&body, &known, &limits);
        let mut entries = counters(0..40, 2, time);
        // Besides the first, which nothing tells of.
        entries.splice(1..1, counters(100..100 + new, 1, time));
        assert_eq!(recalled_as_read(&of_w(&entries), &known, &limits), same, "{new} new ones");
        assert_eq!(recalled_as_read(&body, &known, &limits), 39, "{new}: in this report only");
    }
}

#[test]
fn what_differs_in_anything_but_value_and_time_is_taken_apart() {
    let time = "2024-01-01T12:00:00Z";
    let body = of_w(&six(1, time));
    for (from, to) in [
        ("\"c3\"", "\"c9\""),
        ("\"c3\",\"metric_value\":4", "\"c3\",\"metric_value\":\"NaN\""),
        ("\"c3\",\"metric_value\":4", "\"c3\",\"metric_value\":1e999"),
        ("\"c3\",\"metric_value\":4", "\"c3\",\"metric_value\":04"),
        ("\"c3\",\"metric_value\":4", "\"c3\", \"metric_value\":4"),
        ("\"c3\",\"metric_value\":4", "\"c3\",\"unit\":\"s\",\"metric_value\":4"),
        ("\"c3\",\"metric_value\":4", "\"c3\",\"metric_value\":5,\"metric_value\":4"),
        ("4,\"timestamp\":\"2024-01-01T12:00:00Z\"", "4,\"timestamp\":\"2024-01-01T12:00:00\\u005a\""),
        ("4,\"timestamp\":\"2024-01-01T12:00:00Z\"", "4,\"timestamp\":null"),
        ("4,\"timestamp\":\"2024-01-01T12:00:00Z\"", "4"),
    ] {
        let known = remembered(&body);
        let limits = Limits::default();
        assert_eq!(recalled_as_read(&body, &known, &limits), 0);
        let changed = str::from_utf8(&body).unwrap().replacen(from, to, 1).into_bytes();
        assert_ne!(changed, body, "{from}");
        assert!(recalled_as_read(&changed, &known, &limits) <= 4, "{to}");
        recalled_as_read(&body, &known, &limits);
        assert_eq!(recalled_as_read(&body, &known, &limits), 5, "{to}: known again");
    }
}

#[test]
fn a_report_that_names_another_component_in_the_end_is_not_of_the_recalled() {
    let body = of_w(&six(1, "2024-01-01T12:00:00Z"));
    let known = remembered(&body);
    recalled_as_read(&body, &known, &Limits::default());
    let report = read_recalling(&body, &Limits::default(), |_| Some(&known)).unwrap();
    let component = |id| Component::new(RuntimeId(id), "w", "worker_pool", NOW);
    assert!(report.may_be_of(&component(1)));
    assert!(!report.may_be_of(&component(2)));
    let heads = |body: &str| {
        let mut heads = Vec::new();
        let _ = read_recalling(body.as_bytes(), &Limits::default(), |head| {
            heads.push(format!("{:?} {:?} {:?}", head.runtime_id, head.component_name, head.component_type));
            None::<&Remembered>
        });
        heads
    };
    assert_eq!(heads(r#"{"component_name":"w","kind":"k","metrics":[]}"#), ["None Some(\"w\") Some(\"k\")"]);
    assert_eq!(heads(r#"{"runtime_id":7,"metrics":[]}"#), ["Some(7) None None"]);
    assert_eq!(heads(r#"{"runtime_id":"7","metrics":[]}"#), Vec::<String>::new());
}

#[test]
fn a_field_that_no_double_or_text_can_hold_is_named() {
    for (metric, expected) in [
        (
            r#"{"metric_name":"c","metric_type":"gauge","metric_value":1e999}"#,
            "metric_value: number out of range",
        ),
        (
            r#"{"metric_name":"\ud800","metric_type":"gauge","metric_value":1}"#,
            "metric_name: unexpected end of hex escape",
        ),
    ] {
        assert_eq!(only_reason(metric), expected);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_bytes(&bytes);
    }

    #[test]
    fn any_double_survives(value in any::<f64>()) {
        let text = if value.is_nan() { "\"NaN\"".to_owned() }
            else if value.is_infinite() { if value > 0.0 { "\"+Inf\"".to_owned() } else { "\"-Inf\"".to_owned() } }
            else { serde_json::to_string(&value).unwrap() };
        let body = format!(r#"{{"component_name":"w","metrics":[{{"metric_name":"a","metric_type":"gauge","metric_value":{text}}}]}}"#);
        let got = read(&body).unwrap().samples[0].value;
        prop_assert!(got.to_bits() == value.to_bits() || (got.is_nan() && value.is_nan()));
    }
}

fn exemplars(body: &str) -> Result<(Vec<String>, Vec<Rejected>), ReportError> {
    let report = super::read(body.as_bytes(), &Limits::default())?;
    let checked = report.check(&Limits::default(), NOW, &Remembered::default())?;
    let said = |one: &Exemplar<'_>| {
        let Entry::Sample(place) = checked.entries[one.entry] else { panic!("{one:?}") };
        let Sample { name, labels, .. } = &checked.samples[place];
        let bound = labels.iter().find(|(name, _)| name == "le").map_or("", |(_, bound)| bound);
        let own: Vec<String> = one.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let at = one.at.map_or_else(String::new, |at| format!(" @{}", at.0));
        format!("{name}{bound} {} {}{at}", own.join(","), one.value)
    };
    Ok((checked.exemplars.iter().map(said).collect(), checked.rejected))
}

#[test]
fn exemplars_are_those_of_their_sample_or_of_the_bucket_that_counts_them() {
    let (found, rejected) = exemplars(
        r#"{"component_name":"w","metrics":[
        {"metric_name":"a_total","metric_type":"counter","metric_value":5,"timestamp":"1970-01-01T00:00:02Z",
         "exemplars":[{"labels":{"trace_id":"t","a":"b"}},{"value":2,"timestamp":"1970-01-01T00:00:01Z","x":1}]},
        {"metric_name":"h","metric_type":"histogram","buckets":{"0.5":1,"1":2,"+Inf":3},"sum":9,"count":3,
         "exemplars":[{"value":0.5},{"value":0.6,"labels":{"trace_id":"t"}},{"value":7},{}]},
        {"metric_name":"none","metric_type":"gauge","metric_value":1,"exemplars":[]},
        {"metric_name":"over","metric_type":"gauge","metric_value":"Stale","exemplars":[{}]}]}"#,
    )
    .unwrap();
    assert_eq!(rejected, []);
    let expected = [
        "a_total a=b,trace_id=t 5 @2000",
        "a_total  2 @1000",
        "h_bucket0.5  0.5",
        "h_bucket1.0 trace_id=t 0.6",
        "h_bucket+Inf  7",
        "h_count  3",
    ];
    assert_eq!(found, expected);
}

#[test]
fn what_is_of_an_execution_has_exemplars_that_say_so() {
    let body = |id: &str| {
        format!(
            r#"{{"component_name":"w","execution_id":{id},"metrics":[
            {{"metric_name":"a","metric_type":"gauge","metric_value":5}},
            {{"metric_name":"b","metric_type":"gauge","metric_value":6,"exemplars":[{{"value":1,"labels":{{"trace_id":"t"}}}},
              {{"labels":{{"execution_id":"other"}}}}]}},
            {{"metric_name":"h","metric_type":"histogram","buckets":{{"+Inf":3}},"sum":9,"count":3}}]}}"#
        )
    };
    let expected = [
        "a execution_id=9007199254740993 5",
        "b execution_id=9007199254740993,trace_id=t 1",
        "b execution_id=other 6",
        "h_count execution_id=9007199254740993 3",
    ];
    for id in ["9007199254740993", "\"9007199254740993\""] {
        assert_eq!(exemplars(&body(id)).unwrap(), (expected.map(str::to_owned).to_vec(), vec![]), "{id}");
    }
    assert_eq!(exemplars(&body("\"\"")).unwrap().0.len(), 2);
    let long = format!("\"{}\"", "x".repeat(117));
    for bad in ["1.5", "[]", "\"\\u0000\"", &long] {
        let error = exemplars(&body(bad)).unwrap_err().to_string();
        assert!(error.starts_with("execution_id: must "), "{bad}: {error}");
    }
}

#[test]
fn a_bad_exemplar_refuses_its_entry_and_says_why() {
    let reason = |exemplars: &str| {
        only_reason(&format!(
            r#"{{"metric_name":"a","metric_type":"gauge","metric_value":5,"exemplars":{exemplars}}}"#
        ))
    };
    for (exemplars, expected) in [
        ("7", "exemplars: must be a list of objects, not a number"),
        ("[{}, 7]", "exemplars: exemplars[1]: must be an object, not a number"),
        ("[{\"value\":\"x\"}]", "exemplars: exemplars[0]: value: must be a number, or"),
        ("[{\"value\":\"Stale\"}]", "exemplars: exemplars[0]: value: must be a number, or"),
        ("[{\"value\":1,\"value\":2}]", "exemplars: exemplars[0]: value occurs twice"),
        ("[{\"timestamp\":\"x\"}]", "exemplars: exemplars[0]: timestamp: \"x\""),
        ("[{\"timestamp\":\"2030-01-01T00:00:00Z\"}]", "exemplars: exemplars[0]: timestamp: 2030"),
        ("[{\"labels\":{\"a\":1}}]", "exemplars: exemplars[0]: labels.a: must be a string"),
        ("[{\"labels\":{\"a-b\":\"\"}}]", "exemplars: exemplars[0]: \"a-b\" is not a label name"),
        ("[{\"labels\":{\"a\":\"\",\"a\":\"\"}}]", "exemplars: exemplars[0]: the label a occurs twice"),
    ] {
        let found = reason(exemplars);
        assert!(found.starts_with(expected), "{exemplars}: {found}");
    }
    let long = reason(&format!("[{{\"labels\":{{\"a\":\"{}\"}}}}]", "x".repeat(128)));
    assert!(long.contains("129 characters, at most 128"), "{long}");
    let many = reason(&format!("[{}{{}}]", "{},".repeat(1000)));
    assert_eq!(many, "exemplars: 1001 of them, at most 1000 are allowed");
    let large = reason(&format!("[{}{{}}]", " ".repeat(1 << 20)));
    assert_eq!(large, "exemplars: 1048580 bytes, at most 1024 for each of 1000");
}
