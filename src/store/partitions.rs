//! Partitions: the hours that samples are appended to, and the days of what is sealed. Which there are,
//! making those ahead, sealing those that are over.
//!
//! An hour is open, without a B-tree and most of it in blocks, while samples are appended to it;
//! [`GRACE_MS`] after its end it is sealed. From then on what comes for it goes to the late table.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use sqlx::Row as _;
use tokio::sync::{RwLock, RwLockReadGuard};

use super::db::{Database, StoreError, Timestamp, Transaction, sql, sql_made};
use super::sealed::{self, HOUR_MS};
use crate::model::Millis;

/// Milliseconds after its end for which an hour still takes samples.
const GRACE_MS: i64 = 300_000;

/// Hours that the server seals before it lets maintenance have its turn.
const HOURS_AT_ONCE: usize = 24;

/// What a partition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An hour of samples as rows.
    Hour,
    /// A day of sealed samples.
    Day,
    /// A month of roll-ups.
    Month,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Partition {
    /// What it holds.
    pub kind: Kind,
    /// Name of the table in schema `noetl_metrics`.
    pub name: String,
    /// First millisecond.
    pub from: Millis,
    /// First millisecond after it.
    pub to: Millis,
    /// A detach was begun and not finished.
    pub detach_pending: bool,
    /// It has a unique index, as an earlier version left hours that were over; nothing is appended.
    pub closed: bool,
}

impl Kind {
    /// The table whose partitions are of this kind.
    pub(super) const fn table(self) -> &'static str {
        match self {
            Self::Hour => "sample",
            Self::Day => "chunk",
            Self::Month => "rollup_day",
        }
    }
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

    /// To be held from asking [`Self::hold`] until what was appended is committed. What is over by now is
    /// over: maintenance, a process of its own, seals by the clock too, however long nobody was here.
    pub async fn appending(&self) -> RwLockReadGuard<'_, ()> {
        let appending = self.appending.read().await;
        self.end_hours(Millis::now());
        appending
    }

    /// Makes partitions from the first hour that is not over to `hours` ahead, and looks at what there
    /// is.
    pub async fn ensure(&self, database: &Database, hours: i32) -> Result<Vec<String>, StoreError> {
        self.end_hours(Millis::now());
        let from = Millis(self.open_from.load(Ordering::Acquire));
        let ahead = Millis::now().since(from) / HOUR_MS;
        let mut tx = database.begin().await?;
        let made = create(&mut tx, from, hours + 1 + i32::try_from(ahead).unwrap_or(0)).await?;
        let known = list(&mut tx, Kind::Hour).await?;
        tx.commit().await?;
        self.known.store(known.into());
        Ok(made)
    }

    /// Nothing is appended any more to the hours whose grace has passed.
    fn end_hours(&self, now: Millis) {
        self.open_from.fetch_max(now.plus(-GRACE_MS).floor(HOUR_MS).0, Ordering::AcqRel);
    }

    /// Seals the hours that are over, and helps readers of those that are not to their last minutes.
    /// Returns the hours that it sealed.
    pub async fn close(&self, database: &Database) -> Result<Vec<Millis>, StoreError> {
        self.end_hours(Millis::now());
        drop(self.appending.write().await);
        let open_from = Millis(self.open_from.load(Ordering::Acquire));
        // Only the active server does it, but it takes too long to keep others from the lease meanwhile.
        database.begin_write().await?.commit().await?;
        let mut house = database.begin_long().await?;
        let mut sealed = Vec::new();
        // Else maintenance is at it, which seals too.
        if keep_house(&mut house, false).await? {
            sealed = seal_over(database, Millis(0), open_from, HOURS_AT_ONCE).await?;
            sealed::pack_days(database, open_from, Instant::now()).await?;
        }
        house.rollback().await?;
        let known = self.known.load_full();
        let written = |p: &&Partition| p.to > open_from && p.from <= Millis::now();
        for partition in known.iter().filter(written) {
            let mut tx = database.begin().await?;
            sql("select noetl_metrics.summarize($1)").bind(&partition.name).execute(&mut *tx).await?;
            tx.commit().await?;
        }
        if !sealed.is_empty() {
            self.refresh(database).await?;
        }
        Ok(sealed.into_iter().map(|(hour, _)| hour).collect())
    }

    /// Looks at what there is.
    pub async fn refresh(&self, database: &Database) -> Result<(), StoreError> {
        let mut tx = database.begin().await?;
        let known = list(&mut tx, Kind::Hour).await?;
        tx.commit().await?;
        self.known.store(known.into());
        Ok(())
    }

    /// When the last hour ends that samples can be appended to.
    pub fn end(&self) -> Option<Millis> {
        Some(self.known.load().last()?.to)
    }
}

/// The first hour that may not be over yet for a server whose clock goes after this one's.
pub(super) fn surely_over() -> Millis {
    Millis::now().plus(-2 * GRACE_MS).floor(HOUR_MS)
}

/// Makes the holder of this transaction the only one that makes partitions of hours into others or
/// drops them: the server while it seals, maintenance all along. Waits for it, or says that it is not.
pub(super) async fn keep_house(tx: &mut Transaction, wait: bool) -> Result<bool, StoreError> {
    sqlx::raw_sql("set local idle_in_transaction_session_timeout = 0; set local lock_timeout = '10min'")
        .execute(&mut **tx)
        .await?;
    if wait {
        sql("select pg_advisory_xact_lock(hashtext('noetl_metrics.house'))").execute(&mut **tx).await?;
        return Ok(true);
    }
    let row =
        sql("select pg_try_advisory_xact_lock(hashtext('noetl_metrics.house'))").fetch_one(&mut **tx).await?;
    Ok(row.try_get(0)?)
}

/// Seals hours from `from` to `over` that have samples which are not, so many at most; their partitions
/// go. Returns each hour with the number of its samples. Whoever calls it [keeps house](keep_house).
pub(super) async fn seal_over(
    database: &Database,
    from: Millis,
    over: Millis,
    most: usize,
) -> Result<Vec<(Millis, u64)>, StoreError> {
    let mut tx = database.begin().await?;
    let mut known = list(&mut tx, Kind::Hour).await?;
    let hours = sql(
        "select distinct (extract(epoch from date_bin('1 hour', \"timestamp\", 'epoch')) * 1000)::bigint \
                     from noetl_metrics.block where \"timestamp\" >= $1 and \"timestamp\" < $2",
    )
    .bind(Timestamp(from))
    .bind(Timestamp(over))
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    known.retain(|p| p.to > from && p.to <= over);
    let mut hours =
        hours.iter().map(|row| Ok(Millis(row.try_get(0)?))).collect::<Result<Vec<_>, StoreError>>()?;
    hours.extend(known.iter().map(|p| p.from));
    hours.sort_unstable();
    hours.dedup();
    let mut sealed = Vec::new();
    for hour in hours.into_iter().take(most) {
        // What a run which died was about to drop can't be read until it is a partition again.
        if known.iter().any(|p| p.from == hour && p.detach_pending) {
            continue;
        }
        let Some(samples) = sealed::seal(database, hour).await? else { break };
        for partition in known.iter().filter(|p| p.from == hour) {
            remove_empty(database, partition).await?;
        }
        if samples > 0 {
            sealed.push((hour, samples));
        }
    }
    Ok(sealed)
}

/// Drops an hour's partition from which everything was sealed.
async fn remove_empty(database: &Database, partition: &Partition) -> Result<(), StoreError> {
    match detach_now(database, partition).await {
        // A run which died was about to detach it or another one; it goes the next time.
        Err(error) if OTHER_STATE.iter().any(|code| error.has_code(code)) => return Ok(()),
        done => done?,
    }
    let mut tx = database.begin_long().await?;
    let text = format!("select exists (select from noetl_metrics.{})", partition.name);
    if sql_made(text).fetch_one(&mut *tx).await?.try_get(0)? {
        // Somebody put rows in meanwhile; they are sealed the next time.
        attach(&mut tx, partition).await?;
    } else {
        sql_made(format!("drop table noetl_metrics.{}", partition.name)).execute(&mut *tx).await?;
    }
    Ok(tx.commit().await?)
}

/// What PostgreSQL says where a partition can't be detached in the way that was asked for: it, or
/// another one of its table, is being detached, or it is not a partition any more. Only one that keeps
/// house detaches, but what a run which died had asked for goes on in the database for a moment.
const OTHER_STATE: [&str; 2] = ["55000", "42P01"];

/// Takes a partition out of its table; waits while another one is taken out.
pub(super) async fn detach(database: &Database, partition: &Partition) -> Result<(), StoreError> {
    let begun = Instant::now();
    let mut partition = partition.clone();
    loop {
        match detach_now(database, &partition).await {
            Err(error)
                if OTHER_STATE.iter().any(|code| error.has_code(code)) && begun.elapsed() < PATIENCE => {}
            done => return done,
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        let mut tx = database.begin().await?;
        let found = list(&mut tx, partition.kind).await?.into_iter().find(|p| p.name == partition.name);
        tx.commit().await?;
        match found {
            Some(found) => partition = found,
            None => return Ok(()),
        }
    }
}

/// How long [`detach`] waits for others.
const PATIENCE: Duration = Duration::from_mins(1);

/// Can't be in a transaction with others.
async fn detach_now(database: &Database, partition: &Partition) -> Result<(), StoreError> {
    let how = if partition.detach_pending { "finalize" } else { "concurrently" };
    let (name, table) = (&partition.name, partition.kind.table());
    database
        .run_alone(format!("alter table noetl_metrics.{table} detach partition noetl_metrics.{name} {how}"))
        .await
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

/// The partitions of a kind, oldest first.
pub(super) async fn list(tx: &mut Transaction, kind: Kind) -> Result<Vec<Partition>, StoreError> {
    let (view, closed) = match kind {
        Kind::Hour => ("partition", "closed"),
        Kind::Day => ("day", "true"),
        Kind::Month => ("month", "true"),
    };
    let text = format!(
        "select name, extract(epoch from from_time)::bigint * 1000, detach_pending, {closed}, \
           extract(epoch from to_time)::bigint * 1000 \
         from noetl_metrics.{view} order by from_time"
    );
    let rows = sql_made(text).fetch_all(&mut **tx).await?;
    rows.iter().map(|row| partition(kind, row)).collect()
}

/// Tables that were partitions of a kind and are none any more, oldest first.
pub(super) async fn detached(tx: &mut Transaction, kind: Kind) -> Result<Vec<Partition>, StoreError> {
    let (form, pattern, length) = match kind {
        Kind::Hour => ("YYYYMMDD_HH24 TZH", "^sample_[0-9]{8}_[0-9]{2}$", "1 hour"),
        Kind::Day => ("YYYYMMDD TZH", "^chunk_[0-9]{8}$", "1 day"),
        Kind::Month => ("YYYYMM TZH", "^rollup_[0-9]{6}$", "1 month"),
    };
    let rows = sql("select relname::text, extract(epoch from from_time)::bigint * 1000, false, \
                      exists (select from pg_index where indrelid = pg_class.oid and indisunique), \
                      extract(epoch from (from_time at time zone 'UTC' + $3::text::interval) at time zone 'UTC')::bigint * 1000 \
                    from pg_class cross join lateral (select case when relname ~ $2 then \
                      to_timestamp(substr(relname, strpos(relname, '_') + 1) || ' +00', $1) end as from_time) t \
                    where relnamespace = 'noetl_metrics'::regnamespace and relkind = 'r' \
                      and not relispartition and relname ~ $2 order by 1")
        .bind(form)
        .bind(pattern)
        .bind(length)
        .fetch_all(&mut **tx)
        .await?;
    rows.iter().map(|row| partition(kind, row)).collect()
}

/// Makes a detached table a partition again. DETACH CONCURRENTLY leaves it with its bounds as a
/// CHECK, so that it is not read through.
pub(super) async fn attach(tx: &mut Transaction, partition: &Partition) -> Result<(), StoreError> {
    let Partition { kind, name, from, to, .. } = partition;
    let text = format!(
        "alter table noetl_metrics.{} attach partition noetl_metrics.{name} for values from ('{}') to ('{}')",
        kind.table(),
        from.rfc3339(),
        to.rfc3339()
    );
    sql_made(text).execute(&mut **tx).await?;
    Ok(())
}

fn partition(kind: Kind, row: &sqlx::postgres::PgRow) -> Result<Partition, StoreError> {
    Ok(Partition {
        kind,
        name: row.try_get(0)?,
        from: Millis(row.try_get(1)?),
        to: Millis(row.try_get(4)?),
        detach_pending: row.try_get(2)?,
        closed: row.try_get(3)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(number: i64, closed: bool) -> Partition {
        let from = Millis(number * HOUR_MS);
        Partition {
            kind: Kind::Hour,
            name: String::new(),
            from,
            to: from.plus(HOUR_MS),
            detach_pending: false,
            closed,
        }
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

    #[tokio::test]
    async fn who_appends_goes_by_the_clock_and_not_by_when_hours_were_ended_last() {
        let partitions = Partitions::default();
        partitions.known.store(vec![hour(1, false), hour(2, false)].into());
        let at = Millis(HOUR_MS);
        Millis::pretend(Millis(2 * HOUR_MS + GRACE_MS - 1));
        let _before = partitions.appending().await;
        assert!(partitions.hold(at));
        Millis::pretend(Millis(2 * HOUR_MS + GRACE_MS));
        let _after = partitions.appending().await;
        assert!(!partitions.hold(at));
    }
}
