//! Reports that wait in memory: bounded in bytes, the oldest dropped for a new one.
//!
//! Fresh reports are those that no newer one of their kind has followed: they hold the newest values,
//! and are sent as soon as that is possible. Reports that could not be sent for so long are old; they are drained later, in
//! order and not all at once. Old ones that are on disk too are not held here.
//!
//! Who puts a report in never waits. One sender takes them out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::scrape::Source;

/// A report as it will be sent.
#[derive(Clone, Debug)]
pub(super) struct Packed {
    /// The body.
    pub(super) body: Bytes,
    /// Whether the body is compressed with zstd.
    pub(super) zstd: bool,
    /// Samples in it.
    pub(super) samples: usize,
    /// When they were read, in milliseconds since 1970.
    pub(super) read_at_ms: i64,
    /// How long it holds the newest values: until the next of its kind.
    pub(super) fresh_for: Duration,
    /// The component that it is of, where that is not the agent itself.
    pub(super) source: Option<Arc<Source>>,
}

impl Packed {
    /// Name of the metric of the sample at `index`: for a line in the log, so it is dug out of the
    /// body when it is needed.
    pub(super) fn name_of(&self, index: usize) -> Option<String> {
        #[derive(serde::Deserialize)]
        struct Report {
            metrics: Vec<Sample>,
        }
        #[derive(serde::Deserialize)]
        struct Sample {
            metric_name: String,
        }
        let plain;
        let json: &[u8] = if self.zstd {
            plain = zstd::stream::decode_all(self.body.as_ref()).ok()?;
            &plain
        } else {
            &self.body
        };
        let report: Report = serde_json::from_slice(json).ok()?;
        report.metrics.into_iter().nth(index).map(|sample| sample.metric_name)
    }
}

/// Reports that wait to be sent.
#[derive(Debug)]
pub(super) struct Outbox {
    queue: Mutex<Queue>,
    /// For the one who sends.
    to_send: Notify,
    /// For the one who keeps reports on disk.
    to_keep: Notify,
    capacity: usize,
}

/// A report of the outbox.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    /// Its number here.
    pub(super) id: u64,
    /// The report.
    pub(super) report: Packed,
    /// Its place in the spool, where it was kept there too.
    pub(super) spooled: Option<u64>,
    since: Instant,
}

#[derive(Debug, Default)]
struct Queue {
    fresh: VecDeque<Waiting>,
    old: VecDeque<Waiting>,
    /// Bytes of both.
    bytes: usize,
    /// The number of the next report.
    next: u64,
    /// The one that is being sent.
    sending: Option<u64>,
    closed: bool,
}

impl Outbox {
    /// An outbox that holds at most `capacity` bytes.
    pub(super) fn new(capacity: usize) -> Self {
        Self { queue: Mutex::default(), to_send: Notify::new(), to_keep: Notify::new(), capacity }
    }

    /// Puts a report at the end. Returns how many were lost to make room: the oldest, or this one where
    /// there is no room at all.
    pub(super) fn put(&self, report: Packed) -> usize {
        let lost = self.queue.lock().put(report, self.capacity);
        self.to_send.notify_one();
        self.to_keep.notify_one();
        lost
    }

    /// Waits until there may be something new to send.
    pub(super) async fn to_send(&self) {
        self.to_send.notified().await;
    }

    /// Waits until there may be something new to keep.
    pub(super) async fn to_keep(&self) {
        self.to_keep.notified().await;
    }

    /// Whether there are fresh reports.
    pub(super) fn has_fresh(&self) -> bool {
        !self.queue.lock().fresh.is_empty()
    }

    /// Whether there are old ones.
    pub(super) fn has_old(&self) -> bool {
        !self.queue.lock().old.is_empty()
    }

    /// The oldest of the fresh reports. From then on it is the one being sent, until another is or it is
    /// [`settled`](Self::settled).
    pub(super) fn fresh(&self) -> Option<Waiting> {
        let mut queue = self.queue.lock();
        let first = queue.fresh.front().cloned();
        queue.sending = first.as_ref().map(|first| first.id);
        first
    }

    /// The oldest of the old reports, likewise.
    pub(super) fn old(&self) -> Option<Waiting> {
        let mut queue = self.queue.lock();
        let first = queue.old.front().cloned();
        queue.sending = first.as_ref().map(|first| first.id);
        first
    }

    /// A report is done with, one way or the other; gives its place in the spool, where it has one by
    /// now.
    pub(super) fn settled(&self, id: u64) -> Option<u64> {
        let mut queue = self.queue.lock();
        queue.sending = None;
        queue.remove(id).and_then(|gone| gone.spooled)
    }

    /// Reports that newer ones should have followed by now are old; those that are on disk too are no
    /// longer held here.
    pub(super) fn age(&self) {
        let mut queue = self.queue.lock();
        let Queue { fresh, old, bytes, .. } = &mut *queue;
        let mut at = 0;
        while at < fresh.len() {
            let Some(aged) = fresh.get(at).filter(|one| one.since.elapsed() > one.report.fresh_for) else {
                at += 1;
                continue;
            };
            if aged.spooled.is_some() {
                *bytes -= aged.report.body.len();
                fresh.remove(at);
            } else {
                old.extend(fresh.remove(at));
            }
        }
    }

    /// The oldest reports that are not on disk, at most `count`.
    pub(super) fn unspooled(&self, count: usize) -> Vec<(u64, Packed)> {
        let queue = self.queue.lock();
        let waiting = queue.old.iter().chain(&queue.fresh).filter(|one| one.spooled.is_none());
        waiting.take(count).map(|one| (one.id, one.report.clone())).collect()
    }

    /// A report has a place in the spool. False where it is not here any more.
    pub(super) fn spooled(&self, id: u64, seq: u64) -> bool {
        let mut queue = self.queue.lock();
        // An old one is not needed any more.
        if let Some(at) = queue.old.iter().position(|one| one.id == id && queue.sending != Some(id)) {
            let gone = queue.old.remove(at);
            queue.bytes -= gone.map_or(0, |gone| gone.report.body.len());
            return true;
        }
        let Queue { fresh, old, .. } = &mut *queue;
        let found = old.iter_mut().chain(fresh).find(|one| one.id == id);
        found.map(|one| one.spooled = Some(seq)).is_some()
    }

    /// Nothing more will come.
    pub(super) fn close(&self) {
        self.queue.lock().closed = true;
        self.to_send.notify_one();
    }

    /// Whether nothing more will come and nothing is left.
    pub(super) fn is_done(&self) -> bool {
        let queue = self.queue.lock();
        queue.closed && queue.old.is_empty() && queue.fresh.is_empty()
    }

    /// Bytes of all reports that are not sent yet.
    pub(super) fn bytes(&self) -> usize {
        self.queue.lock().bytes
    }

    /// Number of reports that are not sent yet.
    pub(super) fn reports(&self) -> usize {
        let queue = self.queue.lock();
        queue.old.len() + queue.fresh.len()
    }
}

impl Queue {
    fn put(&mut self, report: Packed, capacity: usize) -> usize {
        let mut lost = 0;
        while self.bytes + report.body.len() > capacity {
            match self.give_way() {
                Some(gone) => lost += usize::from(gone.spooled.is_none()),
                None => return lost + 1,
            }
        }
        self.bytes += report.body.len();
        self.fresh.push_back(Waiting { id: self.next, report, spooled: None, since: Instant::now() });
        self.next += 1;
        lost
    }

    /// Takes the oldest out that is not being sent.
    fn give_way(&mut self) -> Option<Waiting> {
        let oldest = self.old.iter().chain(&self.fresh).find(|one| self.sending != Some(one.id))?.id;
        self.remove(oldest)
    }

    fn remove(&mut self, id: u64) -> Option<Waiting> {
        let place = |queue: &VecDeque<Waiting>| queue.iter().position(|one| one.id == id);
        let gone = match place(&self.old) {
            Some(at) => self.old.remove(at),
            None => place(&self.fresh).and_then(|at| self.fresh.remove(at)),
        }?;
        self.bytes -= gone.report.body.len();
        Some(gone)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn report(id: u8, bytes: usize) -> Packed {
        Packed {
            body: vec![id; bytes].into(),
            zstd: false,
            samples: 1,
            read_at_ms: 0,
            fresh_for: if id == 0 { Duration::from_hours(1) } else { Duration::ZERO },
            source: None,
        }
    }

    fn first(waiting: Option<Waiting>) -> (u64, u8) {
        let waiting = waiting.unwrap();
        (waiting.id, waiting.report.body[0])
    }

    #[test]
    fn the_oldest_is_sent_first_and_dropped_first() {
        let outbox = Outbox::new(100);
        assert_eq!(outbox.put(report(1, 40)), 0);
        assert_eq!(outbox.put(report(2, 40)), 0);
        assert_eq!(outbox.put(report(3, 40)), 1);
        assert_eq!((outbox.bytes(), outbox.reports()), (80, 2));
        let (id, body) = first(outbox.fresh());
        assert_eq!(body, 2);
        // The one being sent still takes room, and is not dropped.
        assert_eq!((outbox.bytes(), outbox.reports()), (80, 2));
        assert_eq!(outbox.put(report(4, 40)), 1);
        outbox.settled(id);
        assert_eq!((outbox.bytes(), outbox.reports()), (40, 1));
        assert_eq!(first(outbox.fresh()).1, 4);
    }

    #[test]
    fn a_report_larger_than_all_the_room_is_dropped_itself() {
        let outbox = Outbox::new(100);
        outbox.put(report(1, 40));
        assert_eq!(outbox.put(report(2, 101)), 2);
        assert_eq!((outbox.bytes(), outbox.reports()), (0, 0));
    }

    #[test]
    fn reports_grow_old_where_they_are_not_on_disk() {
        let outbox = Outbox::new(100);
        for id in 0..=3 {
            outbox.put(report(id, 10));
        }
        let (first_id, _) = first(outbox.fresh());
        assert!(outbox.old().is_none());
        assert!(outbox.spooled(2, 70));
        outbox.age();
        assert_eq!((outbox.bytes(), outbox.reports()), (30, 3), "one is on disk");
        assert_eq!(first(outbox.fresh()), (first_id, 0), "its time is not over");
        outbox.settled(first_id);
        assert_eq!(first(outbox.old()).1, 1);
        let ids: Vec<_> = outbox.unspooled(9).iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, [1, 3]);
        assert_eq!(outbox.unspooled(1).len(), 1);
        // The one that is being sent stays until it is settled.
        assert!(outbox.spooled(1, 71) && outbox.spooled(3, 72));
        assert_eq!((outbox.bytes(), outbox.reports()), (10, 1));
        assert_eq!(outbox.settled(1), Some(71));
        assert!(!outbox.spooled(3, 73), "it is not here any more");
        assert!(outbox.unspooled(9).is_empty());
    }

    #[test]
    fn what_is_on_disk_gives_way_and_is_not_lost() {
        let outbox = Outbox::new(20);
        outbox.put(report(1, 10));
        outbox.put(report(2, 10));
        assert!(outbox.spooled(0, 5));
        assert_eq!(outbox.put(report(3, 10)), 0);
        assert_eq!(outbox.put(report(4, 10)), 1);
    }

    #[test]
    fn it_is_done_when_it_is_closed_and_empty() {
        let outbox = Outbox::new(100);
        outbox.put(report(1, 40));
        outbox.close();
        assert!(!outbox.is_done());
        let (id, _) = first(outbox.fresh());
        assert!(!outbox.is_done());
        outbox.settled(id);
        assert!(outbox.is_done());
    }

    proptest! {
        #[test]
        fn it_never_holds_more_than_it_may(sizes in proptest::collection::vec(1usize..300, 1..60)) {
            let outbox = Outbox::new(500);
            let mut dropped = 0;
            for (i, size) in sizes.iter().enumerate() {
                dropped += outbox.put(report(0, *size));
                prop_assert!(outbox.bytes() <= 500);
                prop_assert_eq!(outbox.reports() + dropped, i + 1);
            }
        }
    }
}
