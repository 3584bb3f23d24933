//! What a look at the server saw: plain data, as `-o json` writes it.
//!
//! `None` means "not known" and is `null`; nothing is ever made up to be 0.

use serde::{Serialize, Serializer};

use crate::model::Millis;

/// One look at the server.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Snapshot {
    /// The server's address.
    pub(super) server: String,
    /// When, by the server's clock, RFC 3339.
    #[serde(serialize_with = "rfc3339")]
    pub(super) time: Millis,
    /// All components together.
    pub(super) total: Total,
    /// Alerts that are pending or firing; `None` where the server has no rules, or another one has.
    pub(super) alerts: Option<Vec<Alert>>,
    /// What could not be read, or is to be known, a sentence each.
    pub(super) notices: Vec<String>,
    /// The components, in the order asked for.
    pub(super) components: Vec<Component>,
}

/// All components together.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Total {
    /// Components that report.
    pub(super) up: usize,
    /// Components that fell silent.
    pub(super) silent: usize,
    /// Components that said goodbye.
    pub(super) offline: usize,
    /// Components of kind `worker_pool` that are up.
    pub(super) active_workers: usize,
    /// Series in memory.
    pub(super) series: u64,
    /// Samples accepted a second, over the last minute.
    pub(super) samples_per_second: Option<f64>,
    /// Samples refused over the last quarter of an hour.
    pub(super) rejected_recently: Option<f64>,
    /// Seconds within which 99 of 100 reports were answered.
    pub(super) report_p99_seconds: Option<f64>,
}

/// An alert rule that has something to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Alert {
    /// Name of the rule.
    pub(super) name: String,
    /// `firing` or `pending`.
    pub(super) state: String,
    /// How many alerts of it are.
    pub(super) count: u64,
}

/// One component.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Component {
    /// Its id.
    pub(super) runtime_id: i64,
    /// Its name.
    pub(super) name: String,
    /// Its kind: `worker_pool`, `server_api`, `node_agent`.
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// `up`, `silent` or `offline`.
    pub(super) status: String,
    /// Seconds since its newest heartbeat.
    pub(super) heartbeat_age_seconds: Option<i64>,
    /// Seconds since its newest report was stored.
    pub(super) report_age_seconds: Option<i64>,
    /// Of a `node_agent` the node's, of others the process's; 0 to 100.
    pub(super) cpu_percent: Option<f64>,
    /// Bytes, likewise.
    pub(super) memory_bytes: Option<f64>,
    /// Tasks that a worker runs.
    pub(super) active_tasks: Option<f64>,
    /// What waits for it.
    pub(super) queue_size: Option<f64>,
    /// Series in memory.
    pub(super) series: u64,
    /// Samples accepted a second, over the last minute; known from the second look on.
    pub(super) samples_per_second: Option<f64>,
}

impl Component {
    /// Seconds since it was last heard, be it by a heartbeat or by a report.
    pub(super) fn heard(&self) -> Option<i64> {
        self.heartbeat_age_seconds.into_iter().chain(self.report_age_seconds).min()
    }
}

/// The newest values of one component.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Detail {
    /// Its id.
    pub(super) runtime_id: i64,
    /// Its name.
    pub(super) name: String,
    /// Its kind.
    pub(super) kind: String,
    /// How it is.
    pub(super) status: String,
    /// When, by the server's clock.
    pub(super) now: Millis,
    /// Newest values, by name and labels; the first of them where there are many.
    pub(super) rows: Vec<Newest>,
    /// Values that match what was asked for.
    pub(super) matched: u64,
}

/// The newest value of a series.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Newest {
    /// Metric name.
    pub(super) name: String,
    /// Labels, as the exposition writes them; empty where there is none.
    pub(super) labels: String,
    /// The value, with a unit, as the pages show it.
    pub(super) value: String,
    /// Its time.
    pub(super) at: Millis,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn rfc3339<S: Serializer>(time: &Millis, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time.rfc3339())
}
