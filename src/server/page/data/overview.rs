//! The data of the overview.

use serde::Serialize;

use super::Point;

/// The first page: this machine, the components, ingest, storage.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Overview {
    /// Time against which ages are reckoned.
    pub now_ms: i64,
    /// Version of the program.
    pub version: String,
    /// Seconds since the server started.
    pub uptime_seconds: u64,
    /// The machine the server runs on; `None` while nothing reports for it.
    pub host: Option<Host>,
    /// Components by status.
    pub components: ComponentCounts,
    /// Series of components that report now.
    pub live_series: u64,
    /// Samples stored in a second, the mean of the last minute.
    pub samples_per_second: Option<f64>,
    /// The rate of samples over the last while, samples per second.
    pub samples_per_second_points: Vec<Point>,
    /// Samples in the database, an estimate.
    pub samples_stored: Option<u64>,
    /// Bytes the database takes on disk, everything counted.
    pub database_bytes: Option<u64>,
    /// Partitions that hold samples or wait for them.
    pub partitions: Option<u64>,
    /// The newest retention run; `None` before the first.
    pub last_retention: Option<RetentionRun>,
    /// Samples refused since the server started.
    pub rejected_samples: u64,
    /// Samples refused within the last quarter of an hour: what makes the page call for attention.
    pub rejected_recently: u64,
    /// The most frequent reason of the recent refusals, in words.
    pub rejected_reason: Option<String>,
    /// What can be called, in the order shown.
    pub endpoints: Vec<Endpoint>,
}

/// Number of components by status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ComponentCounts {
    /// Heartbeat and reports are recent.
    pub up: u64,
    /// Registered, but silent for longer than `--stale-after`.
    pub silent: u64,
    /// Deregistered.
    pub offline: u64,
}

/// The machine the server runs on.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Host {
    /// Component that reports for the machine.
    pub runtime_id: i64,
    /// Host name.
    pub name: String,
    /// Facts in one line each: `Linux 6.1`, `2 cores`.
    pub facts: Vec<String>,
    /// Time of the newest report.
    pub last_report_ms: Option<i64>,
    /// CPU, memory, disk, network, in the order shown.
    pub cards: Vec<HostCard>,
}

/// One card: a resource of the machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct HostCard {
    /// `CPU`, `Memory`, `Disk`, `Network`.
    pub title: String,
    /// One reading, or two that are shown together (received and sent).
    pub readings: Vec<HostReading>,
    /// A line below the number: `6.2 GiB of 15.6 GiB`.
    pub detail: Option<String>,
    /// Upper end of the scale in the unit of the readings, 100 for percent; `None` scales to the data.
    pub scale_max: Option<f64>,
}

/// One value of a card.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct HostReading {
    /// What is read, where the card has more than one: `received`. Empty otherwise.
    pub label: String,
    /// Metric the value comes from; the card links to it.
    pub metric_name: String,
    /// Unit of the value: `percent`, `bytes`, `bytes/s`.
    pub unit: Option<String>,
    /// Newest value; `None` where the source is absent.
    pub value: Option<f64>,
    /// The last while of it.
    pub points: Vec<Point>,
}

/// One run of retention.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RetentionRun {
    /// When it ended.
    pub finished_at_ms: i64,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// What went wrong; `None` where the run succeeded.
    pub error: Option<String>,
    /// Partitions dropped.
    pub dropped_partitions: u64,
    /// Bytes freed.
    pub freed_bytes: u64,
}

/// One thing that can be called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// HTTP method.
    pub method: String,
    /// Path, with `{name}` where something is to be filled in.
    pub path: String,
    /// One line of help.
    pub help: String,
}

impl Endpoint {
    /// Whether a browser can open it as it stands.
    pub fn is_link(&self) -> bool {
        self.method == "GET" && !self.path.contains('{')
    }
}
