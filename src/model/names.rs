//! Metric and label names, and the families that metric names belong to.

use super::MetricType;

/// Whether a component is heard, which the server makes itself.
pub const COMPONENT_UP: &str = "noetl_component_up";
/// How long ago a component reported, which the server makes itself.
pub const REPORT_AGE: &str = "noetl_component_last_report_age_seconds";

/// Whether `name` is a Prometheus metric name: `[a-zA-Z_:][a-zA-Z0-9_:]*`.
pub fn is_metric_name(name: &str) -> bool {
    is_name(name, b":")
}

/// Whether `name` is a Prometheus label name: `[a-zA-Z_][a-zA-Z0-9_]*`.
pub fn is_label_name(name: &str) -> bool {
    is_name(name, b"")
}

fn is_name(name: &str, extra: &[u8]) -> bool {
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_' || extra.contains(b);
    let first = name.as_bytes().first();
    first.is_some_and(|b| !b.is_ascii_digit()) && name.as_bytes().iter().all(allowed)
}

/// Whether the server makes this metric itself, at each scrape, from what it knows of components.
pub fn is_reserved(name: &str) -> bool {
    matches!(name, COMPONENT_UP | REPORT_AGE)
}

/// A metric family: the name that `# TYPE` gives, and the sample names that belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family<'a> {
    /// Name of the family.
    pub name: &'a str,
    /// Its type.
    pub kind: MetricType,
}

impl Family<'_> {
    /// Suffixes of the sample names that the family claims; `""` is the bare name.
    pub const fn suffixes(self) -> &'static [&'static str] {
        match self.kind {
            MetricType::Gauge | MetricType::Counter => &[""],
            MetricType::Histogram => &["", "_bucket", "_sum", "_count"],
            MetricType::Summary => &["", "_sum", "_count"],
        }
    }
}

/// The family that a reported sample belongs to: `request_seconds_bucket` of type histogram is of
/// family `request_seconds`.
pub fn family_of(metric_name: &str, kind: MetricType) -> Family<'_> {
    let suffixes: &[&str] = match kind {
        MetricType::Gauge | MetricType::Counter => &[],
        MetricType::Histogram => &["_bucket", "_sum", "_count"],
        MetricType::Summary => &["_sum", "_count"],
    };
    let base = suffixes.iter().find_map(|s| metric_name.strip_suffix(s)).filter(|base| !base.is_empty());
    Family { name: base.unwrap_or(metric_name), kind }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_exposition_format() {
        for good in ["a", "_a", "a:b", "noetl_worker_active_tasks", "A9"] {
            assert!(is_metric_name(good), "{good}");
        }
        for bad in ["", "9a", "a-b", "a b", "é", "a.b", "a\n"] {
            assert!(!is_metric_name(bad), "{bad}");
            assert!(!is_label_name(bad), "{bad}");
        }
        assert!(!is_label_name("a:b"));
    }

    #[test]
    fn families_take_their_suffixed_series() {
        let family = |name, kind| family_of(name, kind).name;
        assert_eq!(family("a_seconds_bucket", MetricType::Histogram), "a_seconds");
        assert_eq!(family("a_seconds_count", MetricType::Summary), "a_seconds");
        assert_eq!(family("a_bucket", MetricType::Summary), "a_bucket");
        assert_eq!(family("a_count", MetricType::Gauge), "a_count");
        assert_eq!(family("_sum", MetricType::Summary), "_sum");
    }
}
