//! Reports: within the limits, the same by the fast and by the general parser, the same once written again,
//! and the same of series that are known.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::quality::FixedState;

use super::raw::RawReport;
use super::{Checked, Entry, Exemplar, Report, Sample, read, scan};
use crate::model::{
    Component, EXECUTION_ID, EXEMPLAR_CHARS, Limits, MetricType, Millis, Reading, RuntimeId, Series,
    SeriesId, SeriesKey, chars_of, is_label_name, is_metric_name, is_stale,
};
use crate::wire::report_out::ReportOut;

const NOW: Millis = Millis(1_800_000_000_000);

/// The bytes are a body.
pub(crate) fn report(body: &[u8]) {
    let limits = Limits { samples: 50, bounds: 8, body_bytes: 1 << 12, ..Limits::default() };
    if let Ok(text) = str::from_utf8(body)
        && let Some(fast) = scan::read(text, limits.samples)
    {
        let general = RawReport::read_general(text, limits.samples).expect("what the fast parser reads");
        assert_eq!(format!("{fast:?}"), format!("{general:?}"));
    }
    let Ok(report) = read(body, &limits) else { return };
    assert!(report.len() <= limits.samples);
    let Ok(checked) = report.check(&limits, NOW, key, |_| None) else { return };
    keeps_limits(&report, &checked, body.len(), &limits);
    comes_back(&checked.samples, &limits);
    is_the_same_of_known_series(&report, &checked, &limits);
}

fn key(fields: &[&str; 5]) -> SeriesKey {
    SeriesKey(FixedState::default().hash_one(fields).max(1))
}

fn keeps_limits(report: &Report<'_>, checked: &Checked<'_>, body: usize, limits: &Limits) {
    let samples = &checked.samples;
    assert!(samples.len() <= limits.samples && checked.entries.len() == samples.len());
    let mut places = vec![0; report.len()];
    for sample in samples {
        places[sample.index] = 1;
    }
    for one in &checked.rejected {
        assert_eq!(places[one.index], 0, "rejected, and once");
        assert!(one.reason.len() < 4000 && !one.reason.contains('\0'), "{one:?}");
        places[one.index] |= 2;
    }
    assert!(places.iter().all(|place| *place > 0), "each entry has samples or a reason");
    let copies: usize =
        samples.iter().flat_map(|s| &s.labels).map(|(name, value)| name.len() + value.len()).sum();
    // Beside the copies each sample has what the body has, with sum and count, and a bound.
    let most = super::LABEL_COPIES * limits.body_bytes + 3 * body + 40 * samples.len();
    assert!(copies <= most, "{copies} bytes of labels");
    for Sample { name, kind, value, at, labels, help, unit, .. } in samples {
        assert!(is_metric_name(name) && name.len() <= limits.name_bytes + "_bucket".len());
        assert!(*kind != MetricType::Counter || is_stale(*value) || *value >= 0.0);
        assert!(at.is_none_or(|at| (0..=NOW.0 + limits.future_ms).contains(&at.0)));
        assert!(labels.len() <= limits.labels && labels.is_sorted_by(|a, b| a.0 < b.0));
        for (name, value) in labels {
            assert!(is_label_name(name) && name.len() <= limits.name_bytes);
            assert!(value.len() <= limits.label_value_bytes && !value.contains('\0'));
        }
        let short = |text: &Option<std::borrow::Cow<'_, str>>, most: usize| {
            text.as_ref().is_none_or(|text| text.len() <= most && !text.contains('\0'))
        };
        assert!(short(help, limits.help_bytes) && short(unit, 50));
    }
    keeps_limits_of_exemplars(report, checked, limits);
}

fn keeps_limits_of_exemplars(report: &Report<'_>, checked: &Checked<'_>, limits: &Limits) {
    assert!(checked.exemplars.len() <= limits.samples);
    let id = report.execution_id.as_deref();
    for Exemplar { entry, value, at, labels } in &checked.exemplars {
        assert!(*entry < checked.entries.len() && !is_stale(*value));
        assert!(at.is_none_or(|at| (0..=NOW.0 + limits.future_ms).contains(&at.0)));
        assert!(chars_of(labels) <= EXEMPLAR_CHARS && labels.is_sorted_by(|a, b| a.0 < b.0));
        assert!(labels.iter().all(|(name, value)| is_label_name(name) && !value.contains('\0')));
        assert!(id.is_none() || labels.iter().any(|(name, _)| name == EXECUTION_ID), "{labels:?}");
    }
    let is_over =
        |entry: &Entry| matches!(entry, Entry::Sample(place) if is_stale(checked.samples[*place].value));
    // Each entry of the report has one at least: of a whole histogram its last sample.
    let lasts = checked.entries.iter().enumerate().filter(|(place, entry)| {
        let index = |entry: &Entry| match entry {
            Entry::Known(_) => None,
            Entry::Sample(place) => Some(checked.samples[*place].index),
        };
        !is_over(entry) && checked.entries.get(place + 1).and_then(index) != index(entry)
    });
    assert!(id.is_none() || checked.exemplars.len() >= lasts.count());
}

/// What the agent would write of the samples is read as them.
fn comes_back(samples: &[Sample<'_>], limits: &Limits) {
    let reading = |sample: &Sample<'_>| Reading {
        name: sample.name.clone().into_owned().into(),
        kind: sample.kind,
        value: sample.value,
        labels: sample.labels.iter().map(|(k, v)| (k.clone().into_owned().into(), v.to_string())).collect(),
        help: sample.help.clone().unwrap_or_default().into_owned().into(),
        unit: None,
        timestamp_ms: Some(sample.at.unwrap_or(NOW).0),
    };
    let readings: Vec<Reading> = samples.iter().map(reading).collect();
    let out = ReportOut {
        component_name: "w",
        component_type: "worker_pool",
        common_labels: &[],
        read_at_ms: NOW.0,
        readings: &readings,
    };
    let body = out.to_json().expect("it is written");
    let report = read(&body, limits).expect("it is read");
    let again = report.check(limits, NOW, key, |_| None).expect("there are no more than before");
    // A bound or a suffix that the server made may make a name longer than one that a report may have.
    let short = |sample: &Sample<'_>| sample.name.len() <= limits.name_bytes;
    if samples.iter().all(short) {
        assert_eq!(again.rejected, []);
        let written = samples.iter().map(|sample| said(sample, sample.at.unwrap_or(NOW)));
        let read = again.samples.iter().map(|sample| said(sample, sample.at.expect("it was written")));
        assert_eq!(read.collect::<Vec<_>>(), written.collect::<Vec<_>>());
    }
}

/// What a sample says, in a form that is equal to itself.
fn said(sample: &Sample<'_>, at: Millis) -> String {
    let help = sample.help.as_deref().unwrap_or_default();
    let value = if is_stale(sample.value) { "stale".into() } else { format!("{:?}", sample.value) };
    format!("{} {} {value} {at:?} {:?} {help:?}", sample.name, sample.kind, sample.labels)
}

/// Where each series is known already, the same entries are taken, with the same values and times.
fn is_the_same_of_known_series(report: &Report<'_>, checked: &Checked<'_>, limits: &Limits) {
    let component = Arc::new(Component::new(RuntimeId(1), "w", "worker_pool", NOW));
    let mut known: HashMap<u64, Arc<Series>> = HashMap::new();
    for sample in &checked.samples {
        let Some(key) = sample.key else { continue };
        let line = format!("{}{{}} ", sample.name).into_bytes().into_boxed_slice();
        let series = Series::new(SeriesId(1), Arc::clone(&component), sample.kind, line);
        known.insert(key.0, Arc::new(series));
    }
    let again =
        report.check(limits, NOW, key, |key| known.get(&key.0)).expect("there are no more than before");
    let value = |value: f64| if value.is_nan() && !is_stale(value) { 0 } else { value.to_bits() };
    let of = |checked: &Checked<'_>| -> Vec<_> {
        let entry = |entry: &Entry| match entry {
            Entry::Known(known) => (value(known.value), known.at),
            Entry::Sample(place) => (value(checked.samples[*place].value), checked.samples[*place].at),
        };
        checked.entries.iter().map(entry).collect()
    };
    let exemplars = |checked: &Checked<'_>| -> Vec<_> {
        let of = |one: &Exemplar<'_>| {
            (
                one.entry,
                value(one.value),
                one.at,
                one.labels
                    .clone()
                    .into_iter()
                    .map(|(k, v)| (k.into_owned(), v.into_owned()))
                    .collect::<Vec<_>>(),
            )
        };
        checked.exemplars.iter().map(of).collect()
    };
    assert_eq!(exemplars(&again), exemplars(checked));
    assert_eq!(of(&again), of(checked));
    let places = |checked: &Checked<'_>| checked.rejected.iter().map(|one| one.index).collect::<Vec<_>>();
    assert_eq!(places(&again), places(checked));
}
