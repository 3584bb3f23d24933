//! Helpers for the tests of the collectors.

use super::readings::Readings;
use crate::model::{MetricType, Reading};

/// Runs `fill` and gives each reading as `name{label="value"} value`, as an exposition writes it.
pub(super) fn lines(fill: impl FnOnce(&mut Readings)) -> Vec<String> {
    readings(fill).iter().map(line).collect()
}

/// Runs `fill` and gives what it added.
pub(super) fn readings(fill: impl FnOnce(&mut Readings)) -> Vec<Reading> {
    let mut out = Readings::default();
    fill(&mut out);
    out.into_vec()
}

/// A reading as an exposition writes it, with sorted labels.
pub(super) fn line(reading: &Reading) -> String {
    format!("{} {}", series(reading), reading.value)
}

/// Name and sorted labels of a reading.
pub(super) fn series(reading: &Reading) -> String {
    let mut labels: Vec<_> = reading.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    labels.sort();
    if labels.is_empty() {
        reading.name.to_string()
    } else {
        format!("{}{{{}}}", reading.name, labels.join(","))
    }
}

/// Every name ends as its type asks: counters, and only they, in `_total` where the name is ours
/// to choose.
pub(super) fn is_well_formed(reading: &Reading) -> bool {
    let name_ok =
        !reading.name.is_empty() && reading.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let total = reading.name.ends_with("_total");
    name_ok && !reading.help.is_empty() && total == (reading.kind == MetricType::Counter)
}
