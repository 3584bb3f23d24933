//! The lease: which of several servers is active.
//!
//! One row, judged by the database's clock alone. Taking over locks the row, which waits for
//! transactions of the former holder that are about to be committed and makes all later ones fail
//! ([`Database::of_epoch`]). Renewing needs no such lock, so it never waits for a write.

use std::time::Duration;

use sqlx::Row as _;

use super::db::{Database, StoreError, Transaction, sql};

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// It holds the lease, in this epoch.
    Held(i64),
    /// Another one holds it, and can be reached there.
    ByOther(Option<String>),
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
                         renewed_at = clock_timestamp(), duration = $3 * interval '1 ms' returning epoch")
        .bind(&self.holder)
        .bind(&self.url)
        .bind(i64::try_from(self.duration.as_millis()).unwrap_or(i64::MAX))
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Claimed::Held(row.try_get(0)?))
    }

    /// Holds the lease for longer; `false` where another one has taken it.
    pub async fn renew(&self, database: &Database, epoch: i64) -> Result<bool, StoreError> {
        let mut tx = database.begin().await?;
        let done = sql("update noetl_metrics.lease set renewed_at = clock_timestamp() where epoch = $1")
            .bind(epoch)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// Gives the lease back, so that another one need not wait.
    pub async fn release(&self, database: &Database, epoch: i64) -> Result<(), StoreError> {
        let mut tx = database.begin().await?;
        sql("update noetl_metrics.lease set renewed_at = '-infinity' where epoch = $1")
            .bind(epoch)
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
