//! Runs of maintenance: one at a time, and what each did.

use sqlx::Row as _;

use super::super::db::{Database, StoreError, Transaction, sql};
use super::super::partitions;
use super::MaintenanceReport;
use crate::model::Millis;

/// One run, as the status page shows it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct MaintenanceRun {
    /// When it began, RFC 3339.
    pub started_at: String,
    /// When it ended, RFC 3339; null while it runs or if it died.
    pub finished_at: Option<String>,
    /// Partitions it dropped.
    pub dropped_partitions: i64,
    /// Samples it deleted one by one.
    pub deleted_samples: i64,
    /// Bytes of the partitions it dropped.
    pub freed_bytes: i64,
    /// Days that it dropped since the store was larger than it may be.
    pub over_size_partitions: i64,
    /// Bytes of the store at its end.
    pub store_bytes: i64,
    /// Why it failed.
    pub error: Option<String>,
}

/// The transaction whose lock makes this run the only one; fails where another one is under way.
pub(super) async fn only_run(database: &Database) -> Result<Transaction, StoreError> {
    let mut tx = database.begin_long().await?;
    let row = sql("select pg_try_advisory_xact_lock(hashtext('noetl_metrics.maintenance')), \
                     (select max(started_at)::text from noetl_metrics.maintenance_run where finished_at is null)")
        .fetch_one(&mut *tx)
        .await?;
    if row.try_get(0)? {
        partitions::keep_house(&mut tx, true).await?;
        return Ok(tx);
    }
    let since: Option<String> = row.try_get(1)?;
    let since = since.unwrap_or_else(|| "just now".into());
    Err(StoreError::Unavailable(format!("another maintenance run is under way since {since}")))
}

/// Notes that a run begins. It has the lock, so whatever run is not finished by now has died.
pub(super) async fn begin_run(database: &Database) -> Result<i64, StoreError> {
    let mut tx = database.begin().await?;
    sql("update noetl_metrics.maintenance_run set finished_at = now(), error = 'the run ended before it was done' \
         where finished_at is null")
        .execute(&mut *tx)
        .await?;
    let row = sql("insert into noetl_metrics.maintenance_run default values returning run_id")
        .fetch_one(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(row.try_get(0)?)
}

pub(super) async fn end_run(
    database: &Database,
    run: i64,
    report: &MaintenanceReport,
    error: Option<&StoreError>,
) -> Result<(), StoreError> {
    let mut tx = database.begin().await?;
    sql("update noetl_metrics.maintenance_run set finished_at = now(), dropped_partitions = $2, deleted_samples = $3, error = $4, freed_bytes = $5, \
           over_size_partitions = $6, store_bytes = $7 \
         where run_id = $1")
        .bind(run)
        .bind(&report.dropped_partitions)
        .bind(report.deleted_samples.cast_signed())
        .bind(error.map(ToString::to_string))
        .bind(report.freed.total().cast_signed())
        .bind(i64::try_from(report.over_size_partitions.len()).unwrap_or(i64::MAX))
        .bind(report.store.bytes.total().cast_signed())
        .execute(&mut *tx)
        .await?;
    sql("delete from noetl_metrics.maintenance_run where run_id < $1 - 1000")
        .bind(run)
        .execute(&mut *tx)
        .await?;
    sql("delete from noetl_metrics.idempotency where created_at < now() - interval '1 day'")
        .execute(&mut *tx)
        .await?;
    Ok(tx.commit().await?)
}

/// The newest runs, newest first.
pub(crate) async fn runs(database: &Database, limit: i64) -> Result<Vec<MaintenanceRun>, StoreError> {
    let mut tx = database.begin().await?;
    let rows = sql("select floor(extract(epoch from started_at) * 1000)::bigint, floor(extract(epoch from finished_at) * 1000)::bigint, \
                      cardinality(dropped_partitions)::bigint, deleted_samples, error, freed_bytes, over_size_partitions, store_bytes \
                    from noetl_metrics.maintenance_run order by run_id desc limit $1")
        .bind(limit)
        .fetch_all(&mut *tx)
        .await?;
    tx.commit().await?;
    rows.iter()
        .map(|row| {
            Ok(MaintenanceRun {
                started_at: Millis(row.try_get(0)?).rfc3339(),
                finished_at: row.try_get::<Option<i64>, _>(1)?.map(|t| Millis(t).rfc3339()),
                dropped_partitions: row.try_get(2)?,
                deleted_samples: row.try_get(3)?,
                error: row.try_get(4)?,
                freed_bytes: row.try_get(5)?,
                over_size_partitions: row.try_get(6)?,
                store_bytes: row.try_get(7)?,
            })
        })
        .collect()
}
