//! What the agent counts of its own work, and reports beside the rest.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::outbox::Outbox;
use super::spool::SpoolStats;
use crate::host::{Outcome, Readings};
use crate::model::Millis;
use crate::tls::ClientTls;

/// Counts since the start.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Reports that the server took.
    pub(super) reports_sent: AtomicU64,
    /// Reports dropped because newer ones needed their room.
    pub(super) dropped_for_room: AtomicU64,
    /// Reports that the server refused for what they hold.
    pub(super) dropped_refused: AtomicU64,
    /// Samples that the server refused.
    pub(super) samples_rejected: AtomicU64,
    /// Attempts to send a report that failed and were repeated.
    pub(super) send_failures: AtomicU64,
    /// Heartbeats and registrations that failed.
    pub(super) heartbeat_failures: AtomicU64,
    /// What the spool counts, where there is one.
    pub(super) spool: Option<Arc<SpoolStats>>,
    /// The files of TLS, where it is spoken.
    pub(super) tls: Option<ClientTls>,
}

/// How a collection went.
#[derive(Debug)]
pub(super) struct Collection<'a> {
    /// How long it took.
    pub(super) took: Duration,
    /// How each collector fared.
    pub(super) outcomes: &'a [(&'static str, Outcome)],
    /// Errors of text files since the start, where there is a directory of them.
    pub(super) textfile_errors: Option<u64>,
}

impl Counters {
    /// Adds the readings of the agent itself.
    pub(super) fn collect(&self, outbox: &Outbox, collection: &Collection<'_>, out: &mut Readings) {
        self.collect_sending(outbox, out);
        if let Some(spool) = &self.spool {
            spool.collect(Millis::now().0, out);
        }
        if let Some(tls) = &self.tls {
            collect_tls(tls, out);
        }
        collection.collect(out);
        out.gauge(
            "noetl_agent_build_info",
            "A metric with a constant '1' value, labelled by the agent's version.",
            &[("version", env!("CARGO_PKG_VERSION"))],
            1.0,
        );
    }

    // All of them from the start on, at 0 too: a rate over a counter that appears at 1 misses the
    // first.
    fn collect_sending(&self, outbox: &Outbox, out: &mut Readings) {
        let load = |counter: &AtomicU64| counter.load(Relaxed) as f64;
        let help = "Reports that the server took.";
        out.counter("noetl_agent_reports_sent_total", help, &[], load(&self.reports_sent));
        let help = "Reports that were dropped: queue_full for newer ones, refused by the server.";
        for (reason, counter) in [("queue_full", &self.dropped_for_room), ("refused", &self.dropped_refused)]
        {
            out.counter("noetl_agent_reports_dropped_total", help, &[("reason", reason)], load(counter));
        }
        let help = "Samples that the server refused while it took the others of their report.";
        out.counter("noetl_agent_samples_rejected_total", help, &[], load(&self.samples_rejected));
        let help = "Attempts to send a report that failed and were repeated.";
        out.counter("noetl_agent_send_failures_total", help, &[], load(&self.send_failures));
        let help = "Heartbeats and registrations that failed.";
        out.counter("noetl_agent_heartbeat_failures_total", help, &[], load(&self.heartbeat_failures));
        let help = "Bytes of the reports in memory that wait to be sent.";
        out.gauge("noetl_agent_queue_bytes", help, &[], outbox.bytes() as f64);
        let help = "Reports in memory that wait to be sent.";
        out.gauge("noetl_agent_queue_reports", help, &[], outbox.reports() as f64);
    }
}

fn collect_tls(tls: &ClientTls, out: &mut Readings) {
    let help = "Times that the files of TLS changed and could not be used; what was read before stays.";
    out.counter("noetl_agent_tls_reload_failures_total", help, &[], tls.failures() as f64);
    if let Some(ends) = tls.not_after() {
        let help = "When the agent's own certificate ends, seconds since the epoch.";
        out.gauge("noetl_agent_tls_certificate_not_after_seconds", help, &[], ends as f64);
    }
}

impl Collection<'_> {
    fn collect(&self, out: &mut Readings) {
        let help = "How long the last collection took.";
        out.gauge("noetl_agent_collect_duration_seconds", help, &[], self.took.as_secs_f64());
        let help = "Whether a collector succeeded; absent where this machine has nothing for it.";
        for (collector, outcome) in self.outcomes {
            let success = match outcome {
                Outcome::Read => 1.0,
                Outcome::Missing(_) => continue,
                Outcome::Failed(_) => 0.0,
            };
            out.gauge("noetl_agent_collector_success", help, &[("collector", collector)], success);
        }
        if let Some(errors) = self.textfile_errors {
            let help = "Text files that could not be reported, counted at each collection.";
            out.counter("noetl_agent_textfile_errors_total", help, &[], errors as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_there_from_the_start_and_missing_collectors_are_not() {
        let mut out = Readings::default();
        let outcomes = [
            ("cpu", Outcome::Read),
            ("pressure", Outcome::Missing("x".into())),
            ("os", Outcome::Failed("x".into())),
        ];
        let collection =
            Collection { took: Duration::from_millis(5), outcomes: &outcomes, textfile_errors: None };
        Counters::default().collect(&Outbox::new(1), &collection, &mut out);
        let lines: Vec<_> = out
            .into_vec()
            .iter()
            .map(|r| format!("{} {:?} {}", r.name, r.labels.first().map(|l| l.1.as_str()), r.value))
            .collect();
        for expected in [
            "noetl_agent_reports_sent_total None 0",
            "noetl_agent_reports_dropped_total Some(\"refused\") 0",
            "noetl_agent_collector_success Some(\"cpu\") 1",
            "noetl_agent_collector_success Some(\"os\") 0",
            "noetl_agent_collect_duration_seconds None 0.005",
        ] {
            assert!(lines.iter().any(|line| line == expected), "{expected} not in {lines:#?}");
        }
        assert!(lines.iter().all(|line| !line.contains("pressure") && !line.contains("textfile")));
    }
}
