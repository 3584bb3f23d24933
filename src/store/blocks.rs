//! Blocks: samples of one time as one row of arrays, the form that they have while their hour is open.

use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres, Row as _};

use super::arrays::{Doubles, Ints};
use super::db::{Fence, StoreError, Timestamp, Transaction, sql, sql_made};
use crate::model::{Millis, SeriesId};

/// Two blocks of this many samples fill a page of 8 KiB, with their ids and without.
const MOST: usize = 320;
const MOST_IN_ORDER: usize = 500;
/// Fewer samples of one time are stored as rows.
const LEAST: usize = 8;

/// How the statement that stores blocks reaches a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Statement {
    /// Kept prepared on its connection: it is neither parsed nor planned again, and needs one message where it
    /// would need two. What reaches another session fails there: nothing else takes these eleven values.
    Kept,
    /// Parsed each time, inside a transaction.
    Once,
}

impl Statement {
    fn query(self) -> Query<'static, Postgres, PgArguments> {
        match self {
            Self::Kept => sqlx::query(
                "select noetl_metrics.append_blocks($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            )
            .persistent(true),
            // Another text: the driver takes a statement that its connection keeps by its text.
            Self::Once => {
                sql("select from noetl_metrics.append_blocks($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)")
            }
        }
    }
}

/// Blocks on their way to the database: one after the other in two columns.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    values: Vec<f64>,
    /// Of the blocks whose ids do not follow one on the other.
    ids: Vec<i32>,
    /// Of each block: its time, the places of its first and last value, counted from 1, its least and
    /// greatest id, and where it has ids the place of the first.
    times: Vec<Timestamp>,
    firsts: Vec<i32>,
    lasts: Vec<i32>,
    least: Vec<i32>,
    greatest: Vec<i32>,
    first_ids: Vec<Option<i32>>,
    /// The time that is being filled, and the ids of its samples.
    run: Option<Millis>,
    run_ids: Vec<i32>,
}

impl Blocks {
    pub(super) fn reserve(&mut self, samples: usize) {
        self.values.reserve(samples);
    }

    /// Adds a sample to the run of its time. [`Self::end_run`] comes before one of another time.
    pub(super) fn push(&mut self, series: SeriesId, at: Millis, value: f64) {
        self.run.get_or_insert(at);
        self.run_ids.push(series.0);
        self.values.push(value);
    }

    /// Makes blocks of the samples of one time; those that are too few for one are taken out again.
    pub(super) fn end_run(&mut self) -> Vec<(i32, Millis, f64)> {
        let Some(at) = self.run.take() else { return Vec::new() };
        let mut ids = std::mem::take(&mut self.run_ids);
        let from = self.values.len() - ids.len();
        if ids.len() < LEAST {
            return ids.into_iter().zip(self.values.drain(from..)).map(|(id, v)| (id, at, v)).collect();
        }
        let mut first = from;
        for block in ids.chunks(if are_in_order(&ids) { MOST_IN_ORDER } else { MOST }) {
            self.times.push(Timestamp(at));
            self.firsts.push(place(first + 1));
            first += block.len();
            self.lasts.push(place(first));
            self.least.extend(block.iter().min());
            self.greatest.extend(block.iter().max());
            self.first_ids.push((!are_in_order(block)).then(|| {
                let first = place(self.ids.len() + 1);
                self.ids.extend_from_slice(block);
                first
            }));
        }
        ids.clear();
        self.run_ids = ids;
        Vec::new()
    }

    /// Samples of all blocks.
    pub(super) fn samples(&self) -> usize {
        self.values.len()
    }

    /// Stores the blocks in one statement, which by itself is a transaction that has to find what `fence` says.
    pub(super) async fn append(
        &self,
        on: &mut PgConnection,
        fence: Option<Fence>,
        statement: Statement,
    ) -> Result<(), sqlx::Error> {
        if self.values.is_empty() {
            return Ok(());
        }
        statement
            .query()
            .bind(fence.map(|fence| fence.epoch))
            .bind(fence.map_or(0, |fence| fence.renewals))
            .bind(fence.map_or(0, |fence| fence.series))
            .bind(self.times.as_slice())
            .bind(self.firsts.as_slice())
            .bind(self.lasts.as_slice())
            .bind(self.least.as_slice())
            .bind(self.greatest.as_slice())
            .bind(self.first_ids.as_slice())
            .bind(self.ids.as_slice())
            .bind(self.values.as_slice())
            .execute(on)
            .await?;
        Ok(())
    }
}

/// Whether each id is the one after the id before.
fn are_in_order(ids: &[i32]) -> bool {
    ids.is_sorted_by(|a, b| a.checked_add(1) == Some(*b))
}

/// The ids of a stored block of so many samples.
pub(super) fn ids_of(stored: Option<Ints>, least: i32, samples: usize) -> Vec<i32> {
    stored.map_or_else(|| (least..).take(samples).collect(), |Ints(ids)| ids)
}

fn place(at: usize) -> i32 {
    i32::try_from(at).unwrap_or(i32::MAX)
}

/// A stored block.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) at: Millis,
    pub(super) ids: Vec<i32>,
    pub(super) values: Vec<f64>,
}

/// The blocks that may have samples of some series, newest first, some at a time.
pub(super) struct NewestFirst<'a>(&'a mut Transaction);

impl<'a> NewestFirst<'a> {
    pub(super) async fn open(tx: &'a mut Transaction, ids: &[i32]) -> Result<Self, StoreError> {
        let (least, greatest) = (ids.iter().min().unwrap_or(&0), ids.iter().max().unwrap_or(&0));
        sql_made(format!(
            "declare blocks no scroll cursor for \
             select (extract(epoch from \"timestamp\") * 1000)::bigint, series_ids, least_id, \"values\" \
             from noetl_metrics.block where least_id <= {greatest} and greatest_id >= {least} \
             order by \"timestamp\" desc"
        ))
        .execute(&mut **tx)
        .await?;
        Ok(Self(tx))
    }

    /// The next ones; none where there are no more.
    pub(super) async fn next(&mut self) -> Result<Vec<Block>, StoreError> {
        let rows = sql("fetch 1000 from blocks").fetch_all(&mut **self.0).await?;
        let block = |row: &sqlx::postgres::PgRow| {
            let Doubles(values) = row.try_get(3)?;
            let ids = ids_of(row.try_get(1)?, row.try_get(2)?, values.len());
            Ok(Block { at: Millis(row.try_get(0)?), ids, values })
        };
        rows.iter().map(block).collect()
    }

    /// Ends the reading.
    pub(super) async fn close(self) -> Result<(), StoreError> {
        sqlx::raw_sql("close blocks").execute(&mut **self.0).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_sample_is_in_a_block_or_is_given_back(runs in prop::collection::vec((0_usize..1200, 1_usize..3), 0..8)) {
            let mut samples: Vec<(i32, i64, f64)> = Vec::new();
            for (time, (count, step)) in (0_i64..).zip(&runs) {
                let next = samples.last().map_or(0, |(id, ..)| id + 2);
                samples.extend((0..).step_by(*step).take(*count).map(|id| (next + id, time, f64::from(id))));
            }
            let (mut blocks, mut given) = (Blocks::default(), Vec::new());
            for run in samples.chunk_by(|a, b| a.1 == b.1) {
                for (id, at, value) in run {
                    blocks.push(SeriesId(*id), Millis(*at), *value);
                }
                given.extend(blocks.end_run());
            }
            prop_assert!(given.len() < LEAST * runs.len().max(1));
            let mut found: Vec<(i32, i64, f64)> = given.iter().map(|(id, at, value)| (*id, at.0, *value)).collect();
            for block in 0..blocks.times.len() {
                let values = &blocks.values[place_of(blocks.firsts[block]) - 1..place_of(blocks.lasts[block])];
                let stored = blocks.first_ids[block].map(|first| {
                    Ints(blocks.ids[place_of(first) - 1..][..values.len()].to_vec())
                });
                let most = if stored.is_some() { MOST } else { MOST_IN_ORDER };
                prop_assert!(values.len() <= most);
                // One by itself is in order.
                let in_order = runs[usize::try_from(blocks.times[block].0.0).unwrap()].1 == 1 || values.len() == 1;
                prop_assert_eq!(stored.is_none(), in_order);
                let ids = ids_of(stored, blocks.least[block], values.len());
                prop_assert_eq!(ids.iter().max(), Some(&blocks.greatest[block]));
                found.extend(ids.iter().zip(values).map(|(id, value)| (*id, blocks.times[block].0.0, *value)));
            }
            found.sort_by_key(|(id, ..)| *id);
            prop_assert_eq!(found, samples);
        }
    }

    fn place_of(at: i32) -> usize {
        usize::try_from(at).unwrap()
    }
}
