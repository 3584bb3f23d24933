//! Which faults come, when, for how long and to whom: all of it from a seed.

use std::ops::Range;
use std::time::Duration;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    KillServer,
    StopServer,
    RollServers,
    ScaleServers,
    KillAllServers,
    KillPostgres,
    RestartPostgres,
    StopPostgres,
    KillBoth,
    ReadOnly,
    ConnectionsUsedUp,
    DiskFull,
    SlowDatabase,
    CutConnections,
    BlackHole,
    Partition,
    LeaseLocked,
    TerminateBackends,
    FailOver,
    StandbyLost,
    ServerClock,
    ServerClocks,
    PostgresClock,
}

impl Kind {
    pub const ALL: [Self; 23] = [
        Self::KillServer,
        Self::StopServer,
        Self::RollServers,
        Self::ScaleServers,
        Self::KillAllServers,
        Self::KillPostgres,
        Self::RestartPostgres,
        Self::StopPostgres,
        Self::KillBoth,
        Self::ReadOnly,
        Self::ConnectionsUsedUp,
        Self::DiskFull,
        Self::SlowDatabase,
        Self::CutConnections,
        Self::BlackHole,
        Self::Partition,
        Self::LeaseLocked,
        Self::TerminateBackends,
        Self::FailOver,
        Self::StandbyLost,
        Self::ServerClock,
        Self::ServerClocks,
        Self::PostgresClock,
    ];

    /// Its name, for people and for `FAULTS_ONLY`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KillServer => "server-killed",
            Self::StopServer => "server-stopped",
            Self::RollServers => "servers-rolled",
            Self::ScaleServers => "servers-scaled",
            Self::KillAllServers => "all-servers-killed",
            Self::KillPostgres => "postgres-killed",
            Self::RestartPostgres => "postgres-restarted",
            Self::StopPostgres => "postgres-stopped",
            Self::KillBoth => "both-killed",
            Self::ReadOnly => "read-only",
            Self::ConnectionsUsedUp => "connections-used-up",
            Self::DiskFull => "disk-full",
            Self::SlowDatabase => "slow-database",
            Self::CutConnections => "connections-cut",
            Self::BlackHole => "black-hole",
            Self::Partition => "partition",
            Self::LeaseLocked => "lease-locked",
            Self::TerminateBackends => "backends-terminated",
            Self::FailOver => "fail-over",
            Self::StandbyLost => "standby-lost",
            Self::ServerClock => "server-clock",
            Self::ServerClocks => "servers-clocks",
            Self::PostgresClock => "postgres-clock",
        }
    }

    /// Whether reports must have failed meanwhile; if none did, there was no fault.
    pub const fn is_felt(self) -> bool {
        matches!(
            self,
            Self::KillPostgres
                | Self::RestartPostgres
                | Self::KillBoth
                | Self::KillAllServers
                | Self::ReadOnly
                | Self::ConnectionsUsedUp
                | Self::FailOver
        )
    }

    /// Whether a clock is set, which takes a library in those who go by it.
    pub const fn sets_clocks(self) -> bool {
        matches!(self, Self::ServerClock | Self::ServerClocks | Self::PostgresClock)
    }

    /// For how many milliseconds it lasts.
    const fn lasts(self) -> Range<u64> {
        match self {
            // Around the duration of the lease.
            Self::KillServer | Self::StopServer | Self::Partition | Self::LeaseLocked => 500..6000,
            Self::BlackHole | Self::StopPostgres => 500..5000,
            Self::ServerClock | Self::ServerClocks | Self::PostgresClock => 1000..6000,
            Self::CutConnections | Self::TerminateBackends | Self::RestartPostgres => 0..300,
            Self::FailOver => 300..2000,
            _ => 500..3000,
        }
    }
}

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    pub kind: Kind,
    /// Undisturbed time before it.
    pub pause: Duration,
    pub lasts: Duration,
    /// Whether it meets the server that is active, where it is for one only.
    pub active: bool,
    /// Decides what else there is to decide.
    pub pick: u64,
}

impl Fault {
    /// By how many milliseconds a clock is set, and in which direction: from less than a second over a
    /// report's interval and a lease to more than half of an hour; `most` bounds it.
    pub const fn step(&self, most: u64) -> i64 {
        const SIZES: [u64; 8] = [300, 1_000, 4_000, 10_000, 40_000, 120_000, 290_000, 2_000_000];
        let size = SIZES[(self.pick / 8 % SIZES.len() as u64) as usize];
        let size = if size < most { size } else { most };
        // A half to the whole of it.
        let by = (size / 2 + self.pick / 64 % (size / 2 + 1)) as i64;
        if self.pick.is_multiple_of(2) { by } else { -by }
    }

    /// Whether a server goes while a clock is wrong.
    pub const fn goes(&self) -> bool {
        self.pick / 2 % 4 < 2
    }
}

/// The faults of a seed, without an end: all kinds in an order of chance, then all again in another.
pub fn schedule(seed: u64, kinds: &[Kind]) -> impl Iterator<Item = Fault> {
    let mut numbers = Numbers(seed);
    let mut deck: Vec<Kind> = Vec::new();
    let kinds = kinds.to_vec();
    std::iter::from_fn(move || {
        if deck.is_empty() {
            deck.clone_from(&kinds);
            for i in (1..deck.len()).rev() {
                deck.swap(i, numbers.within(0..i as u64 + 1) as usize);
            }
        }
        let kind = deck.pop()?;
        Some(Fault {
            kind,
            pause: Duration::from_millis(numbers.within(200..1500)),
            lasts: Duration::from_millis(numbers.within(kind.lasts())),
            active: numbers.within(0..4) > 0,
            pick: numbers.next(),
        })
    })
}

/// SplitMix64: the same numbers from the same seed, in every version.
struct Numbers(u64);

impl Numbers {
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    const fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }
}

#[test]
fn a_seed_makes_the_same_schedule_with_each_kind_in_turn() {
    let take = |seed| schedule(seed, &Kind::ALL).take(3 * Kind::ALL.len()).collect::<Vec<_>>();
    assert_eq!(take(7), take(7));
    assert_ne!(take(7), take(8));
    for round in take(7).chunks(Kind::ALL.len()) {
        let mut kinds: Vec<Kind> = round.iter().map(|fault| fault.kind).collect();
        kinds.sort();
        assert_eq!(kinds, Kind::ALL);
    }
}

#[test]
fn clocks_are_set_ahead_and_back_by_little_and_by_much() {
    let faults: Vec<Fault> = schedule(7, &[Kind::ServerClock]).take(200).collect();
    let steps: Vec<i64> = faults.iter().map(|fault| fault.step(290_000)).collect();
    assert!(steps.iter().all(|step| (150..=290_000).contains(&step.abs())));
    let any = |is: fn(i64) -> bool| steps.iter().any(|step| is(*step));
    assert!(any(|s| (1..1000).contains(&s)) && any(|s| (-999..0).contains(&s)));
    assert!(any(|s| s > 145_000) && any(|s| s < -145_000));
    assert!(faults.iter().any(Fault::goes) && !faults.iter().all(Fault::goes));
}
