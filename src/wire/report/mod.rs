//! The body of `POST /api/metrics/report`: JSON to checked samples, in two steps.
//!
//! [`read`] finds in one pass over the bytes who reports and where each entry of the list is.
//! An entry that its component wrote in the same words before, after the same one, is known by its text
//! and not even taken apart. [`Report::check`] goes through the entries: of one whose fields are written as
//! they were before only value and time are read; the others are read field by field, strings borrowed from
//! the bytes.
//! A sample that breaks a rule is set aside with its index, field and reason; the others are not
//! touched by it. Only a body that is no JSON object at all, or whose component or list of metrics
//! can't be read, fails as a whole.

mod exemplars;
mod fields;
#[cfg(any(test, feature = "fuzzing"))]
#[path = "../../../fuzz/report.rs"]
pub(crate) mod fuzz;
mod item;
mod raw;
mod same;
mod scan;
#[cfg(test)]
mod tests;
mod whole;

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use fields::{FieldError, Times};
use raw::{Items, Listed, RawReport};

use super::json::Json;
use crate::model::{
    Component, EXECUTION_ID, EXEMPLAR_CHARS, Label, Limits, MetricType, Millis, Series, SeriesKey,
};

pub use exemplars::Exemplar;
pub use same::{Head, Recall};

/// A report whose entries are not checked yet.
#[derive(Debug, Default)]
pub struct Report<'a> {
    /// Identity of the component, which wins over the name.
    pub runtime_id: Option<i64>,
    /// Name of the component.
    pub component_name: Option<Cow<'a, str>>,
    /// Kind of the component: `component_type`, or `kind`.
    pub component_type: Option<Cow<'a, str>>,
    /// The execution that its entries are of.
    pub execution_id: Option<Cow<'a, str>>,
    items: Vec<Listed<'a>>,
}

/// The entries of a report, checked.
#[derive(Debug, Default)]
pub struct Checked<'a> {
    /// Those that keep all rules, in the order in which they came.
    pub entries: Vec<Entry>,
    /// Samples whose series is still to be found.
    pub samples: Vec<Sample<'a>>,
    /// Exemplars of the entries.
    pub exemplars: Vec<Exemplar<'a>>,
    /// Entries that break a rule.
    pub rejected: Vec<Rejected>,
}

/// One sample of a checked report.
#[derive(Debug)]
pub enum Entry {
    /// Its series is known.
    Known(Known),
    /// One of the samples whose series is not, by its place among them.
    Sample(usize),
}

/// A sample of a known series.
#[derive(Debug)]
pub struct Known {
    /// The series.
    pub series: Arc<Series>,
    /// Value.
    pub value: f64,
    /// Its time; `None` is the time of arrival.
    pub at: Option<Millis>,
}

/// A sample that keeps all rules.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample<'a> {
    /// Its place in the report's list of metrics.
    pub index: usize,
    /// By which the next sample that is written like this one is known.
    pub key: Option<SeriesKey>,
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

/// Reads a report.
pub fn read<'a>(body: &'a [u8], limits: &Limits) -> Result<Report<'a>, ReportError> {
    read_recalling(body, limits, |_| None::<Infallible>)
}

/// Reads a report. `recall` says what is remembered of the component that the report begins with; who goes on
/// makes sure that it is [of it](Report::may_be_of).
pub fn read_recalling<'a, R: Recall>(
    body: &'a [u8],
    limits: &Limits,
    recall: impl FnOnce(Head<'_>) -> Option<R>,
) -> Result<Report<'a>, ReportError> {
    // All at once, which takes less time than string by string.
    let body = str::from_utf8(body).map_err(|e| ReportError::Syntax(e.to_string()))?;
    let raw =
        RawReport::read(body, limits.samples, recall).map_err(|e| ReportError::Syntax(e.to_string()))?;
    if raw.not_object {
        return Err(shape("body", "must be a JSON object".into()));
    }
    if let Some(field) = raw.twice {
        return Err(shape(field, "occurs twice".into()));
    }
    let items = match raw.metrics {
        Items::Missing => return Err(shape("metrics", "is missing".into())),
        Items::Wrong(what) => return Err(shape("metrics", format!("must be a list, not {what}"))),
        Items::TooMany => return Err(too_many(limits)),
        Items::List(items) => items,
    };
    let text = |field, value: Json<'a>| {
        value.into_text().map_err(|what| shape(field, format!("must be a string, not {what}")))
    };
    Ok(Report {
        runtime_id: runtime_id(raw.runtime_id)?,
        component_name: text("component_name", raw.component_name)?.filter(|t| !t.is_empty()),
        component_type: text("component_type", raw.component_type)?.filter(|t| !t.is_empty()),
        execution_id: execution_id(raw.execution_id)?,
        items,
    })
}

impl<'a> Report<'a> {
    /// How many entries it has, good and bad.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether it has no entry, good or bad.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether what was recalled is of this component. Where it is not, the report has to be read without.
    pub fn may_be_of(&self, component: &Component) -> bool {
        let same = self.items.iter().find_map(|listed| match listed {
            Listed::Item(_) => None,
            Listed::Same(same) => Some(same),
        });
        same.is_none_or(|same| same.series.component.id == component.id)
    }

    /// Checks the entries. `now` is the server's clock; `recall` says which series are known.
    pub fn check(
        self,
        limits: &Limits,
        now: Millis,
        recall: &impl Recall,
    ) -> Result<Checked<'a>, ReportError> {
        let Self { items, execution_id, .. } = self;
        let mut checked = Checked { entries: Vec::with_capacity(items.len()), ..Checked::default() };
        let key = |listed: &Listed<'a>| match listed {
            Listed::Item(item) => item.series_fields().map(|fields| recall.key(&fields)),
            Listed::Same(_) => None,
        };
        let keys: Vec<Option<SeriesKey>> = items.iter().map(key).collect();
        // All at once: the processor waits for the memory of several series at the same time.
        let found: Vec<Option<&Arc<Series>>> =
            keys.iter().map(|key| key.and_then(|key| recall.find(key))).collect();
        let mut times = Times::new(now, limits);
        let mut copies = limits.body_bytes.saturating_mul(LABEL_COPIES);
        let mut known_by_fields = 0;
        for (index, ((listed, key), series)) in items.into_iter().zip(keys).zip(found).enumerate() {
            let (before, first) = (checked.samples.len(), checked.entries.len());
            let of_entry = match &listed {
                Listed::Item(item) => item.exemplars,
                Listed::Same(_) => None,
            };
            let exemplars = match exemplars::read(of_entry, execution_id.as_ref(), limits, &mut times) {
                Ok(exemplars) => exemplars,
                Err(error) => {
                    checked.reject(index, error);
                    continue;
                }
            };
            let taken = match (listed, series) {
                (Listed::Same(same), _) => {
                    same.check(&mut times).map(|sample| checked.entries.push(Entry::Known(sample)))
                }
                (Listed::Item(item), Some(series)) => item.check_known(series, &mut times).map(|sample| {
                    item.remember(series, recall);
                    known_by_fields += 1;
                    checked.entries.push(Entry::Known(sample));
                }),
                (Listed::Item(item), None) => {
                    item.check(index, key, limits, &mut times, &mut copies, &mut checked.samples)
                }
            };
            if let Err(error) = taken {
                checked.samples.truncate(before);
                checked.reject(index, error);
            }
            checked.entries.extend((before..checked.samples.len()).map(Entry::Sample));
            if checked.entries.len() > limits.samples {
                return Err(too_many(limits));
            }
            checked.attach(first, exemplars);
            if checked.exemplars.len() > limits.samples {
                return Err(shape(
                    "metrics",
                    format!("more than {} exemplars in one report", limits.samples),
                ));
            }
        }
        // The first one always is.
        if known_by_fields > 1 {
            recall.learn(checked.known_order());
        }
        Ok(checked)
    }
}

impl Checked<'_> {
    /// The known series, in their order.
    fn known_order(&self) -> Vec<SeriesKey> {
        let key = |entry: &Entry| match entry {
            Entry::Known(known) => Some(SeriesKey(known.series.key.load(Ordering::Relaxed))),
            Entry::Sample(_) => None,
        };
        self.entries.iter().filter_map(key).collect()
    }

    fn reject(&mut self, index: usize, (field, reason): FieldError) {
        self.rejected.push(Rejected { index, field: field.into(), reason });
    }
}

fn shape(field: &'static str, reason: String) -> ReportError {
    ReportError::Shape { field, reason }
}

fn too_many(limits: &Limits) -> ReportError {
    shape("metrics", format!("more than {} samples in one report", limits.samples))
}

/// The id of an execution has room among the labels of an exemplar.
fn execution_id(value: Json<'_>) -> Result<Option<Cow<'_, str>>, ReportError> {
    let wrong = |reason: String| shape("execution_id", reason);
    let id: Cow<'_, str> = match value {
        Json::Integer(id) => id.to_string().into(),
        other => match other.into_text() {
            Ok(text) => text.unwrap_or_default(),
            Err(what) => return Err(wrong(format!("must be a string or a 64-bit integer, not {what}"))),
        },
    };
    let most = EXEMPLAR_CHARS - EXECUTION_ID.len();
    if id.chars().count() > most || id.contains('\0') {
        return Err(wrong(format!("must have at most {most} characters and no U+0000")));
    }
    Ok(Some(id).filter(|id| !id.is_empty()))
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
