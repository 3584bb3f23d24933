//! Reports that wait to be sent: oldest first, bounded in bytes, the oldest dropped for a new one.
//!
//! Who puts a report in never waits. One sender takes them out.

use std::collections::VecDeque;
use std::sync::Arc;

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
    changed: Notify,
    capacity: usize,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Packed>,
    /// Bytes of all that wait, and of the one being sent.
    bytes: usize,
    sending: usize,
    closed: bool,
}

impl Outbox {
    /// An outbox that holds at most `capacity` bytes.
    pub(super) fn new(capacity: usize) -> Self {
        Self { queue: Mutex::default(), changed: Notify::new(), capacity }
    }

    /// Puts a report at the end. Returns how many were dropped to make room: the oldest, or this
    /// one where there is no room at all.
    pub(super) fn put(&self, report: Packed) -> usize {
        let dropped = self.queue.lock().put(report, self.capacity);
        self.changed.notify_one();
        dropped
    }

    /// Waits for the oldest report and takes it; its bytes count until [`done`](Self::done). `None`
    /// when the outbox is closed and empty.
    pub(super) async fn take(&self) -> Option<Packed> {
        loop {
            let (report, closed) = {
                let mut queue = self.queue.lock();
                (queue.take(), queue.closed)
            };
            if report.is_some() || closed {
                return report;
            }
            self.changed.notified().await;
        }
    }

    /// The report that was taken is done with, one way or the other.
    pub(super) fn done(&self) {
        let mut queue = self.queue.lock();
        queue.bytes -= queue.sending;
        queue.sending = 0;
    }

    /// The report that was taken could not be sent: it is the oldest again, and the first to go
    /// when room is needed.
    pub(super) fn put_back(&self, report: Packed) {
        let mut queue = self.queue.lock();
        queue.sending = 0;
        queue.waiting.push_front(report);
    }

    /// Nothing more will come.
    pub(super) fn close(&self) {
        self.queue.lock().closed = true;
        self.changed.notify_one();
    }

    /// Bytes of all reports that are not sent yet.
    pub(super) fn bytes(&self) -> usize {
        self.queue.lock().bytes
    }

    /// Number of reports that are not sent yet.
    pub(super) fn reports(&self) -> usize {
        let queue = self.queue.lock();
        queue.waiting.len() + usize::from(queue.sending > 0)
    }
}

impl Queue {
    fn put(&mut self, report: Packed, capacity: usize) -> usize {
        let mut dropped = 0;
        while self.bytes + report.body.len() > capacity {
            let Some(oldest) = self.waiting.pop_front() else { return dropped + 1 };
            self.bytes -= oldest.body.len();
            dropped += 1;
        }
        self.bytes += report.body.len();
        self.waiting.push_back(report);
        dropped
    }

    fn take(&mut self) -> Option<Packed> {
        let report = self.waiting.pop_front()?;
        self.sending = report.body.len();
        Some(report)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn report(id: u8, bytes: usize) -> Packed {
        Packed { body: vec![id; bytes].into(), zstd: false, samples: 1, source: None }
    }

    #[tokio::test]
    async fn the_oldest_is_sent_first_and_dropped_first() {
        let outbox = Outbox::new(100);
        assert_eq!(outbox.put(report(1, 40)), 0);
        assert_eq!(outbox.put(report(2, 40)), 0);
        assert_eq!(outbox.put(report(3, 40)), 1);
        assert_eq!((outbox.bytes(), outbox.reports()), (80, 2));
        assert_eq!(outbox.take().await.unwrap().body[0], 2);
        // The one being sent still takes room, and is not dropped.
        assert_eq!((outbox.bytes(), outbox.reports()), (80, 2));
        assert_eq!(outbox.put(report(4, 40)), 1);
        outbox.done();
        assert_eq!((outbox.bytes(), outbox.reports()), (40, 1));
        assert_eq!(outbox.take().await.unwrap().body[0], 4);
    }

    #[tokio::test]
    async fn a_report_put_back_is_the_oldest_again() {
        let outbox = Outbox::new(100);
        outbox.put(report(1, 40));
        outbox.put(report(2, 40));
        let taken = outbox.take().await.unwrap();
        outbox.put_back(taken);
        assert_eq!((outbox.bytes(), outbox.reports()), (80, 2));
        assert_eq!(outbox.put(report(3, 40)), 1);
        assert_eq!(outbox.take().await.unwrap().body[0], 2);
    }

    #[test]
    fn a_report_larger_than_all_the_room_is_dropped_itself() {
        let outbox = Outbox::new(100);
        outbox.put(report(1, 40));
        assert_eq!(outbox.put(report(2, 101)), 2);
        assert_eq!((outbox.bytes(), outbox.reports()), (0, 0));
    }

    #[tokio::test]
    async fn a_closed_outbox_is_emptied_and_then_ends() {
        let outbox = Outbox::new(100);
        outbox.put(report(1, 40));
        outbox.close();
        assert!(outbox.take().await.is_some());
        outbox.done();
        assert!(outbox.take().await.is_none());
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
