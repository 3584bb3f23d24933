//! Flags of `migrate` and `maintenance`, and those of retention that others have too.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::server::DatabaseArgs;
use super::values::{bytes, duration};
use crate::store::{Retention, RuntimeOwner};

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
    /// What else is kept.
    #[command(flatten)]
    pub retention: RetentionArgs,
    /// Only say what would be done, and what would go.
    #[arg(long)]
    pub dry_run: bool,
    /// Run once, as it does in any case.
    #[arg(long)]
    pub once: bool,
    /// Format of the report.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// What is kept besides samples, and how much of all.
#[derive(Args, Clone, Debug)]
pub struct RetentionArgs {
    /// How long hourly roll-ups are kept at least; not shorter than samples. Without it 400d, or as long as
    /// samples where these are kept longer.
    #[arg(long, env = "NOETL_METRICS_RETENTION_HOURLY", value_parser = duration)]
    pub retention_hourly: Option<Duration>,
    /// Bytes that all tables may take, such as 50GB or 20GiB: above, the oldest days of samples are
    /// dropped, never the last day.
    #[arg(long, env = "NOETL_METRICS_RETENTION_MAX_SIZE", value_parser = bytes)]
    pub retention_max_size: Option<usize>,
}

/// Hourly roll-ups are kept for this long where nothing else is said.
const DEFAULT_HOURLY: Duration = Duration::from_hours(400 * 24);

impl RetentionArgs {
    /// The retention with samples that are kept for so long.
    ///
    /// # Errors
    /// A sentence that names the flag and what is wrong with its value.
    pub fn with_raw(&self, raw: Duration) -> Result<Retention, String> {
        let hourly = self.retention_hourly.unwrap_or_else(|| DEFAULT_HOURLY.max(raw));
        if hourly < raw {
            return Err("--retention-hourly must not be shorter than --retention-raw".into());
        }
        let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Ok(Retention {
            raw_ms: ms(raw),
            hourly_ms: ms(hourly),
            max_bytes: self.retention_max_size.map(|bytes| bytes as u64),
            dry_run: false,
        })
    }
}

/// Format of a report on the standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For machines.
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roll_ups_are_kept_at_least_as_long_as_samples() {
        let day = Duration::from_hours(24);
        let args = |hourly| RetentionArgs { retention_hourly: hourly, retention_max_size: Some(5) };
        let kept = |hourly, raw| {
            args(hourly).with_raw(raw).map(|r| (r.raw_ms / 86_400_000, r.hourly_ms / 86_400_000))
        };
        assert_eq!(kept(None, 7 * day), Ok((7, 400)));
        assert_eq!(kept(None, 500 * day), Ok((500, 500)));
        assert_eq!(kept(Some(7 * day), 7 * day), Ok((7, 7)));
        assert!(kept(Some(6 * day), 7 * day).unwrap_err().contains("--retention-hourly"));
    }
}
