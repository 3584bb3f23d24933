//! A component: a worker, a server, a node's agent, or anything else that reports.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::{Allowance, Millis};

/// Identity of a component's row in `noetl.runtime`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuntimeId(pub i64);

/// A kind of component: `worker_pool`, `server_api`, `broker`, `node_agent`, or one of the user's.
pub type ComponentKind = Box<str>;

/// Kind of what stands for the aggregates of the rules file: servers report for it, so it is neither up nor
/// down.
pub const AGGREGATES: &str = "aggregates";

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
    /// The time that was given last to samples that came without one.
    arrival: AtomicI64,
    /// Whether its series are exported.
    live: AtomicBool,
    /// One of the words of [`presence`].
    presence: AtomicU8,
    /// When it said goodbye last.
    left: AtomicI64,
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
    /// How many samples it reports.
    pub samples_pace: Allowance,
    /// How many bytes its reports have.
    pub bytes_pace: Allowance,
}

/// What is known of a component's being here, beside when it was seen.
mod presence {
    /// Nothing was said against it.
    pub(super) const PRESENT: u8 = 0;
    /// Its row says that it is offline, though it was heard lately: as NoETL's word.
    pub(super) const OFFLINE: u8 = 1;
    /// Its row says that it is offline, since it was silent for too long.
    pub(super) const SILENT: u8 = 2;
    /// It was heard, and its row does not say so yet.
    pub(super) const RETURNED: u8 = 3;
    /// It said goodbye, to this server or another one of ours.
    pub(super) const LEFT: u8 = 4;
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
            arrival: AtomicI64::new(i64::MIN),
            live: AtomicBool::new(false),
            presence: AtomicU8::new(presence::PRESENT),
            left: AtomicI64::new(i64::MIN),
            purged: AtomicBool::new(false),
            series: AtomicU32::new(0),
            accepted: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            last_reason: Mutex::new(None),
            samples_pace: Allowance::default(),
            bytes_pace: Allowance::default(),
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

    /// The time of samples that come at `now` without one. A clock that is set back gives no time a second
    /// time, at which they would replace what came before: until it has caught up, each report has a
    /// millisecond of its own after the last. One that was wrong by more than `most_ms` is forgotten.
    pub fn arrival(&self, now: Millis, most_ms: i64) -> Millis {
        let next = |last: i64| {
            let is_ahead = last > now.0 && last.saturating_sub(now.0) <= most_ms;
            Some(if is_ahead { last + 1 } else { now.0 })
        };
        let last = self.arrival.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        last.ok().and_then(next).map_or(now, Millis)
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

    /// Whether it is away, by its own word or NoETL's, and was not heard since.
    pub fn is_offline(&self) -> bool {
        matches!(self.presence.load(Ordering::Relaxed), presence::OFFLINE | presence::LEFT)
    }

    /// Whether it said goodbye to us, rather than was said to be offline: nobody waits for it.
    pub fn has_left(&self) -> bool {
        self.presence.load(Ordering::Relaxed) == presence::LEFT
    }

    /// It said goodbye.
    pub fn went_offline(&self) {
        self.left.store(Millis::now().0, Ordering::Relaxed);
        self.presence.store(presence::LEFT, Ordering::Relaxed);
    }

    /// It was heard: whatever was said of it, it is here.
    pub fn heard(&self) {
        let away = |word| matches!(word, presence::OFFLINE | presence::SILENT | presence::LEFT);
        let back = |word| away(word).then_some(presence::RETURNED);
        let _ = self.presence.fetch_update(Ordering::Relaxed, Ordering::Relaxed, back);
    }

    /// Whether it was heard since its row said that it is offline; asked once.
    pub fn take_returned(&self) -> bool {
        let here = |word| (word == presence::RETURNED).then_some(presence::PRESENT);
        self.presence.fetch_update(Ordering::Relaxed, Ordering::Relaxed, here).is_ok()
    }

    /// Its row still says offline, although it was heard since.
    pub fn set_returned(&self) {
        self.presence.store(presence::RETURNED, Ordering::Relaxed);
    }

    /// Its row says that it is offline, by a goodbye or not, or something else. A component that was
    /// heard since it was `asked` is here, one that was not seen for longer than `stale_after_ms` only
    /// silent, unless it said goodbye; one that did since is away.
    pub fn row_says(&self, offline: bool, goodbye: bool, asked: Millis, stale_after_ms: i64) {
        let word = match self.presence.load(Ordering::Relaxed) {
            presence::LEFT if !offline && self.left.load(Ordering::Relaxed) >= asked.0 => return,
            presence::OFFLINE | presence::SILENT | presence::LEFT if !offline => presence::PRESENT,
            presence::PRESENT if offline && self.last_report() >= Some(asked) => presence::RETURNED,
            presence::PRESENT if offline && goodbye => presence::LEFT,
            presence::PRESENT if offline && self.is_silent(asked, stale_after_ms) => presence::SILENT,
            presence::PRESENT if offline => presence::OFFLINE,
            _ => return,
        };
        self.presence.store(word, Ordering::Relaxed);
    }

    fn is_silent(&self, now: Millis, stale_after_ms: i64) -> bool {
        self.last_seen().is_none_or(|seen| now.since(seen) > stale_after_ms)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_its_row_said_before_it_left_does_not_bring_it_back() {
        let component = Component::new(RuntimeId(1), "w", "worker_pool", Millis::now());
        let asked = Millis::now();
        component.went_offline();
        component.row_says(false, false, asked, 60_000);
        assert!(component.is_offline());
        // What is asked later is news.
        component.row_says(false, false, Millis::now().plus(1), 60_000);
        assert!(!component.is_offline() && !component.has_left());
    }

    #[test]
    fn a_clock_that_is_set_back_gives_no_time_twice() {
        let component = Component::new(RuntimeId(1), "w", "worker_pool", Millis(1));
        let at = |now: i64| component.arrival(Millis(now), 1000).0;
        assert_eq!([at(5000), at(5000), at(5003)], [5000, 5000, 5003]);
        // By 900 ms, until it has caught up.
        assert_eq!([at(4103), at(4104), at(5004), at(5007)], [5004, 5005, 5006, 5007]);
        // It was far ahead.
        assert_eq!([at(9000), at(5100), at(5101)], [9000, 5100, 5101]);
    }

    #[test]
    fn who_said_goodbye_is_told_from_who_is_silent() {
        let at = Millis(1);
        let of_row = |goodbye| {
            let component = Component::new(RuntimeId(1), "w", "worker_pool", at);
            component.row_says(true, goodbye, Millis::now(), 60_000);
            (component.is_offline(), component.has_left(), component)
        };
        let (offline, left, component) = of_row(true);
        assert!(offline && left);
        component.heard();
        assert!(!component.has_left());
        let (offline, left, _) = of_row(false);
        assert!(!offline && !left);
    }
}
