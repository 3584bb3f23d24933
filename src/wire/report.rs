//! The body of `POST /api/metrics/report`: JSON to checked samples.
//!
//! One pass over the bytes, strings borrowed from them. A sample that breaks a rule is set aside
//! with its index, field and reason; the others are not touched by it. Only a body that is no JSON
//! object at all, or whose component or list of metrics can't be read, fails as a whole.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::json::{Json, Text};
use crate::model::{
    Label, Limits, MetricType, Millis, check_labels, is_metric_name, is_reserved, parse_timestamp,
    write_bound,
};

/// A decoded report. Samples keep the order in which they came.
#[derive(Debug, Default)]
pub struct Report<'a> {
    /// Identity of the component, which wins over the name.
    pub runtime_id: Option<i64>,
    /// Name of the component.
    pub component_name: Option<Cow<'a, str>>,
    /// Kind of the component: `component_type`, or `kind`.
    pub component_type: Option<Cow<'a, str>>,
    /// Samples that keep all rules.
    pub samples: Vec<Sample<'a>>,
    /// Samples that do not.
    pub rejected: Vec<Rejected>,
}

/// A sample that keeps all rules.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample<'a> {
    /// Its place in the report's list of metrics.
    pub index: usize,
    /// Metric name.
    pub name: Cow<'a, str>,
    /// Metric type.
    pub kind: MetricType,
    /// Value.
    pub value: f64,
    /// Its time; `None` is the time of arrival.
    pub at: Option<Millis>,
    /// Labels, sorted by name.
    pub labels: Vec<Label<'a>>,
    /// Help text.
    pub help: Option<Cow<'a, str>>,
    /// Unit.
    pub unit: Option<Cow<'a, str>>,
}

/// A sample that was refused.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Rejected {
    /// Its place in the report's list of metrics.
    pub index: usize,
    /// The field that is wrong.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Why a whole report was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// The body is not JSON.
    #[error("the body is not valid JSON: {0}")]
    Syntax(String),
    /// The body is JSON, but not a report.
    #[error("{field}: {reason}")]
    Shape {
        /// The field that is wrong.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

/// Decodes a report; `now` is the server's clock, which bounds how far ahead a sample may be.
pub fn decode<'a>(body: &'a [u8], limits: &Limits, now: Millis) -> Result<Report<'a>, ReportError> {
    let raw: RawReport<'a> = serde_json::from_slice(body).map_err(|e| ReportError::Syntax(e.to_string()))?;
    let shape = |field, reason: String| ReportError::Shape { field, reason };
    if raw.not_object {
        return Err(shape("body", "must be a JSON object".into()));
    }
    let items = match raw.metrics {
        Items::Missing => return Err(shape("metrics", "is missing".into())),
        Items::Wrong(what) => return Err(shape("metrics", format!("must be a list, not {what}"))),
        Items::List(items) => items,
    };
    let text = |field, value: Json<'a>| {
        value.into_text().map_err(|what| shape(field, format!("must be a string, not {what}")))
    };
    let mut report = Report {
        runtime_id: runtime_id(raw.runtime_id)?,
        component_name: text("component_name", raw.component_name)?.filter(|t| !t.is_empty()),
        component_type: text("component_type", raw.component_type)?.filter(|t| !t.is_empty()),
        samples: Vec::with_capacity(items.len()),
        rejected: Vec::new(),
    };
    for (index, item) in items.into_iter().enumerate() {
        let before = report.samples.len();
        if let Err((field, reason)) = item.check(index, limits, now, &mut report.samples) {
            report.samples.truncate(before);
            report.rejected.push(Rejected { index, field: field.into(), reason });
        } else if report.samples.len() > limits.samples {
            return Err(shape("metrics", format!("more than {} samples in one report", limits.samples)));
        }
    }
    Ok(report)
}

/// An id is a number, or the same as a string, since it does not fit a double.
fn runtime_id(value: Json<'_>) -> Result<Option<i64>, ReportError> {
    let bad = || ReportError::Shape { field: "runtime_id", reason: "must be a 64-bit integer".into() };
    match value {
        Json::Null => Ok(None),
        Json::Integer(id) => Ok(Some(id)),
        Json::Text(text) => text.parse().map(Some).map_err(|_| bad()),
        _ => Err(bad()),
    }
}

type FieldError = (&'static str, String);

impl<'a> Item<'a> {
    /// Checks one entry of the list and adds the samples that it stands for.
    fn check(
        self,
        index: usize,
        limits: &Limits,
        now: Millis,
        out: &mut Vec<Sample<'a>>,
    ) -> Result<(), FieldError> {
        if self.not_object {
            return Err(("metric", "must be an object".into()));
        }
        if let Some(field) = self.twice {
            return Err((field, "occurs twice".into()));
        }
        let name = text_of("metric_name", self.name)?.ok_or(("metric_name", "is missing".to_owned()))?;
        if name.len() > limits.name_bytes {
            let reason = format!("{} bytes, at most {} are allowed", name.len(), limits.name_bytes);
            return Err(("metric_name", reason));
        }
        if !is_metric_name(&name) {
            return Err((
                "metric_name",
                format!("{:?} is not a metric name ([a-zA-Z_:][a-zA-Z0-9_:]*)", clip(&name)),
            ));
        }
        if is_reserved(&name) {
            return Err(("metric_name", format!("{name} is made by the server itself")));
        }
        let kind = text_of("metric_type", self.kind)?.ok_or(("metric_type", "is missing".to_owned()))?;
        let kind: MetricType = kind.parse().map_err(|()| {
            ("metric_type", format!("{:?} is none of gauge, counter, histogram, summary", clip(&kind)))
        })?;
        let help = text_of("help_text", self.help)?;
        if help.as_ref().is_some_and(|h| h.len() > limits.help_bytes) {
            return Err(("help_text", format!("more than {} bytes", limits.help_bytes)));
        }
        let unit = text_of("unit", self.unit)?.filter(|u| !u.is_empty());
        if unit.as_ref().is_some_and(|u| u.len() > 50) {
            return Err(("unit", "more than 50 bytes".into()));
        }
        let at = time_of(self.timestamp, limits, now)?;
        let labels = labels_of(self.labels)?;
        let whole =
            Whole { buckets: self.buckets, quantiles: self.quantiles, sum: self.sum, count: self.count };
        let base = Sample { index, name, kind, value: 0.0, at, labels, help, unit };
        if whole.is_some() {
            whole.expand(&base, &self.value, limits, out)
        } else {
            let value = value_of("metric_value", &self.value)?;
            push(base, value, limits, out)
        }
    }
}

/// Checks what depends on type and labels, then keeps the sample.
fn push<'a>(
    mut sample: Sample<'a>,
    value: f64,
    limits: &Limits,
    out: &mut Vec<Sample<'a>>,
) -> Result<(), FieldError> {
    sample.value = value;
    let counts = match sample.kind {
        MetricType::Counter => true,
        MetricType::Histogram => sample.name.ends_with("_bucket") || sample.name.ends_with("_count"),
        MetricType::Summary => sample.name.ends_with("_count"),
        MetricType::Gauge => false,
    };
    if counts && (value.is_nan() || value < 0.0) {
        return Err(("metric_value", format!("a {} counts up from 0: it can't be {value}", sample.kind)));
    }
    check_labels(&sample.name, sample.kind, &mut sample.labels, limits)
        .map_err(|e| ("labels", e.to_string()))?;
    out.push(sample);
    Ok(())
}

/// A histogram or summary that came whole.
struct Whole<'a> {
    buckets: Json<'a>,
    quantiles: Json<'a>,
    sum: Json<'a>,
    count: Json<'a>,
}

impl<'a> Whole<'a> {
    const fn is_some(&self) -> bool {
        !matches!(
            (&self.buckets, &self.quantiles, &self.sum, &self.count),
            (Json::Null, Json::Null, Json::Null, Json::Null)
        )
    }

    /// Takes it apart into its scalar series.
    fn expand(
        self,
        base: &Sample<'a>,
        value: &Json<'a>,
        limits: &Limits,
        out: &mut Vec<Sample<'a>>,
    ) -> Result<(), FieldError> {
        if !matches!(value, Json::Null) {
            return Err((
                "metric_value",
                "a metric with buckets, quantiles, sum or count has no value of its own".into(),
            ));
        }
        let (parts, field, label, suffix) = match base.kind {
            MetricType::Histogram => (self.buckets, "buckets", "le", "_bucket"),
            MetricType::Summary => (self.quantiles, "quantiles", "quantile", ""),
            kind => return Err(("metric_type", format!("a {kind} has no buckets, quantiles, sum or count"))),
        };
        if base.labels.iter().any(|(k, _)| k == label) {
            return Err(("labels", format!("labels.{label}: is given by {field}")));
        }
        let count = value_of("count", &self.count)?;
        let sum = value_of("sum", &self.sum)?;
        let bounds = bounds_of(parts, field)?;
        if base.kind == MetricType::Histogram {
            check_buckets(&bounds, count)?;
        }
        for (bound, value) in bounds {
            let mut text = Vec::new();
            write_bound(&mut text, bound);
            let mut part = base.clone();
            part.name = format!("{}{suffix}", base.name).into();
            part.labels.push((label.into(), String::from_utf8_lossy(&text).into_owned().into()));
            push(part, value, limits, out)?;
        }
        for (suffix, value) in [("_sum", sum), ("_count", count)] {
            let part = Sample { name: format!("{}{suffix}", base.name).into(), ..base.clone() };
            push(part, value, limits, out)?;
        }
        Ok(())
    }
}

/// Bounds and their values, sorted by bound.
fn bounds_of(parts: Json<'_>, field: &'static str) -> Result<Vec<(f64, f64)>, FieldError> {
    let entries = match parts {
        Json::Object(entries) => entries,
        Json::Null => Vec::new(),
        other => {
            return Err((field, format!("must be an object of bound to number, not {}", other.describe())));
        }
    };
    let mut bounds = Vec::with_capacity(entries.len() + 1);
    for (key, value) in &entries {
        let bound: f64 = key
            .parse()
            .ok()
            .filter(|b: &f64| !b.is_nan())
            .ok_or_else(|| (field, format!("{:?} is not a number", clip(key))))?;
        bounds.push((bound, value_of(field, value)?));
    }
    bounds.sort_by(|a, b| a.0.total_cmp(&b.0));
    if bounds.windows(2).any(|w| w[0].0 == w[1].0) {
        return Err((field, "a bound occurs twice".into()));
    }
    Ok(bounds)
}

/// Buckets are cumulative, and the last one, `+Inf`, holds all that was counted.
fn check_buckets(bounds: &[(f64, f64)], count: f64) -> Result<(), FieldError> {
    match bounds.last() {
        Some((bound, total)) if *bound == f64::INFINITY && *total == count => {}
        Some((bound, _)) if *bound == f64::INFINITY => {
            return Err(("buckets", "the bucket +Inf must equal count".into()));
        }
        _ => return Err(("buckets", "the bucket +Inf is missing".into())),
    }
    if bounds.windows(2).any(|w| w[0].1 > w[1].1) {
        return Err((
            "buckets",
            "buckets are cumulative: each holds at least what the one before holds".into(),
        ));
    }
    Ok(())
}

fn text_of<'a>(field: &'static str, value: Json<'a>) -> Result<Option<Cow<'a, str>>, FieldError> {
    let text = value.into_text().map_err(|what| (field, format!("must be a string, not {what}")))?;
    // PostgreSQL's text can't hold this one character.
    if text.as_ref().is_some_and(|t| t.contains('\0')) {
        return Err((field, "must not hold the character U+0000".into()));
    }
    Ok(text)
}

fn value_of(field: &'static str, value: &Json<'_>) -> Result<f64, FieldError> {
    match value {
        Json::Number(v) => Ok(*v),
        Json::Integer(v) => Ok(*v as f64),
        Json::Text(text) => match text.as_ref() {
            "NaN" => Ok(f64::NAN),
            "+Inf" | "Inf" | "Infinity" | "+Infinity" => Ok(f64::INFINITY),
            "-Inf" | "-Infinity" => Ok(f64::NEG_INFINITY),
            _ => Err((field, "must be a number, or one of the strings NaN, +Inf, -Inf".into())),
        },
        Json::Null => Err((field, "is missing".into())),
        other => Err((field, format!("must be a number, not {}", other.describe()))),
    }
}

fn time_of(value: Json<'_>, limits: &Limits, now: Millis) -> Result<Option<Millis>, FieldError> {
    let Some(text) = text_of("timestamp", value)? else { return Ok(None) };
    let at = parse_timestamp(&text).map_err(|e| ("timestamp", format!("{:?} {e}", clip(&text))))?;
    if at.since(now) > limits.future_ms {
        let ahead = limits.future_ms / 1000;
        return Err((
            "timestamp",
            format!("{} is more than {ahead} s ahead of the server's clock", at.rfc3339()),
        ));
    }
    Ok(Some(at))
}

fn labels_of(value: Json<'_>) -> Result<Vec<Label<'_>>, FieldError> {
    let entries = match value {
        Json::Null => return Ok(Vec::new()),
        Json::Object(entries) => entries,
        other => return Err(("labels", format!("must be an object of strings, not {}", other.describe()))),
    };
    let mut labels = Vec::with_capacity(entries.len() + 1);
    for (key, value) in entries {
        match value {
            Json::Text(text) if text.contains('\0') => {
                return Err(("labels", format!("labels.{}: must not hold the character U+0000", clip(&key))));
            }
            Json::Text(text) => labels.push((key, text)),
            other => {
                let what = other.describe();
                return Err(("labels", format!("labels.{}: must be a string, not {what}", clip(&key))));
            }
        }
    }
    Ok(labels)
}

/// The beginning of a text that someone else wrote, short enough for an error.
fn clip(text: &str) -> &str {
    let end = text.char_indices().nth(60).map_or(text.len(), |(at, _)| at);
    &text[..end]
}

/// Whatever is no object is read, so that the rest of the body can be, and marked.
macro_rules! not_a_map {
    ($kind:ident) => {
        fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
            Ok($kind { not_object: true, ..Default::default() })
        }
        fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<Self::Value, E> {
            self.visit_unit()
        }
        fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<Self::Value, E> {
            self.visit_unit()
        }
        fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<Self::Value, E> {
            self.visit_unit()
        }
        fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Self::Value, E> {
            self.visit_unit()
        }
        fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<Self::Value, E> {
            self.visit_unit()
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            self.visit_unit()
        }
    };
}

#[derive(Default)]
struct RawReport<'a> {
    not_object: bool,
    runtime_id: Json<'a>,
    component_name: Json<'a>,
    component_type: Json<'a>,
    metrics: Items<'a>,
}

#[derive(Default)]
enum Items<'a> {
    #[default]
    Missing,
    Wrong(&'static str),
    List(Vec<Item<'a>>),
}

/// One entry of the list, unchecked.
#[derive(Default)]
struct Item<'a> {
    not_object: bool,
    twice: Option<&'static str>,
    name: Json<'a>,
    kind: Json<'a>,
    value: Json<'a>,
    timestamp: Json<'a>,
    labels: Json<'a>,
    help: Json<'a>,
    unit: Json<'a>,
    buckets: Json<'a>,
    quantiles: Json<'a>,
    sum: Json<'a>,
    count: Json<'a>,
}

impl<'de> Deserialize<'de> for RawReport<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = RawReport<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a report")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut report = RawReport::default();
                while let Some(Text(key)) = map.next_key()? {
                    match key.as_ref() {
                        "runtime_id" => report.runtime_id = map.next_value()?,
                        "component_name" => report.component_name = map.next_value()?,
                        "component_type" | "kind" => report.component_type = map.next_value()?,
                        "metrics" => report.metrics = map.next_value()?,
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(report)
            }
            not_a_map!(RawReport);
        }
        deserializer.deserialize_any(V)
    }
}

impl<'de> Deserialize<'de> for Item<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Item<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a metric")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut item = Item::default();
                while let Some(Text(key)) = map.next_key()? {
                    let (field, slot) = match key.as_ref() {
                        "metric_name" => ("metric_name", &mut item.name),
                        "metric_type" => ("metric_type", &mut item.kind),
                        "metric_value" => ("metric_value", &mut item.value),
                        "timestamp" => ("timestamp", &mut item.timestamp),
                        "labels" => ("labels", &mut item.labels),
                        "help_text" => ("help_text", &mut item.help),
                        "unit" => ("unit", &mut item.unit),
                        "buckets" => ("buckets", &mut item.buckets),
                        "quantiles" => ("quantiles", &mut item.quantiles),
                        "sum" => ("sum", &mut item.sum),
                        "count" => ("count", &mut item.count),
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    if !matches!(slot, Json::Null) {
                        item.twice = Some(field);
                    }
                    *slot = map.next_value()?;
                }
                Ok(item)
            }
            not_a_map!(Item);
        }
        deserializer.deserialize_any(V)
    }
}

impl<'de> Deserialize<'de> for Items<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Items<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of metrics")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::with_capacity(seq.size_hint().unwrap_or(0));
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Items::List(items))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Items::Wrong("an object"))
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Items::Wrong("null"))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(Items::Wrong("a boolean"))
            }
            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(Items::Wrong("a number"))
            }
            fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                Ok(Items::Wrong("a number"))
            }
            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(Items::Wrong("a number"))
            }
            fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
                Ok(Items::Wrong("a string"))
            }
        }
        deserializer.deserialize_any(V)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Millis = Millis(1_800_000_000_000);

    fn read(body: &str) -> Result<Report<'_>, ReportError> {
        decode(body.as_bytes(), &Limits::default(), NOW)
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

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes, &Limits::default(), NOW);
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
}
