//! Retention: hours that are over are sealed, late samples are brought into theirs, what is past its
//! time is dropped.
//!
//! Whole partitions go: hours that were never sealed, days of what was, months of roll-ups; of the day
//! that is partly past, the chunks of its first hours. Where the store is larger than it may be, so do the
//! oldest days. Partitions go by DETACH CONCURRENTLY and DROP, so that neither ingest nor readers wait
//! and nothing needs VACUUM FULL. One run at a time: it holds a lock in a transaction of its own, which
//! ends with it in whatever way, and the next run finishes what a killed one left.

use std::time::{Duration, Instant};

mod past;
mod report;
mod runs;
mod ttl;

use past::{Cutoffs, bring_back, detached, forget_rollups, over_size, past, store_bytes, table_bytes};
pub use report::MaintenanceReport;
use report::Stored;
pub use runs::MaintenanceRun;
pub(crate) use runs::runs;
use runs::{begin_run, end_run, only_run};
pub(super) use ttl::kept_from;
use ttl::{delete_hours, delete_rows, keep, keep_longer};
pub(crate) use ttl::{extend_component_ttl, set_metric_ttl};

use super::db::{Database, StoreError};
use super::partitions::{self, Kind, Partition};
use super::sealed::{self, HOUR_MS};
use super::{ended, exemplars};
use crate::model::Millis;

/// For so long one run makes roll-ups of what an earlier version sealed without; the next one goes on.
const ROLL_UP_FOR: Duration = Duration::from_mins(5);

/// What is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Milliseconds for which a sample is kept at least.
    pub raw_ms: i64,
    /// The same of hourly roll-ups; no less than of samples.
    pub hourly_ms: i64,
    /// Bytes that all tables may take: above, the oldest days of samples go.
    pub max_bytes: Option<u64>,
    /// Only say what would be done.
    pub dry_run: bool,
}

impl Retention {
    /// Runs maintenance once; `progress` is told each step as it is done.
    pub async fn run(
        &self,
        database: &Database,
        progress: impl Fn(&str),
    ) -> Result<MaintenanceReport, StoreError> {
        let mut report = MaintenanceReport::default();
        let before = |ms: i64| Millis::now().plus(-ms).max(Millis(0));
        let cutoffs = Cutoffs { raw: before(self.raw_ms), hourly: before(self.hourly_ms) };
        let guard = only_run(database).await?;
        if self.dry_run {
            self.plan(database, cutoffs, &mut report).await?;
            report.store = Stored::read(database).await?;
            return Ok(report);
        }
        let run = begin_run(database).await?;
        let mut result = self.steps(database, cutoffs, &mut report, &progress).await;
        match Stored::read(database).await {
            Ok(store) => report.store = store,
            Err(error) => result = result.and(Err(error)),
        }
        end_run(database, run, &report, result.as_ref().err()).await?;
        // Nothing was written in it; where its connection is gone, so is its lock.
        let _ = guard.rollback().await;
        result.map(|()| report)
    }

    /// What a run would do, by the same statements in a transaction that is rolled back.
    async fn plan(
        &self,
        database: &Database,
        cutoffs: Cutoffs,
        report: &mut MaintenanceReport,
    ) -> Result<(), StoreError> {
        let past = past(database, cutoffs).await?;
        let cutoff = cutoffs.raw;
        let orphans = detached(database, Kind::Hour).await?.into_iter().filter(|p| p.to <= cutoff);
        let (from, over) = (cutoff.floor(HOUR_MS), partitions::surely_over());
        let mut tx = database.begin_long().await?;
        report.rolled_up_hours = sealed::unrolled(&mut tx).await?.len() as u64;
        report.sealed_samples = sealed::count(&mut tx, "unsealed", from, over).await?;
        report.merged_samples = sealed::count(&mut tx, "sample_late", from, over).await?;
        for partition in past.into_iter().chain(orphans) {
            partitions::unpack_blocks(&mut tx, &partition.name).await?;
            report.kept_samples += keep_longer(&mut tx, &partition).await?;
            let bytes = table_bytes(&mut tx, &partition.name).await?;
            report.dropped(partition.kind, partition.name, bytes);
        }
        if let Some(most) = self.max_bytes {
            let freed = report.freed.total();
            for day in over_size(&mut tx, most, &report.dropped_partitions, freed).await? {
                report.kept_samples += keep_longer(&mut tx, &day).await?;
                let bytes = table_bytes(&mut tx, &day.name).await?;
                report.over_size_partitions.push(day.name.clone());
                report.dropped(day.kind, day.name, bytes);
            }
        }
        report.deleted_rollups = forget_rollups(&mut tx, cutoffs.hourly).await?;
        report.deleted_exemplars = exemplars::drop_past(&mut tx, cutoff).await?;
        delete_hours(&mut tx, cutoff, report).await?;
        // Those of the partitions that go are not deleted one by one.
        report.deleted_samples += delete_rows(&mut tx, cutoff).await?;
        Ok(tx.rollback().await?)
    }

    async fn steps(
        &self,
        database: &Database,
        cutoffs: Cutoffs,
        report: &mut MaintenanceReport,
        progress: &impl Fn(&str),
    ) -> Result<(), StoreError> {
        let cutoff = cutoffs.raw;
        for partition in bring_back(database, cutoffs).await? {
            progress(&format!("{partition} is a partition again: an earlier run had detached it"));
        }
        // Before any of them are dropped.
        let until = Instant::now() + ROLL_UP_FOR;
        report.rolled_up_hours = roll_up(database, until, progress).await?;
        let mut tx = database.begin_long().await?;
        report.created_partitions = partitions::create(&mut tx, Millis::now(), 3).await?;
        tx.commit().await?;
        for partition in past(database, cutoffs).await? {
            report.take_out(database, partition, "", progress).await?;
        }
        for orphan in detached(database, Kind::Hour).await? {
            if orphan.to <= cutoff {
                report.kept_samples += keep(database, &orphan).await?;
                report.drop(database, orphan, ", which an earlier run had detached", progress).await?;
            }
        }
        let (from, over) = (cutoff.floor(HOUR_MS), partitions::surely_over());
        for (hour, samples) in partitions::seal_over(database, from, over, usize::MAX).await? {
            progress(&format!("sealed the {samples} samples of {}", hour.rfc3339()));
            report.sealed_samples += samples;
        }
        // Where a day was dropped, late samples of its hours are not brought into them.
        let mut tx = database.begin_long().await?;
        sealed::forget_dropped(&mut tx).await?;
        tx.commit().await?;
        report.merged_samples = sealed::merge_late(database, from, over).await?;
        progress(&format!("{} late samples brought into their hours", report.merged_samples));
        self.shrink(database, report, progress).await?;
        let mut tx = database.begin_long().await?;
        delete_hours(&mut tx, cutoff, report).await?;
        report.deleted_samples += delete_rows(&mut tx, cutoff).await?;
        report.deleted_rollups = forget_rollups(&mut tx, cutoffs.hourly).await?;
        report.deleted_exemplars = exemplars::drop_past(&mut tx, cutoff).await?;
        ended::drop_past(&mut tx, cutoff).await?;
        tx.commit().await?;
        progress(&format!("{} samples deleted one by one", report.deleted_samples));
        for day in sealed::pack_days(database, over, until).await? {
            progress(&format!("packed the roll-ups of {}", day.rfc3339()));
        }
        Ok(())
    }

    /// Drops the oldest days while the store is larger than it may be.
    async fn shrink(
        &self,
        database: &Database,
        report: &mut MaintenanceReport,
        progress: &impl Fn(&str),
    ) -> Result<(), StoreError> {
        let Some(most) = self.max_bytes else { return Ok(()) };
        let mut tx = database.begin_long().await?;
        let days = over_size(&mut tx, most, &[], 0).await?;
        let unrolled = if days.is_empty() { Vec::new() } else { sealed::unrolled(&mut tx).await? };
        tx.commit().await?;
        for day in days {
            for hour in unrolled.iter().filter(|hour| (day.from..day.to).contains(hour)) {
                sealed::roll_up(database, *hour).await?;
            }
            tracing::warn!(
                partition = day.name,
                most,
                "the store takes more bytes than it may: the oldest day goes"
            );
            report.over_size_partitions.push(day.name.clone());
            report.take_out(database, day, ", since the store is too large", progress).await?;
        }
        let mut tx = database.begin().await?;
        let bytes = store_bytes(&mut tx).await?;
        tx.commit().await?;
        if bytes > most {
            tracing::warn!(
                bytes,
                most,
                "the store takes more bytes than it may, though only the last day of samples is left"
            );
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
    /// Takes a partition out of its table, and drops it.
    async fn take_out(
        &mut self,
        database: &Database,
        partition: Partition,
        why: &str,
        progress: &impl Fn(&str),
    ) -> Result<(), StoreError> {
        if partition.kind == Kind::Hour {
            // Its blocks go with it.
            let mut tx = database.begin_long().await?;
            partitions::unpack_blocks(&mut tx, &partition.name).await?;
            tx.commit().await?;
        }
        // Before, so that readers miss none; after, for writers that were still at it.
        self.kept_samples += keep(database, &partition).await?;
        partitions::detach(database, &partition).await?;
        if partition.kind == Kind::Hour {
            self.kept_samples += keep(database, &partition).await?;
        }
        self.drop(database, partition, why, progress).await
    }

    /// Drops a table that no query sees any more, and counts it.
    async fn drop(
        &mut self,
        database: &Database,
        partition: Partition,
        why: &str,
        progress: &impl Fn(&str),
    ) -> Result<(), StoreError> {
        let Partition { kind, name, .. } = partition;
        let mut tx = database.begin().await?;
        let bytes = table_bytes(&mut tx, &name).await?;
        tx.commit().await?;
        database.run_alone(format!("drop table noetl_metrics.{name}")).await?;
        progress(&format!("dropped {name}{why}"));
        self.dropped(kind, name, bytes);
        Ok(())
    }
}
