//! Samples that break a rule: why, the sample's JSON, the field that has to be named.

use crate::harness::{now, time};

/// All of them.
pub fn cases() -> Vec<(&'static str, String, &'static str)> {
    let mut cases = names();
    cases.extend(types_and_values());
    cases.extend(labels());
    cases.extend(timestamps());
    cases.extend(texts());
    cases.extend(whole());
    cases
}

type Cases = Vec<(&'static str, String, &'static str)>;

/// A good gauge with this in place of, or beside, its own fields.
fn gauge_with(fields: &str) -> String {
    format!(r#"{{"metric_name": "m", "metric_type": "gauge", "metric_value": 1, {fields}}}"#)
}

fn named(name: &str) -> String {
    format!(r#"{{"metric_name": {name}, "metric_type": "gauge", "metric_value": 1}}"#)
}

fn valued(kind: &str, value: &str) -> String {
    format!(r#"{{"metric_name": "m", "metric_type": {kind}, "metric_value": {value}}}"#)
}

fn names() -> Cases {
    let field = "metric_name";
    vec![
        ("no name", r#"{"metric_type": "gauge", "metric_value": 1}"#.into(), field),
        ("a null name", named("null"), field),
        ("half a surrogate pair", named(r#""\ud800""#), field),
        ("a numeric name", named("7"), field),
        ("a name in a list", named(r#"["m"]"#), field),
        ("an empty name", named(r#""""#), field),
        ("a dash", named(r#""a-b""#), field),
        ("a dot", named(r#""a.b""#), field),
        ("a leading digit", named(r#""9a""#), field),
        ("a letter beyond ASCII", named(r#""é""#), field),
        ("a line feed", named(r#""a\n""#), field),
        ("U+0000 in a name", named(r#""a\u0000""#), field),
        ("a name of 256 bytes", named(&format!("{:?}", "a".repeat(256))), field),
        ("a name of the server's own", named(r#""noetl_component_up""#), field),
        ("a list for a metric", "[]".into(), "metric"),
        ("null for a metric", "null".into(), "metric"),
        ("a string for a metric", r#""m 1""#.into(), "metric"),
        ("a deep list for a metric", format!("{}{}", "[".repeat(5000), "]".repeat(5000)), "metric"),
    ]
}

fn types_and_values() -> Cases {
    let value = "metric_value";
    vec![
        ("no type", r#"{"metric_name": "m", "metric_value": 1}"#.into(), "metric_type"),
        ("a type with a capital", valued(r#""Gauge""#, "1"), "metric_type"),
        ("a type that there is not", valued(r#""info""#, "1"), "metric_type"),
        ("a numeric type", valued("1", "1"), "metric_type"),
        ("no value", r#"{"metric_name": "m", "metric_type": "gauge"}"#.into(), value),
        ("a null value", valued(r#""gauge""#, "null"), value),
        ("a number beyond doubles", valued(r#""gauge""#, "1e999"), value),
        ("a boolean value", valued(r#""gauge""#, "true"), value),
        ("a value in a list", valued(r#""gauge""#, "[1]"), value),
        ("an object for a value", valued(r#""gauge""#, r#"{"v": 1}"#), value),
        ("a number as a string", valued(r#""gauge""#, r#""1""#), value),
        ("nan in small letters", valued(r#""gauge""#, r#""nan""#), value),
        ("an empty string for a value", valued(r#""gauge""#, r#""""#), value),
        ("a falling counter", valued(r#""counter""#, "-1"), value),
        ("a counter of NaN", valued(r#""counter""#, r#""NaN""#), value),
        ("a counter of -Inf", valued(r#""counter""#, r#""-Inf""#), value),
        ("two values", gauge_with(r#""metric_value": 2"#), value),
    ]
}

fn labels() -> Cases {
    let field = "labels";
    let with = |labels: &str| gauge_with(&format!(r#""labels": {labels}"#));
    let many: Vec<String> = (0..41).map(|i| format!(r#""l{i}": """#)).collect();
    let part = |name: &str, kind: &str, labels: &str| {
        format!(
            r#"{{"metric_name": "{name}", "metric_type": "{kind}", "metric_value": 1, "labels": {labels}}}"#
        )
    };
    vec![
        ("labels in a list", with(r#"["a"]"#), field),
        ("deep nesting", with(&format!("{}1{}", r#"{"a":"#.repeat(5000), "}".repeat(5000))), field),
        ("labels in a string", with(r#""a=b""#), field),
        ("a numeric label", with(r#"{"a": 1}"#), field),
        ("a null label", with(r#"{"a": null}"#), field),
        ("a label in a label", with(r#"{"a": {"b": "c"}}"#), field),
        ("an empty label name", with(r#"{"": "x"}"#), field),
        ("a dash in a label name", with(r#"{"a-b": "x"}"#), field),
        ("a colon in a label name", with(r#"{"a:b": "x"}"#), field),
        ("a label name of Prometheus' own", with(r#"{"__name__": "x"}"#), field),
        ("a label name of 256 bytes", with(&format!(r#"{{"{}": "x"}}"#, "a".repeat(256))), field),
        ("a label of 4097 bytes", with(&format!(r#"{{"a": "{}"}}"#, "x".repeat(4097))), field),
        ("41 labels", with(&format!("{{{}}}", many.join(","))), field),
        ("a label twice", with(r#"{"a": "1", "b": "2", "a": "3"}"#), field),
        ("U+0000 in a label", with(r#"{"a": "\u0000"}"#), field),
        ("U+0000 in a label name", with(r#"{"a\u0000": "x"}"#), field),
        ("U+0000 in the name of a numeric label", with(r#"{"a\u0000": 1}"#), field),
        ("le on a gauge", with(r#"{"le": "1"}"#), field),
        ("quantile on a counter", part("m", "counter", r#"{"quantile": "0.5"}"#), field),
        ("a bucket without bound", part("h_bucket", "histogram", "{}"), field),
        ("a bucket with a word for its bound", part("h_bucket", "histogram", r#"{"le": "much"}"#), field),
        ("a bucket with NaN for its bound", part("h_bucket", "histogram", r#"{"le": "NaN"}"#), field),
        ("a quantile of 1.5", part("s", "summary", r#"{"quantile": "1.5"}"#), field),
    ]
}

fn timestamps() -> Cases {
    let field = "timestamp";
    let at = |text: &str| gauge_with(&format!(r#""timestamp": {text}"#));
    vec![
        ("a numeric timestamp", at("1704110400"), field),
        ("a word for a timestamp", at(r#""yesterday""#), field),
        ("an empty timestamp", at(r#""""#), field),
        ("a date alone", at(r#""2024-01-01""#), field),
        ("a thirteenth month", at(r#""2024-13-01T00:00:00Z""#), field),
        ("a thirtieth of February", at(r#""2024-02-30T00:00:00Z""#), field),
        ("an hour ahead", at(&format!("{:?}", time(now() + 3_600_000))), field),
        ("beyond the last metric id", at(r#""2039-09-08T00:00:00Z""#), field),
        ("before 1970", at(r#""1969-12-31T23:59:59Z""#), field),
        ("a year of five digits", at(r#""99999-01-01T00:00:00Z""#), field),
        ("a zone in brackets", at(r#""2024-01-01T00:00:00[Europe/Berlin]""#), field),
        ("U+0000 in a timestamp", at(r#""2024-01-01T00:00:00Z\u0000""#), field),
    ]
}

fn texts() -> Cases {
    let long = "x".repeat(4097);
    vec![
        ("a numeric help text", gauge_with(r#""help_text": 1"#), "help_text"),
        ("a help text of 4097 bytes", gauge_with(&format!(r#""help_text": "{long}""#)), "help_text"),
        ("U+0000 in a help text", gauge_with(r#""help_text": "\u0000""#), "help_text"),
        ("a unit in a list", gauge_with(r#""unit": ["s"]"#), "unit"),
        ("a unit of 51 bytes", gauge_with(&format!(r#""unit": "{}""#, &long[..51])), "unit"),
    ]
}

fn whole() -> Cases {
    let histogram = |fields: &str| format!(r#"{{"metric_name": "h", "metric_type": "histogram", {fields}}}"#);
    let summary = |fields: &str| format!(r#"{{"metric_name": "s", "metric_type": "summary", {fields}}}"#);
    let many: Vec<String> = (0..1001).map(|i| format!(r#""{i}": 1"#)).collect();
    vec![
        ("no bucket for +Inf", histogram(r#""buckets": {"1": 1}, "sum": 1, "count": 1"#), "buckets"),
        ("no buckets", histogram(r#""sum": 1, "count": 1"#), "buckets"),
        ("falling buckets", histogram(r#""buckets": {"1": 3, "+Inf": 2}, "sum": 1, "count": 2"#), "buckets"),
        ("another count than +Inf", histogram(r#""buckets": {"+Inf": 2}, "sum": 1, "count": 3"#), "buckets"),
        (
            "a word for a bound",
            histogram(r#""buckets": {"x": 1, "+Inf": 1}, "sum": 1, "count": 1"#),
            "buckets",
        ),
        (
            "a bound twice",
            histogram(r#""buckets": {"1": 1, "1.0": 1, "+Inf": 1}, "sum": 1, "count": 1"#),
            "buckets",
        ),
        ("buckets in a list", histogram(r#""buckets": [1, 2], "sum": 1, "count": 1"#), "buckets"),
        (
            "a bucket that is no number",
            histogram(r#""buckets": {"+Inf": "x"}, "sum": 1, "count": 1"#),
            "buckets",
        ),
        (
            "more than a thousand buckets",
            histogram(&format!(r#""buckets": {{{}, "+Inf": 1}}, "sum": 1, "count": 1"#, many.join(","))),
            "buckets",
        ),
        ("no count", histogram(r#""buckets": {"+Inf": 1}, "sum": 1"#), "count"),
        ("no sum", histogram(r#""buckets": {"+Inf": 1}, "count": 1"#), "sum"),
        ("a negative count", summary(r#""sum": 1, "count": -1"#), "count"),
        ("a count of NaN", summary(r#""sum": 1, "count": "NaN""#), "count"),
        (
            "a negative bucket",
            histogram(r#""buckets": {"1": -1, "+Inf": 1}, "sum": 1, "count": 1"#),
            "buckets",
        ),
        (
            "a value beside buckets",
            histogram(r#""metric_value": 1, "buckets": {"+Inf": 1}, "sum": 1, "count": 1"#),
            "metric_value",
        ),
        (
            "quantiles of a histogram",
            histogram(r#""quantiles": {"0.5": 1}, "buckets": {"+Inf": 1}, "sum": 1, "count": 1"#),
            "quantiles",
        ),
        ("buckets of a summary", summary(r#""buckets": {"+Inf": 1}, "sum": 1, "count": 1"#), "buckets"),
        (
            "a bound among the labels",
            histogram(r#""labels": {"le": "1"}, "buckets": {"+Inf": 1}, "sum": 1, "count": 1"#),
            "labels",
        ),
        ("a quantile above 1", summary(r#""quantiles": {"2": 1}, "sum": 1, "count": 1"#), "quantiles"),
        ("buckets of a gauge", gauge_with(r#""buckets": {"+Inf": 1}"#), "metric_value"),
        (
            "a count of a counter",
            r#"{"metric_name": "m", "metric_type": "counter", "count": 1}"#.into(),
            "metric_type",
        ),
    ]
}
