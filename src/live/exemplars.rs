//! The newest exemplar of each series that has one, as OpenMetrics writes it.
//!
//! Few series have any, so they are not held by the series. One that is older than an hour is not
//! exported: it says nothing of what a scraper looks at now.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{RwLock, RwLockReadGuard};

use super::format::{Format, write_time};
use crate::model::{Exemplar, Millis, SeriesId, write_label};
use crate::wire::value;

/// Series whose newest exemplar is held, at most.
pub const MOST: usize = 100_000;
/// For so long an exemplar is exported, in milliseconds.
pub const EXPORTED_MS: i64 = 3_600_000;

/// The newest exemplars.
#[derive(Debug, Default)]
pub struct Exemplars {
    held: RwLock<HashMap<SeriesId, Newest>>,
    passed_over: AtomicU64,
}

/// The newest exemplar of a series.
#[derive(Debug)]
pub(super) struct Newest {
    at: Millis,
    value: f64,
    /// What stands behind the sample: ` # {trace_id="…"} 0.5 1700000000.123`.
    text: Box<[u8]>,
}

impl Newest {
    /// What to write behind a sample of which no observation is greater than `bound`.
    pub(super) fn text(&self, bound: f64, now: Millis) -> Option<&[u8]> {
        let fits = bound == f64::INFINITY || self.value <= bound;
        (fits && now.since(self.at) <= EXPORTED_MS).then_some(&self.text)
    }
}

impl Exemplars {
    /// Takes those that are newer than what is held.
    pub fn offer(&self, exemplars: &[Exemplar<'_>], now: Millis) {
        if exemplars.is_empty() {
            return;
        }
        let mut held = self.held.write();
        for exemplar in exemplars.iter().filter(|one| now.since(one.at) <= EXPORTED_MS) {
            let known = held.get(&exemplar.series);
            if known.is_none() && held.len() >= MOST {
                self.passed_over.fetch_add(1, Ordering::Relaxed);
            } else if known.is_none_or(|known| known.at <= exemplar.at) {
                held.insert(exemplar.series, newest(exemplar));
            }
        }
    }

    /// Forgets those that are not exported any more.
    pub fn expire(&self, now: Millis) {
        let mut held = self.held.write();
        held.retain(|_, newest| now.since(newest.at) <= EXPORTED_MS);
        let room = held.len() * 2;
        held.shrink_to(room);
    }

    /// How many series have one.
    pub fn len(&self) -> usize {
        self.held.read().len()
    }

    /// Whether none has.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Exemplars that found no place.
    pub fn passed_over(&self) -> u64 {
        self.passed_over.load(Ordering::Relaxed)
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, HashMap<SeriesId, Newest>> {
        self.held.read()
    }
}

fn newest(exemplar: &Exemplar<'_>) -> Newest {
    let mut text = Vec::from(" # {");
    for (place, (name, value)) in exemplar.labels.iter().enumerate() {
        if place > 0 {
            text.push(b',');
        }
        write_label(&mut text, name, value);
    }
    text.extend_from_slice(b"} ");
    value::write(&mut text, exemplar.value);
    write_time(&mut text, exemplar.at, Format::OpenMetrics);
    Newest { at: exemplar.at, value: exemplar.value, text: text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_700_000_000_000);

    fn exemplar(series: i32, ago: i64, value: f64) -> Exemplar<'static> {
        let labels = vec![("a".into(), "x\"\\\n".into()), ("trace_id".into(), "t".into())];
        Exemplar { series: SeriesId(series), at: NOW.plus(-ago), value, labels }
    }

    fn text(exemplars: &Exemplars, bound: f64, now: Millis) -> Option<String> {
        let held = exemplars.read();
        held.get(&SeriesId(1))?.text(bound, now).map(|text| String::from_utf8_lossy(text).into_owned())
    }

    #[test]
    fn the_newest_one_is_written_while_it_says_something_of_now() {
        let exemplars = Exemplars::default();
        exemplars.offer(&[exemplar(1, 1500, 0.5), exemplar(1, 2000, 2.0)], NOW);
        let expected = " # {a=\"x\\\"\\\\\\n\",trace_id=\"t\"} 0.5 1699999998.500";
        assert_eq!(text(&exemplars, f64::INFINITY, NOW).as_deref(), Some(expected));
        assert_eq!(text(&exemplars, 0.5, NOW).as_deref(), Some(expected));
        assert_eq!(text(&exemplars, 0.4, NOW), None, "it is not of this bucket");
        assert_eq!(text(&exemplars, 1.0, NOW.plus(EXPORTED_MS)), None, "it is too old");
        exemplars.expire(NOW.plus(EXPORTED_MS - 1500));
        assert_eq!(exemplars.len(), 1);
        exemplars.expire(NOW.plus(EXPORTED_MS));
        exemplars.offer(&[exemplar(1, EXPORTED_MS + 1, 1.0)], NOW);
        assert!(exemplars.is_empty());
    }

    #[test]
    fn no_more_series_have_one_than_may() {
        let exemplars = Exemplars::default();
        let many: Vec<_> = (1..).take(MOST + 3).map(|series| exemplar(series, 0, 1.0)).collect();
        exemplars.offer(&many, NOW);
        exemplars.offer(&[exemplar(1, 0, 2.0)], NOW);
        assert_eq!((exemplars.len(), exemplars.passed_over()), (MOST, 3));
        assert!(text(&exemplars, 2.0, NOW).is_some_and(|text| text.contains("} 2 ")), "known ones go on");
    }
}
