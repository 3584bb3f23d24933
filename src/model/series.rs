//! A series: one metric of one component with one set of labels, and its newest value.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering};

use super::{Component, MetricType, Millis};

/// Identity of a series in the database: 1 to 2^23 - 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesId(pub i32);

impl SeriesId {
    /// The `metric_id` of this series' sample at `at`: the series in the upper 23 bits, the
    /// milliseconds since 1970 in the lower 41. Unique, since a series has one sample at a time.
    pub const fn metric_id(self, at: Millis) -> i64 {
        ((self.0 as i64) << 41) | (at.0 & Millis::MAX.0)
    }
}

/// Stands for how a component writes a series in its reports: the same again is the same series. Never
/// 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SeriesKey(pub u64);

/// One metric of one component with one set of labels. Held once in memory, shared by the index
/// that resolves reports and by the exposition; only the writer changes its newest value.
#[derive(Debug)]
pub struct Series {
    /// Identity in the database.
    pub id: SeriesId,
    /// Who reports it.
    pub component: Arc<Component>,
    /// Type of the metric. It changes where it was only inferred, and is declared later.
    kind: AtomicU8,
    /// The line that a scrape gets, up to the value: `name{component="…",…} `. Also the key of the
    /// index, since two series that a scraper can't tell apart are one.
    pub line: Box<[u8]>,
    /// How its component wrote it last; 0 while that is not known. Changed by the index only.
    pub key: AtomicU64,
    /// The same by its text.
    pub written: Written,
    /// The newest value.
    pub newest: Newest,
    /// Time of the newest sample that was stored, or tried to be.
    pub appended: AtomicI64,
    /// When a sample of it arrived last, whatever its time: seconds since 1970.
    arrived: AtomicU32,
    /// Whether the exposition holds it.
    pub exported: AtomicBool,
}

impl Series {
    /// A series of which no value is known yet.
    pub fn new(id: SeriesId, component: Arc<Component>, kind: MetricType, line: Box<[u8]>) -> Self {
        Self {
            id,
            component,
            kind: AtomicU8::new(kind as u8),
            line,
            key: AtomicU64::new(0),
            written: Written::default(),
            newest: Newest::default(),
            appended: AtomicI64::new(i64::MIN),
            arrived: AtomicU32::new(seconds(Millis::now())),
            exported: AtomicBool::new(false),
        }
    }

    /// Type of the metric.
    pub fn kind(&self) -> MetricType {
        let place = usize::from(self.kind.load(Ordering::Relaxed));
        MetricType::ALL.get(place).copied().unwrap_or(MetricType::Gauge)
    }

    /// The metric turned out to be of another type. What holds series by their type has to be told.
    pub fn set_kind(&self, kind: MetricType) {
        self.kind.store(kind as u8, Ordering::Relaxed);
    }

    /// A sample of it arrived at `now`.
    pub fn arrived(&self, now: Millis) {
        self.arrived.store(seconds(now), Ordering::Relaxed);
    }

    /// Milliseconds since a sample of it arrived.
    pub fn idle_ms(&self, now: Millis) -> i64 {
        i64::from(seconds(now).saturating_sub(self.arrived.load(Ordering::Relaxed))) * 1000
    }

    /// The metric's name.
    pub fn metric_name(&self) -> &str {
        let end = self.line.iter().position(|b| matches!(b, b'{' | b' ')).unwrap_or(self.line.len());
        str::from_utf8(&self.line[..end]).unwrap_or_default()
    }
}

/// How a component wrote a series in its last report. Its parts may be of different reports: who goes by them
/// compares with what is written.
#[derive(Debug, Default)]
pub struct Written {
    shape: AtomicU64,
    text: AtomicU64,
}

/// The text of an entry but for value and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesText {
    /// The lengths of its parts; 0 while they are not known.
    pub shape: u64,
    /// Stands for the parts.
    pub text: u64,
}

impl Written {
    /// Its text.
    pub fn text(&self) -> SeriesText {
        SeriesText { shape: self.shape.load(Ordering::Relaxed), text: self.text.load(Ordering::Relaxed) }
    }

    /// It was written otherwise.
    pub fn set_text(&self, SeriesText { shape, text }: SeriesText) {
        self.text.store(text, Ordering::Relaxed);
        self.shape.store(shape, Ordering::Relaxed);
    }

    /// It is not known any more.
    pub fn forget_text(&self) {
        self.shape.store(0, Ordering::Relaxed);
    }
}

fn seconds(at: Millis) -> u32 {
    u32::try_from(at.0 / 1000).unwrap_or(u32::MAX)
}

/// The newest value of a series. One task writes it, any number read it.
#[derive(Debug, Default)]
pub struct Newest {
    bits: AtomicU64,
    at: AtomicI64,
}

impl Newest {
    /// The value and its time; `None` while there is none.
    pub fn get(&self) -> Option<(Millis, f64)> {
        let at = self.at.load(Ordering::Acquire);
        (at > 0).then(|| (Millis(at), f64::from_bits(self.bits.load(Ordering::Relaxed))))
    }

    /// Takes `value` if it is not older than the one held. The values of one series never differ in
    /// a way that a reader between the two stores could notice: a scrape shows either.
    pub fn offer(&self, at: Millis, value: f64) {
        if at.0 >= self.at.load(Ordering::Relaxed) {
            self.bits.store(value.to_bits(), Ordering::Relaxed);
            self.at.store(at.0.max(1), Ordering::Release);
        }
    }
}

/// A sample that is ready to be stored.
#[derive(Clone, Debug)]
pub struct Point {
    /// The series it belongs to.
    pub series: Arc<Series>,
    /// Its time.
    pub at: Millis,
    /// Its value.
    pub value: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metric_ids_never_collide_within_their_range() {
        let ids = [(1, 0), (1, Millis::MAX.0), (2, 0), (4_194_304, 0), (8_388_607, Millis::MAX.0)];
        let mut seen: Vec<i64> = ids.iter().map(|(s, t)| SeriesId(*s).metric_id(Millis(*t))).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), ids.len());
    }

    #[test]
    fn a_type_can_change() {
        let component = Arc::new(Component::new(super::super::RuntimeId(1), "w", "worker_pool", Millis(0)));
        let series = Series::new(SeriesId(1), component, MetricType::Gauge, b"a{} ".as_slice().into());
        for kind in MetricType::ALL {
            series.set_kind(kind);
            assert_eq!(series.kind(), kind);
        }
    }

    #[test]
    fn an_older_value_does_not_replace_a_newer_one() {
        let newest = Newest::default();
        assert_eq!(newest.get(), None);
        newest.offer(Millis(20), 2.0);
        newest.offer(Millis(10), 1.0);
        assert_eq!(newest.get(), Some((Millis(20), 2.0)));
        newest.offer(Millis(20), 3.0);
        assert_eq!(newest.get(), Some((Millis(20), 3.0)));
    }
}
