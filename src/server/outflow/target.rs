//! One target: sent what is new, at its own pace.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use reqwest::Client;
use tokio::sync::Semaphore;
use tokio::time::timeout_at;

use super::batch::{Batch, MOST_SAMPLES, Request};
use super::metrics::{Metrics, Progress};
use super::place::Clock;
use super::post::ForwardTarget;
use super::sender::Sender;
use crate::model::Millis;
use crate::store::{
    Database, Fed, Feed, KeptPlace, News, NewsKind, Place, StoreError, begin_place, hours_with_news,
    keep_place,
};

/// Late samples are looked for, and the place is moved on, this often.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The same while an older transaction is under way, which late samples are found again for.
const LOOK_AGAIN: Duration = Duration::from_mins(1);
/// What comes within this time goes in one request.
const GATHERING: Duration = Duration::from_millis(100);
/// A place of which nothing new is known is written down this often.
const KEEP_EVERY: Duration = Duration::from_mins(1);
/// What is read from the database waits for so long for a target; then it is read again.
const PATIENCE: Duration = Duration::from_secs(10);
/// A commit that had no answer is over by then, for good or bad.
const COMMIT_IS_OVER: Duration = Duration::from_mins(1);
/// What could not be read from the database is read again after this time.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// A target, and how it is sent to.
pub(super) struct Target<'a> {
    config: &'a ForwardTarget,
    sender: Sender<'a>,
    database: &'a Database,
    feed: &'a Feed,
    reader: usize,
    reading: &'a Semaphore,
    /// Since when it may lack something that the feed does not have, in milliseconds since 1970; 0 where
    /// it goes by the feed.
    behind_since: AtomicI64,
}

/// How far it is.
struct State {
    kept: KeptPlace,
    clock: Clock,
    /// Whether it goes by the feed.
    is_live: bool,
    /// Whether something was sent since the place was written down, and when that was.
    is_ahead: bool,
    written: Instant,
    /// When late samples were looked for last.
    looked: Instant,
    /// When something was lost last: a commit may have been under way whose outcome nobody was told.
    lost: Option<Instant>,
}

/// Why a turn ended.
enum Interrupted {
    /// The feed does not have what comes next.
    Lost,
    /// The target did not take this for too long.
    Away(Request),
    Store(StoreError),
}

impl From<StoreError> for Interrupted {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl<'a> Target<'a> {
    pub(super) fn new(
        config: &'a ForwardTarget,
        client: &'a Client,
        database: &'a Database,
        feed: &'a Feed,
        reader: usize,
        reading: &'a Semaphore,
        metrics: &Metrics,
    ) -> Self {
        Self {
            config,
            sender: Sender::new(config, client, metrics.of(&config.name)),
            database,
            feed,
            reader,
            reading,
            behind_since: AtomicI64::new(Millis::now().0),
        }
    }

    /// Shows how far it is.
    pub(super) fn show(&self, metrics: &Metrics) {
        let behind = self.behind_since.load(Ordering::Relaxed);
        let (pending, waits) = self.feed.waiting(self.reader).unwrap_or_default();
        let behind = (behind > 0).then(|| Millis::now().since(Millis(behind)).max(0).unsigned_abs() / 1000);
        let lag = behind.unwrap_or_default().max(waits.as_secs());
        let problem = self.sender.problem();
        let progress = Progress { pending, lag_seconds: lag, reads_database: behind.is_some(), problem };
        metrics.show(self.name(), progress);
    }

    /// Sends until it is dropped, or another server is active.
    pub(super) async fn run(&self) {
        let mut state = self.begin().await;
        loop {
            let interrupted = match self.turn(&mut state).await {
                Ok(()) => continue,
                Err(interrupted) => interrupted,
            };
            match interrupted {
                Interrupted::Lost => {
                    state.is_live = false;
                    state.lost = Some(Instant::now());
                    self.sender.counters.gaps.inc();
                    tracing::warn!(to = self.name(), "what comes next is read from the database");
                }
                Interrupted::Away(request) => self.sender.deliver(&request).await,
                Interrupted::Store(StoreError::Fenced) => return std::future::pending().await,
                Interrupted::Store(error) => {
                    tracing::warn!(to = self.name(), %error, "samples to be sent on could not be read");
                    tokio::time::sleep(RETRY_EVERY).await;
                }
            }
        }
    }

    fn name(&self) -> &str {
        &self.config.name
    }

    /// Where it was left, however long the database takes.
    async fn begin(&self) -> State {
        loop {
            match begin_place(self.database, self.name()).await {
                Ok(kept) => {
                    let (clock, now) = (Clock::new(kept.since), Instant::now());
                    let state = State {
                        kept,
                        clock,
                        is_live: false,
                        is_ahead: false,
                        written: now,
                        looked: now,
                        lost: None,
                    };
                    return state;
                }
                Err(StoreError::Fenced) => return std::future::pending().await,
                Err(error) => {
                    tracing::warn!(to = self.name(), %error, "how far the target is could not be read");
                    tokio::time::sleep(RETRY_EVERY).await;
                }
            }
        }
    }

    async fn turn(&self, state: &mut State) -> Result<(), Interrupted> {
        if state.is_live {
            return self.go_on(state).await;
        }
        self.behind_since.store(state.kept.since.at.0, Ordering::Relaxed);
        // What is committed from now on is in the feed, what was before can be seen by the next look.
        self.feed.enter(self.reader);
        self.catch_up(state, NewsKind::All).await?;
        state.is_live = true;
        Ok(())
    }

    /// For a while by the feed, then what was late.
    async fn go_on(&self, state: &mut State) -> Result<(), Interrupted> {
        let until = tokio::time::Instant::now() + LOOK_EVERY;
        let mut changes = self.feed.changes();
        while tokio::time::Instant::now() < until {
            changes.borrow_and_update();
            if !self.drain(state, u64::MAX).await? && timeout_at(until, changes.changed()).await.is_ok() {
                tokio::time::sleep(GATHERING).await;
            }
        }
        let unsure = state.lost.is_some_and(|lost| lost.elapsed() < COMMIT_IS_OVER);
        self.catch_up(state, if unsure { NewsKind::All } else { NewsKind::Late }).await
    }

    /// Sends what the feed has before a number; whether there was something.
    async fn drain(&self, state: &mut State, until: u64) -> Result<bool, Interrupted> {
        let mut some = false;
        loop {
            match self.feed.next(self.reader, MOST_SAMPLES, until) {
                Fed::Lost => return Err(Interrupted::Lost),
                Fed::Nothing => return Ok(some),
                Fed::Points(mut points) => {
                    points.sort_by_key(|point| (point.series.id, point.at));
                    let mut batch = Batch::default();
                    let mut rest = points.as_slice();
                    while !rest.is_empty() {
                        rest = &rest[batch.add_first(rest)..];
                        self.deliver_ready(&mut batch).await;
                    }
                    batch.end();
                    self.deliver_ready(&mut batch).await;
                    self.feed.done(self.reader, points.len());
                    (some, state.is_ahead) = (true, true);
                }
            }
        }
    }

    /// Sends what the database has that was stored since the place, and moves it on.
    async fn catch_up(&self, state: &mut State, kind: NewsKind) -> Result<(), Interrupted> {
        let look = hours_with_news(self.database, state.kept.since, kind).await?;
        let place = state.clock.place(&look);
        if state.is_live {
            // What this look could see was put into the feed before this number.
            let settled = self.feed.settled().await;
            self.drain(state, settled).await?;
            let is_stuck = place.xid == state.kept.since.xid && state.looked.elapsed() < LOOK_AGAIN;
            if is_stuck && !look.hours.is_empty() {
                return Ok(());
            }
        }
        state.looked = Instant::now();
        if !look.hours.is_empty() {
            self.behind_since.store(state.kept.since.at.0, Ordering::Relaxed);
        }
        for hour in &look.hours {
            self.send_hour(*hour, state.kept.of_hour(*hour), kind).await?;
            state.is_ahead = true;
            // An end that is kept is not moved back by a way that is shorter.
            let upto = hour.plus(3_600_000);
            if !state.is_live && state.kept.upto.is_none_or(|(kept, _)| kept <= upto) {
                state.kept.upto = Some((upto, place));
                self.keep(state).await?;
            }
        }
        state.kept = KeptPlace { since: place, upto: None };
        self.behind_since.store(0, Ordering::Relaxed);
        if state.is_ahead || !state.is_live || state.written.elapsed() >= KEEP_EVERY {
            self.keep(state).await?;
        }
        Ok(())
    }

    async fn keep(&self, state: &mut State) -> Result<(), Interrupted> {
        keep_place(self.database, self.name(), &state.kept).await?;
        (state.is_ahead, state.written) = (false, Instant::now());
        Ok(())
    }

    /// Sends what an hour has that was stored since a place.
    async fn send_hour(&self, hour: Millis, since: Place, kind: NewsKind) -> Result<(), Interrupted> {
        // The semaphore is never closed.
        let _turn = self.reading.acquire().await;
        let mut batch = Batch::default();
        let mut news = News::open(self.database, hour, since, kind).await?;
        loop {
            let some = news.next().await?;
            for past in &some {
                batch.add_past(past);
                self.try_ready(&mut batch).await?;
            }
            if some.is_empty() {
                batch.end();
                return self.try_ready(&mut batch).await;
            }
        }
    }

    /// Sends what is ready, if the target is there: the transaction of what is read must not stay open
    /// for as long as a target may be away.
    async fn try_ready(&self, batch: &mut Batch) -> Result<(), Interrupted> {
        while let Some(request) = batch.ready() {
            if tokio::time::timeout(PATIENCE, self.sender.deliver(&request)).await.is_err() {
                return Err(Interrupted::Away(request));
            }
        }
        Ok(())
    }

    async fn deliver_ready(&self, batch: &mut Batch) {
        while let Some(request) = batch.ready() {
            self.sender.deliver(&request).await;
        }
    }
}
