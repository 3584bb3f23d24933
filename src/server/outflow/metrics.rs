//! What is told of the targets of `--forward-url` in the process's own metrics.

use std::collections::HashMap;

use parking_lot::Mutex;
use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

use super::super::own::kept;
use super::super::page::data::ForwardedTo;
use super::post::ForwardTarget;

/// Metrics of sending on. The names of targets are those of the configuration.
pub(super) struct Metrics {
    sent: IntCounterVec,
    failed: IntCounterVec,
    retried: IntCounterVec,
    dropped: IntCounterVec,
    gaps: IntCounterVec,
    pending: IntGaugeVec,
    lag: IntGaugeVec,
    history: IntGaugeVec,
    shown: Mutex<HashMap<String, Progress>>,
}

/// How far a target is.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    /// Samples in memory that have to be sent yet.
    pub(super) pending: usize,
    pub(super) lag_seconds: u64,
    pub(super) reads_database: bool,
    /// What was wrong with the newest request.
    pub(super) problem: Option<String>,
}

impl Metrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let counter =
            |name: &str, help: &str| kept(registry, IntCounterVec::new(Opts::new(name, help), &["target"]));
        let gauge =
            |name: &str, help: &str| kept(registry, IntGaugeVec::new(Opts::new(name, help), &["target"]));
        Self {
            sent: counter("noetl_metrics_forward_samples_sent_total", "Samples that the target took."),
            failed: counter(
                "noetl_metrics_forward_samples_failed_total",
                "Samples of requests that failed and are sent again.",
            ),
            retried: counter(
                "noetl_metrics_forward_samples_retried_total",
                "Samples of requests that were sent again.",
            ),
            dropped: counter(
                "noetl_metrics_forward_samples_dropped_total",
                "Samples of requests that the target refused for good.",
            ),
            gaps: counter(
                "noetl_metrics_forward_gaps_total",
                "Times that more waited than memory holds, or a commit had no answer: the rest is read from the database.",
            ),
            pending: gauge(
                "noetl_metrics_forward_pending_samples",
                "Samples in memory that have to be sent yet.",
            ),
            lag: gauge(
                "noetl_metrics_forward_lag_seconds",
                "For how long the oldest sample waits that the target does not have; at most, while it is read from the database.",
            ),
            history: gauge(
                "noetl_metrics_forward_reading_database",
                "Whether the target is being brought up from the database.",
            ),
            shown: Mutex::default(),
        }
    }

    pub(super) fn of(&self, target: &str) -> Counters {
        let counter = |of: &IntCounterVec| of.with_label_values(&[target]);
        Counters {
            sent: counter(&self.sent),
            failed: counter(&self.failed),
            retried: counter(&self.retried),
            dropped: counter(&self.dropped),
            gaps: counter(&self.gaps),
        }
    }

    /// Shows how far a target is.
    pub(super) fn show(&self, target: &str, progress: Progress) {
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.pending.with_label_values(&[target]).set(number(progress.pending as u64));
        self.lag.with_label_values(&[target]).set(number(progress.lag_seconds));
        self.history.with_label_values(&[target]).set(i64::from(progress.reads_database));
        self.shown.lock().insert(target.to_owned(), progress);
    }

    /// What was shown of a target last, for people; of its URL the host alone.
    pub(super) fn told(&self, target: &ForwardTarget) -> ForwardedTo {
        let Counters { sent, dropped, .. } = self.of(&target.name);
        let shown = self.shown.lock().get(&target.name).cloned();
        ForwardedTo {
            name: target.name.clone(),
            host: target.host(),
            lag_seconds: shown.as_ref().map(|progress| progress.lag_seconds),
            pending: shown.as_ref().map(|progress| progress.pending as u64),
            reads_database: shown.as_ref().map(|progress| progress.reads_database),
            sent: sent.get(),
            dropped: dropped.get(),
            problem: shown.and_then(|progress| progress.problem),
        }
    }

    /// A server that is not active any more says nothing of how far they are.
    pub(super) fn cleared_at_end(&self) -> impl Drop + '_ {
        Cleared(self)
    }
}

/// Counters of one target.
pub(super) struct Counters {
    pub(super) sent: prometheus::IntCounter,
    pub(super) failed: prometheus::IntCounter,
    pub(super) retried: prometheus::IntCounter,
    pub(super) dropped: prometheus::IntCounter,
    pub(super) gaps: prometheus::IntCounter,
}

struct Cleared<'a>(&'a Metrics);

impl Drop for Cleared<'_> {
    fn drop(&mut self) {
        let Metrics { pending, lag, history, shown, .. } = self.0;
        for gauge in [pending, lag, history] {
            gauge.reset();
        }
        shown.lock().clear();
    }
}
