//! Partitions that are past their time, and those that a run which died left behind.

use sqlx::Row as _;

use super::super::db::{Database, StoreError, Timestamp, Transaction, sql};
use super::super::partitions::{self, Kind, Partition};
use crate::model::Millis;

const KINDS: [Kind; 3] = [Kind::Hour, Kind::Day, Kind::Month];

/// Times before which nothing needs to be kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cutoffs {
    /// Of samples.
    pub(super) raw: Millis,
    /// Of roll-ups.
    pub(super) hourly: Millis,
}

impl Cutoffs {
    /// Whether all that a partition holds is past.
    pub(super) fn are_after(self, partition: &Partition) -> bool {
        partition.to <= if partition.kind == Kind::Month { self.hourly } else { self.raw }
    }
}

/// Partitions that are past their time. One whose detach was begun comes first, whatever its time:
/// no other can be detached beside it, and nobody sees its samples any more.
pub(super) async fn past(database: &Database, cutoffs: Cutoffs) -> Result<Vec<Partition>, StoreError> {
    let mut tx = database.begin().await?;
    let mut past = Vec::new();
    for kind in KINDS {
        past.extend(partitions::list(&mut tx, kind).await?);
    }
    tx.commit().await?;
    past.retain(|p| cutoffs.are_after(p) || p.detach_pending);
    past.sort_by_key(|p| !p.detach_pending);
    Ok(past)
}

/// Tables that an earlier run detached and had no time to drop, oldest first.
pub(super) async fn detached(database: &Database, kind: Kind) -> Result<Vec<Partition>, StoreError> {
    let mut tx = database.begin().await?;
    let detached = partitions::detached(&mut tx, kind).await?;
    tx.commit().await?;
    Ok(detached)
}

/// Partitions that a run which died was about to drop, and that the retention of this one keeps,
/// come back; returns their names. Only one detach can be pending of each kind. Days and months come
/// back in any case: what is kept of them is read through their table.
pub(super) async fn bring_back(database: &Database, cutoffs: Cutoffs) -> Result<Vec<String>, StoreError> {
    let mut tx = database.begin().await?;
    let mut known = Vec::new();
    for kind in KINDS {
        known.extend(partitions::list(&mut tx, kind).await?);
    }
    tx.commit().await?;
    let kept = |p: &&Partition| !cutoffs.are_after(p) || p.kind != Kind::Hour;
    for pending in known.iter().filter(|p| p.detach_pending).filter(kept) {
        partitions::detach(database, pending).await?;
    }
    let mut gone = Vec::new();
    for kind in KINDS {
        gone.extend(detached(database, kind).await?);
    }
    let mut back = Vec::new();
    for partition in gone.into_iter().filter(|p| kept(&p)) {
        let mut tx = database.begin_long().await?;
        partitions::attach(&mut tx, &partition).await?;
        tx.commit().await?;
        back.push(partition.name);
    }
    Ok(back)
}

/// Bytes that a table takes, with its indexes; 0 where it is gone.
pub(super) async fn table_bytes(tx: &mut Transaction, name: &str) -> Result<u64, StoreError> {
    let row = sql("select coalesce(pg_total_relation_size(to_regclass('noetl_metrics.' || $1)), 0)")
        .bind(name)
        .fetch_one(&mut **tx)
        .await?;
    Ok(row.try_get::<i64, _>(0)?.unsigned_abs())
}

/// Bytes of all tables of ours, with their indexes.
pub(super) async fn store_bytes(tx: &mut Transaction) -> Result<u64, StoreError> {
    let row = sql("select coalesce(sum(pg_total_relation_size(oid)), 0)::bigint from pg_class \
                   where relnamespace = 'noetl_metrics'::regnamespace and relkind = 'r'")
    .fetch_one(&mut **tx)
    .await?;
    Ok(row.try_get::<i64, _>(0)?.unsigned_abs())
}

/// The oldest days that go for the store to take no more than `most` bytes; never the last day. Those
/// named in `gone` go anyway, with so many bytes.
pub(super) async fn over_size(
    tx: &mut Transaction,
    most: u64,
    gone: &[String],
    freed: u64,
) -> Result<Vec<Partition>, StoreError> {
    let mut size = store_bytes(tx).await?.saturating_sub(freed);
    let mut days = partitions::list(tx, Kind::Day).await?;
    days.retain(|day| !gone.contains(&day.name));
    days.pop();
    let mut over = Vec::new();
    for day in days {
        if size <= most {
            break;
        }
        size = size.saturating_sub(table_bytes(tx, &day.name).await?);
        over.push(day);
    }
    Ok(over)
}

/// Deletes the roll-ups of months that are past and were not packed, and what is known of those that
/// were; returns how many roll-ups there are no more.
pub(super) async fn forget_rollups(tx: &mut Transaction, cutoff: Millis) -> Result<u64, StoreError> {
    let row = sql("with gone as (delete from noetl_metrics.rolled_hour \
                     where hour < date_trunc('month', $1::timestamptz, 'UTC') returning buckets) \
                   select coalesce(sum(buckets), 0)::bigint from gone")
    .bind(Timestamp(cutoff))
    .fetch_one(&mut **tx)
    .await?;
    sql("delete from noetl_metrics.rollup_hour where hour < date_trunc('month', $1::timestamptz, 'UTC')")
        .bind(Timestamp(cutoff))
        .execute(&mut **tx)
        .await?;
    Ok(row.try_get::<i64, _>(0)?.unsigned_abs())
}
