//! Hourly partitions of samples: which there are, and making those ahead.

use arc_swap::ArcSwap;
use sqlx::Row as _;

use super::db::{Database, StoreError, Transaction, sql};
use crate::model::Millis;

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
}

/// The partitions as this process last saw them; writers ask it without waiting.
#[derive(Debug, Default)]
pub struct Partitions {
    known: ArcSwap<Vec<Partition>>,
}

impl Partitions {
    /// Whether a partition takes a sample of this time.
    pub fn hold(&self, at: Millis) -> bool {
        let known = self.known.load();
        // Sorted by time; nearly always the current hour, so the last few are looked at first.
        known.iter().rev().any(|p| p.from <= at && at < p.to && !p.detach_pending)
    }

    /// Makes partitions from an hour ago to `hours` ahead, and looks at what there is.
    pub async fn ensure(&self, database: &Database, hours: i32) -> Result<Vec<String>, StoreError> {
        let mut tx = database.begin().await?;
        let made = create(&mut tx, Millis::now().plus(-3_600_000), hours + 2).await?;
        let known = list(&mut tx).await?;
        tx.commit().await?;
        self.known.store(known.into());
        Ok(made)
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

/// All partitions, oldest first.
pub(super) async fn list(tx: &mut Transaction) -> Result<Vec<Partition>, StoreError> {
    let rows = sql("select name, extract(epoch from from_time)::bigint * 1000, detach_pending \
                    from noetl_metrics.partition order by from_time")
    .fetch_all(&mut **tx)
    .await?;
    rows.iter().map(partition).collect()
}

/// Tables that were partitions and are none any more, oldest first.
pub(super) async fn detached(tx: &mut Transaction) -> Result<Vec<Partition>, StoreError> {
    let rows = sql("select relname::text, \
                      extract(epoch from to_timestamp(substr(relname, 8) || ' +00', 'YYYYMMDD_HH24 TZH'))::bigint * 1000, false \
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
    Ok(Partition { name: row.try_get(0)?, from, to: from.plus(3_600_000), detach_pending: row.try_get(2)? })
}
