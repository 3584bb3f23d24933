//! Blocks: samples of one time as one row of arrays, the form that they have while their hour is open.

use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres, Row as _};

use super::db::{Fence, StoreError, Timestamp, Transaction, sql, sql_made};
use crate::model::{Millis, SeriesId};

/// Two blocks of this many samples fill a page of 8 KiB.
const MOST: usize = 320;
/// Fewer samples of one time are stored as rows.
const LEAST: usize = 8;

/// How the statement that stores blocks reaches a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Statement {
    /// Kept prepared on its connection: it is neither parsed nor planned again, and needs one message where it
    /// would need two. What reaches another session fails there: nothing else takes these ten values.
    Kept,
    /// Parsed each time, inside a transaction.
    Once,
}

impl Statement {
    fn query(self) -> Query<'static, Postgres, PgArguments> {
        match self {
            Self::Kept => {
                sqlx::query("select noetl_metrics.append_blocks($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)")
                    .persistent(true)
            }
            // Another text: the driver takes a statement that its connection keeps by its text.
            Self::Once => {
                sql("select from noetl_metrics.append_blocks($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)")
            }
        }
    }
}

/// Blocks on their way to the database: one after the other in two columns.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    ids: Vec<i32>,
    values: Vec<f64>,
    /// Of each block: its time, the places of its first and last sample, counted from 1, and its least
    /// and greatest id.
    times: Vec<Timestamp>,
    firsts: Vec<i32>,
    lasts: Vec<i32>,
    least: Vec<i32>,
    greatest: Vec<i32>,
    /// The time that is being filled, and where its samples begin.
    run: Option<(Millis, usize)>,
}

impl Blocks {
    pub(super) fn reserve(&mut self, samples: usize) {
        self.ids.reserve(samples);
        self.values.reserve(samples);
    }

    /// Adds a sample to the run of its time. [`Self::end_run`] comes before one of another time.
    pub(super) fn push(&mut self, series: SeriesId, at: Millis, value: f64) {
        self.run.get_or_insert((at, self.ids.len()));
        self.ids.push(series.0);
        self.values.push(value);
    }

    /// Makes blocks of the samples of one time; those that are too few for one are taken out again.
    pub(super) fn end_run(&mut self) -> Vec<(i32, Millis, f64)> {
        let Some((at, from)) = self.run.take() else { return Vec::new() };
        if self.ids.len() - from < LEAST {
            return self
                .ids
                .drain(from..)
                .zip(self.values.drain(from..))
                .map(|(id, v)| (id, at, v))
                .collect();
        }
        let mut first = from;
        while first < self.ids.len() {
            let end = (first + MOST).min(self.ids.len());
            let ids = || self.ids[first..end].iter().copied();
            self.least.extend(ids().min());
            self.greatest.extend(ids().max());
            self.times.push(Timestamp(at));
            self.firsts.push(place(first + 1));
            self.lasts.push(place(end));
            first = end;
        }
        Vec::new()
    }

    /// Samples of all blocks.
    pub(super) fn samples(&self) -> usize {
        self.ids.len()
    }

    /// Stores the blocks in one statement, which by itself is a transaction that has to find what `fence` says.
    pub(super) async fn append(
        &self,
        on: &mut PgConnection,
        fence: Option<Fence>,
        statement: Statement,
    ) -> Result<(), sqlx::Error> {
        if self.ids.is_empty() {
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
            .bind(self.ids.as_slice())
            .bind(self.values.as_slice())
            .execute(on)
            .await?;
        Ok(())
    }
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
             select (extract(epoch from \"timestamp\") * 1000)::bigint, series_ids, \"values\" \
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
            Ok(Block { at: Millis(row.try_get(0)?), ids: row.try_get(1)?, values: row.try_get(2)? })
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
        fn every_sample_is_in_a_block_or_is_given_back(runs in prop::collection::vec(0_usize..1000, 0..8)) {
            let times = (0_i64..).zip(&runs).flat_map(|(run, samples)| std::iter::repeat_n(run, *samples));
            let samples: Vec<(i32, i64, f64)> = times.zip(0..).map(|(at, id)| (id, at, f64::from(id))).collect();
            let (mut blocks, mut given) = (Blocks::default(), Vec::new());
            for run in samples.chunk_by(|a, b| a.1 == b.1) {
                for (id, at, value) in run {
                    blocks.push(SeriesId(*id), Millis(*at), *value);
                }
                given.extend(blocks.end_run());
            }
            let mut found: Vec<(i32, i64, f64)> = given.iter().map(|(id, at, value)| (*id, at.0, *value)).collect();
            for ((time, first), last) in blocks.times.iter().zip(&blocks.firsts).zip(&blocks.lasts) {
                let places = usize::try_from(first - 1).unwrap()..usize::try_from(*last).unwrap();
                prop_assert!(places.len() <= MOST);
                found.extend(places.map(|at| (blocks.ids[at], time.0.0, blocks.values[at])));
            }
            found.sort_by_key(|(id, ..)| *id);
            prop_assert_eq!(found, samples);
            prop_assert!(given.len() < LEAST * runs.len().max(1));
        }
    }
}
