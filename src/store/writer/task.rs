//! The one task that owns the order of writes.

use std::collections::HashSet;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sqlx::Postgres;
use sqlx::pool::PoolConnection;
use tokio::sync::mpsc;
use tokio::time::Sleep;

use super::batch::Batch;
use super::idempotency::keep_reply;
use super::{Job, OnCommit, WriteError, WriterStats};
use crate::model::{Millis, Point};
use crate::store::blocks::Statement;
use crate::store::db::{Database, StoreError};
use crate::store::feed::Feed;
use crate::store::partitions::Partitions;

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

pub(super) struct Task {
    database: Database,
    partitions: Arc<Partitions>,
    on_commit: OnCommit,
    feed: Option<Arc<Feed>>,
    stats: Arc<WriterStats>,
    /// Kept while one write follows the other, and since when: taking one from the pool and giving it
    /// back asks the database each time whether it is there.
    connection: Mutex<Option<(Instant, PoolConnection<Postgres>)>>,
    /// Whether a pooler was met that hands each transaction another session, which does not know the
    /// statement that is kept prepared.
    pooled: AtomicBool,
}

/// Whether values came to a session that does not have the statement, or another one of its name, or the
/// statement to one that has it already. Nothing was done then.
fn of_another_session(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("26000" | "08P01" | "22P03" | "42804" | "42P05"))
}

impl Task {
    pub(super) fn new(
        database: Database,
        partitions: Arc<Partitions>,
        on_commit: OnCommit,
        feed: Option<Arc<Feed>>,
        stats: Arc<WriterStats>,
    ) -> Self {
        let (connection, pooled) = (Mutex::default(), AtomicBool::new(false));
        Self { database, partitions, on_commit, feed, stats, connection, pooled }
    }

    pub(super) async fn run(self, mut jobs: mpsc::Receiver<Job>) {
        let mut clients = 1;
        let mut idle = pin!(tokio::time::sleep(KEPT));
        while let Some(first) = self.next(&mut jobs, idle.as_mut()).await {
            let group = gather(first, &mut jobs, clients).await;
            let size = group.len();
            let storing = match &self.feed {
                Some(feed) => Some(feed.storing().await),
                None => None,
            };
            let waiting = self.commit(group, &jobs).await;
            drop(storing);
            clients = expected(clients, size + waiting);
        }
    }

    /// The next request; the connection does not wait long for it. `idle` may end too early, and goes on then:
    /// a timer for each request that ends before all others would each time wake the thread that waits for
    /// sockets.
    async fn next(&self, jobs: &mut mpsc::Receiver<Job>, mut idle: Pin<&mut Sleep>) -> Option<Job> {
        let is_kept = {
            let mut kept = self.connection.lock();
            drop(kept.take_if(|(since, _)| since.elapsed() >= KEPT_AT_MOST));
            kept.is_some()
        };
        if is_kept {
            let until = tokio::time::Instant::now() + KEPT;
            loop {
                tokio::select! {
                    biased;
                    job = jobs.recv() => return job,
                    () = &mut idle => {
                        if tokio::time::Instant::now() >= until {
                            break;
                        }
                        idle.as_mut().reset(until);
                    }
                }
            }
            self.give_back();
        }
        jobs.recv().await
    }

    fn give_back(&self) {
        drop(self.connection.lock().take());
    }

    /// Commits a group; where one member's key was taken meanwhile, the others go without it. Returns how many
    /// waited behind it.
    async fn commit(&self, group: Vec<Job>, behind: &mpsc::Receiver<Job>) -> usize {
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
        // Before anybody is answered, and comes again.
        let waiting = behind.len();
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
                    Box::pin(self.commit(vec![job], behind)).await;
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
        waiting
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
                    feed.put(batch.take_fed());
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
                match batch.blocks.append(&mut connection, self.database.fence(), Statement::Kept).await {
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
                        connection.close_on_drop();
                    }
                    Err(error) => return Err(StoreError::from(error).into()),
                }
            }
            self.give_back();
            let mut tx = self.database.begin_write().await?;
            batch
                .blocks
                .append(&mut tx, self.database.fence(), Statement::Once)
                .await
                .map_err(StoreError::from)?;
            batch.append_rows(&mut tx).await?;
            batch.upsert_late(&mut tx).await?;
            for reply in replies {
                keep_reply(&mut tx, reply).await?;
            }
            tx.commit().await.map_err(StoreError::from)?;
            Ok::<(), Failure>(())
        };
        let timeout = || StoreError::Unavailable("the database did not answer in time".into());
        tokio::time::timeout(COMMIT_TIMEOUT, work).await.map_err(|_| Failure::Store(timeout()))??;
        self.stats.appended.fetch_add(batch.appended() as u64, Ordering::Relaxed);
        self.stats.late.fetch_add(batch.late() as u64, Ordering::Relaxed);
        Ok(())
    }
}

/// The requests that go into one transaction. Clients that were answered a moment ago are likely to
/// come again at once, and a transaction costs as much for all as for one: so as many are waited for,
/// for a short time, as are [expected]. One client alone waits for nobody.
async fn gather(first: Job, jobs: &mut mpsc::Receiver<Job>, clients: usize) -> Vec<Job> {
    // One timer for all of them: see `Task::next`.
    let mut patience = pin!(tokio::time::sleep(GATHERING));
    let mut samples = first.points.len();
    let mut group = vec![first];
    while samples < GROUP_SAMPLES {
        let job = match jobs.try_recv() {
            Ok(job) => job,
            Err(_) if group.len() >= clients => break,
            Err(_) => tokio::select! {
                biased;
                job = jobs.recv() => match job {
                    Some(job) => job,
                    None => break,
                },
                () = &mut patience => break,
            },
        };
        samples += job.points.len();
        group.push(job);
    }
    group
}

/// How many clients are likely to come, where so many were expected and so many had or awaited an answer last.
/// Where they become fewer, an eighth less each time: of those that send side by side some are late now and
/// then.
fn expected(before: usize, last: usize) -> usize {
    last.max(before - before.div_ceil(8))
}

/// Equal requests that wait together: the first of each key is stored, the others follow it.
fn first_of_each_key(group: Vec<Job>) -> (Vec<Job>, Vec<Job>) {
    let mut seen = HashSet::new();
    let is_first = |job: &Job| job.idempotent.as_ref().is_none_or(|i| seen.insert(i.key.clone()));
    group.into_iter().partition(is_first)
}

/// Why a group was not stored.
pub(super) enum Failure {
    Store(StoreError),
    Repeated(String),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::{Semaphore, oneshot};

    use super::*;

    fn job(room: &Arc<Semaphore>) -> Job {
        let room = Arc::clone(room).try_acquire_owned().unwrap();
        Job { points: Vec::new(), idempotent: None, done: oneshot::channel().0, _room: room }
    }

    #[test]
    fn who_is_late_once_is_still_expected_and_not_for_ever() {
        assert_eq!(expected(1, 8), 8);
        assert_eq!(expected(8, 7), 7);
        let alone: Vec<usize> =
            std::iter::successors(Some(8), |clients| Some(expected(*clients, 1))).take(9).collect();
        assert_eq!(alone, [8, 7, 6, 5, 4, 3, 2, 1, 1]);
        assert_eq!(expected(100, 50), 87);
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
