//! From the points of OpenTelemetry to series.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Exemplar, Metric, NumberDataPoint, ResourceMetrics, SummaryDataPoint, exemplar,
    number_data_point,
};

use super::OtlpError;
use super::attributes::{hex, labels, value};
use super::buckets::{Buckets, explicit, exponential};
use super::names::{Form, label_name, metric_name};
use super::points::{About, in_order};
use crate::model::{EXECUTION_ID, EXEMPLAR_CHARS, Limits, MetricType, Millis, STALE, TRACE_ID};
use crate::wire::remote_write::{Made, Said, Sample, Text};
use crate::wire::value::write as write_value;

/// Component of a resource that names neither itself nor its service.
const DEFAULT_COMPONENT: &str = "otlp";
/// The attribute of a measurement that names its execution, `noetl.execution_id`, as a label.
const EXECUTION: &str = "noetl_execution_id";
/// The label that has the id of a span.
const SPAN_ID: &str = "span_id";
/// Why nothing of a metric is taken whose kind of data is not known.
const NO_DATA: &str = "no gauge, sum, histogram, exponentialHistogram or summary";
/// Points that an answer names as refused.
pub const NAMED: usize = 20;
/// Characters of a metric's name that it shows.
const NAME_SHOWN: usize = 60;
/// Labels that the resource gives to each of its series: component, its kind, job, instance.
const OF_RESOURCE: usize = 4;

/// What a request says, as series.
#[derive(Debug, Default)]
pub struct Translated {
    /// The series, each with one sample.
    pub made: Made,
    /// Which point a series is of; none where it is of the resource.
    pub point_of: Vec<Option<usize>>,
    /// Points that can't be series, and why; of those after [`NAMED`] there is no reason.
    pub refused: Vec<(usize, String)>,
    /// How many points there are.
    pub points: usize,
}

/// Makes series of a request.
pub fn translate(
    request: &ExportMetricsServiceRequest,
    limits: &Limits,
    now: Millis,
) -> Result<Translated, OtlpError> {
    let mut translation = Translation { out: Translated::default(), limits, now };
    for resource in &request.resource_metrics {
        translation.resource(resource)?;
    }
    Ok(translation.out)
}

struct Translation<'l> {
    out: Translated,
    limits: &'l Limits,
    now: Millis,
}

/// Labels by their names; of values that are long there is one.
type Labels<'a> = BTreeMap<Cow<'a, str>, Text>;

/// What all series of a point have in common.
struct Point<'a> {
    name: &'a str,
    said: Said,
    labels: &'a [(Text, Text)],
    at: Millis,
    exemplars: &'a [Exemplar],
    /// It has no value any more.
    is_over: bool,
}

impl Translation<'_> {
    fn resource(&mut self, resource: &ResourceMetrics) -> Result<(), OtlpError> {
        let attributes = resource.resource.as_ref().map_or(&[][..], |resource| &resource.attributes);
        let common: Labels<'_> =
            identity(attributes).map(|(name, value)| (name.into(), self.text(&value))).collect();
        let mut newest = None;
        for metric in resource.scope_metrics.iter().flat_map(|scope| &scope.metrics) {
            newest = newest.max(self.metric(metric, &common)?);
        }
        if let Some(at) = newest {
            self.target_info(attributes, &common, at)?;
        }
        Ok(())
    }

    /// What else is known of a resource, once and not with each of its series.
    fn target_info(
        &mut self,
        attributes: &[KeyValue],
        common: &Labels<'_>,
        at: Millis,
    ) -> Result<(), OtlpError> {
        let room = self.limits.labels.saturating_sub(OF_RESOURCE);
        let others: Vec<_> =
            labels(attributes).into_iter().filter(|(name, _)| !is_identity(name)).take(room).collect();
        if others.is_empty() {
            return Ok(());
        }
        let labels = self.labels(common, others);
        let help = self.out.made.text("What is known of the sender beside its metrics");
        let said = Said { kind: Some(MetricType::Gauge), help, ..Said::default() };
        let point = Point { name: "target_info", said, labels: &labels, at, exemplars: &[], is_over: false };
        self.add(None, &point, "", None, 1.0)
    }

    /// The points of a metric; returns the time of the newest.
    fn metric(&mut self, metric: &Metric, common: &Labels<'_>) -> Result<Option<Millis>, OtlpError> {
        let made = &mut self.out.made;
        let (help, unit) = (made.text(&metric.description), made.text(&metric.unit));
        let points = &Points { newest: Cell::default(), metric, common, help, unit };
        if let Some(reason) = self.unusable(metric) {
            let index = self.next_point();
            self.refuse(index, points, &reason);
            return Ok(None);
        }
        match &metric.data {
            Some(Data::Gauge(gauge)) => {
                self.numbers(&gauge.data_points, points, Form::Gauge, AggregationTemporality::Cumulative)?;
            }
            Some(Data::Sum(sum)) => {
                let form = if sum.is_monotonic { Form::Counter } else { Form::Other };
                self.numbers(&sum.data_points, points, form, sum.aggregation_temporality())?;
            }
            Some(Data::Histogram(histogram)) => {
                for (point, about) in in_order(&histogram.data_points, histogram.aggregation_temporality()) {
                    let buckets = explicit(point, self.limits.bounds);
                    let counted = buckets.map(|buckets| (buckets, point.sum, point.count));
                    self.histogram(points, &about, counted)?;
                }
            }
            Some(Data::ExponentialHistogram(histogram)) => {
                for (point, about) in in_order(&histogram.data_points, histogram.aggregation_temporality()) {
                    self.histogram(points, &about, Ok((exponential(point), point.sum, point.count)))?;
                }
            }
            Some(Data::Summary(summary)) => self.summary(&summary.data_points, points)?,
            None => {
                let index = self.next_point();
                self.refuse(index, points, NO_DATA);
            }
        }
        Ok(points.newest.get())
    }

    fn summary(&mut self, all: &[SummaryDataPoint], points: &Points<'_>) -> Result<(), OtlpError> {
        let name = metric_name(&points.metric.name, &points.metric.unit, Form::Other);
        for (point, about) in in_order(all, AggregationTemporality::Cumulative) {
            let index = self.next_point();
            let Some((said, labels)) = self.said(points, MetricType::Summary, index, &about) else {
                continue;
            };
            let series = points.point(&name, said, &labels, &about, self.now);
            for quantile in &point.quantile_values {
                let at = Some(("quantile", quantile.quantile));
                self.add(Some(index), &series, "", at, quantile.value)?;
            }
            self.add(Some(index), &series, "_sum", None, point.sum)?;
            self.add(Some(index), &series, "_count", None, float(point.count))?;
        }
        Ok(())
    }

    fn numbers(
        &mut self,
        all: &[NumberDataPoint],
        points: &Points<'_>,
        form: Form,
        temporality: AggregationTemporality,
    ) -> Result<(), OtlpError> {
        let name = metric_name(&points.metric.name, &points.metric.unit, form);
        let kind = if form == Form::Counter { MetricType::Counter } else { MetricType::Gauge };
        for (point, about) in in_order(all, temporality) {
            let index = self.next_point();
            let Some((said, labels)) = self.said(points, kind, index, &about) else { continue };
            let value = match point.value {
                Some(number_data_point::Value::AsDouble(value)) => value,
                Some(number_data_point::Value::AsInt(value)) => signed(value),
                None if about.is_over() => STALE,
                None => {
                    self.refuse(index, points, "has no value");
                    continue;
                }
            };
            self.add(Some(index), &points.point(&name, said, &labels, &about, self.now), "", None, value)?;
        }
        Ok(())
    }

    fn histogram(
        &mut self,
        points: &Points<'_>,
        about: &About<'_>,
        counted: Result<(Buckets, Option<f64>, u64), String>,
    ) -> Result<(), OtlpError> {
        let index = self.next_point();
        let Some((said, labels)) = self.said(points, MetricType::Histogram, index, about) else {
            return Ok(());
        };
        let (buckets, sum, count) = match counted {
            Ok(counted) => counted,
            Err(reason) => {
                self.refuse(index, points, &reason);
                return Ok(());
            }
        };
        let name = metric_name(&points.metric.name, &points.metric.unit, Form::Other);
        let point = points.point(&name, said, &labels, about, self.now);
        let mut exemplars: Vec<(usize, &Exemplar)> = about
            .exemplars
            .iter()
            .map(|exemplar| (value_of(exemplar), exemplar))
            .filter(|(value, _)| !value.is_nan())
            .map(|(value, exemplar)| (buckets.partition_point(|(bound, _)| *bound < value), exemplar))
            .collect();
        exemplars.sort_by_key(|(bucket, _)| *bucket);
        let mut exemplars = exemplars.into_iter().peekable();
        for (bucket, (bound, below)) in buckets.into_iter().enumerate() {
            self.add(Some(index), &point, "_bucket", Some(("le", bound)), float(below))?;
            while let Some((_, exemplar)) = exemplars.next_if(|(of, _)| *of == bucket) {
                self.exemplar(exemplar)?;
            }
        }
        // Without a sum of its own, as where values may be negative, it has the count alone.
        if let Some(sum) = sum {
            self.add(Some(index), &point, "_sum", None, sum)?;
        }
        self.add(Some(index), &point, "_count", None, float(count))
    }

    fn next_point(&mut self) -> usize {
        self.out.points += 1;
        self.out.points - 1
    }

    /// Refuses a point; why is said of as many as an answer names.
    fn refuse(&mut self, index: usize, points: &Points<'_>, reason: &str) {
        let why = if self.out.refused.len() < NAMED {
            let name: String = points.metric.name.chars().take(NAME_SHOWN).collect();
            format!("{name}: {reason}")
        } else {
            String::new()
        };
        self.out.refused.push((index, why));
    }

    /// Why nothing can be taken of a metric, by its name and unit.
    fn unusable(&self, metric: &Metric) -> Option<String> {
        if !metric.name.contains(|c: char| c.is_ascii_alphanumeric()) {
            return Some("is no name of a metric: it has no letter or digit of ASCII".to_owned());
        }
        let most = self.limits.name_bytes;
        let long =
            [("name", &metric.name), ("unit", &metric.unit)].into_iter().find(|(_, of)| of.len() > most);
        long.map(|(what, of)| format!("{what}: {} bytes, at most {most} are allowed", of.len()))
    }

    /// What is said of a metric, and the labels of a point; nothing where its temporality is not said, or it
    /// has too many labels.
    fn said(
        &mut self,
        points: &Points<'_>,
        kind: MetricType,
        index: usize,
        about: &About<'_>,
    ) -> Option<(Said, Vec<(Text, Text)>)> {
        if about.temporality == AggregationTemporality::Unspecified {
            self.refuse(index, points, "aggregation_temporality must be 1 (delta) or 2 (cumulative)");
            return None;
        }
        let (own, most) = (labels(about.attributes), self.limits.labels);
        if own.len() > most {
            self.refuse(index, points, &format!("{} attributes, at most {most} are allowed", own.len()));
            return None;
        }
        let labels = self.labels(points.common, own);
        let is_delta = about.temporality == AggregationTemporality::Delta;
        Some((Said { kind: Some(kind), help: points.help, unit: points.unit, is_delta }, labels))
    }

    /// A label's name or value. Of one that is longer than any may be there is only as much as it takes to
    /// be refused: each point has those of its resource.
    fn text(&mut self, text: &str) -> Text {
        let most = self.limits.label_value_bytes.max(self.limits.name_bytes);
        // A character that the cut would split has four bytes at most: what is left is too long still.
        let end = text.floor_char_boundary(most.saturating_add(4));
        self.out.made.text(&text[..end])
    }

    /// Labels of a resource and of a point of it; what the point says counts for more.
    fn labels<'a>(
        &mut self,
        common: &Labels<'a>,
        own: impl IntoIterator<Item = (Cow<'a, str>, String)>,
    ) -> Vec<(Text, Text)> {
        let mut all = common.clone();
        all.extend(own.into_iter().map(|(name, value)| (name, self.text(&value))));
        all.into_iter().map(|(name, value)| (self.text(&name), value)).collect()
    }

    /// Adds a series of a point.
    fn add(
        &mut self,
        index: Option<usize>,
        point: &Point<'_>,
        suffix: &str,
        at: Option<(&str, f64)>,
        value: f64,
    ) -> Result<(), OtlpError> {
        if self.out.made.len() == self.limits.samples {
            return Err(OtlpError::TooMany(self.limits.samples));
        }
        let made = &mut self.out.made;
        let name = (made.text("__name__"), made.text(&format!("{}{suffix}", point.name)));
        let mut labels: Vec<(Text, Text)> = vec![name];
        labels.extend(point.labels);
        if let Some((name, number)) = at {
            let mut text = Vec::new();
            write_value(&mut text, number);
            labels.push((made.text(name), made.text(&String::from_utf8_lossy(&text))));
        }
        let value = if point.is_over { STALE } else { value };
        let is_delta = point.said.is_delta && !point.is_over;
        made.series(labels.into_iter(), Said { is_delta, ..point.said }, Sample { at: point.at, value });
        self.out.point_of.push(index);
        if at.is_none() && suffix.is_empty() {
            for exemplar in point.exemplars {
                self.exemplar(exemplar)?;
            }
        }
        Ok(())
    }

    /// Adds an exemplar of the last series: its trace and its execution first, then what has room.
    fn exemplar(&mut self, exemplar: &Exemplar) -> Result<(), OtlpError> {
        if self.out.made.exemplars() == self.limits.samples {
            return Err(OtlpError::TooMany(self.limits.samples));
        }
        let mut others = labels(&exemplar.filtered_attributes);
        let [trace_id, span_id] =
            [&exemplar.trace_id, &exemplar.span_id].map(|id| Some(hex(id)).filter(|id| !id.is_empty()));
        let execution_id = others.remove(EXECUTION).or_else(|| others.remove(EXECUTION_ID));
        let first = [(TRACE_ID, trace_id), (EXECUTION_ID, execution_id), (SPAN_ID, span_id)];
        for (name, _) in &first {
            others.remove(*name);
        }
        let all: Vec<(Cow<'_, str>, String)> =
            first.into_iter().filter_map(|(name, id)| Some((name.into(), id?))).chain(others).collect();
        let mut room = EXEMPLAR_CHARS;
        let made = &mut self.out.made;
        let fitting: Vec<(Text, Text)> = all
            .iter()
            .filter(|(name, value)| {
                let left = room.checked_sub(name.chars().count() + value.chars().count());
                room = left.unwrap_or(room);
                left.is_some()
            })
            .map(|(name, value)| (made.text(name), made.text(value)))
            .collect();
        let sample = Sample { at: millis(exemplar.time_unix_nano, self.now), value: value_of(exemplar) };
        made.exemplar(fitting.into_iter(), sample);
        Ok(())
    }
}

/// The points of one metric.
struct Points<'a> {
    newest: Cell<Option<Millis>>,
    metric: &'a Metric,
    common: &'a Labels<'a>,
    help: Text,
    unit: Text,
}

impl Points<'_> {
    fn point<'p>(
        &self,
        name: &'p str,
        said: Said,
        labels: &'p [(Text, Text)],
        about: &'p About<'_>,
        now: Millis,
    ) -> Point<'p> {
        let at = millis(about.nanos, now);
        self.newest.set(self.newest.get().max(Some(at)));
        Point { name, said, labels, at, exemplars: about.exemplars, is_over: about.is_over() }
    }
}

/// Attributes of a resource that say who it is, by their labels' names.
fn is_identity(label: &str) -> bool {
    ["service.name", "service.namespace", "service.instance.id", COMPONENT, COMPONENT_TYPE]
        .into_iter()
        .any(|key| label_name(key) == label)
}

/// Attributes of a resource that name its component.
const COMPONENT: &str = "noetl.component.name";
const COMPONENT_TYPE: &str = "noetl.component.type";

/// The labels by which a resource is known.
fn identity(attributes: &[KeyValue]) -> impl Iterator<Item = (&'static str, String)> {
    let service = value(attributes, "service.name");
    let component = value(attributes, COMPONENT).or_else(|| service.clone());
    let job = service.map(|name| match value(attributes, "service.namespace") {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name,
    });
    [
        ("component", component.or_else(|| Some(DEFAULT_COMPONENT.into()))),
        ("component_type", value(attributes, COMPONENT_TYPE)),
        ("instance", value(attributes, "service.instance.id")),
        ("job", job),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
}

/// Milliseconds since 1970; now where no time is said.
fn millis(nanos: u64, now: Millis) -> Millis {
    if nanos == 0 { now } else { Millis(i64::try_from(nanos / 1_000_000).unwrap_or(i64::MAX)) }
}

fn value_of(exemplar: &Exemplar) -> f64 {
    match exemplar.value {
        Some(exemplar::Value::AsDouble(value)) => value,
        Some(exemplar::Value::AsInt(value)) => signed(value),
        None => f64::NAN,
    }
}

#[allow(clippy::cast_precision_loss, reason = "samples are doubles, as Prometheus has them")]
const fn float(count: u64) -> f64 {
    count as f64
}

#[allow(clippy::cast_precision_loss, reason = "samples are doubles, as Prometheus has them")]
const fn signed(value: i64) -> f64 {
    value as f64
}
