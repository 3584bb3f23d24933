//! Hourly partitions of samples: which there are, making those ahead, closing those that are over.
//!
//! An hour is open, without a B-tree and most of it in blocks, while samples are appended to it;
//! [`GRACE_MS`] after its end it is closed. From then on what comes for it goes to the late table.

use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwap;
use sqlx::Row as _;
use tokio::sync::{RwLock, RwLockReadGuard};

use super::db::{Database, StoreError, Transaction, sql};
use crate::model::Millis;

const HOUR_MS: i64 = 3_600_000;
/// Milliseconds after its end for which an hour still takes samples.
const GRACE_MS: i64 = 300_000;

/// One hour of samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Partition {
    /// Name of the table in schema `noetl_metrics`.
    pub name: String,
    /// First millisecond.
    pub from: Millis,
    /// First millisecond after it.
    pub to: Millis,
    /// A detach was begun and not finished.
    pub detach_pending: bool,
    /// It has its unique index; nothing is appended to it.
    pub closed: bool,
}

/// The partitions as this process last saw them; writers ask it without waiting.
#[derive(Debug, Default)]
pub struct Partitions {
    known: ArcSwap<Vec<Partition>>,
    /// Hours before this time are over, in milliseconds since 1970. It never goes back.
    open_from: AtomicI64,
    /// Held by who appends; whoever has it alone knows that what was decided before is done.
    appending: RwLock<()>,
}

impl Partitions {
    /// Whether a sample of this time can be appended. Ask while [`Self::appending`] is held.
    pub fn hold(&self, at: Millis) -> bool {
        if at.0 < self.open_from.load(Ordering::Acquire) {
            return false;
        }
        let known = self.known.load();
        // Sorted by time; nearly always the current hour, so the last few are looked at first.
        known.iter().rev().any(|p| p.from <= at && at < p.to && !p.closed && !p.detach_pending)
    }

    /// To be held from asking [`Self::hold`] until what was appended is committed.
    pub async fn appending(&self) -> RwLockReadGuard<'_, ()> {
        self.appending.read().await
    }

    /// Makes partitions from an hour ago to `hours` ahead, and looks at what there is.
    pub async fn ensure(&self, database: &Database, hours: i32) -> Result<Vec<String>, StoreError> {
        let mut tx = database.begin().await?;
        let made = create(&mut tx, Millis::now().plus(-HOUR_MS), hours + 2).await?;
        let known = list(&mut tx).await?;
        tx.commit().await?;
        self.known.store(known.into());
        self.end_hours(Millis::now());
        Ok(made)
    }

    /// Nothing is appended any more to the hours whose grace has passed.
    fn end_hours(&self, now: Millis) {
        let begun = now.0 - GRACE_MS;
        self.open_from.fetch_max(begun - begun.rem_euclid(HOUR_MS), Ordering::AcqRel);
    }

    /// Closes the hours that are over, and helps readers of those that are not to their last minutes.
    /// Returns the names of those that it closed.
    pub async fn close(&self, database: &Database) -> Result<Vec<String>, StoreError> {
        self.end_hours(Millis::now());
        drop(self.appending.write().await);
        let open_from = Millis(self.open_from.load(Ordering::Acquire));
        let known = self.known.load_full();
        let over = |p: &&Partition| p.to <= open_from && !p.closed && !p.detach_pending;
        let mut closed = Vec::new();
        for partition in known.iter().filter(over) {
            // Only the active server does it, but its index takes too long to keep others from the
            // lease meanwhile.
            database.begin_write().await?.commit().await?;
            let mut tx = database.begin_long().await?;
            sql("select noetl_metrics.close_partition($1)").bind(&partition.name).execute(&mut *tx).await?;
            tx.commit().await?;
            closed.push(partition.name.clone());
        }
        let written = |p: &&Partition| p.to > open_from && p.from <= Millis::now();
        for partition in known.iter().filter(written) {
            let mut tx = database.begin().await?;
            sql("select noetl_metrics.summarize($1)").bind(&partition.name).execute(&mut *tx).await?;
            tx.commit().await?;
        }
        if !closed.is_empty() {
            self.refresh(database).await?;
        }
        Ok(closed)
    }

    /// Looks at what there is.
    pub async fn refresh(&self, database: &Database) -> Result<(), StoreError> {
        let mut tx = database.begin().await?;
        let known = list(&mut tx).await?;
        tx.commit().await?;
        self.known.store(known.into());
        Ok(())
    }

    /// How many there are, and the times that the first and the last begin and end at.
    pub fn span(&self) -> Option<(usize, Millis, Millis)> {
        let known = self.known.load();
        Some((known.len(), known.first()?.from, known.last()?.to))
    }
}

/// Makes the partitions that are missing; returns their names.
pub(super) async fn create(
    tx: &mut Transaction,
    from: Millis,
    hours: i32,
) -> Result<Vec<String>, StoreError> {
    let rows = sql("select noetl_metrics.create_partitions(timestamptz 'epoch' + $1 * interval '1 ms', $2)")
        .bind(from.0)
        .bind(hours)
        .fetch_all(&mut **tx)
        .await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Takes the blocks of an hour apart into its partition.
pub(super) async fn unpack_blocks(tx: &mut Transaction, partition: &str) -> Result<(), StoreError> {
    sql("select noetl_metrics.unpack_blocks($1)").bind(partition).execute(&mut **tx).await?;
    Ok(())
}

/// All partitions, oldest first.
pub(super) async fn list(tx: &mut Transaction) -> Result<Vec<Partition>, StoreError> {
    let rows = sql("select name, extract(epoch from from_time)::bigint * 1000, detach_pending, closed \
                    from noetl_metrics.partition order by from_time")
    .fetch_all(&mut **tx)
    .await?;
    rows.iter().map(partition).collect()
}

/// Tables that were partitions and are none any more, oldest first.
pub(super) async fn detached(tx: &mut Transaction) -> Result<Vec<Partition>, StoreError> {
    let rows = sql("select relname::text, \
                      extract(epoch from to_timestamp(substr(relname, 8) || ' +00', 'YYYYMMDD_HH24 TZH'))::bigint * 1000, false, \
                      exists (select from pg_index where indrelid = pg_class.oid and indisunique) \
                    from pg_class where relnamespace = 'noetl_metrics'::regnamespace and relkind = 'r' \
                      and not relispartition and relname ~ '^sample_[0-9]{8}_[0-9]{2}$' order by 1")
        .fetch_all(&mut **tx)
        .await?;
    rows.iter().map(partition).collect()
}

/// Makes a detached table a partition again. DETACH CONCURRENTLY leaves it with its bounds as a
/// CHECK, so that it is not read through.
pub(super) async fn attach(tx: &mut Transaction, partition: &Partition) -> Result<(), StoreError> {
    let Partition { name, from, to, .. } = partition;
    let text = format!(
        "alter table noetl_metrics.sample attach partition noetl_metrics.{name} for values from ('{}') to ('{}')",
        from.rfc3339(),
        to.rfc3339()
    );
    super::db::sql_made(text).execute(&mut **tx).await?;
    Ok(())
}

fn partition(row: &sqlx::postgres::PgRow) -> Result<Partition, StoreError> {
    let from = Millis(row.try_get(1)?);
    Ok(Partition {
        name: row.try_get(0)?,
        from,
        to: from.plus(HOUR_MS),
        detach_pending: row.try_get(2)?,
        closed: row.try_get(3)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(number: i64, closed: bool) -> Partition {
        let from = Millis(number * HOUR_MS);
        Partition { name: String::new(), from, to: from.plus(HOUR_MS), detach_pending: false, closed }
    }

    #[test]
    fn an_hour_takes_samples_until_its_grace_has_passed_or_it_is_closed() {
        let partitions = Partitions::default();
        partitions.known.store(vec![hour(1, false), hour(2, false), hour(3, true)].into());
        let at = |number: i64| Millis(number * HOUR_MS + 1);
        let held = || [0, 1, 2, 3, 4].map(|number| partitions.hold(at(number)));
        assert_eq!(held(), [false, true, true, false, false]);
        partitions.end_hours(Millis(2 * HOUR_MS + GRACE_MS - 1));
        assert!(partitions.hold(at(1)), "its grace goes on");
        partitions.end_hours(Millis(2 * HOUR_MS + GRACE_MS));
        assert_eq!(held(), [false, false, true, false, false]);
        partitions.end_hours(Millis(HOUR_MS));
        assert!(!partitions.hold(at(1)), "a clock that goes back opens nothing");
    }
}
