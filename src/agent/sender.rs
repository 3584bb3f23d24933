//! The task that sends: a report again and again until the server has it or refuses it for good, or
//! newer ones need its room.
//!
//! Fresh reports go first and as fast as they can: they hold the values that people want to see, and
//! the server takes the newest value that it has for the current one. History, which is what could not
//! be sent for an interval or longer, follows once a fresh report was taken: in order, oldest first, at
//! a bounded rate ([`Pace`]), a fresh report between any two of it where there is one. To the server it
//! is late, and costs it a row for each sample until their hour is brought in order, where a sample
//! that comes in order costs a few bytes; that is what the rate is for. The other order would cost
//! less, and show values of the past as current ones for as long as the draining takes.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::api::Api;
use super::config::AgentConfig;
use super::counters::Counters;
use super::outbox::{Outbox, Packed, Waiting};
use super::pace::Pace;
use super::quiet::Quiet;
use super::registration::Registration;
use super::spool::{Spool, Spooled};
use super::verdict::{Rejected, Verdict, of_report};
use crate::client::ServerUrl;
use crate::client::answer::one_line;
use crate::client::backoff::Backoff;

const REPORT: &str = "/api/metrics/report";
/// A wait between attempts while the agent stops, when little time is left.
const WAIT_AT_STOP: Duration = Duration::from_millis(200);
const LOG_EVERY: Duration = Duration::from_secs(30);
/// A disk that gives nothing of what it holds is asked again after this.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// The task that sends.
#[derive(Debug)]
pub(super) struct Sender {
    api: Arc<Api>,
    registration: Arc<Registration>,
    outbox: Arc<Outbox>,
    spool: Option<Spool>,
    counters: Arc<Counters>,
    /// Whether the server could not take the last fresh report.
    away: watch::Sender<bool>,
    stopping: watch::Receiver<bool>,
    /// Whether it took one since the start, or since it was away.
    reached: bool,
    backoff: Backoff,
    /// When the oldest fresh report may be sent, or sent again.
    retry_at: Instant,
    history_backoff: Backoff,
    pace: Pace,
    refusals: Quiet,
    rejections: Quiet,
    failures: Quiet,
}

/// What a sender works with.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) api: Arc<Api>,
    pub(super) registration: Arc<Registration>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) spool: Option<Spool>,
    pub(super) counters: Arc<Counters>,
    /// Once it is true, nothing is waited for long.
    pub(super) stopping: watch::Receiver<bool>,
}

/// A report of history, and where it is.
enum History {
    Memory(Waiting),
    Disk(Spooled),
}

impl Sender {
    /// A sender, and whether the server is away, as it finds out.
    pub(super) fn new(parts: Parts, config: &AgentConfig) -> (Self, watch::Receiver<bool>) {
        let Parts { api, registration, outbox, spool, counters, stopping } = parts;
        let quiet = || Quiet::new(LOG_EVERY);
        let (away, is_away) = watch::channel(false);
        let sender = Self {
            api,
            registration,
            outbox,
            spool,
            counters,
            away,
            stopping,
            reached: false,
            backoff: Backoff::default(),
            retry_at: Instant::now(),
            history_backoff: Backoff::default(),
            pace: Pace::new(config.drain_rate),
            refusals: quiet(),
            rejections: quiet(),
            failures: quiet(),
        };
        (sender, is_away)
    }

    /// Sends until the outbox is closed and empty.
    pub(super) async fn run(mut self) {
        loop {
            self.outbox.age();
            if self.outbox.is_done() {
                return;
            }
            let now = Instant::now();
            if (self.outbox.has_fresh() && self.retry_at <= now && self.send_fresh().await)
                || (self.has_history() && self.pace.next() <= now && self.send_history().await)
            {
                continue;
            }
            self.wait().await;
        }
    }

    /// Sends the oldest fresh report. False where there is none.
    async fn send_fresh(&mut self) -> bool {
        let Some(waiting) = self.outbox.fresh() else { return false };
        match self.attempt(&waiting.report).await {
            Err(later) => {
                self.reached = false;
                self.away.send_replace(true);
                self.retry_at = Instant::now() + self.backoff.next(later.after);
                self.failed(&later.why);
            }
            Ok(verdict) => {
                self.settled(&waiting.report, &verdict);
                self.settled_in_memory(&waiting).await;
                self.away.send_replace(false);
                if !std::mem::take(&mut self.backoff).is_fresh() {
                    self.recovered();
                }
                if !std::mem::replace(&mut self.reached, true) {
                    self.pace.begin();
                }
            }
        }
        true
    }

    /// Whether there is history to be sent: only to a server that has newer values already. What is on
    /// disk stays there while the agent stops.
    fn has_history(&self) -> bool {
        let stopping = *self.stopping.borrow();
        let on_disk = !stopping && self.spool.as_ref().is_some_and(Spool::may_hold_any);
        (self.reached || stopping) && (self.outbox.has_old() || on_disk)
    }

    /// Sends the oldest report of history. False where there is none that can be had.
    async fn send_history(&mut self) -> bool {
        let Some(history) = self.oldest().await else {
            self.pace.wait(LOOK_AGAIN);
            return false;
        };
        let report = match &history {
            History::Memory(waiting) => &waiting.report,
            History::Disk(spooled) => &spooled.report,
        };
        let began = Instant::now();
        match self.attempt(report).await {
            Err(later) => {
                self.pace.wait(self.history_backoff.next(later.after));
                self.failed(&later.why);
            }
            Ok(verdict) => {
                self.settled(report, &verdict);
                self.history_backoff = Backoff::default();
                if !*self.stopping.borrow() {
                    self.pace.sends(report.samples, began);
                }
                match history {
                    History::Memory(waiting) => self.settled_in_memory(&waiting).await,
                    History::Disk(Spooled { seq, .. }) => {
                        if let Some(spool) = &self.spool {
                            spool.disk().await.done(seq).await;
                        }
                    }
                }
            }
        }
        true
    }

    /// The oldest report of history. Where the disk failed for a time, some are in memory.
    async fn oldest(&self) -> Option<History> {
        let on_disk = match &self.spool {
            Some(spool) if !*self.stopping.borrow() => spool.disk().await.first().await,
            _ => None,
        };
        match (self.outbox.old(), on_disk) {
            (Some(waiting), Some(spooled)) if waiting.report.read_at_ms < spooled.report.read_at_ms => {
                Some(History::Memory(waiting))
            }
            (_, Some(spooled)) => Some(History::Disk(spooled)),
            (waiting, None) => waiting.map(History::Memory),
        }
    }

    /// A report of the outbox is done with; where it is on disk too, it need not be sent from there.
    async fn settled_in_memory(&self, waiting: &Waiting) {
        let spooled = self.outbox.settled(waiting.id);
        if let (Some(seq), Some(spool)) = (spooled.or(waiting.spooled), &self.spool) {
            let samples = u32::try_from(waiting.report.samples).unwrap_or(u32::MAX);
            spool.disk().await.sent(seq, samples).await;
        }
    }

    /// Sends a report; an error where that is to be tried again.
    async fn attempt(&self, report: &Packed) -> Result<Verdict, Later> {
        match self.ask(report).await {
            Verdict::Later { why, after } => Err(Later { why, after }),
            // What is scraped must not hold up the agent's own reports for good.
            Verdict::Unregistered { why } if report.source.is_none() => Err(Later { why, after: None }),
            verdict => Ok(verdict),
        }
    }

    /// Sends a report. A server that does not know the agent is told who it is and asked again at
    /// once, as that is likely to help.
    async fn ask(&self, report: &Packed) -> Verdict {
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
            let (server, waiting, on_disk) = self.waiting();
            tracing::warn!(%server, attempts = count, waiting, on_disk, "cannot report, reports are kept: {why}");
        }
    }

    fn recovered(&self) {
        let (server, waiting, on_disk) = self.waiting();
        tracing::info!(%server, waiting, on_disk, "the server takes reports again");
    }

    /// The server, the reports in memory that wait for it, and the samples on disk.
    fn waiting(&self) -> (&ServerUrl, usize, u64) {
        (self.api.server(), self.outbox.reports(), self.spool.as_ref().map_or(0, Spool::samples))
    }

    /// Waits until there may be something to send.
    async fn wait(&mut self) {
        let stopping = *self.stopping.borrow();
        let fresh = self.outbox.has_fresh().then_some(self.retry_at);
        let history = self.has_history().then(|| self.pace.next());
        let next = fresh.into_iter().chain(history).min();
        let next = if stopping { next.map(|next| next.min(Instant::now() + WAIT_AT_STOP)) } else { next };
        tokio::select! {
            () = sleep_until(next) => {}
            () = self.outbox.to_send() => {}
            () = stopped(&mut self.stopping), if !stopping => {}
        }
        if *self.stopping.borrow() {
            self.retry_at = self.retry_at.min(Instant::now());
        }
    }
}

/// Why a report is to be sent again, and what the server wants the wait to be.
struct Later {
    why: String,
    after: Option<Duration>,
}

async fn sleep_until(next: Option<Instant>) {
    match next {
        Some(next) => tokio::time::sleep_until(next.into()).await,
        None => std::future::pending().await,
    }
}

/// Resolves once `stopping` is true.
pub(super) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // Whoever could say so being gone means the same.
    drop(stopping.wait_for(|stop| *stop).await);
}
