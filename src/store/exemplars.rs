//! Exemplars: of each series, and of each execution that they name, the newest of each minute. How many
//! there are is bounded as they are stored, the oldest go; how old they get, by [`drop_past`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::value::RawValue;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::db::{Database, StoreError, Transaction, sql, sql_made};
use super::described::{self, Described};
use super::query::{FILTERS, Query};
use super::series::labels_json;
use crate::model::{Exemplar, Label, Millis, SeriesId};

/// None is kept for longer, in milliseconds: 7 days.
const KEPT_MS: i64 = 7 * 86_400_000;

/// Stores exemplars, and no more than there may be.
#[derive(Debug)]
pub struct Exemplars {
    most: usize,
    /// Stored since those that are too many were looked for.
    unchecked: AtomicU64,
    stored: AtomicU64,
    pushed_out: AtomicU64,
}

impl Exemplars {
    /// At most so many.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            // Another server may have left as many as there may be, and more.
            unchecked: AtomicU64::new(most as u64),
            stored: AtomicU64::default(),
            pushed_out: AtomicU64::default(),
        }
    }

    /// Stores exemplars; returns after they are committed. The same again changes nothing.
    pub async fn store(&self, database: &Database, exemplars: &[Exemplar<'_>]) -> Result<(), StoreError> {
        if exemplars.is_empty() {
            return Ok(());
        }
        let labels = exemplars.iter().map(|e| labels_json(&e.labels).unwrap_or_else(|| "{}".into()));
        let mut tx = database.begin_write().await?;
        sql("insert into noetl_metrics.exemplar as e (series_id, minute, \"timestamp\", value, labels) \
             select distinct on (id, minute, execution) id, minute, timestamptz 'epoch' + at * interval '1 ms', value, labels \
             from (select id, at, value, labels::jsonb as labels, (at / 60000)::integer as minute, \
                     coalesce(labels::jsonb->>'execution_id', '') as execution \
                   from unnest($1::integer[], $2::bigint[], $3::double precision[], $4::text[]) u(id, at, value, labels)) u \
             order by id, minute, execution, at desc \
             on conflict (series_id, minute, (coalesce(labels->>'execution_id', ''))) do update \
               set \"timestamp\" = excluded.\"timestamp\", value = excluded.value, labels = excluded.labels \
               where excluded.\"timestamp\" > e.\"timestamp\"")
            .bind(exemplars.iter().map(|e| e.series.0).collect::<Vec<_>>())
            .bind(exemplars.iter().map(|e| e.at.0).collect::<Vec<_>>())
            .bind(exemplars.iter().map(|e| e.value).collect::<Vec<_>>())
            .bind(labels.collect::<Vec<_>>())
            .execute(&mut *tx)
            .await?;
        let count = exemplars.len() as u64;
        let unchecked = self.unchecked.fetch_add(count, Ordering::Relaxed) + count;
        // Not each time, since all are counted: a tenth more than there may be is as good.
        let pushed_out = if unchecked > self.most as u64 / 10 { self.push_out(&mut tx).await? } else { 0 };
        tx.commit().await?;
        self.stored.fetch_add(count, Ordering::Relaxed);
        self.pushed_out.fetch_add(pushed_out, Ordering::Relaxed);
        Ok(())
    }

    /// Deletes the oldest where there are too many; those that another request changes now are left to
    /// the next time, so that neither waits for the other.
    async fn push_out(&self, tx: &mut Transaction) -> Result<u64, StoreError> {
        let deleted = sql("delete from noetl_metrics.exemplar where exemplar_id in ( \
                             select exemplar_id from noetl_metrics.exemplar where exemplar_id in ( \
                               select exemplar_id from noetl_metrics.exemplar \
                               order by \"timestamp\" desc, exemplar_id desc offset $1) \
                             for update skip locked)")
        .bind(i64::try_from(self.most).unwrap_or(i64::MAX))
        .execute(&mut **tx)
        .await?;
        self.unchecked.store(0, Ordering::Relaxed);
        Ok(deleted.rows_affected())
    }

    /// How many were stored, and how many older ones newer ones pushed out, since the start.
    pub fn counts(&self) -> (u64, u64) {
        (self.stored.load(Ordering::Relaxed), self.pushed_out.load(Ordering::Relaxed))
    }

    /// The newest of each series that is not older than `since`, at most `limit`.
    pub async fn newest(
        database: &Database,
        since: Millis,
        limit: usize,
    ) -> Result<Vec<Exemplar<'static>>, StoreError> {
        let text = format!(
            "select distinct on (e.series_id) e.series_id, {OWN} from noetl_metrics.exemplar e \
             where e.\"timestamp\" >= timestamptz 'epoch' + $1 * interval '1 ms' \
             order by e.series_id, e.\"timestamp\" desc limit $2"
        );
        let mut tx = database.begin_long().await?;
        let rows = sql_made(text).bind(since.0).bind(bigint(limit)).fetch_all(&mut *tx).await?;
        tx.commit().await?;
        rows.iter().map(|row| read(SeriesId(row.try_get("series_id")?), row)).collect()
    }

    /// The newest of one series over a while, newest first.
    pub async fn of_series(
        database: &Database,
        series: SeriesId,
        since: Millis,
        limit: usize,
    ) -> Result<Vec<Exemplar<'static>>, StoreError> {
        let text = format!(
            "select {OWN} from noetl_metrics.exemplar e where e.series_id = $1 and e.minute >= $2 \
             order by e.\"timestamp\" desc limit $3"
        );
        let mut tx = database.begin().await?;
        let rows = sql_made(text)
            .bind(series.0)
            .bind(i32::try_from(since.0 / 60_000).unwrap_or(0))
            .bind(bigint(limit))
            .fetch_all(&mut *tx)
            .await?;
        tx.commit().await?;
        rows.iter().map(|row| read(series, row)).collect()
    }
}

/// What [`read`] wants of a row.
const OWN: &str =
    "(extract(epoch from e.\"timestamp\") * 1000)::bigint as at, e.value, e.labels::text as own";

fn read(series: SeriesId, row: &PgRow) -> Result<Exemplar<'static>, StoreError> {
    let labels: std::collections::BTreeMap<String, String> =
        serde_json::from_str(row.try_get("own")?).unwrap_or_default();
    let labels: Vec<Label<'static>> =
        labels.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
    Ok(Exemplar { series, at: Millis(row.try_get("at")?), value: row.try_get("value")?, labels })
}

fn bigint(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Which exemplars to look for.
#[derive(Clone, Debug, Default)]
pub struct ExemplarQuery {
    /// Their series, their times and how many.
    pub of: Query,
    /// Only those of this trace.
    pub trace_id: Option<String>,
    /// Only those of this execution.
    pub execution_id: Option<String>,
    /// Where the page before ended: time and number of its last one.
    pub after: Option<(Millis, i64)>,
}

/// An exemplar with what is known of its series.
#[derive(Clone, Debug)]
pub struct FoundExemplar {
    /// Its series.
    pub series: Arc<Described>,
    /// The exemplar's own value.
    pub value: f64,
    /// When it was observed.
    pub at: Millis,
    /// The exemplar's own labels, a JSON object.
    pub labels: Box<RawValue>,
    /// The trace that they name.
    pub trace_id: Option<String>,
    /// Its number.
    pub id: i64,
}

impl ExemplarQuery {
    /// One page, newest first.
    pub async fn run(&self, database: &Database) -> Result<Vec<FoundExemplar>, StoreError> {
        let text = format!(
            "select {columns}, {OWN}, e.exemplar_id, e.labels->>'trace_id' as trace_id \
             from noetl_metrics.exemplar e join ({tables}) on e.series_id = s.series_id \
             where {FILTERS} \
               and ($6::text is null or e.labels->>'trace_id' = $6) \
               and ($7::text is null or e.labels->>'execution_id' = $7) \
               and e.\"timestamp\" between timestamptz 'epoch' + $8 * interval '1 ms' and timestamptz 'epoch' + $9 * interval '1 ms' \
               and ($10::bigint is null or (e.\"timestamp\", e.exemplar_id) < (timestamptz 'epoch' + $10 * interval '1 ms', $11)) \
             order by e.\"timestamp\" desc, e.exemplar_id desc limit $12",
            columns = described::COLUMNS,
            tables = described::TABLES
        );
        let turn = database.query_turn().await?;
        let mut tx = database.begin_query().await?;
        let rows = self
            .of
            .filtering(text)
            .bind(&self.trace_id)
            .bind(&self.execution_id)
            .bind(self.of.start.unwrap_or(Millis(0)).0)
            .bind(self.of.end.unwrap_or(Millis::MAX).0)
            .bind(self.after.map(|(at, _)| at.0))
            .bind(self.after.map_or(0, |(_, id)| id))
            .bind(bigint(self.of.limit))
            .fetch_all(&mut *tx)
            .await;
        let _ = tx.rollback().await;
        drop(turn);
        rows?.iter().map(found).collect()
    }
}

fn found(row: &PgRow) -> Result<FoundExemplar, StoreError> {
    let (_, series) = described::read(row)?;
    Ok(FoundExemplar {
        series,
        value: row.try_get("value")?,
        at: Millis(row.try_get("at")?),
        labels: described::compact(row.try_get("own")?).unwrap_or_default(),
        trace_id: row.try_get("trace_id")?,
        id: row.try_get("exemplar_id")?,
    })
}

/// Drops those that are past their time: that of samples, at most a week. Returns how many.
pub(super) async fn drop_past(tx: &mut Transaction, cutoff: Millis) -> Result<u64, StoreError> {
    let deleted = sql(
        "delete from noetl_metrics.exemplar where \"timestamp\" < timestamptz 'epoch' + $1 * interval '1 ms'",
    )
    .bind(cutoff.max(Millis::now().plus(-KEPT_MS)).0)
    .execute(&mut **tx)
    .await?;
    Ok(deleted.rows_affected())
}
