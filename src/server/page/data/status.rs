//! The data of the status page: what runs, with which settings, on which database.

use serde::Serialize;

use super::{RetentionRun, mask};

/// What runs, with which settings, on which database.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Status {
    /// Time against which ages are reckoned.
    pub now_ms: i64,
    /// The program.
    pub build: Build,
    /// Settings that differ from their defaults, by name.
    pub flags: Vec<Flag>,
    /// Version of the database server, as it says itself; `None` while it cannot be reached.
    pub postgres_version: Option<String>,
    /// Bytes the database takes on disk, everything counted.
    pub database_bytes: Option<u64>,
    /// Steps of the schema, in order.
    pub migrations: Vec<Migration>,
    /// Where the samples are.
    pub partitions: Partitions,
    /// What is kept for how long.
    pub retention: Retention,
    /// Targets that agents scrape, those that are down first.
    pub targets: Vec<ScrapeTarget>,
    /// Stores that samples are sent on to.
    pub forward: Vec<ForwardedTo>,
    /// What is limited, and how much of it is used.
    pub limits: Vec<Limit>,
    /// Tables and their sizes, the largest first.
    pub tables: Vec<TableSize>,
}

/// The program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Build {
    /// Version, `0.1.0`.
    pub version: String,
    /// Commit it was built from, where known.
    pub commit: Option<String>,
    /// Compiler, `rustc 1.95.0`.
    pub rustc: String,
    /// When the process started.
    pub started_at_ms: i64,
    /// Process id.
    pub pid: u32,
}

/// A setting that differs from its default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Flag {
    /// Name of the flag, `--database-url`.
    pub name: String,
    /// Value, with secrets masked.
    value: String,
    /// Default, empty where there is none.
    pub default: String,
    /// Where the value came from.
    pub source: FlagSource,
}

impl Flag {
    /// A setting; a secret in the value is masked here, so that none can be shown.
    pub fn new(name: impl Into<String>, value: &str, default: impl Into<String>, source: FlagSource) -> Self {
        let name = name.into();
        let value = mask(&name, value);
        Self { name, value, default: default.into(), source }
    }

    /// The value, with secrets masked.
    pub fn value(&self) -> &str {
        &self.value
    }
}

/// Where a setting came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FlagSource {
    /// The command line.
    #[default]
    Flag,
    /// The environment.
    Environment,
}

impl FlagSource {
    /// The word shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Environment => "environment",
        }
    }
}

/// One step of the schema.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Migration {
    /// Number of the step.
    pub version: i64,
    /// What it does.
    pub description: String,
    /// When it was applied; `None` where it still has to be.
    pub applied_at_ms: Option<i64>,
}

/// Partitions of the samples.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Partitions {
    /// How many there are.
    pub count: u64,
    /// Lower bound of the oldest.
    pub oldest_ms: Option<i64>,
    /// Upper bound of the newest.
    pub newest_ms: Option<i64>,
    /// Samples, in partitions and elsewhere; an estimate for what is not sealed.
    pub rows: Option<u64>,
    /// Bytes of all samples, with indexes.
    pub bytes: Option<u64>,
    /// The newest of them, newest first; not necessarily all.
    pub recent: Vec<Partition>,
}

/// One partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Partition {
    /// Table name.
    pub name: String,
    /// Lower bound, inclusive.
    pub from_ms: i64,
    /// Upper bound, exclusive.
    pub to_ms: i64,
    /// Samples; of hours an estimate.
    pub rows: Option<u64>,
    /// Bytes with indexes.
    pub bytes: u64,
}

/// What is kept for how long.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Retention {
    /// Seconds for which samples are kept.
    pub raw_seconds: Option<u64>,
    /// Seconds for which hourly roll-ups are kept.
    pub hourly_seconds: Option<u64>,
    /// Bytes that all tables may take.
    pub max_bytes: Option<u64>,
    /// The newest runs, newest first.
    pub runs: Vec<RetentionRun>,
}

/// A target that an agent scrapes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ScrapeTarget {
    /// Name of the agent.
    pub agent: String,
    /// Its address.
    pub target: String,
    /// Whether the last scrape succeeded.
    pub up: bool,
    /// How long that took.
    pub seconds: f64,
    /// Samples that were reported.
    pub samples: u64,
    /// Samples that were refused, since the agent started.
    pub rejected: u64,
    /// Failed scrapes since the agent started, by reason.
    pub errors: Vec<(String, u64)>,
    /// Metrics of the guide that it does not have, with the reason.
    pub absent: Vec<(String, String)>,
}

/// A store that samples are sent on to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ForwardedTo {
    /// Its name.
    pub name: String,
    /// Its host; the rest of its URL may hold secrets.
    pub host: String,
    /// For how long the oldest sample waits that it does not have.
    pub lag_seconds: Option<u64>,
    /// Samples in memory that have to be sent yet.
    pub pending: Option<u64>,
    /// Whether what it lacks is read from the database.
    pub reads_database: Option<bool>,
    /// Samples that it took, since the server started.
    pub sent: u64,
    /// Samples that it refused for good, likewise.
    pub dropped: u64,
    /// What was wrong with the newest request.
    pub problem: Option<String>,
}

/// A limit, and how much of it is used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Limit {
    /// What is limited: `Live series`.
    pub name: String,
    /// Flag that sets it.
    pub flag: String,
    /// The limit, in `unit`.
    pub limit: u64,
    /// How much of it is used; `None` where each request is measured by itself.
    pub used: Option<u64>,
    /// Unit of both: `bytes`, or none.
    pub unit: Option<String>,
}

/// One table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TableSize {
    /// Name with schema.
    pub name: String,
    /// Rows, as the planner estimates.
    pub rows: Option<u64>,
    /// Bytes of the table itself, with TOAST.
    pub table_bytes: u64,
    /// Bytes of its indexes.
    pub index_bytes: u64,
}
