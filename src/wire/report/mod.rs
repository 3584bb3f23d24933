//! The body of `POST /api/metrics/report`: JSON to checked samples.
//!
//! One pass over the bytes, strings borrowed from them. A sample that breaks a rule is set aside
//! with its index, field and reason; the others are not touched by it. Only a body that is no JSON
//! object at all, or whose component or list of metrics can't be read, fails as a whole.

mod fields;
mod item;
mod raw;
#[cfg(test)]
mod tests;
mod whole;

use std::borrow::Cow;

use raw::{Items, RawReport};

use super::json::Json;
use crate::model::{Label, Limits, MetricType, Millis};

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

/// Each part of a histogram or summary carries a copy of the metric's labels. All copies of a report
/// may take as many times the bytes that a body may have.
const LABEL_COPIES: usize = 8;

/// Decodes a report; `now` is the server's clock, which bounds how far ahead a sample may be.
pub fn decode<'a>(body: &'a [u8], limits: &Limits, now: Millis) -> Result<Report<'a>, ReportError> {
    // All at once, which takes less time than string by string.
    let body = str::from_utf8(body).map_err(|e| ReportError::Syntax(e.to_string()))?;
    let raw = RawReport::read(body, limits.samples).map_err(|e| ReportError::Syntax(e.to_string()))?;
    let shape = |field, reason: String| ReportError::Shape { field, reason };
    if raw.not_object {
        return Err(shape("body", "must be a JSON object".into()));
    }
    if let Some(field) = raw.twice {
        return Err(shape(field, "occurs twice".into()));
    }
    let too_many = || shape("metrics", format!("more than {} samples in one report", limits.samples));
    let items = match raw.metrics {
        Items::Missing => return Err(shape("metrics", "is missing".into())),
        Items::Wrong(what) => return Err(shape("metrics", format!("must be a list, not {what}"))),
        Items::TooMany => return Err(too_many()),
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
    let mut copies = limits.body_bytes.saturating_mul(LABEL_COPIES);
    for (index, item) in items.into_iter().enumerate() {
        let before = report.samples.len();
        if let Err((field, reason)) = item.check(index, limits, now, &mut copies, &mut report.samples) {
            report.samples.truncate(before);
            report.rejected.push(Rejected { index, field: field.into(), reason });
        } else if report.samples.len() > limits.samples {
            return Err(too_many());
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
