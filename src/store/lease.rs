//! The lease: which of several servers is active.
//!
//! One row. Whoever wants it has to see for the lease's duration that it is not renewed, by a clock of
//! its own that has no steps: the database's may be set. Taking over locks the row, which waits for
//! transactions of the former holder that are about to be committed and makes all later ones fail
//! ([`Database::under`]). Renewing needs no such lock, so it never waits for a write.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

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

/// What one that waits for the lease has seen of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watch(Option<(State, Instant)>);

/// What every renewal and every take-over changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    epoch: i64,
    renewals: i64,
}

impl Watch {
    /// For how long nobody has renewed it, as far as this one has seen.
    fn unchanged(&mut self, state: State) -> Duration {
        match &self.0 {
            Some((seen, since)) if *seen == state => since.elapsed(),
            _ => {
                self.0 = Some((state, Instant::now()));
                Duration::ZERO
            }
        }
    }
}

/// The row, as it was looked at.
struct Row {
    state: State,
    duration: Duration,
    /// Whether it was given back, or is one's own.
    is_free: bool,
    url: Option<String>,
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
    pub async fn take(
        &self,
        database: &Database,
        watch: &mut Watch,
        by_force: bool,
    ) -> Result<Claimed, StoreError> {
        let mut tx = database.begin().await?;
        let row = self.look(&mut tx, "").await?;
        let is_over = watch.unchanged(row.state) >= row.duration;
        if !row.is_free && !is_over && !by_force {
            tx.commit().await?;
            return Ok(Claimed::ByOther(row.url));
        }
        if is_over {
            end_leftovers(&mut tx).await?;
        }
        sql("set local lock_timeout = '1s'").execute(&mut *tx).await?;
        // Another one may have been faster, or it was renewed after all: what counts is what the lock
        // finds.
        let locked = self.look(&mut tx, " for update").await?;
        if !locked.is_free && locked.state != row.state && !by_force {
            tx.commit().await?;
            return Ok(Claimed::ByOther(locked.url));
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

    async fn look(&self, tx: &mut Transaction, lock: &str) -> Result<Row, StoreError> {
        let text = format!(
            "select epoch, renewals, (extract(epoch from duration) * 1000)::bigint, \
               renewed_at = '-infinity' or holder = $1, url from noetl_metrics.lease{lock}"
        );
        let row = super::db::sql_made(text).bind(&self.holder).fetch_one(&mut **tx).await?;
        Ok(Row {
            state: State { epoch: row.try_get(0)?, renewals: row.try_get(1)? },
            duration: Duration::from_millis(row.try_get::<i64, _>(2)?.unsigned_abs()),
            is_free: row.try_get(3)?,
            url: row.try_get(4)?,
        })
    }
}

/// Whether a server holds the lease now, and where it is; by the database's clock, so it is not for those
/// who want it.
pub async fn held(database: &Database) -> Result<(bool, Option<String>), StoreError> {
    let mut tx = database.begin().await?;
    let row = sql("select renewed_at + duration >= clock_timestamp(), url from noetl_metrics.lease")
        .fetch_one(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok((row.try_get::<Option<_>, _>(0)?.unwrap_or_default(), row.try_get(1)?))
}

/// Ends transactions of a former holder that hangs, or is gone without its connections having
/// noticed: the lock would wait for them. Their samples were not acknowledged. One that seems to begin
/// later than now began before the clock was set back.
async fn end_leftovers(tx: &mut Transaction) -> Result<(), StoreError> {
    sql("select pg_terminate_backend(l.pid) from pg_locks l join pg_stat_activity a using (pid), noetl_metrics.lease e \
         where l.database = (select oid from pg_database where datname = current_database()) \
           and l.relation = 'noetl_metrics.lease'::regclass and l.mode = 'RowShareLock' \
           and l.pid <> pg_backend_pid() and a.usename = current_user \
           and (a.xact_start < clock_timestamp() - e.duration / 2 or a.xact_start > clock_timestamp())")
        .execute(&mut **tx)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_renewed_is_watched_anew() {
        let mut watch = Watch::default();
        let state = |renewals| State { epoch: 1, renewals };
        assert_eq!(watch.unchanged(state(7)), Duration::ZERO);
        let earlier = Instant::now().checked_sub(Duration::from_mins(1)).unwrap();
        watch.0 = Some((state(7), earlier));
        assert!(watch.unchanged(state(7)) >= Duration::from_mins(1));
        assert_eq!(watch.unchanged(state(8)), Duration::ZERO);
        // As where the database was put back.
        assert_eq!(watch.unchanged(state(6)), Duration::ZERO);
        assert!(watch.unchanged(state(6)) < Duration::from_mins(1));
    }
}
