//! Group commit: the samples of all requests that wait go to PostgreSQL in one statement.
//!
//! One task owns the order of writes. A sample that is newer than its series' last is appended; any
//! other, and one that no partition fits, goes to the late table by upsert, so that a
//! retry never doubles. Requests are answered after the commit; what could not be committed, or may
//! have been, is answered with an error and never silently tried again.

mod batch;
mod idempotency;
mod task;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::db::Database;
use super::feed::Feed;
use super::partitions::Partitions;
use crate::model::Point;
pub use idempotency::IdempotentReply;
pub(crate) use idempotency::kept_reply;
use task::Task;

/// Samples that may wait or be on their way at once.
const QUEUE_SAMPLES: usize = 1_000_000;
/// Requests that may wait at once.
const QUEUE_REQUESTS: usize = 4096;

/// Why samples were not written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// Too much waits already; nothing was taken.
    #[error("the write queue is full")]
    Busy,
    /// The database failed; the samples may or may not be stored, a retry with the same timestamps
    /// is safe.
    #[error("{0}")]
    Unavailable(String),
    /// The same Idempotency-Key was committed by another request meanwhile.
    #[error("a request with the same Idempotency-Key was just committed")]
    Repeated,
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
}

struct Job {
    points: Vec<Point>,
    idempotent: Option<IdempotentReply>,
    done: oneshot::Sender<Result<(), WriteError>>,
    _room: OwnedSemaphorePermit,
}

/// What the writer did since the start.
#[derive(Debug, Default)]
pub struct WriterStats {
    /// Transactions committed.
    pub commits: AtomicU64,
    /// Transactions that failed.
    pub failures: AtomicU64,
    /// Samples appended.
    pub appended: AtomicU64,
    /// Samples that went to the late table.
    pub late: AtomicU64,
    /// Microseconds from the first byte to the commit, summed.
    pub commit_micros: AtomicU64,
    /// Requests refused since too much waited.
    pub refused: AtomicU64,
}

/// The way into the writer's queue, cheap to clone.
#[derive(Clone, Debug)]
pub struct Writer {
    queue: mpsc::Sender<Job>,
    room: Arc<Semaphore>,
    stats: Arc<WriterStats>,
}

/// Called after each commit with what was stored, samples of one component at a time.
type OnCommit = Box<dyn Fn(&[Point]) + Send + Sync>;

impl Writer {
    /// Starts the task. It ends, and its handle with it, when all `Writer`s are dropped and the
    /// queue is empty. What it appends goes into the feed too, where there is one.
    pub fn start(
        database: Database,
        partitions: Arc<Partitions>,
        on_commit: OnCommit,
        feed: Option<Arc<Feed>>,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (queue, jobs) = mpsc::channel(QUEUE_REQUESTS);
        let stats = Arc::new(WriterStats::default());
        let task = Task::new(database, partitions, on_commit, feed, Arc::clone(&stats));
        let handle = tokio::spawn(task.run(jobs));
        (Self { queue, room: Arc::new(Semaphore::new(QUEUE_SAMPLES)), stats }, handle)
    }

    /// Stores samples; returns after they are committed.
    pub async fn write(
        &self,
        points: Vec<Point>,
        idempotent: Option<IdempotentReply>,
    ) -> Result<(), WriteError> {
        let wanted = u32::try_from(points.len().clamp(1, QUEUE_SAMPLES)).unwrap_or(u32::MAX);
        let busy = || {
            self.stats.refused.fetch_add(1, Ordering::Relaxed);
            WriteError::Busy
        };
        let room = Arc::clone(&self.room).try_acquire_many_owned(wanted).map_err(|_| busy())?;
        let (done, reply) = oneshot::channel();
        let job = Job { points, idempotent, done, _room: room };
        self.queue.try_send(job).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => busy(),
            mpsc::error::TrySendError::Closed(_) => WriteError::Stopping,
        })?;
        reply.await.unwrap_or(Err(WriteError::Stopping))
    }

    /// Whether the task that writes is there; it ends only by a fault.
    pub fn is_alive(&self) -> bool {
        !self.queue.is_closed()
    }

    /// What was done since the start.
    pub fn stats(&self) -> &WriterStats {
        &self.stats
    }

    /// Samples that wait or are on their way.
    pub fn queued(&self) -> usize {
        QUEUE_SAMPLES - self.room.available_permits()
    }
}
