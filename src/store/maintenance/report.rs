//! What a run of maintenance did, and what there is after it.

use sqlx::Row as _;

use super::super::db::{Database, StoreError, sql};
use super::super::partitions::Kind;
use super::super::stats::Sizes;

/// What one run did.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct MaintenanceReport {
    /// Partitions that were made ahead.
    pub created_partitions: Vec<String>,
    /// Partitions that were dropped.
    pub dropped_partitions: Vec<String>,
    /// Those of them that were dropped since the store was larger than it may be.
    pub over_size_partitions: Vec<String>,
    /// Hours that were sealed without roll-ups, as earlier versions did, and have them now.
    pub rolled_up_hours: u64,
    /// Samples of hours that are over, and were not sealed before.
    pub sealed_samples: u64,
    /// Late samples that were brought into their hour.
    pub merged_samples: u64,
    /// Samples that no partition took with it: sealed ones of a day that is partly past, late ones, and
    /// those past their metric's own time.
    pub deleted_samples: u64,
    /// Roll-ups that were past their time.
    pub deleted_rollups: u64,
    /// Exemplars that were past their time.
    pub deleted_exemplars: u64,
    /// Bytes of the partitions that were dropped.
    pub freed_bytes: u64,
    /// The same by what was in them.
    pub freed: Bytes,
    /// Samples that outlive their partition, since their metric's or component's time is longer.
    pub kept_samples: u64,
    /// What there is after the run; of a dry run, what there is.
    pub store: Stored,
}

/// Bytes by what is in them, without indexes but of partitions that were dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Bytes {
    /// Sealed samples.
    pub chunks: u64,
    /// Samples of open hours in blocks.
    pub blocks: u64,
    /// Samples of open hours as rows.
    pub rows: u64,
    /// Late samples.
    pub late: u64,
    /// Roll-ups.
    pub rollups: u64,
    /// Components, series, metrics.
    pub series: u64,
    /// All indexes.
    pub indexes: u64,
    /// The rest.
    pub other: u64,
}

/// What there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Stored {
    /// Samples; those of open hours and late ones as PostgreSQL estimates them.
    pub samples: u64,
    /// Hourly roll-ups.
    pub rollups: u64,
    /// Bytes of all tables.
    pub bytes: Bytes,
    /// Partitions.
    pub partitions: Partitions,
}

/// Numbers of partitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Partitions {
    /// Of open hours, those made ahead too.
    pub hours: u64,
    /// Of days of chunks.
    pub days: u64,
    /// Of months of roll-ups.
    pub months: u64,
}

impl MaintenanceReport {
    /// Counts a partition that was dropped.
    pub(super) fn dropped(&mut self, kind: Kind, name: String, bytes: u64) {
        let of = match kind {
            Kind::Hour => &mut self.freed.rows,
            Kind::Day => &mut self.freed.chunks,
            Kind::Month => &mut self.freed.rollups,
        };
        *of += bytes;
        self.freed_bytes += bytes;
        self.dropped_partitions.push(name);
    }
}

impl Bytes {
    /// All together.
    pub const fn total(&self) -> u64 {
        let Self { chunks, blocks, rows, late, rollups, series, indexes, other } = self;
        *chunks + *blocks + *rows + *late + *rollups + *series + *indexes + *other
    }

    /// Each with its name, largest first; what has none is left out.
    pub fn by_kind(&self) -> Vec<(&'static str, u64)> {
        let Self { chunks, blocks, rows, late, rollups, series, indexes, other } = *self;
        let mut all = vec![
            ("chunks", chunks),
            ("blocks", blocks),
            ("rows", rows),
            ("late", late),
            ("roll-ups", rollups),
            ("series", series),
            ("indexes", indexes),
            ("other", other),
        ];
        all.retain(|(_, bytes)| *bytes > 0);
        all.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        all
    }
}

impl Stored {
    pub(super) async fn read(database: &Database) -> Result<Self, StoreError> {
        let sizes = Sizes::read(database).await?;
        let mut tx = database.begin().await?;
        let row = sql("select (select coalesce(sum(buckets), 0)::bigint from noetl_metrics.rolled_hour), \
                         (select count(*) from noetl_metrics.partition), (select count(*) from noetl_metrics.day), \
                         (select count(*) from noetl_metrics.month)")
            .fetch_one(&mut *tx)
            .await?;
        tx.commit().await?;
        let count = |column: usize| Ok::<_, StoreError>(row.try_get::<i64, _>(column)?.unsigned_abs());
        let partitions = Partitions { hours: count(1)?, days: count(2)?, months: count(3)? };
        let mut bytes = Bytes::default();
        for table in &sizes.tables {
            let of = match table.name.as_str() {
                "chunk" => &mut bytes.chunks,
                "block" => &mut bytes.blocks,
                "sample" => &mut bytes.rows,
                "sample_late" => &mut bytes.late,
                "rollup_hour" | "rollup_day" => &mut bytes.rollups,
                "series" | "metric" | "metric_name" | "component" | "runtime" => &mut bytes.series,
                _ => &mut bytes.other,
            };
            *of += table.table_bytes.unsigned_abs();
            bytes.indexes += table.index_bytes.unsigned_abs();
        }
        let samples = sizes.of_samples().map(|table| table.rows.unsigned_abs()).sum();
        Ok(Self { samples, rollups: count(0)?, bytes, partitions })
    }
}
