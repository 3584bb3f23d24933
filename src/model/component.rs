//! A component: a worker, a server, a node's agent, or anything else that reports.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::Millis;

/// Identity of a component's row in `noetl.runtime`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuntimeId(pub i64);

/// A kind of component: `worker_pool`, `server_api`, `broker`, `node_agent`, or one of the user's.
pub type ComponentKind = Box<str>;

/// Whether `kind` can be a component's kind: 1 to 255 letters, digits, `_`, `-` or `.`.
pub fn is_component_kind(kind: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    (1..=255).contains(&kind.len()) && kind.bytes().all(allowed)
}

/// A registered component and what the server knows of it at this moment. Shared by all who hold
/// series of it; the counters move, the identity does not.
#[derive(Debug)]
pub struct Component {
    /// Its row in `noetl.runtime`.
    pub id: RuntimeId,
    /// Its name; with the kind it is unique.
    pub name: Box<str>,
    /// Its kind.
    pub kind: ComponentKind,
    /// When its newest accepted report was committed, 0 if never.
    last_report: AtomicI64,
    /// When it last sent a heartbeat, 0 if never.
    heartbeat: AtomicI64,
    /// Whether its series are exported.
    live: AtomicBool,
    /// Whether it said goodbye, or its row says so.
    offline: AtomicBool,
    /// Whether it was heard since its row said that it is offline.
    returned: AtomicBool,
    /// Whether its row is gone, or another one took its name.
    purged: AtomicBool,
    /// Series in memory.
    series: AtomicU32,
    /// Samples accepted.
    accepted: AtomicU64,
    /// Samples refused.
    rejected: AtomicU64,
    /// Why the last refused sample was refused.
    last_reason: Mutex<Option<(Millis, Box<str>)>>,
}

impl Component {
    /// A component as the database knows it.
    pub fn new(id: RuntimeId, name: &str, kind: &str, heartbeat: Millis) -> Self {
        Self {
            id,
            name: name.into(),
            kind: kind.into(),
            last_report: AtomicI64::new(0),
            heartbeat: AtomicI64::new(heartbeat.0),
            live: AtomicBool::new(false),
            offline: AtomicBool::new(false),
            returned: AtomicBool::new(false),
            purged: AtomicBool::new(false),
            series: AtomicU32::new(0),
            accepted: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            last_reason: Mutex::new(None),
        }
    }

    /// When its newest accepted report was committed.
    pub fn last_report(&self) -> Option<Millis> {
        Some(self.last_report.load(Ordering::Relaxed)).filter(|t| *t > 0).map(Millis)
    }

    /// When it last sent a heartbeat.
    pub fn heartbeat(&self) -> Option<Millis> {
        Some(self.heartbeat.load(Ordering::Relaxed)).filter(|t| *t > 0).map(Millis)
    }

    /// The later of report and heartbeat.
    pub fn last_seen(&self) -> Option<Millis> {
        self.last_report().max(self.heartbeat())
    }

    /// A report of `samples` was committed at `now`.
    pub fn reported(&self, now: Millis, samples: u64) {
        self.last_report.fetch_max(now.0, Ordering::Relaxed);
        self.heard();
        self.accepted.fetch_add(samples, Ordering::Relaxed);
    }

    /// A heartbeat arrived at `now`.
    pub fn beat(&self, now: Millis) {
        self.heartbeat.fetch_max(now.0, Ordering::Relaxed);
    }

    /// `count` samples were refused, the last one for `reason`.
    pub fn refused(&self, count: u64, reason: &str) {
        self.rejected.fetch_add(count, Ordering::Relaxed);
        let reason: String = reason.chars().take(300).collect();
        *self.last_reason.lock() = Some((Millis::now(), reason.into()));
    }

    /// What the database remembers of it: newest report, samples accepted and refused.
    pub fn restore(&self, last_report: Option<Millis>, accepted: u64, rejected: u64) {
        self.last_report.fetch_max(last_report.map_or(0, |t| t.0), Ordering::Relaxed);
        self.accepted.fetch_max(accepted, Ordering::Relaxed);
        self.rejected.fetch_max(rejected, Ordering::Relaxed);
    }

    /// Whether its series are exported.
    pub fn is_live(&self) -> bool {
        self.live.load(Ordering::Acquire)
    }

    /// Says whether its series are exported; returns what was said before.
    pub fn set_live(&self, live: bool) -> bool {
        self.live.swap(live, Ordering::AcqRel)
    }

    /// Whether it said goodbye and was not heard since.
    pub fn is_offline(&self) -> bool {
        self.offline.load(Ordering::Relaxed)
    }

    /// It said goodbye, or its row says that it is offline.
    pub fn went_offline(&self) {
        self.offline.store(true, Ordering::Relaxed);
    }

    /// It was heard: whatever was said of it, it is not offline.
    pub fn heard(&self) {
        if self.offline.swap(false, Ordering::Relaxed) {
            self.returned.store(true, Ordering::Relaxed);
        }
    }

    /// Whether its row still says offline although it was heard since; asked once.
    pub fn take_returned(&self) -> bool {
        self.returned.swap(false, Ordering::Relaxed)
    }

    /// Its row still says offline, although it was heard since.
    pub fn set_returned(&self) {
        self.returned.store(true, Ordering::Relaxed);
    }

    /// Whether its row is gone, or another one took its name.
    pub fn is_purged(&self) -> bool {
        self.purged.load(Ordering::Relaxed)
    }

    /// Its row is gone, or another one took its name.
    pub fn set_purged(&self) {
        self.purged.store(true, Ordering::Relaxed);
    }

    /// Series of it in memory.
    pub fn series(&self) -> u32 {
        self.series.load(Ordering::Relaxed)
    }

    /// A series was added to memory.
    pub fn series_added(&self) {
        self.series.fetch_add(1, Ordering::Relaxed);
    }

    /// A series left memory.
    pub fn series_removed(&self) {
        self.series.fetch_sub(1, Ordering::Relaxed);
    }

    /// Samples accepted.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Samples refused.
    pub fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    /// When and why the last refused sample was refused, since the start.
    pub fn last_rejection(&self) -> Option<(Millis, Box<str>)> {
        self.last_reason.lock().clone()
    }
}
