//! The log as the agent's tasks use it: they never block, and no fault of a disk ends them.
//!
//! Uses run on a thread that may block. One that takes too long is left to itself, and until it ends
//! there is no spool.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::super::outbox::{Outbox, Packed};
use super::super::quiet::Quiet;
use super::super::registration::Registration;
use super::log::Log;
use super::record::Record;
use super::stats::SpoolStats;
use super::{SpoolConfig, SpoolError, entry};

/// A disk that takes longer is taken for stuck.
const USE_WITHIN: Duration = Duration::from_secs(10);
/// From one attempt to open the log to the next.
const OPEN_EVERY: Duration = Duration::from_secs(10);
const LOG_EVERY: Duration = Duration::from_secs(30);
/// Reports that are appended before they are synced.
const AT_ONCE: usize = 64;

/// The log, or what became of it.
#[derive(Debug)]
pub(in crate::agent) struct Disk {
    config: SpoolConfig,
    own: Arc<Registration>,
    stats: Arc<SpoolStats>,
    state: State,
    /// When it was last tried to open it.
    tried: Option<Instant>,
    faults: Quiet,
}

#[derive(Debug)]
enum State {
    Closed,
    Open(Box<Log>),
    /// A use of it is under way.
    Busy(JoinHandle<Option<Box<Log>>>),
}

/// A report of the log.
#[derive(Debug)]
pub(in crate::agent) struct Spooled {
    /// Its place.
    pub(in crate::agent) seq: u64,
    /// The report.
    pub(in crate::agent) report: Packed,
}

impl Disk {
    /// A spool that is opened with its first use.
    pub(in crate::agent) fn new(config: SpoolConfig, own: Arc<Registration>, stats: Arc<SpoolStats>) -> Self {
        let faults = Quiet::new(LOG_EVERY);
        Self { config, own, stats, state: State::Closed, tried: None, faults }
    }

    /// Opens the log, where it can be: what it holds is known then.
    pub(in crate::agent) async fn open(&mut self) {
        if self.with(|_| Ok(())).await.is_none() {
            return;
        }
        let samples = self.stats.samples.load(Relaxed);
        if samples > 0 {
            tracing::info!(samples, "the spool holds what could not be sent before, it will be");
        }
    }

    /// Appends all reports of the outbox that are not here yet. They are marked there; where the disk
    /// fails, they are not.
    pub(in crate::agent) async fn keep(&mut self, outbox: &Outbox) {
        loop {
            let waiting = outbox.unspooled(AT_ONCE);
            if waiting.is_empty() {
                return;
            }
            let count = waiting.len();
            let own = Arc::clone(&self.own);
            let appended = self.with(move |log| append(log, waiting, &own)).await;
            let Some(appended) = appended else { return };
            let gone: Vec<_> = appended
                .iter()
                .filter(|one| !outbox.spooled(one.id, one.seq))
                .map(|one| (one.seq, one.samples))
                .collect();
            // They were sent meanwhile.
            for (seq, samples) in gone {
                self.sent(seq, samples).await;
            }
            if appended.len() < count {
                return;
            }
        }
    }

    /// The oldest report that waits here.
    pub(in crate::agent) async fn first(&mut self) -> Option<Spooled> {
        if !self.stats.opened.load(Relaxed) {
            self.open().await;
        }
        while self.stats.bytes.load(Relaxed) > 0 {
            let Record { seq, samples, at_ms, data, .. } = self.with(Log::first).await??;
            if let Some(report) = entry::decode(data, samples, at_ms, &self.own) {
                return Some(Spooled { seq, report });
            }
            tracing::error!("a report of the spool is of another version, it is dropped");
            self.stats.dropped_damaged.fetch_add(u64::from(samples), Relaxed);
            self.done(seq).await;
        }
        None
    }

    /// The report that [`first`](Self::first) gave is settled.
    pub(in crate::agent) async fn done(&mut self, seq: u64) {
        self.with(move |log| {
            log.done(seq);
            Ok(())
        })
        .await;
    }

    /// The server has a report that was kept here and in the outbox.
    pub(in crate::agent) async fn sent(&mut self, seq: u64, samples: u32) {
        self.with(move |log| {
            log.sent(seq, samples);
            Ok(())
        })
        .await;
    }

    /// Uses the log. `None` where there is none now, or it failed; that is counted and said.
    async fn with<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Log) -> Result<T, SpoolError> + Send + 'static,
    ) -> Option<T> {
        let log = match std::mem::replace(&mut self.state, State::Closed) {
            State::Open(log) => Some(log),
            State::Closed => None,
            State::Busy(mut busy) => {
                let Ok(ended) = timeout(Duration::ZERO, &mut busy).await else {
                    self.state = State::Busy(busy);
                    return None;
                };
                ended.ok().flatten()
            }
        };
        if log.is_none() {
            if self.tried.is_some_and(|tried| tried.elapsed() < OPEN_EVERY) {
                return None;
            }
            self.tried = Some(Instant::now());
        }
        let (config, stats) = (self.config.clone(), Arc::clone(&self.stats));
        let (done, result) = oneshot::channel();
        self.state = State::Busy(tokio::task::spawn_blocking(move || {
            let opened = log.map_or_else(|| Log::open(&config, stats).map(Box::new), Ok);
            let (log, result) = match opened {
                Ok(mut log) => {
                    let result = work(&mut log);
                    (Some(log), result)
                }
                Err(e) => (None, Err(e)),
            };
            // Whoever asked may have given up.
            let _ = done.send(result);
            log
        }));
        let result = match timeout(USE_WITHIN, result).await {
            Ok(result) => result.unwrap_or_else(|_| Err(SpoolError::Stuck(self.config.dir.clone()))),
            Err(_) => Err(SpoolError::Stuck(self.config.dir.clone())),
        };
        if !matches!(result, Err(SpoolError::Stuck(_)))
            && let State::Busy(busy) = &mut self.state
        {
            // It has nothing more to do.
            self.state = busy.await.ok().flatten().map_or(State::Closed, State::Open);
        }
        self.stats.up.store(result.is_ok(), Relaxed);
        result.map_err(|e| self.failed(&e)).ok()
    }

    fn failed(&self, error: &SpoolError) {
        self.stats.faults.fetch_add(1, Relaxed);
        if let Some(count) = self.faults.note(1) {
            tracing::error!(times = count, "the spool fails, reports stay in memory: {error}");
        }
    }
}

/// A report that was appended.
#[derive(Debug)]
struct Appended {
    id: u64,
    seq: u64,
    samples: u32,
}

/// Appends reports, and makes sure of them. Those after a fault are not appended; where none is, the
/// fault is given.
fn append(
    log: &mut Log,
    reports: Vec<(u64, Packed)>,
    own: &Registration,
) -> Result<Vec<Appended>, SpoolError> {
    let mut appended = Vec::new();
    let mut fault = None;
    for (id, report) in reports {
        let samples = u32::try_from(report.samples).unwrap_or(u32::MAX);
        let data: Bytes = entry::encode(&report, own);
        match log.append(report.read_at_ms, samples, data) {
            Ok(seq) => appended.push(Appended { id, seq, samples }),
            // The next may be smaller.
            Err(e @ SpoolError::TooLarge(_)) => fault = Some(e),
            Err(e) => {
                fault = Some(e);
                break;
            }
        }
    }
    log.sync()?;
    match fault {
        Some(fault) if appended.is_empty() => Err(fault),
        _ => Ok(appended),
    }
}
