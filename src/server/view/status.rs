//! The status page: what runs, with which settings, on which database.

use super::super::App;
use super::super::core::Core;
use super::super::page::data::{
    Build, Limit, Migration, Partition, Partitions, Retention, RetentionRun, Status, TableSize,
};
use super::super::problem::Problem;
use crate::model::{Millis, parse_timestamp};
use crate::store::{maintenance_runs, migrations};

/// Runs of retention shown.
const RUNS: i64 = 5;

pub(super) async fn fill(app: &App, core: &Core) -> Result<Status, Problem> {
    let sizes = super::sizes(app, core).await?;
    let applied = migrations(&core.database).await?;
    let tables = sizes.tables.iter().map(|t| TableSize {
        name: format!("noetl_metrics.{}", t.name),
        rows: Some(t.rows.unsigned_abs()),
        table_bytes: t.table_bytes.unsigned_abs(),
        index_bytes: t.index_bytes.unsigned_abs(),
    });
    Ok(Status {
        now_ms: Millis::now().0,
        build: Build {
            version: env!("CARGO_PKG_VERSION").into(),
            commit: option_env!("NOETL_METRICS_COMMIT").map(Into::into),
            rustc: env!("NOETL_METRICS_RUSTC").into(),
            started_at_ms: app.started.0,
            pid: std::process::id(),
        },
        flags: app.config.changed_flags.clone(),
        postgres_version: Some(sizes.postgres.clone()),
        database_bytes: Some(sizes.database_bytes.unsigned_abs()),
        migrations: applied
            .into_iter()
            .map(|m| Migration {
                version: m.version,
                description: m.description,
                applied_at_ms: m.applied_at.map(|t| t.0),
            })
            .collect(),
        partitions: partitions(core, &sizes),
        retention: Retention {
            raw_seconds: u64::try_from(app.config.retention.raw_ms / 1000).ok(),
            hourly_seconds: u64::try_from(app.config.retention.hourly_ms / 1000).ok(),
            max_bytes: app.config.retention.max_bytes,
            runs: runs(core, RUNS).await?,
        },
        targets: super::targets::all(core),
        forward: app.outflow.as_ref().map(super::super::outflow::Outflow::told).unwrap_or_default(),
        limits: limits(app, core),
        tables: tables.collect(),
    })
}

fn partitions(core: &Core, sizes: &crate::store::Sizes) -> Partitions {
    let recent = sizes.partitions.iter().map(|p| Partition {
        name: p.name.clone(),
        from_ms: p.from.0,
        to_ms: p.to.0,
        rows: Some(p.rows.unsigned_abs()),
        bytes: p.bytes.unsigned_abs(),
    });
    let bytes = sizes.of_samples().map(|t| (t.table_bytes + t.index_bytes).unsigned_abs()).sum();
    Partitions {
        count: sizes.partition_count.unsigned_abs(),
        oldest_ms: sizes.oldest.map(|t| t.0),
        newest_ms: core.partitions.end().map(|t| t.0),
        rows: Some(sizes.of_samples().map(|t| t.rows.unsigned_abs()).sum()),
        bytes: Some(bytes),
        recent: recent.collect(),
    }
}

/// The newest runs of retention that ended, newest first.
pub(super) async fn runs(core: &Core, limit: i64) -> Result<Vec<RetentionRun>, Problem> {
    let runs = maintenance_runs(&core.database, limit).await?;
    let time = |text: &str| parse_timestamp(text).map_or(0, |t| t.0);
    Ok(runs
        .into_iter()
        .filter_map(|run| {
            let finished = time(run.finished_at.as_deref()?);
            Some(RetentionRun {
                finished_at_ms: finished,
                duration_ms: u64::try_from(finished - time(&run.started_at)).unwrap_or(0),
                error: run.error,
                dropped_partitions: run.dropped_partitions.unsigned_abs(),
                freed_bytes: run.freed_bytes.unsigned_abs(),
            })
        })
        .collect())
}

fn limits(app: &App, core: &Core) -> Vec<Limit> {
    let limits = &app.config.limits;
    let limit = |name: &str, flag: &str, limit: usize, used: Option<usize>, unit: Option<&str>| Limit {
        name: name.into(),
        flag: flag.into(),
        limit: limit as u64,
        used: used.map(|n| n as u64),
        unit: unit.map(Into::into),
    };
    let largest = core.components.all().iter().map(|c| c.series() as usize).max();
    vec![
        limit("Live series", "--max-series", limits.total_series, Some(core.series.len()), None),
        limit(
            "Live series of one component",
            "--max-component-series",
            limits.component_series,
            largest,
            None,
        ),
        limit("Exemplars", "--max-exemplars", limits.exemplars, None, None),
        limit("Labels of a sample", "--max-labels", limits.labels, None, None),
        limit("Label value", "--max-label-value-bytes", limits.label_value_bytes, None, Some("bytes")),
        limit("Request body", "--max-body-bytes", limits.body_bytes, None, Some("bytes")),
    ]
}
