//! What was appended just now, for those who send it on: each reads at a pace of its own, so much is
//! kept at most, and who is slower than that is told so. Late samples are not in it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{MutexGuard, watch};

use crate::model::Point;

/// Samples that are kept at most for those who have not read them yet.
pub const FEED_SAMPLES: usize = 1_000_000;

/// The newest samples, counted from the start of the server.
#[derive(Debug)]
pub struct Feed {
    inner: Mutex<Inner>,
    /// The number that the next sample gets.
    head: watch::Sender<u64>,
    /// Held while a transaction is committed and what it appended is put in here.
    storing: tokio::sync::Mutex<()>,
    most: usize,
}

#[derive(Debug)]
struct Inner {
    points: VecDeque<Point>,
    /// The number of the first of them.
    first: u64,
    /// When samples from a number on came.
    came: VecDeque<(u64, Instant)>,
    /// The number that each reader wants next.
    readers: Vec<u64>,
}

/// What a reader gets.
#[derive(Debug)]
pub enum Fed {
    /// Nothing is new.
    Nothing,
    /// Something that it has not read is not here any more.
    Lost,
    /// The next samples. They stay until [`Feed::done`].
    Points(Vec<Point>),
}

impl Feed {
    /// One for so many readers, of so many samples at most.
    pub fn new(readers: usize, most: usize) -> Self {
        let inner =
            Inner { points: VecDeque::new(), first: 0, came: VecDeque::new(), readers: vec![0; readers] };
        Self {
            inner: Mutex::new(inner),
            head: watch::channel(0).0,
            storing: tokio::sync::Mutex::default(),
            most,
        }
    }

    /// To be held from the beginning of a transaction until what it appended is in here.
    pub(super) async fn storing(&self) -> MutexGuard<'_, ()> {
        self.storing.lock().await
    }

    /// Puts in what was appended.
    pub(super) fn put(&self, points: Vec<Point>) {
        if points.is_empty() {
            return;
        }
        let mut inner = self.inner.lock();
        let head = inner.head();
        inner.came.push_back((head, Instant::now()));
        inner.points.extend(points);
        let over = inner.points.len().saturating_sub(self.most);
        let first = inner.first + over as u64;
        inner.forget(first);
        self.head.send_replace(inner.head());
    }

    /// Nobody knows what was appended: all readers have lost something.
    pub(super) fn lose(&self) {
        let mut inner = self.inner.lock();
        let head = inner.head();
        inner.forget(head);
        inner.first = head + 1;
        self.head.send_replace(inner.head());
    }

    /// The number behind all that transactions appended which are over by now.
    pub async fn settled(&self) -> u64 {
        let _none = self.storing.lock().await;
        *self.head.borrow()
    }

    /// Tells of new samples.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }

    /// A reader wants what comes from now on.
    pub fn enter(&self, reader: usize) {
        let mut inner = self.inner.lock();
        let head = inner.head();
        inner.move_to(reader, head);
    }

    /// What a reader has not read yet, so many samples at most, of those before a number.
    pub fn next(&self, reader: usize, most: usize, until: u64) -> Fed {
        let inner = self.inner.lock();
        let Some(at) = inner.place(reader) else { return Fed::Lost };
        let until = usize::try_from(until.saturating_sub(inner.first)).unwrap_or(usize::MAX);
        let end = inner.points.len().min(until).min(at.saturating_add(most));
        if at >= end {
            return Fed::Nothing;
        }
        Fed::Points(inner.points.range(at..end).cloned().collect())
    }

    /// A reader is done with the next samples, so many.
    pub fn done(&self, reader: usize, points: usize) {
        let mut inner = self.inner.lock();
        if let Some(at) = inner.place(reader) {
            let next = inner.first + at as u64 + points as u64;
            inner.move_to(reader, next);
        }
    }

    /// How much a reader has not read yet, and for how long the oldest waits; `None` where it lost some.
    pub fn waiting(&self, reader: usize) -> Option<(usize, Duration)> {
        let inner = self.inner.lock();
        let at = inner.place(reader)?;
        let number = inner.first + at as u64;
        let came = inner.came.iter().rev().find(|(from, _)| *from <= number);
        let waits = inner.points.len() - at;
        let oldest = came.filter(|_| waits > 0).map_or(Duration::ZERO, |(_, since)| since.elapsed());
        Some((waits, oldest))
    }
}

impl Inner {
    fn head(&self) -> u64 {
        self.first + self.points.len() as u64
    }

    /// Where a reader is among the samples.
    fn place(&self, reader: usize) -> Option<usize> {
        usize::try_from(self.readers.get(reader)?.checked_sub(self.first)?).ok()
    }

    fn move_to(&mut self, reader: usize, next: u64) {
        let head = self.head();
        if let Some(at) = self.readers.get_mut(reader) {
            *at = next.min(head);
        }
        let first = self.readers.iter().copied().min().unwrap_or(0);
        self.forget(first);
    }

    /// Forgets samples before a number.
    fn forget(&mut self, first: u64) {
        let gone = usize::try_from(first.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let gone = gone.min(self.points.len());
        self.points.drain(..gone);
        self.first += gone as u64;
        while self.came.get(1).is_some_and(|(from, _)| *from <= self.first) {
            self.came.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{Component, MetricType, Millis, RuntimeId, Series, SeriesId};

    fn points(from: i64, to: i64) -> Vec<Point> {
        let component = Arc::new(Component::new(RuntimeId(1), "w", "worker_pool", Millis(0)));
        let series =
            Arc::new(Series::new(SeriesId(1), component, MetricType::Gauge, b"m{} ".as_slice().into()));
        (from..to).map(|at| Point { series: Arc::clone(&series), at: Millis(at), value: 0.0 }).collect()
    }

    /// The times of what a reader gets; nothing where it lost some.
    fn read(feed: &Feed, reader: usize, most: usize) -> Option<Vec<i64>> {
        match feed.next(reader, most, u64::MAX) {
            Fed::Nothing => Some(Vec::new()),
            Fed::Lost => None,
            Fed::Points(points) => Some(points.iter().map(|point| point.at.0).collect()),
        }
    }

    #[test]
    fn each_reads_at_its_pace_and_who_is_too_slow_is_told() {
        let feed = Feed::new(2, 10);
        feed.put(points(0, 6));
        assert_eq!(read(&feed, 0, 4), Some(vec![0, 1, 2, 3]));
        assert_eq!(read(&feed, 0, 4), Some(vec![0, 1, 2, 3]), "until it is done with them");
        feed.done(0, 4);
        assert_eq!(read(&feed, 0, 9), Some(vec![4, 5]));
        feed.put(points(6, 12));
        assert_eq!(read(&feed, 1, 1), None, "12 samples, of which 10 are kept");
        assert_eq!(read(&feed, 0, 9), Some((4..12).collect()));
        assert_eq!((feed.waiting(0).map(|(waits, _)| waits), feed.waiting(1)), (Some(8), None));
        feed.enter(1);
        assert_eq!(read(&feed, 1, 9), Some(vec![]));
        feed.done(0, 8);
        assert_eq!(feed.inner.lock().points.len(), 0, "all have read it");
        feed.lose();
        assert_eq!((read(&feed, 0, 9), read(&feed, 1, 9)), (None, None));
    }

    #[tokio::test]
    async fn what_is_being_stored_counts_before_it_is_settled() {
        let feed = Arc::new(Feed::new(1, 10));
        let storing = feed.storing().await;
        let other = Arc::clone(&feed);
        let settled = tokio::spawn(async move { other.settled().await });
        tokio::task::yield_now().await;
        feed.put(points(0, 3));
        drop(storing);
        assert_eq!(settled.await.unwrap(), 3);
        assert!(
            matches!(feed.next(0, 10, 2), Fed::Points(points) if points.len() == 2),
            "none behind a number"
        );
    }
}
