//! Reports on disk while the server is away: a log of bounded size beneath the outbox.
//!
//! While the server answers, nothing is written. Once a report cannot be sent, all that wait and all
//! that come are appended here ([`disk`]), until the server is back and they are drained.
//!
//! # Files
//! Records ([`record`]), each with its length, checksum and place in the sequence, in files that are
//! named by the first of them and appended to until they have a 32nd of the room ([`log`]). A file
//! goes when its last record was sent. Where room is needed, the oldest file goes, and its samples
//! are counted: each record says how many came before it, so whatever is lost, between two records
//! that are read it is known how much. A file `cursor` says how far the sending came, a file `lock`
//! is held while the directory is used.
//!
//! # What survives
//! - The end of the process by `kill -9`: all that was appended, at once, as the system has it. What
//!   a write was in the middle of is cut off at the next start.
//! - The end of the machine: what was appended before the last `fdatasync`, which follows each round
//!   of appending (one in an interval); new files are made known by an `fsync` of the directory. The
//!   cursor is not synced: without it, or with an older one, reports are sent again.
//! - Damaged bytes: all records but those they are in.
//! - A full, read-only or failing disk: the outbox, which is memory, with its own bound.
//!
//! Sending twice does no harm: the server keeps one value for a series and time.

mod cursor;
mod disk;
mod entry;
mod files;
#[cfg(any(test, feature = "fuzzing"))]
#[path = "../../../fuzz/spool.rs"]
pub(crate) mod fuzz;
mod log;
mod prepare;
mod record;
mod stats;

#[cfg(test)]
mod day;
#[cfg(test)]
mod tests;

pub(super) use self::disk::Spooled;
pub use self::prepare::prepare_spool;
#[cfg(test)]
pub(super) use self::record::MAGIC as RECORD_MAGIC;
pub(super) use self::stats::SpoolStats;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::{Mutex, MutexGuard, watch};

use self::disk::Disk;
use super::outbox::Outbox;
use super::registration::Registration;
use super::sender::stopped;

/// The spool, shared by the task that keeps and the task that sends.
#[derive(Clone, Debug)]
pub(super) struct Spool {
    disk: Arc<Mutex<Disk>>,
    stats: Arc<SpoolStats>,
}

impl Spool {
    /// A spool that keeps reports of `own`, the agent, and of those it scrapes. It is opened where it
    /// can be; where it cannot, because an agent before this one still holds it, say, with a later use.
    pub(super) async fn open(config: SpoolConfig, own: Arc<Registration>) -> Self {
        let stats = Arc::new(SpoolStats::default());
        let mut disk = Disk::new(config, own, Arc::clone(&stats));
        disk.open().await;
        Self { disk: Arc::new(Mutex::new(disk)), stats }
    }

    /// What it holds and what it lost.
    pub(super) fn stats(&self) -> &Arc<SpoolStats> {
        &self.stats
    }

    /// Whether there may be anything in it, sent or not.
    pub(super) fn may_hold_any(&self) -> bool {
        !self.stats.opened.load(Relaxed) || self.stats.bytes.load(Relaxed) > 0
    }

    /// Samples that wait in it.
    pub(super) fn samples(&self) -> u64 {
        self.stats.samples.load(Relaxed)
    }

    /// The way to the disk, for one at a time.
    pub(super) async fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().await
    }

    /// The task that keeps: writes what is in the outbox while the server is away. It ends when the
    /// agent stops; then what is left is kept by whoever knows that nothing more can be sent.
    pub(super) async fn keep(
        self,
        outbox: Arc<Outbox>,
        mut away: watch::Receiver<bool>,
        mut stopping: watch::Receiver<bool>,
    ) {
        loop {
            tokio::select! {
                () = outbox.to_keep() => {}
                Ok(()) = away.changed() => {}
                () = stopped(&mut stopping) => break,
            }
            if *away.borrow_and_update() {
                self.disk().await.keep(&outbox).await;
            }
        }
        if *away.borrow() {
            self.disk().await.keep(&outbox).await;
        }
    }
}

/// Where the spool is, and how large it may become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolConfig {
    /// Its directory, which is made where it is missing.
    pub dir: PathBuf,
    /// Bytes that its files may take.
    pub max_bytes: u64,
}

/// Why the spool cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum SpoolError {
    #[error("--spool-dir: cannot {what} {}: {source}", path.display())]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is used by another agent; each needs a --spool-dir of its own", .0.display())]
    Locked(PathBuf),
    #[error("a report of {0} bytes is larger than --spool-max-size")]
    TooLarge(u64),
    #[error("{} does not answer", .0.display())]
    Stuck(PathBuf),
}

impl SpoolError {
    fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}
