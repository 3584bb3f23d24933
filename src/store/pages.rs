//! Samples as they are, newest first, page by page.
//!
//! Time is looked through from its end, in windows that grow where they hold little, until the page is
//! full. However many samples a window has, twice a page of them is kept at most.

use super::db::{StoreError, Transaction};
use super::loose::LooseSamples;
use super::query::{Found, Page};
use super::sealed::{self, HOUR_MS, Ids};
use crate::model::Millis;

/// A series has a sample so often, is guessed for the first window.
const INTERVAL_MS: i64 = 15_000;
/// No window is shorter.
const SHORTEST_MS: i64 = 60_000;
/// A window is so many times as long as the one before.
const GROWTH: i64 = 4;
/// Samples that are not sealed of one window, unless it is of the shortest.
const LOOSE: usize = 1_000_000;

/// What to look for.
pub(super) struct Pages<'a> {
    pub(super) ids: Option<&'a Ids>,
    pub(super) start: Millis,
    pub(super) end: Millis,
    pub(super) limit: usize,
    pub(super) after: Option<Page>,
}

impl Pages<'_> {
    /// One page of samples, newest first.
    pub(super) async fn run(&self, tx: &mut Transaction) -> Result<Vec<Found>, StoreError> {
        let mut newest = Newest::of(self.limit, self.after);
        let mut to = self.after.map_or(self.end, |page| self.end.min(page.at));
        let mut length = self.length_at_first(tx).await?;
        // What is ahead of the clock is a window by itself: nearly always there is nothing.
        let ahead = Millis::now().plus(HOUR_MS);
        while to >= self.start && !newest.is_full() {
            let begin = if to > ahead { ahead.plus(1) } else { to.plus(1 - length) };
            let from = begin.max(self.start);
            let most = if length > SHORTEST_MS { LOOSE } else { usize::MAX };
            let Some(loose) = LooseSamples::read(tx, self.ids, from, to, most).await? else {
                length = (length / GROWTH).max(SHORTEST_MS);
                continue;
            };
            self.window(tx, loose, from, to, &mut newest).await?;
            length = length.saturating_mul(GROWTH);
            to = from.plus(-1);
        }
        Ok(newest.into_rows())
    }

    /// Takes what a window has.
    async fn window(
        &self,
        tx: &mut Transaction,
        mut loose: LooseSamples,
        from: Millis,
        to: Millis,
        newest: &mut Newest,
    ) -> Result<(), StoreError> {
        let hours = [(from.floor(HOUR_MS), to)];
        sealed::read(tx, self.ids, &hours, from, to, |series, times, values| {
            let is_loose = times.first().is_some_and(|at| loose.are_in(series, at.floor(HOUR_MS)));
            for (at, value) in times.iter().zip(values) {
                if is_loose {
                    loose.push_sealed(series, *at, *value);
                } else {
                    newest.push(Found { series, at: *at, value: *value, created: *at });
                }
            }
            newest.floor()
        })
        .await?;
        for (series, samples) in loose.into_series() {
            for sample in samples {
                let (at, created) = (sample.at(), sample.created);
                newest.push(Found { series, at, value: sample.value, created });
            }
        }
        Ok(())
    }

    /// As long as fills a page where all series go on all the time.
    async fn length_at_first(&self, tx: &mut Transaction) -> Result<i64, StoreError> {
        let series = super::query::series_count(tx, self.ids).await?;
        let limit = i64::try_from(self.limit).unwrap_or(i64::MAX);
        Ok((limit.saturating_mul(INTERVAL_MS) / series).max(SHORTEST_MS))
    }
}

/// The newest of what it is told.
struct Newest {
    limit: usize,
    after: Option<(Millis, i32)>,
    /// The last that is of the page so far; those before it are not.
    floor: Option<(Millis, i32)>,
    kept: Vec<Found>,
}

impl Newest {
    fn of(limit: usize, after: Option<Page>) -> Self {
        Self { limit, after: after.map(|page| (page.at, page.series)), floor: None, kept: Vec::new() }
    }

    fn push(&mut self, found: Found) {
        let place = place(&found);
        if self.after.is_some_and(|after| place >= after) || self.floor.is_some_and(|floor| place < floor) {
            return;
        }
        self.kept.push(found);
        if self.kept.len() >= 2 * self.limit {
            self.settle();
        }
    }

    /// Keeps those of the page.
    fn settle(&mut self) {
        let Some(last) = self.limit.checked_sub(1).filter(|last| *last < self.kept.len()) else { return };
        self.kept.select_nth_unstable_by_key(last, |found| std::cmp::Reverse(place(found)));
        self.kept.truncate(self.limit);
        self.floor = self.kept.last().map(place);
    }

    fn is_full(&self) -> bool {
        self.kept.len() >= self.limit
    }

    /// Nothing before this time is of the page.
    fn floor(&self) -> Millis {
        self.floor.map_or(Millis(0), |(at, _)| at)
    }

    fn into_rows(mut self) -> Vec<Found> {
        self.kept.sort_by_key(|found| std::cmp::Reverse(place(found)));
        self.kept.truncate(self.limit);
        self.kept
    }
}

const fn place(found: &Found) -> (Millis, i32) {
    (found.at, found.series)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_the_newest_of_all_after_the_page_before() {
        let after = Page { at: Millis(90), series: 1 };
        let mut newest = Newest::of(3, Some(after));
        for i in 0..1000_i64 {
            let (at, series) = (Millis(i * 37 % 100), i32::try_from(i % 3).unwrap());
            newest.push(Found { series, at, value: 0.0, created: at });
            assert!(newest.kept.len() < 6);
        }
        assert!(newest.floor() <= Millis(90));
        let rows: Vec<_> = newest.into_rows().iter().map(|f| (f.at.0, f.series)).collect();
        assert_eq!(rows, [(90, 0), (90, 0), (90, 0)]);
    }
}
