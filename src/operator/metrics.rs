//! `/metrics`: what the operator does, by the crate `prometheus`. All label sets are closed: no
//! name of an object is a label.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::runtime::reflector::Store;
use parking_lot::RwLock;
use prometheus::core::Collector;
use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use super::Guarded;
use super::kinds::Kind;

/// Conditions that resources are counted by.
const CONDITIONS: &[&str] =
    &["Ready", "Available", "Progressing", "Degraded", "DatabaseReady", "ScrapeReady", "RetentionHealthy"];
/// What a condition can say.
const STATUSES: &[&str] = &["true", "false", "unknown"];

/// How a reconcile ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Something was written.
    Changed,
    /// All was as it should be.
    Unchanged,
    /// The resource is paused.
    Paused,
    /// The resource cannot be built.
    Refused,
    /// Something went wrong and is tried again.
    Failed,
}

impl Outcome {
    const ALL: &[Self] = &[Self::Changed, Self::Unchanged, Self::Paused, Self::Refused, Self::Failed];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
            Self::Paused => "paused",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// The operator's own metrics.
pub(super) struct Metrics {
    registry: Registry,
    reconciliations: IntCounterVec,
    duration: Histogram,
    resources: IntGaugeVec,
    is_leader: IntGauge,
    apply_errors: IntCounterVec,
    last_reconcile: Gauge,
    stores: RwLock<Vec<Store<Guarded>>>,
}

impl Metrics {
    /// All of them, at zero.
    pub(super) fn new() -> Self {
        let registry = Registry::new();
        let build = Opts::new("noetl_metrics_build_info", "1, with the version as a label.")
            .const_label("version", env!("CARGO_PKG_VERSION"));
        kept(&registry, IntGauge::with_opts(build)).set(1);
        let metrics = Self {
            reconciliations: kept(
                &registry,
                IntCounterVec::new(
                    Opts::new(
                        "noetl_metrics_operator_reconciliations_total",
                        "Passes over a resource, by how they ended.",
                    ),
                    &["outcome"],
                ),
            ),
            duration: kept(
                &registry,
                Histogram::with_opts(
                    HistogramOpts::new(
                        "noetl_metrics_operator_reconcile_duration_seconds",
                        "Time of a pass over a resource.",
                    )
                    .buckets(vec![0.005, 0.02, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0]),
                ),
            ),
            resources: kept(
                &registry,
                IntGaugeVec::new(
                    Opts::new(
                        "noetl_metrics_operator_resources",
                        "Resources, by what a condition of theirs says; none where another replica leads.",
                    ),
                    &["condition", "status"],
                ),
            ),
            is_leader: kept(
                &registry,
                IntGauge::new(
                    "noetl_metrics_operator_is_leader",
                    "Whether this replica is the one that acts.",
                ),
            ),
            apply_errors: kept(
                &registry,
                IntCounterVec::new(
                    Opts::new(
                        "noetl_metrics_operator_apply_errors_total",
                        "Objects that could not be applied or removed, by kind.",
                    ),
                    &["kind"],
                ),
            ),
            last_reconcile: kept(
                &registry,
                Gauge::new(
                    "noetl_metrics_operator_last_reconcile_timestamp_seconds",
                    "When a pass last ended, seconds since the epoch.",
                ),
            ),
            stores: RwLock::default(),
            registry,
        };
        for outcome in Outcome::ALL {
            metrics.reconciliations.with_label_values(&[outcome.as_str()]);
        }
        for kind in Kind::BUILT_IN.iter().chain(Kind::OPTIONAL).filter(|kind| **kind != Kind::Pod) {
            metrics.apply_errors.with_label_values(&[kind.name()]);
        }
        metrics
    }

    /// A pass ended.
    pub(super) fn reconciled(&self, outcome: Outcome, took: Duration) {
        self.reconciliations.with_label_values(&[outcome.as_str()]).inc();
        self.duration.observe(took.as_secs_f64());
        self.last_reconcile.set(Timestamp::now().as_millisecond() as f64 / 1000.0);
    }

    /// An object could not be applied.
    pub(super) fn apply_failed(&self, kind: Kind) {
        self.apply_errors.with_label_values(&[kind.name()]).inc();
    }

    /// This replica leads, over the resources of these stores, or no longer does.
    pub(super) fn leads(&self, stores: Option<Vec<Store<Guarded>>>) {
        self.is_leader.set(i64::from(stores.is_some()));
        *self.stores.write() = stores.unwrap_or_default();
    }

    /// The exposition.
    pub(super) fn render(&self) -> Vec<u8> {
        self.count_resources();
        let mut body = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut body) {
            tracing::warn!(%error, "the operator's own metrics could not be written");
        }
        body
    }

    fn count_resources(&self) {
        for (condition, status) in CONDITIONS.iter().flat_map(|c| STATUSES.iter().map(move |s| (c, s))) {
            self.resources.with_label_values(&[condition, status]).set(0);
        }
        for object in self.stores.read().iter().flat_map(Store::state) {
            let status = object.0.as_ref().ok().and_then(|object| object.status.as_ref());
            for name in CONDITIONS {
                let found = status.and_then(|s| s.conditions.iter().find(|c| c.type_ == *name));
                let said = match found.map(|c| c.status.as_str()) {
                    Some("True") => "true",
                    Some("False") => "false",
                    _ => "unknown",
                };
                self.resources.with_label_values(&[name, said]).inc();
            }
        }
    }
}

/// Registers a collector whose definition is a constant of this file.
fn kept<C: Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<C>) -> C {
    #[expect(clippy::expect_used, reason = "names and labels are constants, a test makes them all")]
    let collector = made.expect("a valid definition");
    let _ = registry.register(Box::new(collector.clone()));
    collector
}

#[cfg(test)]
mod tests {
    use kube::core::DeserializeGuard;
    use kube::runtime::reflector;
    use kube::runtime::watcher::Event;

    use super::*;
    use crate::operator::testing::object;

    #[test]
    fn resources_are_counted_by_what_they_say() {
        let metrics = Metrics::new();
        let (store, mut writer) = reflector::store();
        for name in ["a", "b"] {
            writer.apply_watcher_event(&Event::Apply(DeserializeGuard(Ok(object(name, "{}")))));
        }
        metrics.leads(Some(vec![store]));
        metrics.reconciled(Outcome::Changed, Duration::from_millis(3));
        let text = String::from_utf8(metrics.render()).unwrap();
        for line in [
            "noetl_metrics_operator_is_leader 1",
            "noetl_metrics_operator_resources{condition=\"Ready\",status=\"unknown\"} 2",
            "noetl_metrics_operator_resources{condition=\"Ready\",status=\"true\"} 0",
            "noetl_metrics_operator_reconciliations_total{outcome=\"changed\"} 1",
            "noetl_metrics_operator_reconciliations_total{outcome=\"failed\"} 0",
            "noetl_metrics_operator_apply_errors_total{kind=\"Deployment\"} 0",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        metrics.leads(None);
        let text = String::from_utf8(metrics.render()).unwrap();
        assert!(text.contains("noetl_metrics_operator_is_leader 0"));
        assert!(text.contains("status=\"unknown\"} 0"));
    }
}
