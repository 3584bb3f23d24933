//! Reports: within the limits, the same by the fast and by the general parser, the same once written again,
//! and the same of series that are known.

use std::collections::HashMap;
use std::convert::Infallible;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use foldhash::quality::FixedState;

use super::raw::{Listed, RawReport};
use super::{Checked, Entry, Exemplar, Recall, Sample, read, read_recalling, scan};
use crate::model::{
    Component, EXECUTION_ID, EXEMPLAR_CHARS, Limits, MetricType, Millis, Orders, Reading, RuntimeId, Series,
    SeriesId, SeriesKey, chars_of, is_label_name, is_metric_name, is_stale,
};
use crate::wire::report_out::ReportOut;

const NOW: Millis = Millis(1_800_000_000_000);

/// The bytes are a body.
pub(crate) fn report(body: &[u8]) {
    let limits = Limits { samples: 50, bounds: 8, body_bytes: 1 << 12, ..Limits::default() };
    if let Ok(text) = str::from_utf8(body)
        && let Some(fast) = scan::read(text, limits.samples, |_| None::<Infallible>)
    {
        let general = RawReport::read_general(text, limits.samples).expect("what the fast parser reads");
        assert_eq!(format!("{:?}", fast.without_texts()), format!("{general:?}"));
    }
    let Ok(report) = read(body, &limits) else { return };
    let (entries, execution) = (report.len(), report.execution_id.clone());
    assert!(entries <= limits.samples);
    let Ok(checked) = report.check(&limits, NOW, &Remembered::default()) else { return };
    keeps_limits((entries, execution.as_deref()), &checked, body.len(), &limits);
    comes_back(&checked.samples, &limits);
    let remembered = Remembered::all_of(&checked.samples);
    is_the_same_of_known_series(body, &checked, &remembered, &limits);
    is_the_same_recalled(body, &remembered, &limits);
}

/// Series by the texts of their fields, or by what a test says.
#[derive(Default)]
pub(crate) struct Remembered {
    pub(crate) key: Option<fn(&[&str; 5]) -> SeriesKey>,
    pub(crate) series: HashMap<u64, Arc<Series>>,
    pub(crate) orders: Orders,
}

impl Recall for Remembered {
    fn key(&self, fields: &[&str; 5]) -> SeriesKey {
        self.key.map_or_else(|| SeriesKey(FixedState::default().hash_one(fields).max(1)), |key| key(fields))
    }

    fn find(&self, key: SeriesKey) -> Option<&Arc<Series>> {
        self.series.get(&key.0)
    }

    fn text(&self, around: &[&str; 3]) -> u64 {
        FixedState::default().hash_one(around)
    }

    fn order(&self, first: SeriesKey) -> Option<Arc<[SeriesKey]>> {
        self.orders.beginning_with(first)
    }

    fn learn(&self, order: Vec<SeriesKey>) {
        self.orders.learn(order, self.series.len());
    }
}

impl<R: Recall> Recall for &R {
    fn key(&self, fields: &[&str; 5]) -> SeriesKey {
        R::key(self, fields)
    }

    fn find(&self, key: SeriesKey) -> Option<&Arc<Series>> {
        R::find(self, key)
    }

    fn text(&self, around: &[&str; 3]) -> u64 {
        R::text(self, around)
    }

    fn order(&self, first: SeriesKey) -> Option<Arc<[SeriesKey]>> {
        R::order(self, first)
    }

    fn learn(&self, order: Vec<SeriesKey>) {
        R::learn(self, order);
    }
}

impl Remembered {
    /// Each series of these samples.
    pub(crate) fn all_of(samples: &[Sample<'_>]) -> Self {
        let component = Arc::new(Component::new(RuntimeId(1), "w", "worker_pool", NOW));
        let series = |(sample, key): (&Sample<'_>, SeriesKey)| {
            let line = format!("{}{{}} ", sample.name).into_bytes().into_boxed_slice();
            let series = Series::new(SeriesId(1), Arc::clone(&component), sample.kind, line);
            series.key.store(key.0, Ordering::Relaxed);
            (key.0, Arc::new(series))
        };
        Self {
            series: samples.iter().filter_map(|sample| Some((sample, sample.key?))).map(series).collect(),
            ..Self::default()
        }
    }
}

/// A report of so many entries, of an execution or of none.
fn keeps_limits(
    (entries, execution): (usize, Option<&str>),
    checked: &Checked<'_>,
    body: usize,
    limits: &Limits,
) {
    let samples = &checked.samples;
    assert!(samples.len() <= limits.samples && checked.entries.len() == samples.len());
    let mut places = vec![0; entries];
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
    keeps_limits_of_exemplars(execution, checked, limits);
}

fn keeps_limits_of_exemplars(id: Option<&str>, checked: &Checked<'_>, limits: &Limits) {
    assert!(checked.exemplars.len() <= limits.samples);
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
    let again = report.check(limits, NOW, &Remembered::default()).expect("there are no more than before");
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
fn is_the_same_of_known_series(body: &[u8], checked: &Checked<'_>, remembered: &Remembered, limits: &Limits) {
    let report = read(body, limits).expect("it was read");
    let again = report.check(limits, NOW, remembered).expect("there are no more than before");
    assert_eq!(exemplars_of(&again), exemplars_of(checked));
    assert_eq!(entries_of(&again), entries_of(checked));
    let places = |checked: &Checked<'_>| checked.rejected.iter().map(|one| one.index).collect::<Vec<_>>();
    assert_eq!(places(&again), places(checked));
}

/// A body is read the same with what is remembered of one that it equals, or nearly, as without.
fn is_the_same_recalled(body: &[u8], remembered: &Remembered, limits: &Limits) {
    recalled_as_read(body, remembered, limits);
    let mut changed = body.to_vec();
    let mut place = usize::try_from(FixedState::default().hash_one(body) % 1009).unwrap_or(0);
    for byte in *b"0\"\\}1 ,-ae" {
        place = (place * 31 + 7) % body.len().max(1);
        let Some(at) = changed.get_mut(place) else { return };
        let before = std::mem::replace(at, byte);
        recalled_as_read(&changed, remembered, limits);
        changed[place] = before;
        // Known again, or the next would hardly find anything.
        recalled_as_read(body, remembered, limits);
    }
}

/// How many entries were not taken apart.
pub(crate) fn recalled_as_read(body: &[u8], remembered: &Remembered, limits: &Limits) -> usize {
    let recalled = read_recalling(body, limits, |_| Some(remembered));
    // Read afterwards: what is remembered changes as entries are checked.
    let same = match &recalled {
        Ok(report) => report.items.iter().filter(|listed| matches!(listed, Listed::Same(_))).count(),
        Err(_) => 0,
    };
    let one = recalled.and_then(|report| report.check(limits, NOW, remembered));
    let other = read(body, limits).and_then(|report| report.check(limits, NOW, remembered));
    match (one, other) {
        (Ok(one), Ok(other)) => {
            assert_eq!(series_of(&one), series_of(&other));
            assert_eq!(entries_of(&one), entries_of(&other));
            assert_eq!(exemplars_of(&one), exemplars_of(&other));
            assert_eq!(one.rejected, other.rejected);
        }
        (one, other) => assert_eq!(one.err(), other.err()),
    }
    same
}

/// Which series the entries are of, where they are known, by their keys.
fn series_of(checked: &Checked<'_>) -> Vec<Option<u64>> {
    let series = |entry: &Entry| match entry {
        Entry::Known(known) => Some(known.series.key.load(Ordering::Relaxed)),
        Entry::Sample(_) => None,
    };
    checked.entries.iter().map(series).collect()
}

/// A value in a form that is equal to itself.
fn bits_of(value: f64) -> u64 {
    if value.is_nan() && !is_stale(value) { 0 } else { value.to_bits() }
}

fn entries_of(checked: &Checked<'_>) -> Vec<(u64, Option<Millis>)> {
    let entry = |entry: &Entry| match entry {
        Entry::Known(known) => (bits_of(known.value), known.at),
        Entry::Sample(place) => (bits_of(checked.samples[*place].value), checked.samples[*place].at),
    };
    checked.entries.iter().map(entry).collect()
}

type Said = (usize, u64, Option<Millis>, Vec<(String, String)>);

fn exemplars_of(checked: &Checked<'_>) -> Vec<Said> {
    let owned = |labels: &[crate::model::Label<'_>]| {
        labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    };
    let said = |one: &Exemplar<'_>| (one.entry, bits_of(one.value), one.at, owned(&one.labels));
    checked.exemplars.iter().map(said).collect()
}
