//! The task that sends: takes the oldest report, and does not let go of it before the server has
//! it or refuses it for good.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::api::Api;
use super::backoff::Backoff;
use super::counters::Counters;
use super::outbox::{Outbox, Packed};
use super::quiet::Quiet;
use super::registration::Registration;
use super::verdict::{Rejected, Verdict, of_report};

const REPORT: &str = "/api/metrics/report";
/// A wait between attempts while the agent stops, when little time is left.
const WAIT_AT_STOP: Duration = Duration::from_millis(200);
const LOG_EVERY: Duration = Duration::from_secs(30);

/// The task that sends.
#[derive(Debug)]
pub(super) struct Sender {
    api: Arc<Api>,
    registration: Arc<Registration>,
    outbox: Arc<Outbox>,
    counters: Arc<Counters>,
    stopping: watch::Receiver<bool>,
    refusals: Quiet,
    rejections: Quiet,
    failures: Quiet,
}

impl Sender {
    /// A sender that sends without long waits once `stopping` is true.
    pub(super) fn new(
        api: Arc<Api>,
        registration: Arc<Registration>,
        outbox: Arc<Outbox>,
        counters: Arc<Counters>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let quiet = || Quiet::new(LOG_EVERY);
        let (refusals, rejections, failures) = (quiet(), quiet(), quiet());
        Self { api, registration, outbox, counters, stopping, refusals, rejections, failures }
    }

    /// Sends until the outbox is closed and empty.
    pub(super) async fn run(mut self) {
        while let Some(report) = self.outbox.take().await {
            self.deliver(&report).await;
            self.outbox.sent();
        }
    }

    async fn deliver(&mut self, report: &Packed) {
        let mut backoff = Backoff::default();
        let mut asked_again = false;
        loop {
            let (why, after) = match self.attempt(report).await {
                Verdict::Taken(rejected) => return self.taken(report, &rejected),
                Verdict::Refused { why } => return self.refused(&why),
                Verdict::Unregistered { why } => {
                    self.registration.lost().await;
                    // Registering is likely to help, so the first time there is no wait.
                    if !std::mem::replace(&mut asked_again, true) {
                        continue;
                    }
                    (why, None)
                }
                Verdict::Later { why, after } => (why, after),
            };
            self.failed(&why);
            self.wait(backoff.next(after)).await;
        }
    }

    async fn attempt(&self, report: &Packed) -> Verdict {
        if let Err(e) = self.registration.ensure(&self.api).await {
            return Verdict::Later { why: format!("cannot register: {}", e.why), after: e.after };
        }
        match self.api.post(REPORT, report.body.clone(), report.zstd).await {
            Ok(answer) => of_report(&answer),
            Err(e) => Verdict::Later { why: e.to_string(), after: None },
        }
    }

    fn taken(&self, report: &Packed, rejected: &[Rejected]) {
        self.counters.reports_sent.fetch_add(1, Relaxed);
        let Some(first) = rejected.first() else { return };
        self.counters.samples_rejected.fetch_add(rejected.len() as u64, Relaxed);
        if let Some(count) = self.rejections.note(rejected.len() as u64) {
            let name = report.name_of(first.index).unwrap_or_default();
            tracing::warn!(
                "the server refused {count} samples; one of them, {name}: {}: {}",
                first.field,
                first.reason
            );
        }
    }

    fn refused(&self, why: &str) {
        self.counters.dropped_refused.fetch_add(1, Relaxed);
        if let Some(count) = self.refusals.note(1) {
            tracing::error!("dropped {count} reports that the server refuses: {why}");
        }
    }

    fn failed(&self, why: &str) {
        self.counters.send_failures.fetch_add(1, Relaxed);
        if let Some(count) = self.failures.note(1) {
            tracing::warn!(
                server = %self.api.server(),
                waiting = self.outbox.reports(),
                "{count} attempts to report failed, reports are kept and sent later: {why}"
            );
        }
    }

    async fn wait(&mut self, wait: Duration) {
        tokio::select! {
            () = sleep(wait) => {}
            () = stopped(&mut self.stopping) => sleep(wait.min(WAIT_AT_STOP)).await,
        }
    }
}

/// Resolves once `stopping` is true.
pub(super) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // Whoever could say so being gone means the same.
    drop(stopping.wait_for(|stop| *stop).await);
}
