//! A metric's type, and a reading: one value that this program measured itself.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// The four metric types of the HTTP contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum MetricType {
    /// A value that goes up and down.
    Gauge,
    /// A value that only goes up, or starts again at zero.
    Counter,
    /// One of the series of a classic histogram: `_bucket`, `_sum`, `_count`.
    Histogram,
    /// One of the series of a summary: quantiles, `_sum`, `_count`.
    Summary,
}

impl MetricType {
    /// All types, in the order in which errors list them.
    pub const ALL: [Self; 4] = [Self::Gauge, Self::Counter, Self::Histogram, Self::Summary];

    /// Whether its metrics are made of several series that belong together.
    pub const fn is_grouped(self) -> bool {
        matches!(self, Self::Histogram | Self::Summary)
    }

    /// The name on the wire and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
        }
    }
}

impl fmt::Display for MetricType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for MetricType {
    type Err = ();

    fn from_str(s: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|t| t.as_str() == s).ok_or(())
    }
}

/// The value by which a series says that it has ended, and leaves the export: the NaN that
/// Prometheus has for it. It is not stored.
pub const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// Whether a value is [`STALE`] and not another NaN.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE.to_bits()
}

/// One value that this program measured: of its host, its process, or handed over in a text file.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Metric name, a valid Prometheus name.
    pub name: Cow<'static, str>,
    /// Type of the metric.
    pub kind: MetricType,
    /// The value, in `unit`.
    pub value: f64,
    /// Label names and values; names are valid and differ from each other.
    pub labels: Vec<(Cow<'static, str>, String)>,
    /// One sentence of help.
    pub help: Cow<'static, str>,
    /// Base unit, where there is one: `seconds`, `bytes`, `percent`.
    pub unit: Option<&'static str>,
    /// Milliseconds since the epoch; `None` is the time of the report.
    pub timestamp_ms: Option<i64>,
}
