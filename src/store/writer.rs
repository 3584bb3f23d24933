//! Group commit: the samples of all requests that wait go to PostgreSQL in one statement.
//!
//! One task owns the order of writes. A sample that is newer than its series' last is appended; any
//! other, and one that no partition fits, goes to the late table by upsert, so that a
//! retry never doubles. Requests are answered after the commit; what could not be committed, or may
//! have been, is answered with an error and never silently tried again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sqlx::Postgres;
use sqlx::pool::PoolConnection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::blocks::Blocks;
use super::db::{Database, StoreError, Timestamp, Transaction, sql};
use super::feed::Feed;
use super::partitions::Partitions;
use crate::model::{Millis, Point};

/// Samples that may wait or be on their way at once.
const QUEUE_SAMPLES: usize = 1_000_000;
/// Requests that may wait at once.
const QUEUE_REQUESTS: usize = 4096;
/// Samples of one transaction; a single larger request still goes in one.
const GROUP_SAMPLES: usize = 100_000;
/// How long a transaction that has something to write waits for more.
const GATHERING: Duration = Duration::from_millis(2);
/// How long a connection is kept for the next write, and how long at most, so that it is made anew
/// as the pool's others are.
const KEPT: Duration = Duration::from_millis(50);
const KEPT_AT_MOST: Duration = Duration::from_mins(1);
/// A transaction that takes longer is given up.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(45);

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

/// The reply to keep with an Idempotency-Key, in the same transaction as the samples.
#[derive(Clone, Debug)]
pub struct IdempotentReply {
    /// The key, with the component it belongs to.
    pub key: String,
    /// The reply's JSON.
    pub reply: String,
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
        let task = Task {
            database,
            partitions,
            on_commit,
            feed,
            stats: Arc::clone(&stats),
            connection: Mutex::default(),
            pooled: AtomicBool::new(false),
        };
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

struct Task {
    database: Database,
    partitions: Arc<Partitions>,
    on_commit: OnCommit,
    feed: Option<Arc<Feed>>,
    stats: Arc<WriterStats>,
    /// Kept while one write follows the other, and since when: taking one from the pool and giving it
    /// back asks the database each time whether it is there.
    connection: Mutex<Option<(Instant, PoolConnection<Postgres>)>>,
    /// Whether a pooler was met that hands each transaction another session. The driver sends a
    /// statement and its values one after the other, so outside a transaction they may part.
    pooled: AtomicBool,
}

/// Whether values came to a session that does not have the statement, or another one. Nothing was done
/// then.
fn of_another_session(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("26000" | "08P01" | "22P03"))
}

impl Task {
    async fn run(self, mut jobs: mpsc::Receiver<Job>) {
        let mut clients = 1;
        while let Some(first) = self.next(&mut jobs).await {
            let group = gather(first, &mut jobs, clients).await;
            clients = group.len();
            let storing = match &self.feed {
                Some(feed) => Some(feed.storing().await),
                None => None,
            };
            self.commit(group).await;
            drop(storing);
            clients += jobs.len();
        }
    }

    /// The next request; the connection does not wait long for it.
    async fn next(&self, jobs: &mut mpsc::Receiver<Job>) -> Option<Job> {
        let is_kept = {
            let mut kept = self.connection.lock();
            drop(kept.take_if(|(since, _)| since.elapsed() >= KEPT_AT_MOST));
            kept.is_some()
        };
        if is_kept {
            if let Ok(job) = tokio::time::timeout(KEPT, jobs.recv()).await {
                return job;
            }
            self.give_back();
        }
        jobs.recv().await
    }

    fn give_back(&self) {
        drop(self.connection.lock().take());
    }

    /// Commits a group; where one member's key was taken meanwhile, the others go without it.
    async fn commit(&self, group: Vec<Job>) {
        let began = Instant::now();
        let (mut group, followers) = first_of_each_key(group);
        let result = loop {
            match self.store(&group).await {
                Err(Failure::Repeated(key)) => {
                    let is_it = |job: &Job| job.idempotent.as_ref().is_some_and(|i| i.key == key);
                    let (repeated, rest): (Vec<_>, Vec<_>) = group.into_iter().partition(is_it);
                    for job in repeated {
                        let _ = job.done.send(Err(WriteError::Repeated));
                    }
                    group = rest;
                    if group.is_empty() {
                        break Ok(());
                    }
                }
                Err(Failure::Store(error)) => break Err(error),
                Ok(()) => break Ok(()),
            }
        };
        match result {
            Ok(()) => {
                self.succeeded(group, began);
                for job in followers {
                    let _ = job.done.send(Err(WriteError::Repeated));
                }
            }
            // One member may be to blame: the others must not pay for it.
            Err(StoreError::Refused(error)) if group.len() > 1 => {
                tracing::warn!(%error, requests = group.len(), "storing each request by itself");
                for job in group.into_iter().chain(followers) {
                    Box::pin(self.commit(vec![job])).await;
                }
            }
            Err(error) => {
                self.stats.failures.fetch_add(1, Ordering::Relaxed);
                // Where it was not refused it may be stored all the same.
                if let Some(feed) = self.feed.as_ref().filter(|_| !matches!(error, StoreError::Refused(_))) {
                    feed.lose();
                }
                tracing::warn!(%error, requests = group.len(), "samples were not committed");
                for job in group.into_iter().chain(followers) {
                    let _ = job.done.send(Err(WriteError::Unavailable(error.to_string())));
                }
            }
        }
    }

    fn succeeded(&self, group: Vec<Job>, began: Instant) {
        if group.is_empty() {
            return;
        }
        self.stats.commits.fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.stats.commit_micros.fetch_add(micros, Ordering::Relaxed);
        let now = Millis::now();
        for job in group {
            let of_one = |a: &Point, b: &Point| Arc::ptr_eq(&a.series.component, &b.series.component);
            for points in job.points.chunk_by(of_one) {
                if let Some(first) = points.first() {
                    first.series.component.reported(now, points.len() as u64);
                }
                (self.on_commit)(points);
            }
            // A client that went away meanwhile has nothing to be told.
            let _ = job.done.send(Ok(()));
        }
    }

    /// One transaction; if a sample turns out to be stored already, or to fit no partition, all of
    /// them go the slow way once.
    async fn store(&self, group: &[Job]) -> Result<(), Failure> {
        let _appending = self.partitions.appending().await;
        let mut batch = Batch::of(group, &self.partitions, self.feed.is_some());
        match self.attempt(group, &batch).await {
            Err(Failure::Store(StoreError::Refused(sqlx::Error::Database(e))))
                if matches!(e.code().as_deref(), Some("23505" | "23514")) =>
            {
                tracing::info!(reason = e.message(), "appending failed; storing samples one by one");
                let _ = self.partitions.refresh(&self.database).await;
                self.attempt(group, &Batch::all_late(group)).await
            }
            Ok(()) => {
                if let Some(feed) = &self.feed {
                    feed.put(std::mem::take(&mut batch.fed));
                }
                Ok(())
            }
            result => result,
        }
    }

    async fn attempt(&self, group: &[Job], batch: &Batch) -> Result<(), Failure> {
        let replies: Vec<_> = group.iter().filter_map(|job| job.idempotent.as_ref()).collect();
        let work = async {
            if replies.is_empty() && batch.only_blocks() && !self.pooled.load(Ordering::Relaxed) {
                // The statement is the transaction.
                let kept = self.connection.lock().take();
                let (since, mut connection) = match kept {
                    Some(kept) => kept,
                    None => (Instant::now(), self.database.connection().await?),
                };
                match batch.blocks.append(&mut connection, self.database.fence()).await {
                    Ok(()) => {
                        // After an error it is the pool's to see whether it can be used again.
                        *self.connection.lock() = Some((since, connection));
                        return Ok(());
                    }
                    Err(error) if of_another_session(&error) => {
                        tracing::info!(
                            "a pooler stands before the database: each write is a transaction from now on"
                        );
                        self.pooled.store(true, Ordering::Relaxed);
                    }
                    Err(error) => return Err(StoreError::from(error).into()),
                }
            }
            self.give_back();
            let mut tx = self.database.begin_write().await?;
            batch.blocks.append(&mut tx, self.database.fence()).await.map_err(StoreError::from)?;
            append_rows(&mut tx, &batch.rows).await?;
            upsert_late(&mut tx, &batch.late).await?;
            for reply in replies {
                keep_reply(&mut tx, reply).await?;
            }
            tx.commit().await.map_err(StoreError::from)?;
            Ok::<(), Failure>(())
        };
        let timeout = || StoreError::Unavailable("the database did not answer in time".into());
        tokio::time::timeout(COMMIT_TIMEOUT, work).await.map_err(|_| Failure::Store(timeout()))??;
        self.stats.appended.fetch_add(batch.appended() as u64, Ordering::Relaxed);
        self.stats.late.fetch_add(batch.late.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

/// The requests that go into one transaction. Clients that were answered a moment ago are likely to
/// come again at once, and a transaction costs as much for all as for one: so as many are waited for,
/// for a short time, as had or awaited an answer last. One client alone waits for nobody.
async fn gather(first: Job, jobs: &mut mpsc::Receiver<Job>, clients: usize) -> Vec<Job> {
    let until = tokio::time::Instant::now() + GATHERING;
    let mut samples = first.points.len();
    let mut group = vec![first];
    while samples < GROUP_SAMPLES {
        let job = match jobs.try_recv() {
            Ok(job) => job,
            Err(_) if group.len() >= clients => break,
            Err(_) => match tokio::time::timeout_at(until, jobs.recv()).await {
                Ok(Some(job)) => job,
                _ => break,
            },
        };
        samples += job.points.len();
        group.push(job);
    }
    group
}

/// Equal requests that wait together: the first of each key is stored, the others follow it.
fn first_of_each_key(group: Vec<Job>) -> (Vec<Job>, Vec<Job>) {
    let mut seen = HashSet::new();
    let is_first = |job: &Job| job.idempotent.as_ref().is_none_or(|i| seen.insert(i.key.clone()));
    group.into_iter().partition(is_first)
}

enum Failure {
    Store(StoreError),
    Repeated(String),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// A group's samples, ready to be sent.
#[derive(Default)]
struct Batch {
    /// To append: those of a time that many share, and the others.
    blocks: Blocks,
    rows: Rows,
    /// One value for each series and time.
    late: HashMap<(i32, i64), f64>,
    /// What is appended, for the feed.
    fed: Vec<Point>,
}

/// Samples that are appended one by one, as columns.
#[derive(Default)]
struct Rows {
    ids: Vec<i32>,
    times: Vec<Timestamp>,
    values: Vec<f64>,
}

impl Batch {
    /// Decides for each sample whether it is appended. The series remember what was tried: after a
    /// failure of unknown outcome the same samples go the way that can't double them. They remember
    /// late samples too, since a late one would hide one that is appended at the same time after it.
    fn of(group: &[Job], partitions: &Partitions, is_fed: bool) -> Self {
        let mut batch = Self::default();
        batch.blocks.reserve(group.iter().map(|job| job.points.len()).sum());
        for job in group {
            // Most samples have the time of the one before.
            let mut last = (Millis::MAX, false);
            for point in &job.points {
                if point.at != last.0 {
                    last = (point.at, partitions.hold(point.at));
                    batch.end_run();
                }
                let newer = point.at.0 > point.series.appended.fetch_max(point.at.0, Ordering::Relaxed);
                if newer && last.1 {
                    batch.blocks.push(point.series.id, point.at, point.value);
                    if is_fed {
                        batch.fed.push(point.clone());
                    }
                } else {
                    batch.late.insert((point.series.id.0, point.at.0), point.value);
                }
            }
            batch.end_run();
        }
        batch
    }

    /// Samples that share their time with too few others are rows.
    fn end_run(&mut self) {
        for (id, at, value) in self.blocks.end_run() {
            self.rows.ids.push(id);
            self.rows.times.push(Timestamp(at));
            self.rows.values.push(value);
        }
    }

    fn all_late(group: &[Job]) -> Self {
        let points = group.iter().flat_map(|job| &job.points);
        Self { late: points.map(|p| ((p.series.id.0, p.at.0), p.value)).collect(), ..Self::default() }
    }

    fn only_blocks(&self) -> bool {
        self.rows.ids.is_empty() && self.late.is_empty()
    }

    fn appended(&self) -> usize {
        self.blocks.samples() + self.rows.ids.len()
    }
}

/// COPY takes PostgreSQL no less time than three arrays, and loses 40 ms a commit: the driver sends
/// its end as a packet of its own, which TCP holds back until the data before it are confirmed.
async fn append_rows(tx: &mut Transaction, rows: &Rows) -> Result<(), StoreError> {
    if rows.ids.is_empty() {
        return Ok(());
    }
    sql("insert into noetl_metrics.sample (series_id, \"timestamp\", value) \
         select * from unnest($1::integer[], $2::timestamptz[], $3::double precision[])")
    .bind(rows.ids.as_slice())
    .bind(rows.times.as_slice())
    .bind(rows.values.as_slice())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn upsert_late(tx: &mut Transaction, late: &HashMap<(i32, i64), f64>) -> Result<(), StoreError> {
    if late.is_empty() {
        return Ok(());
    }
    let (mut ids, mut times, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for ((id, at), value) in late {
        ids.push(*id);
        times.push(*at);
        values.push(*value);
    }
    sql("insert into noetl_metrics.sample_late (series_id, \"timestamp\", value) \
         select id, timestamptz 'epoch' + at * interval '1 ms', value \
         from unnest($1::integer[], $2::bigint[], $3::double precision[]) u(id, at, value) order by id, at \
         on conflict (series_id, \"timestamp\") do update set value = excluded.value, created_at = excluded.created_at")
        .bind(ids)
        .bind(times)
        .bind(values)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

async fn keep_reply(tx: &mut Transaction, reply: &IdempotentReply) -> Result<(), Failure> {
    let done = sql(
        "insert into noetl_metrics.idempotency (key, reply) values ($1, $2::jsonb) on conflict do nothing",
    )
    .bind(&reply.key)
    .bind(&reply.reply)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::from)?;
    if done.rows_affected() == 0 { Err(Failure::Repeated(reply.key.clone())) } else { Ok(()) }
}

/// The reply that was kept with a key, if any.
pub(crate) async fn kept_reply(database: &Database, key: &str) -> Result<Option<String>, StoreError> {
    let mut tx = database.begin().await?;
    let row = sql("select reply::text from noetl_metrics.idempotency where key = $1")
        .bind(key)
        .fetch_optional(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(row.map(|row| sqlx::Row::try_get(&row, 0)).transpose()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(room: &Arc<Semaphore>) -> Job {
        let room = Arc::clone(room).try_acquire_owned().unwrap();
        Job { points: Vec::new(), idempotent: None, done: oneshot::channel().0, _room: room }
    }

    #[tokio::test]
    async fn as_many_are_waited_for_as_came_last_and_not_for_long() {
        let room = Arc::new(Semaphore::new(100));
        let (queue, mut jobs) = mpsc::channel(100);
        for _ in 0..5 {
            queue.send(job(&room)).await.unwrap();
        }
        assert_eq!(gather(job(&room), &mut jobs, 3).await.len(), 6, "all that wait already");
        // Nothing else runs before the one that is gathered for gives way: it must have waited.
        let sent = job(&room);
        let late = tokio::spawn(async move { queue.send(sent).await.map(|()| queue).is_ok() });
        assert_eq!(gather(job(&room), &mut jobs, 2).await.len(), 2);
        assert!(late.await.unwrap());
        let (queue, mut jobs) = mpsc::channel(100);
        let sent = job(&room);
        let late = tokio::spawn(async move { queue.send(sent).await.map(|()| queue).is_ok() });
        assert_eq!(gather(job(&room), &mut jobs, 1).await.len(), 1, "one client alone waits for nobody");
        assert!(late.await.unwrap());
        let (_queue, mut jobs) = mpsc::channel(100);
        let gathered = gather(job(&room), &mut jobs, 2);
        let waited = tokio::time::timeout(Duration::from_secs(5), gathered).await;
        assert_eq!(waited.unwrap().len(), 1, "nobody comes");
    }
}
