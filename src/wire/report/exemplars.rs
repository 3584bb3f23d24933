//! Exemplars of a report: those that its entries have, and those that its execution makes.

use std::borrow::Cow;

use super::super::json::Json;
use super::fields::{FieldError, Times, labels_of, parse, text_of, value_of};
use super::raw::{Field, is_given};
use super::{Checked, Entry, Sample};
use crate::model::{EXECUTION_ID, Label, Limits, Millis, check_exemplar, is_stale};

/// An exemplar of an entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar<'a> {
    /// Of which of the checked entries.
    pub entry: usize,
    /// Its value.
    pub value: f64,
    /// Its time; `None` is the time of arrival.
    pub at: Option<Millis>,
    /// Its labels, sorted by name.
    pub labels: Vec<Label<'a>>,
}

/// An exemplar as it was written: what it does not say is as its sample has it.
pub(super) struct Written<'a> {
    value: Option<f64>,
    at: Option<Millis>,
    labels: Vec<Label<'a>>,
}

/// The field that they are in.
const FIELD: &str = "exemplars";
/// Bytes that an exemplar may be written with, on the average of as many as there may be.
const BYTES: usize = 1024;

/// The exemplars of an entry: what its field says, and what the execution of its report makes of it.
pub(super) fn read<'a>(
    field: Field<'a>,
    execution: Option<&Cow<'a, str>>,
    limits: &Limits,
    times: &mut Times<'a>,
) -> Result<Vec<Written<'a>>, FieldError> {
    if field.is_none() && execution.is_none() {
        return Ok(Vec::new());
    }
    let of_execution = || execution.map(|id| (EXECUTION_ID.into(), id.clone()));
    let entries = match list(field, limits)? {
        Some(entries) if !entries.is_empty() => entries,
        _ => {
            let alone = |label| Written { value: None, at: None, labels: vec![label] };
            return Ok(of_execution().map(alone).into_iter().collect());
        }
    };
    if entries.len() > limits.bounds {
        return Err((FIELD, format!("{} of them, at most {} are allowed", entries.len(), limits.bounds)));
    }
    let one = |(place, entry): (usize, Json<'a>)| {
        let written = written(entry, times).and_then(|mut written| {
            if written.labels.iter().all(|(name, _)| name != EXECUTION_ID) {
                written.labels.extend(of_execution());
            }
            check_exemplar(&mut written.labels).map(|()| written)
        });
        written.map_err(|reason| (FIELD, format!("{FIELD}[{place}]: {reason}")))
    };
    entries.into_iter().enumerate().map(one).collect()
}

/// The list, each of its elements with all that it says.
fn list<'a>(field: Field<'a>, limits: &Limits) -> Result<Option<Vec<Json<'a>>>, FieldError> {
    let Some(raw) = field.filter(|_| is_given(field)) else { return Ok(None) };
    // Small elements would take much more memory than their bytes.
    if raw.len() > limits.bounds.saturating_mul(BYTES) {
        return Err((FIELD, format!("{} bytes, at most {BYTES} for each of {}", raw.len(), limits.bounds)));
    }
    if !raw.starts_with('[') {
        let what = parse(FIELD, field)?.describe();
        return Err((FIELD, format!("must be a list of objects, not {what}")));
    }
    serde_json::from_str(raw).map(Some).map_err(|error| {
        let what = error.to_string();
        (FIELD, what.split(" at line ").next().unwrap_or_default().to_owned())
    })
}

fn written<'a>(entry: Json<'a>, times: &mut Times<'a>) -> Result<Written<'a>, String> {
    let Json::Object(fields) = entry else {
        return Err(format!("must be an object, not {}", entry.describe()));
    };
    let said = |(field, reason): FieldError| match field {
        // It begins with the label.
        "labels" => reason,
        _ => format!("{field}: {reason}"),
    };
    let mut written = Written { value: None, at: None, labels: Vec::new() };
    let mut seen = [false; 3];
    for (name, value) in fields {
        let place = match name.as_ref() {
            "labels" => 0,
            "value" => 1,
            "timestamp" => 2,
            _ => continue,
        };
        if std::mem::replace(&mut seen[place], true) {
            return Err(format!("{name} occurs twice"));
        }
        match place {
            0 => written.labels = labels_of(value).map_err(said)?,
            1 => written.value = Some(value_of("value", &value).map_err(said)?),
            _ => {
                let text = text_of("timestamp", value).map_err(said)?;
                written.at = text.map(|text| times.parse(&text)).transpose().map_err(said)?;
            }
        }
    }
    if written.value.is_some_and(is_stale) {
        return Err("value: must be a number, or one of the strings NaN, +Inf, -Inf".into());
    }
    Ok(written)
}

impl<'a> Checked<'a> {
    /// Gives the entries from `first` on, which are of one entry of the report, their exemplars.
    pub(super) fn attach(&mut self, first: usize, written: Vec<Written<'a>>) {
        let Some(last) = self.entries.len().checked_sub(1).filter(|last| *last >= first) else { return };
        for Written { value, at, labels } in written {
            // A histogram that came whole has it in a bucket; of its execution alone its count has it.
            let bucket = value.and_then(|value| (first..last).find(|entry| self.holds(*entry, value)));
            let entry = bucket.unwrap_or(last);
            let (of_sample, time) = match &self.entries[entry] {
                Entry::Known(known) => (known.value, known.at),
                Entry::Sample(place) => (self.samples[*place].value, self.samples[*place].at),
            };
            let value = value.unwrap_or(of_sample);
            if !is_stale(value) {
                self.exemplars.push(Exemplar { entry, value, at: at.or(time), labels });
            }
        }
    }

    /// Whether an entry is a bucket that counts values like this.
    fn holds(&self, entry: usize, value: f64) -> bool {
        let Some(Entry::Sample(place)) = self.entries.get(entry) else { return false };
        let Sample { name, labels, .. } = &self.samples[*place];
        let bound = labels.iter().find(|(name, _)| name == "le").and_then(|(_, bound)| bound.parse().ok());
        name.ends_with("_bucket") && bound.is_some_and(|bound: f64| value <= bound)
    }
}
