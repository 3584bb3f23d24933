//! Samples aggregated in steps of time.
//!
//! Time is looked through from its end, in windows, until the page is full. Steps of whole hours are
//! made of roll-ups where an hour has them and no sample that they do not know of; everything else of
//! samples. Hours whose samples are gone have roll-ups only, but for series that keep theirs longer.

use std::collections::{HashMap, HashSet};

use sqlx::Row as _;

use super::db::{StoreError, Transaction, sql_made};
use super::loose::LooseSamples;
use super::maintenance::kept_from;
use super::partitions::{self, Kind};
use super::query::{Aggregate, Found, Page};
use super::sealed::{self, Bucket, HOUR_MS, Ids, rise};
use crate::model::Millis;

/// Parts of steps that a window has at most, unless it is one of an hour.
const PARTS: usize = 1_000_000;
/// A window without samples is followed by one that is so many times as long.
const GROWTH: i64 = 4;

/// What to aggregate.
pub(super) struct Steps<'a> {
    pub(super) ids: Option<&'a Ids>,
    pub(super) start: Millis,
    pub(super) end: Millis,
    /// Milliseconds of a step.
    pub(super) step: i64,
    pub(super) aggregate: Aggregate,
    pub(super) limit: usize,
    pub(super) after: Option<Page>,
}

/// What the samples of a series come to in a step, or in a part of it.
struct Part {
    series: i32,
    /// Of its first sample.
    at: Millis,
    bucket: Bucket,
}

/// A step of a series.
struct Step {
    at: Millis,
    series: i32,
    bucket: Bucket,
    /// The newest value before it.
    before: Option<f64>,
}

impl Step {
    const fn place(&self) -> (i64, i32) {
        (self.at.0, self.series)
    }
}

impl Steps<'_> {
    /// One page of steps, newest first.
    pub(super) async fn run(&self, tx: &mut Transaction) -> Result<Vec<Found>, StoreError> {
        let mut done: Vec<Step> = Vec::new();
        // Of each series the oldest step so far: what is older may belong to it, or come before it.
        let mut open: HashMap<i32, Step> = HashMap::new();
        let mut only: Option<Ids> = None;
        let mut to = self.after.map_or(self.end, |page| self.end.min(page.at.plus(self.step - 1)));
        let mut hours = self.hours_at_first(tx).await?;
        while to >= self.start {
            let from = self.window_begin(to, hours);
            let ids = only.as_ref().or(self.ids);
            let most = if hours > 1 { PARTS } else { usize::MAX };
            let Some(parts) = self.parts(tx, ids, from, to, most).await? else {
                hours = (hours / GROWTH).max(1);
                continue;
            };
            let density = parts.len() / usize::try_from(hours).unwrap_or(1);
            hours = (hours * GROWTH).min(i64::try_from(PARTS / density.max(1)).unwrap_or(1)).max(1);
            for part in parts.into_iter().rev() {
                let at = part.at.floor(self.step);
                let next = Step { at, series: part.series, bucket: part.bucket, before: None };
                match open.remove(&part.series) {
                    Some(step) if step.at == at => {
                        let mut joined = next;
                        joined.bucket.append(&step.bucket);
                        open.insert(part.series, joined);
                    }
                    newer => {
                        done.extend(newer.map(|step| Step { before: Some(next.bucket.last), ..step }));
                        open.insert(part.series, next);
                    }
                }
            }
            if self.aggregate != Aggregate::Rate {
                done.extend(open.extract_if(|_, step| step.at >= from).map(|(_, step)| step));
            }
            self.settle(&mut done);
            if let Some(last) = done.last().filter(|_| done.len() >= self.limit).map(Step::place)
                && from.plus(-1).floor(self.step).0 < last.0
            {
                // Of what comes now nothing is of this page, but it may come before what is.
                open.retain(|_, step| step.place() > last);
                if open.is_empty() {
                    break;
                }
                only = Some(Ids::of(open.keys().copied().collect()));
            }
            to = from.plus(-1);
        }
        done.extend(open.into_values());
        self.settle(&mut done);
        Ok(done.iter().map(|step| self.found(step)).collect())
    }

    /// Keeps those of this page, newest first.
    fn settle(&self, done: &mut Vec<Step>) {
        if let Some(page) = self.after {
            done.retain(|step| step.place() < (page.at.0, page.series));
        }
        done.sort_unstable_by_key(|step| std::cmp::Reverse(step.place()));
        done.truncate(self.limit);
    }

    /// Hours of the first window: as many as fill a page where all series go on all the time.
    async fn hours_at_first(&self, tx: &mut Transaction) -> Result<i64, StoreError> {
        let series = super::query::series_count(tx, self.ids).await?;
        let limit = i64::try_from(self.limit).unwrap_or(i64::MAX);
        let steps = limit / series + 1;
        let hours = steps.saturating_mul(self.step) / HOUR_MS + 1;
        Ok(hours.min(i64::try_from(PARTS).unwrap_or(i64::MAX) / series).max(1))
    }

    /// The begin of a window of so many hours, the last one of which may not be whole; that of a step
    /// where it can be.
    fn window_begin(&self, to: Millis, hours: i64) -> Millis {
        // What is ahead of the clock is a window by itself: nearly always there is nothing.
        let ahead = Millis::now().plus(2 * HOUR_MS).floor(HOUR_MS);
        if to >= ahead {
            return ahead.max(self.start);
        }
        let begin = to.floor(HOUR_MS).plus(-(hours - 1).saturating_mul(HOUR_MS));
        let is_long = self.is_of_hours() && self.step <= hours.saturating_mul(HOUR_MS);
        (if is_long { begin.floor(self.step) } else { begin }).max(self.start)
    }

    /// Whether roll-ups can be what steps are made of.
    const fn is_of_hours(&self) -> bool {
        self.step % HOUR_MS == 0
    }

    /// The parts that a window is made of, in order of series and time; nothing where it has more than
    /// `most` samples that are not sealed.
    async fn parts(
        &self,
        tx: &mut Transaction,
        ids: Option<&Ids>,
        from: Millis,
        to: Millis,
        most: usize,
    ) -> Result<Option<Vec<Part>>, StoreError> {
        let Some(mut loose) = LooseSamples::read(tx, ids, from, to, most).await? else { return Ok(None) };
        let hours = self.hours(tx, from, to, &loose).await?;
        let mut parts = Vec::new();
        // Of hours whose samples are gone.
        let mut known = HashMap::new();
        sealed::read_rollups(tx, ids, &hours.rolled, |series, hour, bucket| {
            if hours.gone.contains(&hour) {
                known.insert((series, hour), bucket);
            } else {
                parts.push(Part { series, at: hour, bucket });
            }
        })
        .await?;
        sealed::read(tx, ids, &hours.sealed, from, to, |series, times, values| {
            let hour = times.first().map_or(from, |at| at.floor(HOUR_MS));
            if loose.are_in(series, hour) {
                times.iter().zip(values).for_each(|(at, value)| loose.push_sealed(series, *at, *value));
            } else {
                self.take(&mut parts, series, times, values);
            }
            from
        })
        .await?;
        // Of an hour that is gone, late samples alone are less than its roll-up.
        let kept =
            if hours.gone.is_empty() { HashMap::new() } else { kept_from(tx, &loose.series()).await? };
        for (series, samples) in loose.into_series() {
            for hour in samples.chunk_by(|a, b| a.at().floor(HOUR_MS) == b.at().floor(HOUR_MS)) {
                let (times, values): (Vec<Millis>, Vec<f64>) =
                    hour.iter().map(|sample| (sample.at(), sample.value)).unzip();
                let at = times.first().map_or(from, |at| at.floor(HOUR_MS));
                let are_kept = kept.get(&series).is_some_and(|kept_from| *kept_from <= at);
                let rolled = known.get(&(series, at));
                if rolled.is_none_or(|rolled| are_kept && values.len() as f64 >= rolled.count) {
                    known.remove(&(series, at));
                    self.take(&mut parts, series, &times, &values);
                }
            }
        }
        parts.extend(known.into_iter().map(|((series, at), bucket)| Part { series, at, bucket }));
        parts.sort_unstable_by_key(|part| (part.series, part.at));
        Ok(Some(parts))
    }

    /// Takes samples of a series, in order of time and of one hour.
    fn take(&self, parts: &mut Vec<Part>, series: i32, mut times: &[Millis], mut values: &[f64]) {
        while let Some(at) = times.first() {
            let next = at.floor(self.step).plus(self.step);
            let count = times.partition_point(|at| *at < next);
            let (here, others) = values.split_at_checked(count).unwrap_or((values, &[]));
            parts.extend(Bucket::of(here).map(|bucket| Part { series, at: *at, bucket }));
            (times, values) = (times.get(count..).unwrap_or(&[]), others);
        }
    }

    /// Where each hour of a window is read from.
    async fn hours(
        &self,
        tx: &mut Transaction,
        from: Millis,
        to: Millis,
        loose: &LooseSamples,
    ) -> Result<Hours, StoreError> {
        let first = from.floor(HOUR_MS);
        if !self.is_of_hours() {
            return Ok(Hours { sealed: vec![(first, to)], ..Hours::default() });
        }
        let text = format!(
            "select (extract(epoch from hour) * 1000)::bigint, s.hour is not null, r.hour is not null \
             from (select hour from noetl_metrics.sealed_hour where hour between '{from}' and '{to}') s \
             full join (select hour from noetl_metrics.rolled_hour where hour between '{from}' and '{to}') r using (hour) \
             order by 1",
            from = first.rfc3339(),
            to = to.rfc3339()
        );
        let rows = sql_made(text).fetch_all(&mut **tx).await?;
        let rows: Vec<(Millis, bool, bool)> = rows
            .iter()
            .map(|row| Ok((Millis(row.try_get(0)?), row.try_get(1)?, row.try_get(2)?)))
            .collect::<Result<_, StoreError>>()?;
        let changed = loose.hours();
        // Hours of a day that is being dropped are known for a while yet; what is late may be what of them
        // is kept, and nothing else is there any more.
        let late_there = |(hour, is_sealed, is_rolled): &(Millis, bool, bool)| {
            *is_sealed && *is_rolled && changed.contains(hour)
        };
        let days: Option<HashSet<Millis>> = if rows.iter().any(late_there) {
            let days = partitions::list(tx, Kind::Day).await?;
            Some(days.iter().filter(|day| !day.detach_pending).map(|day| day.from).collect())
        } else {
            None
        };
        let mut hours = Hours::default();
        let mut was_rolled = None;
        for (hour, is_sealed, is_rolled) in rows {
            let is_there = |days: &HashSet<Millis>| days.contains(&hour.floor(24 * HOUR_MS));
            let is_sealed = is_sealed && days.as_ref().is_none_or(is_there);
            let is_whole = hour >= from && hour.plus(HOUR_MS - 1) <= to;
            let rolled = is_rolled && is_whole && !(is_sealed && changed.contains(&hour));
            if rolled && !is_sealed {
                hours.gone.insert(hour);
            }
            let list = if rolled { &mut hours.rolled } else { &mut hours.sealed };
            match list.last_mut().filter(|_| was_rolled == Some(rolled)) {
                // Between the two there is none.
                Some(last) => last.1 = hour,
                None => list.push((hour, hour)),
            }
            was_rolled = Some(rolled);
        }
        Ok(hours)
    }

    /// A sum that no double can hold is infinite, as doubles have it.
    fn found(&self, step: &Step) -> Found {
        let Step { at, series, bucket, before } = step;
        let value = match self.aggregate {
            Aggregate::Avg => bucket.sum / bucket.count,
            Aggregate::Min => bucket.min,
            Aggregate::Max => bucket.max,
            Aggregate::Sum => bucket.sum,
            Aggregate::Count => bucket.count,
            Aggregate::Last => bucket.last,
            Aggregate::Rate => {
                let since = before.map_or(0.0, |before| rise(before, bucket.first));
                (since + bucket.increase) / (self.step as f64 / 1000.0)
            }
        };
        Found { series: *series, at: *at, value, created: *at }
    }
}

/// Ranges of hours of a window, by where they are read from.
#[derive(Default)]
struct Hours {
    rolled: Vec<(Millis, Millis)>,
    sealed: Vec<(Millis, Millis)>,
    /// Hours whose samples are gone, but for those of series that keep theirs longer.
    gone: HashSet<Millis>,
}
