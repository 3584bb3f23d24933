//! How many samples were accepted and refused over the last while, for the page.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::model::Millis;

/// How far back is remembered: a quarter of an hour.
const WHILE_MS: i64 = 15 * 60_000;

/// Totals at points of time.
#[derive(Debug, Default)]
pub(super) struct Rates {
    totals: Mutex<VecDeque<Total>>,
}

#[derive(Clone, Copy, Debug)]
struct Total {
    at: Millis,
    accepted: u64,
    rejected: u64,
}

impl Rates {
    /// Notes the totals of this moment.
    pub(super) fn note(&self, at: Millis, accepted: u64, rejected: u64) {
        let mut totals = self.totals.lock();
        while totals.front().is_some_and(|first| at.since(first.at) > WHILE_MS) {
            totals.pop_front();
        }
        totals.push_back(Total { at, accepted, rejected });
    }

    /// Accepted samples a second from each moment to the next, at the later one.
    pub(super) fn accepted_per_second(&self) -> Vec<(i64, f64)> {
        let totals = self.totals.lock();
        let pairs = totals.iter().zip(totals.iter().skip(1));
        pairs.filter_map(|(a, b)| Some((b.at.0, per_second(a, b)?))).collect()
    }

    /// The mean of the last minute.
    pub(super) fn last_minute(&self) -> Option<f64> {
        let totals = self.totals.lock();
        let last = totals.back()?;
        let first = totals.iter().find(|t| last.at.since(t.at) <= 60_000)?;
        per_second(first, last)
    }

    /// Samples refused over the while.
    pub(super) fn rejected_recently(&self) -> u64 {
        let totals = self.totals.lock();
        let ends = totals.front().zip(totals.back());
        ends.map_or(0, |(first, last)| last.rejected.saturating_sub(first.rejected))
    }
}

fn per_second(a: &Total, b: &Total) -> Option<f64> {
    let seconds = b.at.since(a.at) as f64 / 1000.0;
    (seconds > 0.0).then(|| b.accepted.saturating_sub(a.accepted) as f64 / seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_come_from_totals() {
        let rates = Rates::default();
        assert_eq!(rates.last_minute(), None);
        for (s, accepted, rejected) in [(0, 0, 0), (10, 100, 0), (70, 700, 5)] {
            rates.note(Millis(s * 1000), accepted, rejected);
        }
        assert_eq!(rates.accepted_per_second(), [(10_000, 10.0), (70_000, 10.0)]);
        assert_eq!(rates.last_minute(), Some(10.0));
        assert_eq!(rates.rejected_recently(), 5);
        rates.note(Millis(2_000_000), 700, 6);
        assert_eq!(rates.rejected_recently(), 0, "the earlier ones are forgotten");
    }
}
