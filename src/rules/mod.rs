//! Alert rules and aggregates: what a file of them may say, when a rule holds, what becomes of an alert,
//! and what an aggregate comes to.
//!
//! A rule compares the newest values of one metric with a threshold, or says that there is none. The
//! words and the states are Prometheus': pending, firing, resolved; [`Rule::promql`] is the same rule
//! for it. An aggregate makes a metric out of another one. No I/O, no clock: who evaluates says the time
//! and has the samples.

mod aggregate;
mod alert;
mod alerts;
mod file;
mod matchers;
mod replay;
mod template;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use aggregate::{Aggregate, Function, Groups, MAX_GROUPS};
pub use alert::{Alert, RESOLVED_KEPT_MS, State};
pub use alerts::Alerts;
pub use file::{MAX_AGGREGATES, MAX_BYTES, MAX_RULES, RuleSet, RulesError, Written, check, parse};
pub use matchers::Matchers;
pub use replay::{Fired, History, Looks};
pub use template::Template;

/// Alerts of one rule at most: more is a rule that selects too much.
pub const MAX_ALERTS: usize = 1000;

/// How the names of metrics begin that servers make themselves at each moment, and do not store.
pub const MADE_BY_SERVERS: [&str; 2] = ["noetl_metrics_", "noetl_component_"];

/// Names and values, sorted by name.
pub type Labels = BTreeMap<String, String>;

/// What holds of a rule at one time: the alerts' labels, with the series' own labels and its value.
pub type Held = BTreeMap<Labels, (Labels, f64)>;

/// A rule that was checked.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Name of its alerts.
    pub name: String,
    /// Name of the metric.
    pub metric: String,
    /// Which of its series.
    pub matchers: Matchers,
    /// When it holds of one of them.
    pub condition: Condition,
    /// For how long it has to hold before its alert fires, in milliseconds.
    pub hold_ms: i64,
    /// For how long an alert goes on firing after it held last, in milliseconds.
    pub keep_ms: i64,
    /// Label `severity` of its alerts.
    pub severity: String,
    /// Texts of its alerts, by their name.
    pub annotations: BTreeMap<&'static str, Template>,
}

/// When a rule holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Condition {
    /// A value compares so with the threshold.
    Is(Comparison, f64),
    /// There is no such series.
    Absent,
}

/// How a value is compared with a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub enum Comparison {
    /// Above it.
    #[serde(rename = ">")]
    Above,
    /// Above or equal.
    #[serde(rename = ">=")]
    AtLeast,
    /// Below it.
    #[serde(rename = "<")]
    Below,
    /// Below or equal.
    #[serde(rename = "<=")]
    AtMost,
    /// Equal.
    #[serde(rename = "==")]
    Equal,
    /// Not equal.
    #[serde(rename = "!=")]
    NotEqual,
    /// No threshold: there is no such series.
    #[serde(rename = "absent")]
    Absent,
}

/// Why a rule can't be evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvaluationError {
    /// It selects too much.
    #[error("it holds of more than {MAX_ALERTS} series")]
    TooMany,
    /// Series differ only in a label that the rule sets itself.
    #[error("it holds of series that differ only in the labels alertname or severity")]
    Alike,
}

impl Comparison {
    /// Whether a value compares so with a threshold; nothing but `!=` holds of NaN.
    pub fn holds(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::Above => value > threshold,
            Self::AtLeast => value >= threshold,
            Self::Below => value < threshold,
            Self::AtMost => value <= threshold,
            Self::Equal => value == threshold,
            Self::NotEqual => value != threshold,
            Self::Absent => false,
        }
    }

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Above => ">",
            Self::AtLeast => ">=",
            Self::Below => "<",
            Self::AtMost => "<=",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Absent => "absent",
        }
    }
}

impl Rule {
    /// Of which of the samples it holds. They are all those that its metric has now, each with a
    /// function that makes its labels, without the metric's name.
    pub fn evaluate<L: FnOnce() -> Labels>(
        &self,
        samples: impl IntoIterator<Item = (f64, L)>,
    ) -> Result<Held, EvaluationError> {
        let mut held = Held::new();
        match self.condition {
            Condition::Absent => {
                let there = samples.into_iter().any(|(_, labels)| self.matchers.select(&labels()));
                if !there {
                    let labels = self.matchers.equalities();
                    held.insert(self.labels_of(&labels), (labels, 1.0));
                }
            }
            Condition::Is(comparison, threshold) => {
                let held_by = |value: &f64| comparison.holds(*value, threshold);
                // Comparing is cheap, labels are not.
                for (value, labels) in samples.into_iter().filter(|(value, _)| held_by(value)) {
                    let labels = labels();
                    if !self.matchers.select(&labels) {
                        continue;
                    }
                    if held.len() >= MAX_ALERTS {
                        return Err(EvaluationError::TooMany);
                    }
                    if held.insert(self.labels_of(&labels), (labels, value)).is_some() {
                        return Err(EvaluationError::Alike);
                    }
                }
            }
        }
        Ok(held)
    }

    /// The labels of the alert of a series with these.
    fn labels_of(&self, series: &Labels) -> Labels {
        let mut labels = series.clone();
        labels.retain(|name, _| name != "__name__");
        labels.insert("alertname".into(), self.name.clone());
        labels.insert("severity".into(), self.severity.clone());
        labels
    }

    /// The same as an expression of PromQL. `more` are further matchers, as `job="noetl"`.
    pub fn promql(&self, more: &str) -> String {
        let selector = self.matchers.selector(&self.metric, more);
        match self.condition {
            Condition::Absent => format!("absent({selector})"),
            Condition::Is(comparison, threshold) => {
                format!("{selector} {} {threshold}", comparison.as_str())
            }
        }
    }
}
