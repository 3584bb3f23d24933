//! Samples that are not sealed: those of open hours, in blocks and as rows, and the late ones, which
//! override those of the same series and time wherever these are.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;
use futures_util::TryStreamExt as _;
use sqlx::Row as _;

use super::arrays::Doubles;
use super::blocks::ids_of;
use super::db::{StoreError, Transaction, sql_made};
use super::sealed::{HOUR_MS, Ids};
use crate::model::Millis;

/// A sample that is not sealed, or one that such a sample may override.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loose {
    /// Microseconds since 1970: what is inserted by SQL has such times.
    at: i64,
    is_late: bool,
    pub(super) value: f64,
    /// When it was stored: for one that is in time its own time.
    pub(super) created: Millis,
}

impl Loose {
    const fn in_time(at: i64, value: f64) -> Self {
        Self { at, is_late: false, value, created: Millis(at.div_euclid(1000)) }
    }

    pub(super) const fn at(&self) -> Millis {
        Millis(self.at.div_euclid(1000))
    }
}

/// Such samples of some series and a while.
#[derive(Debug, Default)]
pub(super) struct LooseSamples {
    all: HashMap<i32, Vec<Loose>, RandomState>,
    hours: HashSet<(i32, Millis), RandomState>,
    len: usize,
}

impl LooseSamples {
    /// Reads them; nothing where there are more than `most`.
    pub(super) async fn read(
        tx: &mut Transaction,
        ids: Option<&Ids>,
        from: Millis,
        to: Millis,
        most: usize,
    ) -> Result<Option<Self>, StoreError> {
        let mut loose = Self::default();
        // Times are written as literals so that partitions are pruned when the statement is planned.
        let time = format!("\"timestamp\" between '{}' and '{}'", from.rfc3339(), to.rfc3339());
        let micros = |column: &str| format!("(extract(epoch from {column}) * 1000000)::bigint");
        let (at, created) = (micros("\"timestamp\""), micros("created_at"));
        let only = if ids.is_some() { "series_id = any($1)" } else { "$1::integer[] is null" };
        let named = ids.map(Ids::all);
        let bounds = named.and_then(|ids| Some((ids.first()?, ids.last()?)));
        let near = bounds.map_or_else(String::new, |(least, greatest)| {
            format!("and least_id <= {greatest} and greatest_id >= {least}")
        });
        // One statement: the way to the database is most of what a small query takes.
        let text = format!(
            "select {at}, array[series_id], array[value], null::bigint, series_id from noetl_metrics.sample where {only} and {time} \
             union all \
             select {at}, array[series_id], array[value], {created}, series_id from noetl_metrics.sample_late where {only} and {time} \
             union all \
             select {at}, series_ids, \"values\", null, least_id from noetl_metrics.block where {time} {near}"
        );
        let mut rows = sql_made(text).bind(named).fetch(&mut **tx);
        while let Some(row) = rows.try_next().await? {
            let (at, Doubles(values)) = (row.try_get(0)?, row.try_get(2)?);
            let created: Option<i64> = row.try_get(3)?;
            let series = ids_of(row.try_get(1)?, row.try_get(4)?, values.len());
            for (id, value) in series.into_iter().zip(values) {
                if ids.is_none_or(|ids| ids.has(id)) {
                    let sample = Loose::in_time(at, value);
                    let late = |created: i64| Loose {
                        is_late: true,
                        created: Millis(created.div_euclid(1000)),
                        ..sample
                    };
                    loose.push(id, created.map_or(sample, late));
                }
            }
            if loose.len > most {
                return Ok(None);
            }
        }
        Ok(Some(loose))
    }

    fn push(&mut self, series: i32, sample: Loose) {
        self.hours.insert((series, sample.at().floor(HOUR_MS)));
        self.all.entry(series).or_default().push(sample);
        self.len += 1;
    }

    /// Adds a sealed sample, which may be overridden.
    pub(super) fn push_sealed(&mut self, series: i32, at: Millis, value: f64) {
        self.all.entry(series).or_default().push(Loose::in_time(at.0 * 1000, value));
    }

    /// Whether the series has any in an hour.
    pub(super) fn are_in(&self, series: i32, hour: Millis) -> bool {
        self.hours.contains(&(series, hour))
    }

    /// The series that have some.
    pub(super) fn series(&self) -> Vec<i32> {
        self.all.keys().copied().collect()
    }

    /// The hours that have some.
    pub(super) fn hours(&self) -> HashSet<Millis> {
        self.hours.iter().map(|(_, hour)| *hour).collect()
    }

    /// Those that none overrides: of each series, in order of time.
    pub(super) fn into_series(self) -> impl Iterator<Item = (i32, Vec<Loose>)> {
        self.all.into_iter().map(|(series, mut samples)| {
            samples.sort_by_key(|sample| (sample.at, sample.is_late));
            let mut kept: Vec<Loose> = Vec::with_capacity(samples.len());
            for sample in samples {
                while sample.is_late && kept.last().is_some_and(|last| last.at == sample.at) {
                    kept.pop();
                }
                kept.push(sample);
            }
            (series, kept)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_samples_override_those_of_their_time() {
        let mut loose = LooseSamples::default();
        let late = |at: i64, value| Loose { is_late: true, ..Loose::in_time(at, value) };
        loose.push(1, late(5_000, 50.0));
        loose.push(1, late(5_500, 55.0));
        loose.push_sealed(1, Millis(5), 5.0);
        loose.push_sealed(1, Millis(4), 4.0);
        assert!(loose.are_in(1, Millis(0)) && !loose.are_in(1, Millis(HOUR_MS)));
        let all: Vec<_> =
            loose.into_series().map(|(id, s)| (id, s.iter().map(|s| s.value).collect())).collect();
        assert_eq!(all, [(1, vec![4.0, 50.0, 55.0])]);
    }
}
