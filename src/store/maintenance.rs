//! Retention: hours that are over are sealed, late samples are brought into theirs, what is past its
//! time is dropped.
//!
//! Whole partitions go: hours that were never sealed, and days of what was; of the day that is partly
//! past, the chunks of its first hours. Partitions go by DETACH CONCURRENTLY and DROP, so that neither ingest nor readers wait and
//! nothing needs VACUUM FULL. One run at a time: it holds a lock in a transaction of its own, which
//! ends with it in whatever way, and the next run finishes what a killed one left.

use std::time::{Duration, Instant};

use sqlx::Row as _;

use super::db::{Database, StoreError, Transaction, sql, sql_made};
use super::exemplars;
use super::partitions::{self, Kind, Partition};
use super::sealed::{self, HOUR_MS};
use crate::model::Millis;

/// For so long one run makes roll-ups of what an earlier version sealed without; the next one goes on.
const ROLL_UP_FOR: Duration = Duration::from_mins(5);

/// How long samples are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Milliseconds for which a sample is kept at least.
    pub raw_ms: i64,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// What one run did.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct MaintenanceReport {
    /// Partitions that were made ahead.
    pub created_partitions: Vec<String>,
    /// Partitions that were dropped.
    pub dropped_partitions: Vec<String>,
    /// Hours that were sealed without roll-ups, as earlier versions did, and have them now.
    pub rolled_up_hours: u64,
    /// Samples of hours that are over, and were not sealed before.
    pub sealed_samples: u64,
    /// Late samples that were brought into their hour.
    pub merged_samples: u64,
    /// Samples that no partition took with it: sealed ones of a day that is partly past, late ones, and
    /// those past their metric's own time.
    pub deleted_samples: u64,
    /// Bytes of the partitions that were dropped.
    pub freed_bytes: u64,
    /// Samples that outlive their partition, since their metric's or component's time is longer.
    pub kept_samples: u64,
}

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
    /// Why it failed.
    pub error: Option<String>,
}

/// Samples of series with a time of their own: the longer of the metric's and the component's.
const TTL: &str = "select s.series_id, greatest(m.ttl, c.ttl) as ttl from noetl_metrics.series s \
    join noetl_metrics.metric_name n using (metric_name) join noetl_metrics.metric m on m.family = n.family \
    left join noetl_metrics.component c on c.runtime_id = s.runtime_id where m.ttl is not null or c.ttl is not null";

impl Retention {
    /// Runs maintenance once; `progress` is told each step as it is done.
    pub async fn run(
        &self,
        database: &Database,
        progress: impl Fn(&str),
    ) -> Result<MaintenanceReport, StoreError> {
        let mut report = MaintenanceReport::default();
        let cutoff = Millis::now().plus(-self.raw_ms).max(Millis(0));
        let guard = only_run(database).await?;
        if self.dry_run {
            self.plan(database, cutoff, &mut report).await?;
            return Ok(report);
        }
        let run = begin_run(database).await?;
        let result = self.steps(database, cutoff, &mut report, &progress).await;
        end_run(database, run, &report, result.as_ref().err()).await?;
        // Nothing was written in it; where its connection is gone, so is its lock.
        let _ = guard.rollback().await;
        result.map(|()| report)
    }

    /// What a run would do, by the same statements in a transaction that is rolled back.
    async fn plan(
        &self,
        database: &Database,
        cutoff: Millis,
        report: &mut MaintenanceReport,
    ) -> Result<(), StoreError> {
        let past = past(database, cutoff).await?;
        let orphans = detached(database, Kind::Hour).await?.into_iter().filter(|p| p.to <= cutoff);
        let (from, over) = (cutoff.floor(HOUR_MS), partitions::surely_over());
        let mut tx = database.begin_long().await?;
        report.rolled_up_hours = sealed::unrolled(&mut tx).await?.len() as u64;
        report.sealed_samples = sealed::count(&mut tx, "unsealed", from, over).await?;
        report.merged_samples = sealed::count(&mut tx, "sample_late", from, over).await?;
        for partition in past.into_iter().chain(orphans) {
            partitions::unpack_blocks(&mut tx, &partition.name).await?;
            report.kept_samples += keep_longer(&mut tx, &partition).await?;
            report.freed_bytes += table_bytes(&mut tx, &partition.name).await?;
            report.dropped_partitions.push(partition.name);
        }
        delete_hours(&mut tx, cutoff, report).await?;
        // Those of the partitions that go are not deleted one by one.
        report.deleted_samples += delete_rows(&mut tx, cutoff).await?;
        Ok(tx.rollback().await?)
    }

    async fn steps(
        &self,
        database: &Database,
        cutoff: Millis,
        report: &mut MaintenanceReport,
        progress: &impl Fn(&str),
    ) -> Result<(), StoreError> {
        for partition in bring_back(database, cutoff).await? {
            progress(&format!("{partition} is a partition again: an earlier run had detached it"));
        }
        // Before any of them are dropped.
        let until = Instant::now() + ROLL_UP_FOR;
        report.rolled_up_hours = roll_up(database, until, progress).await?;
        let mut tx = database.begin_long().await?;
        report.created_partitions = partitions::create(&mut tx, Millis::now(), 3).await?;
        tx.commit().await?;
        for partition in past(database, cutoff).await? {
            // Its blocks go with it.
            let mut tx = database.begin_long().await?;
            partitions::unpack_blocks(&mut tx, &partition.name).await?;
            tx.commit().await?;
            // Before, so that readers miss none; after, for writers that were still at it.
            report.kept_samples += keep(database, &partition).await?;
            partitions::detach(database, &partition).await?;
            if partition.kind == Kind::Hour {
                report.kept_samples += keep(database, &partition).await?;
            }
            report.drop(database, partition.name, "", progress).await?;
        }
        for orphan in detached(database, Kind::Hour).await? {
            if orphan.to <= cutoff {
                report.kept_samples += keep(database, &orphan).await?;
                report.drop(database, orphan.name, ", which an earlier run had detached", progress).await?;
            }
        }
        let (from, over) = (cutoff.floor(HOUR_MS), partitions::surely_over());
        for (hour, samples) in partitions::seal_over(database, from, over, usize::MAX).await? {
            progress(&format!("sealed the {samples} samples of {}", hour.rfc3339()));
            report.sealed_samples += samples;
        }
        report.merged_samples = sealed::merge_late(database, from, over).await?;
        progress(&format!("{} late samples brought into their hours", report.merged_samples));
        let mut tx = database.begin_long().await?;
        delete_hours(&mut tx, cutoff, report).await?;
        report.deleted_samples += delete_rows(&mut tx, cutoff).await?;
        exemplars::drop_past(&mut tx, cutoff).await?;
        tx.commit().await?;
        progress(&format!("{} samples deleted one by one", report.deleted_samples));
        for day in sealed::pack_days(database, over, until).await? {
            progress(&format!("packed the roll-ups of {}", day.rfc3339()));
        }
        Ok(())
    }
}

/// Makes the roll-ups of hours that were sealed without, until a moment; returns how many hours.
async fn roll_up(database: &Database, until: Instant, progress: &impl Fn(&str)) -> Result<u64, StoreError> {
    let mut tx = database.begin().await?;
    let missing = sealed::unrolled(&mut tx).await?;
    tx.commit().await?;
    let mut done = 0;
    for hour in missing.iter().take_while(|_| Instant::now() < until) {
        sealed::roll_up(database, *hour).await?;
        done += 1;
        progress(&format!(
            "rolled up {}, {done} of {} hours without roll-ups",
            hour.rfc3339(),
            missing.len()
        ));
    }
    Ok(done)
}

impl MaintenanceReport {
    /// Drops a table that no query sees any more, and counts it.
    async fn drop(
        &mut self,
        database: &Database,
        name: String,
        why: &str,
        progress: &impl Fn(&str),
    ) -> Result<(), StoreError> {
        let mut tx = database.begin().await?;
        self.freed_bytes += table_bytes(&mut tx, &name).await?;
        tx.commit().await?;
        database.run_alone(format!("drop table noetl_metrics.{name}")).await?;
        progress(&format!("dropped {name}{why}"));
        self.dropped_partitions.push(name);
        Ok(())
    }
}

/// The transaction whose lock makes this run the only one; fails where another one is under way.
async fn only_run(database: &Database) -> Result<Transaction, StoreError> {
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
async fn begin_run(database: &Database) -> Result<i64, StoreError> {
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

async fn end_run(
    database: &Database,
    run: i64,
    report: &MaintenanceReport,
    error: Option<&StoreError>,
) -> Result<(), StoreError> {
    let mut tx = database.begin().await?;
    sql("update noetl_metrics.maintenance_run set finished_at = now(), dropped_partitions = $2, deleted_samples = $3, error = $4, freed_bytes = $5 \
         where run_id = $1")
        .bind(run)
        .bind(&report.dropped_partitions)
        .bind(report.deleted_samples.cast_signed())
        .bind(error.map(ToString::to_string))
        .bind(report.freed_bytes.cast_signed())
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

/// [`keep_longer`], committed.
async fn keep(database: &Database, partition: &Partition) -> Result<u64, StoreError> {
    let mut tx = database.begin_long().await?;
    let kept = keep_longer(&mut tx, partition).await?;
    tx.commit().await?;
    Ok(kept)
}

/// Samples that outlive their partition are copied to the late table.
async fn keep_longer(tx: &mut Transaction, partition: &Partition) -> Result<u64, StoreError> {
    match partition.kind {
        Kind::Hour => keep_of(tx, &format!("noetl_metrics.{}", partition.name)).await,
        Kind::Day => keep_sealed(tx, partition.from, partition.to).await,
    }
}

/// The same for sealed hours from one to another.
async fn keep_sealed(tx: &mut Transaction, from: Millis, to: Millis) -> Result<u64, StoreError> {
    let (from, to) = (from.rfc3339(), to.rfc3339());
    keep_of(tx, &format!("(select * from noetl_metrics.sealed where hour >= '{from}' and hour < '{to}')"))
        .await
}

async fn keep_of(tx: &mut Transaction, samples: &str) -> Result<u64, StoreError> {
    // Nearly always there are none: then nothing is unpacked to find that out.
    let any = sql_made(format!("select exists ({TTL})")).fetch_one(&mut **tx).await?;
    if !any.try_get::<bool, _>(0)? {
        return Ok(0);
    }
    let text = format!(
        "insert into noetl_metrics.sample_late (series_id, \"timestamp\", value, created_at) \
         select p.series_id, p.\"timestamp\", p.value, p.\"timestamp\" from {samples} p join ({TTL}) t using (series_id) \
         where p.\"timestamp\" > now() - t.ttl on conflict do nothing"
    );
    Ok(sql_made(text).execute(&mut **tx).await?.rows_affected())
}

/// Partitions that are past their time. One whose detach was begun comes first, whatever its time:
/// no other can be detached beside it, and nobody sees its samples any more.
async fn past(database: &Database, cutoff: Millis) -> Result<Vec<Partition>, StoreError> {
    let mut tx = database.begin().await?;
    let mut past = partitions::list(&mut tx, Kind::Hour).await?;
    past.extend(partitions::list(&mut tx, Kind::Day).await?);
    tx.commit().await?;
    past.retain(|p| p.to <= cutoff || p.detach_pending);
    past.sort_by_key(|p| !p.detach_pending);
    Ok(past)
}

/// Tables that an earlier run detached and had no time to drop, oldest first.
async fn detached(database: &Database, kind: Kind) -> Result<Vec<Partition>, StoreError> {
    let mut tx = database.begin().await?;
    let detached = partitions::detached(&mut tx, kind).await?;
    tx.commit().await?;
    Ok(detached)
}

/// Partitions that a run which died was about to drop, and that the retention of this one keeps,
/// come back; returns their names. Only one detach can be pending of each kind. Days come back in any
/// case: what is kept of them is read through their table.
async fn bring_back(database: &Database, cutoff: Millis) -> Result<Vec<String>, StoreError> {
    let mut tx = database.begin().await?;
    let mut known = partitions::list(&mut tx, Kind::Hour).await?;
    known.extend(partitions::list(&mut tx, Kind::Day).await?);
    tx.commit().await?;
    let kept = |p: &&Partition| p.to > cutoff || p.kind == Kind::Day;
    for pending in known.iter().filter(|p| p.detach_pending).filter(kept) {
        partitions::detach(database, pending).await?;
    }
    let mut gone = detached(database, Kind::Hour).await?;
    gone.extend(detached(database, Kind::Day).await?);
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
async fn table_bytes(tx: &mut Transaction, name: &str) -> Result<u64, StoreError> {
    let row = sql("select coalesce(pg_total_relation_size(to_regclass('noetl_metrics.' || $1)), 0)")
        .bind(name)
        .fetch_one(&mut **tx)
        .await?;
    Ok(row.try_get::<i64, _>(0)?.unsigned_abs())
}

/// Sealed hours that are past, of the day that is not past as a whole.
async fn delete_hours(
    tx: &mut Transaction,
    cutoff: Millis,
    report: &mut MaintenanceReport,
) -> Result<(), StoreError> {
    let (from, to) = (cutoff.floor(24 * HOUR_MS), cutoff.floor(HOUR_MS));
    sealed::lock(tx, true).await?;
    report.kept_samples += keep_sealed(tx, from, to).await?;
    report.deleted_samples += sealed::delete(tx, from, to).await?;
    Ok(())
}

/// Rows past their time that no partition takes with it.
async fn delete_rows(tx: &mut Transaction, cutoff: Millis) -> Result<u64, StoreError> {
    let late = format!(
        "delete from noetl_metrics.sample_late l where l.\"timestamp\" < timestamptz 'epoch' + $1 * interval '1 ms' \
         and not exists (select from ({TTL}) t where t.series_id = l.series_id and l.\"timestamp\" > now() - t.ttl)"
    );
    let mut deleted = sql_made(late).bind(cutoff.0).execute(&mut **tx).await?.rows_affected();
    // Blocks whose hour was dropped by hand; those of any other go with it, and what has longer stays.
    sql("delete from noetl_metrics.block b where b.\"timestamp\" < timestamptz 'epoch' + $1 * interval '1 ms' \
         and not exists (select from noetl_metrics.partition p \
           where b.\"timestamp\" >= p.from_time and b.\"timestamp\" < p.to_time)")
    .bind(cutoff.0)
    .execute(&mut **tx)
    .await?;
    for table in ["sample", "sample_late"] {
        let text = format!(
            "delete from noetl_metrics.{table} x using ({TTL}) t where t.series_id = x.series_id and x.\"timestamp\" <= now() - t.ttl"
        );
        deleted += sql_made(text).execute(&mut **tx).await?.rows_affected();
    }
    // Days that were dropped, by whomever.
    sql("delete from noetl_metrics.sealed_hour h where not exists (select from noetl_metrics.day d \
           where h.hour >= d.from_time and h.hour < d.to_time)")
    .execute(&mut **tx)
    .await?;
    Ok(deleted + delete_sealed(tx).await?)
}

/// Sealed samples of series whose own time is shorter, hour by hour as it is past; returns how many.
async fn delete_sealed(tx: &mut Transaction) -> Result<u64, StoreError> {
    let text = format!(
        "select (extract(epoch from c.hour) * 1000)::bigint, array_agg(distinct t.series_id) \
         from noetl_metrics.chunk c cross join lateral unnest(c.series_ids) u(series_id) join ({TTL}) t using (series_id) \
         where c.hour + interval '1 hour' <= now() - t.ttl group by 1"
    );
    let mut deleted = 0;
    for row in sql_made(text).fetch_all(&mut **tx).await? {
        let series: Vec<i32> = row.try_get(1)?;
        deleted += sealed::remove(tx, Millis(row.try_get(0)?), &series.into_iter().collect()).await?;
    }
    Ok(deleted)
}

/// The newest runs, newest first.
pub(crate) async fn runs(database: &Database, limit: i64) -> Result<Vec<MaintenanceRun>, StoreError> {
    let mut tx = database.begin().await?;
    let rows = sql("select floor(extract(epoch from started_at) * 1000)::bigint, floor(extract(epoch from finished_at) * 1000)::bigint, \
                      cardinality(dropped_partitions)::bigint, deleted_samples, error, freed_bytes \
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
            })
        })
        .collect()
}

/// Sets how long a metric's samples are kept, whatever the retention; returns its number of series,
/// nothing where there is no such metric.
pub(crate) async fn set_metric_ttl(
    database: &Database,
    metric_name: &str,
    days: i32,
) -> Result<Option<i64>, StoreError> {
    let mut tx = database.begin().await?;
    let set = sql(
        "update noetl_metrics.metric m set ttl = make_interval(days => $2) from noetl_metrics.metric_name n \
         where n.metric_name = $1 and m.family = n.family",
    )
    .bind(metric_name)
    .bind(days)
    .execute(&mut *tx)
    .await?;
    if set.rows_affected() == 0 {
        return Ok(None);
    }
    let row = sql(
        "select count(*) from noetl_metrics.series s join noetl_metrics.metric_name n using (metric_name) \
                   where n.family = (select family from noetl_metrics.metric_name where metric_name = $1)",
    )
    .bind(metric_name)
    .fetch_one(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(Some(row.try_get(0)?))
}

/// Keeps a component's samples for at least this long; returns its number of series.
pub(crate) async fn extend_component_ttl(
    database: &Database,
    runtime_id: i64,
    days: i32,
) -> Result<i64, StoreError> {
    let mut tx = database.begin().await?;
    sql("insert into noetl_metrics.component (runtime_id, ttl) values ($1, make_interval(days => $2)) \
         on conflict (runtime_id) do update set ttl = excluded.ttl")
    .bind(runtime_id)
    .bind(days)
    .execute(&mut *tx)
    .await?;
    let row = sql("select count(*) from noetl_metrics.series where runtime_id = $1")
        .bind(runtime_id)
        .fetch_one(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(row.try_get(0)?)
}
