//! What happened over the last minute: from totals that only grow, read at each look.
//!
//! Contract: pure, but for what it remembers: a few looks of the last minute, however often it is
//! looked. A total that shrank is one of another server or of a new start, and says nothing yet.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// Rates are over this long.
const WINDOW: Duration = Duration::from_mins(1);
/// Looks that are remembered are at least this far apart.
const APART: Duration = Duration::from_secs(10);

/// Totals at one look.
#[derive(Clone, Debug, Default)]
pub(super) struct Totals {
    /// Since the program's start.
    pub(super) at: Duration,
    /// Samples accepted, by component.
    pub(super) accepted: HashMap<i64, u64>,
    /// Reports answered within so many seconds: upper bound and count, by bound. Empty where unknown.
    pub(super) answered: Vec<(f64, f64)>,
}

/// The looks that are remembered, oldest first.
#[derive(Debug, Default)]
pub(super) struct Rates {
    looks: VecDeque<Totals>,
}

/// What a look says, compared with those before it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Rated {
    /// Samples a second by component.
    pub(super) samples: HashMap<i64, f64>,
    /// The same of all; `None` at the first look.
    pub(super) total: Option<f64>,
    /// Seconds within which 99 of 100 reports were answered; at the first look since the server's start.
    pub(super) p99: Option<f64>,
}

impl Rates {
    /// Whether there was no look yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.looks.is_empty()
    }

    /// Takes a look.
    pub(super) fn take(&mut self, now: Totals) -> Rated {
        while self.looks.get(1).is_some_and(|second| now.at.saturating_sub(second.at) >= WINDOW) {
            self.looks.pop_front();
        }
        let rated = self.looks.front().map_or_else(
            || Rated { p99: quantile(&now.answered, 0.99), ..Rated::default() },
            |before| rated(before, &now),
        );
        if self.looks.back().is_none_or(|last| now.at.saturating_sub(last.at) >= APART) {
            self.looks.push_back(now);
        }
        rated
    }
}

fn rated(before: &Totals, now: &Totals) -> Rated {
    let seconds = now.at.saturating_sub(before.at).as_secs_f64();
    if seconds <= 0.0 {
        return Rated::default();
    }
    let rate = |(id, total): (&i64, &u64)| {
        let grown = total.checked_sub(*before.accepted.get(id)?)?;
        Some((*id, grown as f64 / seconds))
    };
    let samples: HashMap<i64, f64> = now.accepted.iter().filter_map(rate).collect();
    let total = samples.values().copied().reduce(|a, b| a + b);
    Rated { total, samples, p99: quantile(&grown(&before.answered, &now.answered), 0.99) }
}

/// What a histogram grew by; all of it where it is another one.
fn grown(before: &[(f64, f64)], now: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let is_same = before.len() == now.len()
        && before
            .iter()
            .zip(now)
            .all(|((le, count), (le_now, count_now))| le == le_now && count <= count_now);
    if !is_same {
        return now.to_vec();
    }
    before.iter().zip(now).map(|((le, count), (_, count_now))| (*le, count_now - count)).collect()
}

/// The quantile of a histogram, within a bucket as PromQL's `histogram_quantile` has it. Beyond the
/// last bound it is that bound.
fn quantile(buckets: &[(f64, f64)], share: f64) -> Option<f64> {
    let (_, all) = *buckets.last()?;
    if all <= 0.0 {
        return None;
    }
    let wanted = share * all;
    let (mut lower, mut below) = (0.0, 0.0);
    for (upper, count) in buckets {
        if *count >= wanted {
            return Some(if upper.is_finite() {
                lower + (upper - lower) * (wanted - below) / (count - below)
            } else {
                lower
            });
        }
        (lower, below) = (*upper, *count);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(second: u64, accepted: &[(i64, u64)], answered: &[(f64, f64)]) -> Totals {
        Totals {
            at: Duration::from_secs(second),
            accepted: accepted.iter().copied().collect(),
            answered: answered.to_vec(),
        }
    }

    #[test]
    fn rates_are_over_the_last_minute() {
        let mut rates = Rates::default();
        assert_eq!(rates.take(look(0, &[(1, 100)], &[])), Rated::default());
        let rated = rates.take(look(2, &[(1, 104), (2, 50)], &[]));
        assert_eq!(
            (rated.samples.get(&1), rated.samples.get(&2), rated.total),
            (Some(&2.0), None, Some(2.0))
        );
        for second in 3..600 {
            rates.take(look(second, &[(1, 104)], &[]));
            assert!(rates.looks.len() <= 8, "{}", rates.looks.len());
        }
        assert_eq!(rates.take(look(600, &[(1, 104)], &[])).total, Some(0.0), "what was long ago is over");
    }

    #[test]
    fn a_total_that_shrank_says_nothing() {
        let mut rates = Rates::default();
        rates.take(look(0, &[(1, 100), (2, 5)], &[]));
        let rated = rates.take(look(10, &[(1, 3), (2, 15)], &[]));
        assert_eq!((rated.samples.get(&1), rated.samples.get(&2)), (None, Some(&1.0)));
    }

    #[test]
    fn ninety_nine_of_a_hundred_are_found_in_their_bucket() {
        let inf = f64::INFINITY;
        assert_eq!(quantile(&[(1.0, 98.0), (2.0, 100.0), (inf, 100.0)], 0.99), Some(1.5));
        assert_eq!(quantile(&[(1.0, 10.0), (inf, 100.0)], 0.99), Some(1.0), "beyond the last bound");
        assert_eq!(quantile(&[(1.0, 0.0), (inf, 0.0)], 0.99), None);
        assert_eq!(quantile(&[], 0.99), None);
        let mut rates = Rates::default();
        let slow_before = [(0.1, 0.0), (1.0, 100.0), (inf, 100.0)];
        assert!((rates.take(look(0, &[], &slow_before)).p99.unwrap() - 0.991).abs() < 1e-9);
        let now = rates.take(look(30, &[], &[(0.1, 100.0), (1.0, 200.0), (inf, 200.0)]));
        assert!((now.p99.unwrap() - 0.099).abs() < 1e-9, "only what came since counts");
    }
}
