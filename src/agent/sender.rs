//! The task that sends: the oldest report first, again and again until the server has it or refuses
//! it for good, or newer ones need its room.

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
use super::verdict::{Rejected, Verdict, of_report, one_line};

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
        let mut backoff = Backoff::default();
        while let Some(report) = self.outbox.take().await {
            let (why, after) = match self.attempt(&report).await {
                Verdict::Later { why, after } => (why, after),
                // What is scraped must not hold up the agent's own reports for good.
                Verdict::Unregistered { why } if report.source.is_none() => (why, None),
                verdict => {
                    self.settled(&report, &verdict);
                    self.outbox.done();
                    if !std::mem::take(&mut backoff).is_fresh() {
                        self.recovered();
                    }
                    continue;
                }
            };
            self.outbox.put_back(report);
            self.failed(&why);
            self.wait(backoff.next(after)).await;
        }
    }

    /// Sends a report. A server that does not know the agent is told who it is and asked again at
    /// once, as that is likely to help.
    async fn attempt(&self, report: &Packed) -> Verdict {
        let mut verdict = self.send(report).await;
        if matches!(verdict, Verdict::Unregistered { .. }) {
            self.registration_of(report).lost().await;
            verdict = self.send(report).await;
        }
        verdict
    }

    async fn send(&self, report: &Packed) -> Verdict {
        if let Err(e) = self.registration_of(report).ensure(&self.api).await {
            return Verdict::Later { why: format!("cannot register: {}", e.why), after: e.after };
        }
        match self.api.post(REPORT, report.body.clone(), report.zstd).await {
            Ok(answer) => of_report(&answer),
            Err(e) => Verdict::Later { why: e.to_string(), after: None },
        }
    }

    /// The place in the registry of the component that a report is of.
    fn registration_of<'a>(&'a self, report: &'a Packed) -> &'a Registration {
        report.source.as_ref().map_or(&*self.registration, |source| &source.registration)
    }

    fn settled(&self, report: &Packed, verdict: &Verdict) {
        match verdict {
            Verdict::Taken(rejected) => self.taken(report, rejected),
            Verdict::Refused { why } | Verdict::Unregistered { why } => self.refused(report, why),
            Verdict::Later { .. } => {}
        }
    }

    fn taken(&self, report: &Packed, rejected: &[Rejected]) {
        self.counters.reports_sent.fetch_add(1, Relaxed);
        let Some(first) = rejected.first() else { return };
        self.counters.samples_rejected.fetch_add(rejected.len() as u64, Relaxed);
        if let Some(source) = &report.source {
            source.rejected(rejected.len());
        }
        if let Some(count) = self.rejections.note(rejected.len() as u64) {
            let name = report.name_of(first.index).unwrap_or_default();
            let why = one_line(&format!("{name}: {}: {}", first.field, first.reason));
            let component = self.registration_of(report).name();
            tracing::warn!(samples = count, "the server refuses samples, one of them of {component}: {why}");
        }
    }

    fn refused(&self, report: &Packed, why: &str) {
        self.counters.dropped_refused.fetch_add(1, Relaxed);
        if let Some(source) = &report.source {
            source.rejected(report.samples);
        }
        if let Some(count) = self.refusals.note(1) {
            let component = self.registration_of(report).name();
            tracing::error!(
                reports = count,
                "the server refuses reports, they are dropped, one of them of {component}: {why}"
            );
        }
    }

    fn failed(&self, why: &str) {
        self.counters.send_failures.fetch_add(1, Relaxed);
        if let Some(count) = self.failures.note(1) {
            let (server, waiting) = (self.api.server(), self.outbox.reports());
            tracing::warn!(%server, attempts = count, waiting, "cannot report, reports are kept: {why}");
        }
    }

    fn recovered(&self) {
        let (server, waiting) = (self.api.server(), self.outbox.reports());
        tracing::info!(%server, waiting, "the server takes reports again");
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
