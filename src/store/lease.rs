//! The lease: which of several servers is active.
//!
//! One row, judged by the database's clock alone. Taking over locks the row, which waits for
//! transactions of the former holder that are about to be committed and makes all later ones fail
//! ([`Database::under`]). Renewing needs no such lock, so it never waits for a write.

use std::sync::atomic::Ordering;
use std::time::Duration;

use sqlx::Row as _;

use super::db::{Database, StoreError, Tenure, Transaction, sql};

/// Who asks for the lease.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Names this process; no two ever have the same.
    pub holder: String,
    /// Where the others reach it; `None` where there is only one server, which then takes the lease
    /// from whoever has it.
    pub url: Option<String>,
    /// For how long it is held without being renewed.
    pub duration: Duration,
}

/// What became of a claim.
#[derive(Debug)]
pub enum Claimed {
    /// It holds the lease.
    Held(Tenure),
    /// Another one holds it, and can be reached there.
    ByOther(Option<String>),
}

/// What became of a lease that was to be renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// It is held for longer.
    Held,
    /// Another one has taken it.
    ByOther,
    /// The database was put back to an earlier state: what memory knows of it is not so any more.
    PutBack,
}

impl Claim {
    /// Takes the lease if it is free, or `by_force` whoever holds it. One that is its own is free: it
    /// comes here only after it gave it up, and what it had sent before may have renewed it since.
    pub async fn take(&self, database: &Database, by_force: bool) -> Result<Claimed, StoreError> {
        let mut tx = database.begin().await?;
        let (free, url) = self.look(&mut tx, "").await?;
        if !free && !by_force {
            tx.commit().await?;
            return Ok(Claimed::ByOther(url));
        }
        end_leftovers(&mut tx).await?;
        // Another one may have been faster: what counts is what the lock finds.
        let (free, url) = self.look(&mut tx, " for update").await?;
        if !free && !by_force {
            tx.commit().await?;
            return Ok(Claimed::ByOther(url));
        }
        let row = sql("update noetl_metrics.lease set epoch = epoch + 1, holder = $1, url = $2, \
                         renewed_at = clock_timestamp(), renewals = renewals + 1, \
                         duration = $3 * interval '1 ms' returning epoch, renewals")
        .bind(&self.holder)
        .bind(&self.url)
        .bind(i64::try_from(self.duration.as_millis()).unwrap_or(i64::MAX))
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Claimed::Held(Tenure::new(row.try_get(0)?, row.try_get(1)?)))
    }

    /// Holds the lease for longer, where nobody has taken it and the database has what was seen of it.
    pub async fn renew(&self, database: &Database, tenure: &Tenure) -> Result<Renewed, StoreError> {
        let mut tx = database.begin().await?;
        let row =
            sql("update noetl_metrics.lease set renewed_at = clock_timestamp(), renewals = renewals + 1 \
                       where epoch = $1 and renewals >= $2 \
                         and ($3 = 0 or exists (select from noetl_metrics.series where series_id = $3)) \
                       returning renewals")
            .bind(tenure.epoch)
            .bind(tenure.renewals.load(Ordering::Relaxed))
            .bind(tenure.series.load(Ordering::Relaxed))
            .fetch_optional(&mut *tx)
            .await?;
        let renewed = match row {
            Some(row) => {
                let renewals: i64 = row.try_get(0)?;
                tx.commit().await?;
                tenure.renewals.fetch_max(renewals, Ordering::Relaxed);
                return Ok(Renewed::Held);
            }
            None => {
                sql("select epoch > $1 from noetl_metrics.lease")
                    .bind(tenure.epoch)
                    .fetch_one(&mut *tx)
                    .await?
            }
        };
        tx.commit().await?;
        Ok(if renewed.try_get(0)? { Renewed::ByOther } else { Renewed::PutBack })
    }

    /// Gives the lease back, so that another one need not wait.
    pub async fn release(&self, database: &Database, tenure: &Tenure) -> Result<(), StoreError> {
        let mut tx = database.begin().await?;
        sql("update noetl_metrics.lease set renewed_at = '-infinity' where epoch = $1")
            .bind(tenure.epoch)
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// Whether the lease is free, and where its holder is.
    async fn look(&self, tx: &mut Transaction, lock: &str) -> Result<(bool, Option<String>), StoreError> {
        let text = format!(
            "select renewed_at + duration < clock_timestamp() or holder = $1, url from noetl_metrics.lease{lock}"
        );
        let row = super::db::sql_made(text).bind(&self.holder).fetch_one(&mut **tx).await?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    }
}

/// Whether a server holds the lease now, and where it is.
pub async fn held(database: &Database) -> Result<(bool, Option<String>), StoreError> {
    let mut tx = database.begin().await?;
    let row = sql("select renewed_at + duration >= clock_timestamp(), url from noetl_metrics.lease")
        .fetch_one(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok((row.try_get::<Option<_>, _>(0)?.unwrap_or_default(), row.try_get(1)?))
}

/// Ends transactions of a former holder that hangs, or is gone without its connections having
/// noticed: the lock would wait for them. Their samples were not acknowledged.
async fn end_leftovers(tx: &mut Transaction) -> Result<(), StoreError> {
    sql("set local lock_timeout = '1s'").execute(&mut **tx).await?;
    sql("select pg_terminate_backend(l.pid) from pg_locks l join pg_stat_activity a using (pid), noetl_metrics.lease e \
         where l.database = (select oid from pg_database where datname = current_database()) \
           and l.relation = 'noetl_metrics.lease'::regclass and l.mode = 'RowShareLock' \
           and l.pid <> pg_backend_pid() and a.usename = current_user \
           and e.renewed_at + e.duration < clock_timestamp() and a.xact_start < clock_timestamp() - e.duration / 2")
        .execute(&mut **tx)
        .await?;
    Ok(())
}
