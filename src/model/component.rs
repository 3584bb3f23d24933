//! A component: a worker, a server, a node's agent, or anything else that reports.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::{Allowance, Millis, Orders, Steady};

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
    /// When its newest accepted report was committed.
    last_report: Moment,
    /// When it last sent a heartbeat.
    heartbeat: Moment,
    /// The time that was given last to samples that came without one.
    arrival: Mutex<Arrival>,
    /// Whether its series are exported.
    live: AtomicBool,
    /// One of the words of [`presence`].
    presence: AtomicU8,
    /// When it said goodbye last, by [`Steady`].
    left: AtomicI64,
    /// Whether its row is gone, or another one took its name.
    purged: AtomicBool,
    /// Series in memory.
    series: AtomicU32,
    /// In which orders it writes them.
    pub orders: Orders,
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
            last_report: Moment::default(),
            heartbeat: Moment::at(heartbeat),
            arrival: Mutex::default(),
            live: AtomicBool::new(false),
            presence: AtomicU8::new(presence::PRESENT),
            left: AtomicI64::new(i64::MIN),
            purged: AtomicBool::new(false),
            series: AtomicU32::new(0),
            orders: Orders::default(),
            accepted: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            last_reason: Mutex::new(None),
            samples_pace: Allowance::default(),
            bytes_pace: Allowance::default(),
        }
    }

    /// When its newest accepted report was committed.
    pub fn last_report(&self) -> Option<Millis> {
        self.last_report.get()
    }

    /// When it last sent a heartbeat.
    pub fn heartbeat(&self) -> Option<Millis> {
        self.heartbeat.get()
    }

    /// For how many milliseconds it did not report, however the clock was set meanwhile; `None` if it never
    /// did.
    pub fn silent_ms(&self) -> Option<i64> {
        self.last_report.age_ms()
    }

    /// For how many milliseconds it neither reported nor sent a heartbeat, likewise.
    pub fn unseen_ms(&self) -> Option<i64> {
        [self.last_report.age_ms(), self.heartbeat.age_ms()].into_iter().flatten().min()
    }

    /// A report of `samples` was committed at `at`.
    pub fn reported(&self, at: Millis, samples: u64) {
        self.last_report.was(at);
        self.heard();
        self.accepted.fetch_add(samples, Ordering::Relaxed);
    }

    /// A heartbeat arrived at `now`.
    pub fn beat(&self, now: Millis) {
        self.heartbeat.was(now);
    }

    /// The database knows of a heartbeat at `at`.
    pub fn has_beaten(&self, at: Millis) {
        self.heartbeat.told(at);
    }

    /// The times of samples that come at `now` without one. A clock that is set back, or is behind that of
    /// the server that was active before, gives no time a second time, at which they would replace what came
    /// before: until it has caught up, each report has a millisecond of its own after the last. `newest` are
    /// the newest samples of the series that they are of: those which have one ahead of that go on behind it,
    /// the others do not. What is more than `most_ms` ahead is passed over.
    pub fn arrival(&self, now: Millis, newest: impl IntoIterator<Item = Millis>, most_ms: i64) -> Arrivals {
        let is_ahead = |at: Millis| at > now && at.since(now) <= most_ms;
        let newest = newest.into_iter().filter(|newest| newest.since(now) <= most_ms).max();
        let mut given = self.arrival.lock();
        let last = given.last.filter(|at| is_ahead(*at) || (given.is_late && *at == now));
        let at = last.map_or(now, |at| at.plus(1));
        (given.last, given.is_late) = (Some(at), last.is_some());
        // Those that this server gave itself are before it.
        let found = newest.filter(|newest| *newest >= at);
        let behind = found.map_or(at, |found| {
            let last = given.behind.filter(|at| is_ahead(*at)).max(Some(found));
            last.unwrap_or(found).plus(1)
        });
        if found.is_some() {
            given.behind = Some(behind);
        }
        Arrivals { at, behind, most: now.plus(most_ms) }
    }

    /// `count` samples were refused, the last one for `reason`.
    pub fn refused(&self, count: u64, reason: &str) {
        self.rejected.fetch_add(count, Ordering::Relaxed);
        let reason: String = reason.chars().take(300).collect();
        *self.last_reason.lock() = Some((Millis::now(), reason.into()));
    }

    /// What the database remembers of it: newest report, samples accepted and refused.
    pub fn restore(&self, last_report: Option<Millis>, accepted: u64, rejected: u64) {
        if let Some(at) = last_report {
            self.last_report.told(at);
        }
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
        self.left.store(Steady::now().0, Ordering::Relaxed);
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
    pub fn row_says(&self, offline: bool, goodbye: bool, asked: Steady, stale_after_ms: i64) {
        let word = match self.presence.load(Ordering::Relaxed) {
            presence::LEFT if !offline && self.left.load(Ordering::Relaxed) >= asked.0 => return,
            presence::OFFLINE | presence::SILENT | presence::LEFT if !offline => presence::PRESENT,
            presence::PRESENT if offline && self.last_report.since(asked) => presence::RETURNED,
            presence::PRESENT if offline && goodbye => presence::LEFT,
            presence::PRESENT if offline && self.is_silent(stale_after_ms) => presence::SILENT,
            presence::PRESENT if offline => presence::OFFLINE,
            _ => return,
        };
        self.presence.store(word, Ordering::Relaxed);
    }

    fn is_silent(&self, stale_after_ms: i64) -> bool {
        self.unseen_ms().is_none_or(|unseen| unseen > stale_after_ms)
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

/// The times that were given last to samples without one.
#[derive(Clone, Copy, Debug, Default)]
struct Arrival {
    last: Option<Millis>,
    /// Whether it was later than the clock.
    is_late: bool,
    /// That of series which had samples ahead.
    behind: Option<Millis>,
}

/// The times of one report's samples that have none.
#[derive(Clone, Copy, Debug)]
pub struct Arrivals {
    at: Millis,
    behind: Millis,
    most: Millis,
}

impl Arrivals {
    /// That of a series with this newest sample, which is seldom asked for.
    pub fn of(&self, newest: impl FnOnce() -> Option<Millis>) -> Millis {
        if self.behind == self.at {
            return self.at;
        }
        match newest() {
            Some(newest) if newest >= self.at && newest <= self.most => self.behind,
            _ => self.at,
        }
    }
}

/// When something was last: by the machine's clock, to be told and kept, and by one that nobody sets, to know
/// how long ago that is.
#[derive(Debug)]
struct Moment {
    /// 0 if never.
    at: AtomicI64,
    /// `i64::MIN` if never.
    steady: AtomicI64,
}

impl Default for Moment {
    fn default() -> Self {
        Self { at: AtomicI64::new(0), steady: AtomicI64::new(i64::MIN) }
    }
}

impl Moment {
    fn at(at: Millis) -> Self {
        let moment = Self::default();
        moment.told(at);
        moment
    }

    fn get(&self) -> Option<Millis> {
        Some(self.at.load(Ordering::Relaxed)).filter(|t| *t > 0).map(Millis)
    }

    /// It was at `at`.
    fn was(&self, at: Millis) {
        let ago = Millis::now().since(at).max(0);
        self.steady.fetch_max(Steady::now().0.saturating_sub(ago), Ordering::Relaxed);
        self.at.fetch_max(at.0, Ordering::Relaxed);
    }

    /// Somebody says that it was at `at`: once more what is known is no news, however late the clock says
    /// that it is.
    fn told(&self, at: Millis) {
        if self.at.load(Ordering::Relaxed) < at.0 {
            self.was(at);
        }
    }

    fn age_ms(&self) -> Option<i64> {
        let steady = Some(self.steady.load(Ordering::Relaxed)).filter(|at| *at > i64::MIN);
        steady.map(|at| Steady::now().since(Steady(at)).max(0))
    }

    fn since(&self, asked: Steady) -> bool {
        self.steady.load(Ordering::Relaxed) >= asked.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_its_row_said_before_it_left_does_not_bring_it_back() {
        let component = Component::new(RuntimeId(1), "w", "worker_pool", Millis::now());
        let asked = Steady::now();
        component.went_offline();
        component.row_says(false, false, asked, 60_000);
        assert!(component.is_offline());
        // What is asked later is news.
        component.row_says(false, false, Steady(Steady::now().0 + 1), 60_000);
        assert!(!component.is_offline() && !component.has_left());
    }

    #[test]
    fn a_clock_that_is_set_back_gives_no_time_twice() {
        let component = Component::new(RuntimeId(1), "w", "worker_pool", Millis(1));
        let at = |now: i64| component.arrival(Millis(now), None, 1000).of(|| None).0;
        assert_eq!([at(5000), at(5000), at(5003)], [5000, 5000, 5003]);
        // By 900 ms, until it has caught up.
        assert_eq!([at(4103), at(4104), at(5005), at(5006), at(5008)], [5004, 5005, 5006, 5007, 5008]);
        // It was far ahead.
        assert_eq!([at(9000), at(5100), at(5101)], [9000, 5100, 5101]);
    }

    #[test]
    fn a_clock_behind_that_of_the_server_before_gives_no_time_twice() {
        let component = Component::new(RuntimeId(1), "w", "worker_pool", Millis(1));
        let both = |now: i64, newest: i64| {
            let newest = Some(Millis(newest));
            let arrival = component.arrival(Millis(now), newest, 1000);
            (arrival.of(|| newest).0, arrival.of(|| None).0)
        };
        // Series that had nothing ahead have the time of the clock.
        assert_eq!(
            [both(4100, 5000), both(4200, 5000)],
            [(5001, 4100), (5002, 4200)],
            "both are on their way"
        );
        assert_eq!(both(4300, 5002), (5003, 4300));
        assert_eq!(both(5003, 5003), (5004, 5003));
        assert_eq!(both(5006, 5004), (5006, 5006), "in step again");
        assert_eq!(both(5100, 9000), (5100, 5100), "far ahead");
    }

    #[test]
    fn how_long_ago_it_was_does_not_move_with_the_clock() {
        let component = Component::new(RuntimeId(1), "w", "worker_pool", Millis::now());
        assert_eq!(component.silent_ms(), None);
        let ahead = Millis::now().plus(90_000);
        component.reported(ahead, 1);
        let heard = component.silent_ms().unwrap();
        assert!(heard < 60_000, "{heard}");
        // The clock is right again: what is kept of then is no news.
        std::thread::sleep(std::time::Duration::from_millis(5));
        component.restore(Some(ahead), 0, 0);
        component.has_beaten(component.heartbeat().unwrap());
        assert!(component.silent_ms().unwrap() >= heard + 5);
        assert_eq!(component.last_report(), Some(ahead));
        component.reported(Millis::now(), 1);
        assert!(component.silent_ms().unwrap() < 60_000);
    }

    #[test]
    fn who_said_goodbye_is_told_from_who_is_silent() {
        let at = Millis(1);
        let of_row = |goodbye| {
            let component = Component::new(RuntimeId(1), "w", "worker_pool", at);
            component.row_says(true, goodbye, Steady::now(), 60_000);
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
