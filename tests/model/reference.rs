//! What a store should have: every sample as a plain row, with no form, hour or partition.

use std::collections::{BTreeMap, HashMap, HashSet};

use noetl_metrics::model::{MetricType, Millis};

use crate::history::{Insert, Report};

pub const HOUR: i64 = 3_600_000;
pub const DAY: i64 = 24 * HOUR;

/// A server that starts looks back so far for the newest sample of a series.
const NEWEST: i64 = 48 * HOUR;

/// A series: component, metric, and the value of its one label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub component: u8,
    pub metric: u8,
    pub label: u16,
}

impl Key {
    pub fn metric_name(self) -> String {
        metric_name(self.metric)
    }

    pub const fn kind(self) -> MetricType {
        kind(self.metric)
    }

    /// The series with these names.
    pub fn of(component: &str, metric: &str, label: &str) -> Option<Self> {
        Some(Self {
            component: component.strip_prefix('c')?.parse().ok()?,
            metric: metric.strip_prefix('m')?.parse().ok()?,
            label: label.parse().ok()?,
        })
    }
}

pub fn component_name(component: u8) -> String {
    format!("c{component}")
}

pub fn metric_name(metric: u8) -> String {
    format!("m{metric}")
}

pub const fn kind(metric: u8) -> MetricType {
    if metric.is_multiple_of(2) { MetricType::Gauge } else { MetricType::Counter }
}

/// A sample, its value as bits: NaN is like itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    pub key: Key,
    pub at: i64,
    pub bits: u64,
}

impl Sample {
    pub const fn value(&self) -> f64 {
        f64::from_bits(self.bits)
    }
}

/// Samples by series and time.
pub type Rows = BTreeMap<Key, BTreeMap<i64, u64>>;

#[derive(Clone, Debug, Default)]
pub struct Reference {
    pub rows: Rows,
    /// The newest value of each series that the server has in memory; of those that are not here it may
    /// have none yet.
    pub live: HashMap<Key, (i64, u64)>,
    /// Series that a scraper sees.
    pub exported: HashSet<Key>,
    /// Series that the server had in memory without a sample, as where the report that made them was
    /// killed, when SQL inserted samples that are too old to be looked for: it goes on without.
    pub unheard: HashSet<Key>,
    /// Until then samples are gone that were there: of whole hours more may be known than of samples.
    pub gone_until: i64,
    pub metric_ttl: HashMap<u8, i32>,
    pub component_ttl: HashMap<u8, i32>,
}

impl Reference {
    /// A report was acknowledged.
    pub fn write<'a>(&mut self, samples: impl IntoIterator<Item = &'a Sample>) {
        for sample in samples {
            self.put(sample);
            self.exported.insert(sample.key);
            if let Some(newest) = self.live.get_mut(&sample.key)
                && sample.at >= newest.0
            {
                *newest = (sample.at, sample.bits);
            }
        }
    }

    /// A row was inserted by SQL.
    pub fn put(&mut self, sample: &Sample) {
        self.rows.entry(sample.key).or_default().insert(sample.at, sample.bits);
    }

    /// The newest sample of a series, where a server that starts has to find it.
    pub fn newest(&self, key: Key, now: i64) -> Option<(i64, u64)> {
        let (at, bits) = self.rows.get(&key)?.last_key_value()?;
        (*at >= now - NEWEST).then_some((*at, *bits))
    }

    /// What is older than this may go.
    fn kept_from(&self, key: Key, now: i64, raw_ms: i64) -> i64 {
        let own = self.metric_ttl.get(&key.metric).max(self.component_ttl.get(&key.component));
        own.map_or(now - raw_ms, |days| now - i64::from(*days) * DAY)
    }

    /// Maintenance ran: `stored` is what is there. What had to be kept is, what had to go is not (where
    /// it came to its end), and of what lies in an hour that is partly past either is right.
    pub fn retained(&mut self, now: i64, raw_ms: i64, stored: &Rows, ended: bool) -> Result<(), String> {
        let mut gone = Vec::new();
        for (key, samples) in &self.rows {
            let kept_from = self.kept_from(*key, now, raw_ms);
            for at in samples.keys() {
                let there = stored.get(key).is_some_and(|samples| samples.contains_key(at));
                let hour_end = at - at.rem_euclid(HOUR) + HOUR;
                let said = || format!("{key:?} at {}, kept from {}", time(*at), time(kept_from));
                if !there && *at > kept_from {
                    return Err(format!("maintenance took a sample that was to be kept: {}", said()));
                }
                if there && ended && hour_end <= kept_from {
                    return Err(format!("maintenance left a sample that is past: {}", said()));
                }
                if !there {
                    gone.push((*key, *at));
                }
            }
        }
        for (key, at) in gone {
            self.gone_until = self.gone_until.max(at - at.rem_euclid(HOUR) + HOUR);
            self.rows.entry(key).or_default().remove(&at);
        }
        Ok(())
    }
}

/// The samples of a report that arrives at `now`, in its order. Their milliseconds are even, so that
/// those of rows that SQL inserts are others.
pub fn samples_of(report: &Report, now: i64) -> Vec<Sample> {
    let last = now - report.ago;
    let mut samples = Vec::new();
    for i in 0..report.times {
        for s in 0..report.series {
            let back = i64::from(report.times - 1 - i) * report.every + i64::from(s) * report.apart;
            let key = Key { component: report.component, metric: report.metric, label: report.first + s };
            let bits = report.values.of(key.label, i).to_bits();
            samples.push(Sample { key, at: (last - back) & !1, bits });
        }
    }
    samples
}

/// The rows of an INSERT.
pub fn rows_of(insert: &Insert, reference: &Reference, now: i64) -> Vec<Sample> {
    let at = now - insert.ago;
    let row = |label| {
        let key = Key { component: insert.component, metric: insert.metric, label };
        let there = || reference.rows.get(&key)?.range(..=at).next_back();
        let over = insert.over.then(there).flatten().map(|(at, _)| *at);
        Sample { key, at: over.unwrap_or(at | 1), bits: insert.values.of(label, 0).to_bits() }
    };
    (insert.first..insert.first + insert.series).map(row).collect()
}

pub fn time(at: i64) -> String {
    Millis(at).rfc3339()
}
