//! What can happen to a store: random histories. Each step means something by itself, so that any of
//! them can be left out when a history that fails is made shorter.

use proptest::collection::vec;
use proptest::prelude::*;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Components of a history.
pub const COMPONENTS: u8 = 3;
/// Metrics, each with as many series as are asked for.
pub const METRICS: u8 = 4;

/// A history: when it begins, and what happens.
#[derive(Clone, Debug)]
pub struct History {
    /// Milliseconds after the midnight that all begin near to.
    pub begin: i64,
    pub steps: Vec<Step>,
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub enum Step {
    /// Reports that arrive together.
    Report(Vec<Report>),
    /// The last reports once more: as they were, or with other values.
    Again { other_values: bool },
    /// INSERT into `noetl.metrics`, which is then looked at as the server does now and then.
    Insert(Insert),
    /// Time passes; the server makes partitions ahead, or was too busy for it.
    Pass { ms: i64, ahead: bool },
    /// The server seals hours that are over.
    Seal,
    /// `noetl-metrics maintenance`, perhaps while reports arrive.
    Maintain { hours: i64, meanwhile: Vec<Report> },
    /// A metric's own time to live.
    MetricTtl { metric: u8, days: i32 },
    /// A component's.
    ComponentTtl { component: u8, days: i32 },
    /// Series of a component leave memory.
    Forget { component: u8 },
    /// The server is stopped and started.
    Restart,
    /// The server is killed some time after this began.
    Crash { during: Work, micros: u64 },
    /// Everything is compared.
    Check,
    /// One question is asked of both.
    Ask(Question),
}

/// What a crash interrupts.
#[derive(Clone, Debug)]
pub enum Work {
    Report(Vec<Report>),
    Seal,
    Maintain { hours: i64 },
}

/// Samples of one component: of `series` series from `first` on at `times` times.
#[derive(Clone, Debug)]
pub struct Report {
    pub component: u8,
    pub metric: u8,
    pub first: u16,
    pub series: u16,
    pub times: u16,
    /// From each time to the next.
    pub every: i64,
    /// From each series' time to the next one's.
    pub apart: i64,
    /// How long ago the last time is; in the future where it is negative.
    pub ago: i64,
    pub values: Values,
}

/// Rows for `noetl.metrics`.
#[derive(Clone, Debug)]
pub struct Insert {
    pub component: u8,
    pub metric: u8,
    pub first: u16,
    pub series: u16,
    pub ago: i64,
    /// At the time of a sample that the series has, where it has one.
    pub over: bool,
    pub values: Values,
}

/// How values are made of a number.
#[derive(Clone, Copy, Debug)]
pub enum Values {
    /// A counter that goes up.
    Counter(u32),
    /// Two digits after the point.
    Decimal(u64),
    /// One for all.
    Level(u64),
    /// What once had 32 bits.
    Float(u64),
    /// NaN, infinities, zero below zero, the smallest and the largest.
    Special(u64),
    /// Any bits at all.
    Bits(u64),
}

/// A question to the API, to SQL, or both.
#[derive(Clone, Debug)]
pub enum Question {
    /// `noetl.metrics_between`, in a session of some time zone.
    Between { from: Edge, length: i64, zone: usize },
    /// The API's pages of samples.
    Pages { filter: Filter, range: Range, limit: usize },
    /// The API's aggregates.
    Steps { filter: Filter, range: Range, step: i64, aggregate: usize, limit: usize },
}

/// What of the series is asked for.
#[derive(Clone, Debug)]
pub struct Filter {
    pub component: Option<u8>,
    pub metric: Option<u8>,
    pub label: Option<u16>,
}

/// A time that is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Edge {
    Ago(i64),
    /// Some milliseconds before a sample, which is so many thousandths on among all.
    Before(usize, i64),
}

/// Begin and length.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    pub from: Option<Edge>,
    pub length: Option<i64>,
}

impl Values {
    /// Value number `i` of series number `s`.
    pub fn of(self, s: u16, i: u16) -> f64 {
        const SPECIAL: [f64; 14] = [
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            -0.0,
            0.0,
            5e-324,
            -5e-324,
            f64::MIN_POSITIVE,
            f64::MAX,
            f64::MIN,
            9_007_199_254_740_991.0,
            -9_007_199_254_740_993.0,
            std::f64::consts::PI,
            0.1,
        ];
        let place = u64::from(s) << 16 | u64::from(i);
        match self {
            Self::Counter(from) => f64::from(from) + f64::from(i) * (1.0 + f64::from(s % 7)),
            Self::Decimal(seed) => (mix(seed ^ place) % 2_000_000) as f64 / 100.0 - 5000.0,
            Self::Level(seed) => (seed % 1000) as f64 / 8.0,
            Self::Float(seed) => f64::from(((mix(seed ^ place) % 100_000) as f32).sin()),
            Self::Special(seed) => SPECIAL[mix(seed ^ place) as usize % SPECIAL.len()],
            Self::Bits(seed) => {
                let value = f64::from_bits(mix(seed ^ place));
                if noetl_metrics::model::is_stale(value) { 1.0 } else { value }
            }
        }
    }

    /// Others than these.
    pub fn other(self) -> Self {
        match self {
            Self::Counter(from) => Self::Counter(from ^ 0x55),
            Self::Decimal(seed) | Self::Level(seed) | Self::Float(seed) => Self::Decimal(!seed),
            Self::Special(seed) => Self::Bits(seed),
            Self::Bits(seed) => Self::Special(seed),
        }
    }
}

/// The finalizer of SplitMix64: each bit of the result depends on all of the number.
pub fn mix(number: u64) -> u64 {
    let z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

pub fn history() -> impl Strategy<Value = History> {
    // Steps that pack and unpack are rare among reports: what makes them worth it comes first.
    (0..2 * DAY, vec(step(), 6..28)).prop_map(|(begin, steps)| History { begin, steps })
}

fn step() -> impl Strategy<Value = Step> {
    let hours = || prop_oneof![Just(6), Just(24), Just(48), Just(24 * 30)];
    let reports = |most| vec(report(), 1..=most);
    prop_oneof![
        12 => reports(3).prop_map(Step::Report),
        3 => any::<bool>().prop_map(|other_values| Step::Again { other_values }),
        3 => insert().prop_map(Step::Insert),
        6 => (pass(), prop::bool::weighted(0.9)).prop_map(|(ms, ahead)| Step::Pass { ms, ahead }),
        3 => Just(Step::Seal),
        2 => (hours(), vec(report(), 0..3)).prop_map(|(hours, meanwhile)| Step::Maintain { hours, meanwhile }),
        1 => (0..METRICS, 1..4).prop_map(|(metric, days)| Step::MetricTtl { metric, days }),
        1 => (0..COMPONENTS, 1..4).prop_map(|(component, days)| Step::ComponentTtl { component, days }),
        1 => (0..COMPONENTS).prop_map(|component| Step::Forget { component }),
        1 => Just(Step::Restart),
        2 => (work(), 0_u64..20_000).prop_map(|(during, micros)| Step::Crash { during, micros }),
        1 => Just(Step::Check),
        6 => question().prop_map(Step::Ask),
    ]
}

fn work() -> impl Strategy<Value = Work> {
    prop_oneof![
        vec(report(), 1..4).prop_map(Work::Report),
        Just(Work::Seal),
        prop_oneof![Just(24), Just(24 * 30)].prop_map(|hours| Work::Maintain { hours }),
    ]
}

fn pass() -> impl Strategy<Value = i64> {
    prop_oneof![
        3 => 1_000..5 * MINUTE,
        2 => 5 * MINUTE..50 * MINUTE,
        4 => HOUR..4 * HOUR,
        1 => DAY..3 * DAY,
    ]
}

/// How long ago samples are: mostly they are new.
fn ago() -> impl Strategy<Value = i64> {
    prop_oneof![
        6 => 0_i64..2_000,
        2 => -9 * MINUTE..10 * MINUTE,
        2 => 0..3 * HOUR,
        1 => 0..4 * DAY,
    ]
}

pub fn report() -> impl Strategy<Value = Report> {
    let size = prop_oneof![
        // A few of one time are rows, many are blocks, more than one page of them.
        6 => (1_u16..8, Just(1_u16)),
        8 => (8_u16..60, Just(1)),
        1 => (320_u16..700, Just(1)),
        4 => (1_u16..12, 2_u16..40),
        // More times than a chunk has.
        1 => (1_u16..4, 700_u16..900),
    ];
    let every = prop_oneof![2 => Just(1000_i64), 1 => 1_i64..5000, 1 => Just(4_000)];
    let apart = prop_oneof![3 => Just(0_i64), 1 => 1_i64..50];
    (0..COMPONENTS, 0..METRICS, 0_u16..40, size, every, apart, ago(), values()).prop_map(
        |(component, metric, first, (series, times), every, apart, ago, values)| Report {
            component,
            metric,
            first,
            series,
            times,
            every,
            apart,
            ago,
            values,
        },
    )
}

fn insert() -> impl Strategy<Value = Insert> {
    (0..COMPONENTS, 0..METRICS, 0_u16..60, 1_u16..6, ago(), any::<bool>(), values()).prop_map(
        |(component, metric, first, series, ago, over, values)| Insert {
            component,
            metric,
            first,
            series,
            ago,
            over,
            values,
        },
    )
}

fn values() -> impl Strategy<Value = Values> {
    prop_oneof![
        3 => (0_u32..1_000_000).prop_map(Values::Counter),
        3 => any::<u64>().prop_map(Values::Decimal),
        1 => any::<u64>().prop_map(Values::Level),
        1 => any::<u64>().prop_map(Values::Float),
        2 => any::<u64>().prop_map(Values::Special),
        1 => any::<u64>().prop_map(Values::Bits),
    ]
}

fn question() -> impl Strategy<Value = Question> {
    let filter = || {
        let label = prop::option::weighted(0.3, 0_u16..60);
        (prop::option::of(0..COMPONENTS), prop::option::of(0..METRICS), label)
            .prop_map(|(component, metric, label)| Filter { component, metric, label })
    };
    let length = || prop_oneof![0_i64..5 * MINUTE, 0..3 * HOUR, 0..5 * DAY];
    let edge = || {
        prop_oneof![
            1 => (-10 * MINUTE..4 * DAY).prop_map(Edge::Ago),
            2 => (0_usize..1000, prop_oneof![Just(0), 0..40 * MINUTE]).prop_map(|(at, ms)| Edge::Before(at, ms)),
        ]
    };
    let range = move || {
        (prop::option::weighted(0.7, edge()), prop::option::weighted(0.7, length()))
            .prop_map(|(from, length)| Range { from, length })
    };
    let step = prop_oneof![1_000_i64..HOUR, Just(HOUR), Just(5 * MINUTE), Just(DAY), Just(6 * HOUR)];
    let limit = || prop_oneof![3_usize..40, Just(1000), Just(10_000)];
    prop_oneof![
        (edge(), length(), 0_usize..6).prop_map(|(from, length, zone)| Question::Between {
            from,
            length,
            zone
        }),
        (filter(), range(), limit()).prop_map(|(filter, range, limit)| Question::Pages {
            filter,
            range,
            limit
        }),
        (filter(), range(), step, 0_usize..7, limit()).prop_map(|(filter, range, step, aggregate, limit)| {
            Question::Steps { filter, range, step, aggregate, limit }
        }),
    ]
}
