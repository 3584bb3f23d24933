//! What is told of rules, alerts and receivers in the process's own metrics.

use std::collections::BTreeMap;
use std::time::Duration;

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use super::super::own::kept;
use super::aggregates::Count;
use crate::rules::{Alerts, Rule, State};

/// Metrics of alerting. Names of rules and receivers are those of the configuration.
pub(super) struct Metrics {
    alerts: IntGaugeVec,
    seconds: Histogram,
    failures: IntCounterVec,
    rules: IntGauge,
    right: IntGauge,
    sent: IntCounterVec,
    failed: IntCounterVec,
    dropped: IntCounterVec,
    waiting: IntGaugeVec,
    aggregated: IntGaugeVec,
    left_out: IntGaugeVec,
    clashing: IntGauge,
    aggregates_failed: IntCounter,
}

impl Metrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let counter = |name: &str, help: &str, label: &str| {
            kept(registry, IntCounterVec::new(Opts::new(name, help), &[label]))
        };
        let of_aggregate =
            |name: &str, help: &str| kept(registry, IntGaugeVec::new(Opts::new(name, help), &["aggregate"]));
        Self {
            aggregated: of_aggregate(
                "noetl_metrics_aggregate_series",
                "Series that an aggregate of the rules file makes.",
            ),
            left_out: of_aggregate(
                "noetl_metrics_aggregate_series_left_out",
                "Series that an aggregate would make, beyond a limit or of a name of another type.",
            ),
            clashing: kept(
                registry,
                IntGauge::new(
                    "noetl_metrics_aggregates_clashing",
                    "Aggregates that are not made, since a component reports a metric of their name.",
                ),
            ),
            aggregates_failed: kept(
                registry,
                IntCounter::new(
                    "noetl_metrics_aggregates_failed_total",
                    "Rounds whose aggregates could not be stored.",
                ),
            ),
            alerts: kept(
                registry,
                IntGaugeVec::new(
                    Opts::new("noetl_metrics_alerts", "Alerts of the rules file, by rule and state."),
                    &["alertname", "state"],
                ),
            ),
            seconds: kept(
                registry,
                Histogram::with_opts(
                    HistogramOpts::new(
                        "noetl_metrics_rules_evaluation_duration_seconds",
                        "Time of one evaluation of all rules.",
                    )
                    .buckets(vec![0.001, 0.01, 0.1, 1.0, 10.0]),
                ),
            ),
            failures: counter(
                "noetl_metrics_rules_evaluation_failures_total",
                "Evaluations of a rule that failed.",
                "alertname",
            ),
            rules: kept(registry, IntGauge::new("noetl_metrics_rules", "Rules that are evaluated.")),
            right: kept(
                registry,
                IntGauge::new(
                    "noetl_metrics_rules_file_ok",
                    "Whether the rules file could be read when it was last; otherwise the rules before it are evaluated.",
                ),
            ),
            sent: counter(
                "noetl_metrics_notifications_sent_total",
                "Alerts that a receiver took.",
                "receiver",
            ),
            failed: counter(
                "noetl_metrics_notifications_failed_total",
                "Alerts that a receiver did not take; most are sent again.",
                "receiver",
            ),
            dropped: counter(
                "noetl_metrics_notifications_dropped_total",
                "Alerts that were not sent since too many waited, or for too long.",
                "receiver",
            ),
            waiting: kept(
                registry,
                IntGaugeVec::new(
                    Opts::new("noetl_metrics_notifications_waiting", "Alerts that wait to be sent."),
                    &["receiver"],
                ),
            ),
        }
    }

    /// A receiver is there; its counters begin at 0.
    pub(super) fn receiver(&self, name: &str) {
        for counter in [&self.sent, &self.failed, &self.dropped] {
            counter.with_label_values(&[name]);
        }
        self.waiting(name, 0);
    }

    pub(super) fn sent(&self, receiver: &str, alerts: usize) {
        self.sent.with_label_values(&[receiver]).inc_by(alerts as u64);
    }

    pub(super) fn failed(&self, receiver: &str, alerts: usize) {
        self.failed.with_label_values(&[receiver]).inc_by(alerts as u64);
    }

    pub(super) fn dropped(&self, receiver: &str, alerts: usize) {
        self.dropped.with_label_values(&[receiver]).inc_by(alerts as u64);
    }

    pub(super) fn waiting(&self, receiver: &str, alerts: usize) {
        self.waiting.with_label_values(&[receiver]).set(i64::try_from(alerts).unwrap_or(i64::MAX));
    }
}

/// Of the rules.
impl Metrics {
    pub(super) fn evaluated(&self, took: Duration) {
        self.seconds.observe(took.as_secs_f64());
    }

    pub(super) fn rule_failed(&self, rule: &str) {
        self.failures.with_label_values(&[rule]).inc();
    }

    pub(super) fn rules_read(&self, right: bool) {
        self.right.set(i64::from(right));
    }

    /// Shows how many alerts each rule has.
    pub(super) fn show(&self, rules: &[Rule], alerts: &Alerts) {
        self.rules.set(i64::try_from(rules.len()).unwrap_or(i64::MAX));
        let shown = [State::Pending, State::Firing];
        let mut counts: BTreeMap<(&str, State), i64> = BTreeMap::new();
        for rule in rules {
            counts.extend(shown.map(|state| ((rule.name.as_str(), state), 0)));
        }
        for alert in alerts.iter().filter(|alert| shown.contains(&alert.state)) {
            *counts.entry((&alert.rule, alert.state)).or_default() += 1;
        }
        self.alerts.reset();
        for ((rule, state), count) in counts {
            self.alerts.with_label_values(&[rule, state.as_str()]).set(count);
        }
    }

    /// What aggregates make, and how many of them are not made.
    pub(super) fn show_aggregates(&self, counts: &[Count<'_>], clashing: usize) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.aggregated.reset();
        self.left_out.reset();
        for Count { aggregate, stored, left_out } in counts {
            self.aggregated.with_label_values(&[aggregate]).set(number(*stored));
            self.left_out.with_label_values(&[aggregate]).set(number(*left_out));
        }
        self.clashing.set(number(clashing));
    }

    pub(super) fn aggregates_failed(&self) {
        self.aggregates_failed.inc();
    }

    /// A server that is not active any more shows no alerts.
    pub(super) fn cleared_at_end(&self) -> impl Drop + '_ {
        Cleared(self)
    }
}

struct Cleared<'a>(&'a Metrics);

impl Drop for Cleared<'_> {
    fn drop(&mut self) {
        self.0.alerts.reset();
        self.0.waiting.reset();
        self.0.show_aggregates(&[], 0);
    }
}

#[cfg(test)]
impl Metrics {
    pub(super) fn rules_are_right(&self) -> bool {
        self.right.get() == 1
    }

    pub(super) fn count_dropped(&self, receiver: &str) -> u64 {
        self.dropped.with_label_values(&[receiver]).get()
    }
}
