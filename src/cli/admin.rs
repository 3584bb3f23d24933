//! Flags of `migrate` and `maintenance`.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::server::DatabaseArgs;
use super::values::duration;
use crate::store::RuntimeOwner;

/// Flags of `migrate`.
#[derive(Args, Clone, Debug)]
pub struct MigrateArgs {
    /// Database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// Who keeps the table noetl.runtime; without it, whoever made it.
    #[arg(long, env = "NOETL_METRICS_RUNTIME", value_enum)]
    pub runtime: Option<RuntimeOwner>,
    /// How long to wait for a database that can't be reached yet; without it, not at all.
    #[arg(long, env = "NOETL_METRICS_MIGRATE_WAIT", value_parser = duration)]
    pub wait: Option<Duration>,
    /// Leave it to the server to copy tables noetl.metrics and noetl.metric that were there before.
    #[arg(long)]
    pub adopt_later: bool,
}

/// Flags of `maintenance`.
#[derive(Args, Clone, Debug)]
pub struct MaintenanceArgs {
    /// Database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// How long samples are kept at least.
    #[arg(long, env = "NOETL_METRICS_RETENTION_RAW", default_value = "7d", value_parser = duration)]
    pub retention_raw: Duration,
    /// Only list the partitions that would be dropped.
    #[arg(long)]
    pub dry_run: bool,
    /// Format of the report.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// Format of a report on the standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For machines.
    Json,
}
