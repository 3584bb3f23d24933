//! The list that collectors fill: short calls here, complete [`Reading`]s out.

use std::borrow::Cow;

use crate::model::{MetricType, Reading};

/// A list of readings being filled.
#[derive(Debug, Default)]
pub(crate) struct Readings(Vec<Reading>);

impl Readings {
    /// Adds a gauge.
    pub(crate) fn gauge(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        help: impl Into<Cow<'static, str>>,
        labels: &[(&'static str, &str)],
        value: f64,
    ) {
        self.push(MetricType::Gauge, name, help, labels, value);
    }

    /// Adds a counter.
    pub(crate) fn counter(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        help: impl Into<Cow<'static, str>>,
        labels: &[(&'static str, &str)],
        value: f64,
    ) {
        self.push(MetricType::Counter, name, help, labels, value);
    }

    /// What was added, in that order.
    pub(crate) fn into_vec(self) -> Vec<Reading> {
        self.0
    }

    /// Adds a reading of this type. A label with an empty value is the same as no label to every
    /// reader of the format, so it is left out.
    pub(crate) fn push(
        &mut self,
        kind: MetricType,
        name: impl Into<Cow<'static, str>>,
        help: impl Into<Cow<'static, str>>,
        labels: &[(&'static str, &str)],
        value: f64,
    ) {
        let labels = labels
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (Cow::Borrowed(*name), (*value).to_owned()))
            .collect();
        let (name, help) = (name.into(), help.into());
        let unit = unit_of(&name);
        self.0.push(Reading { name, kind, value, labels, help, unit, timestamp_ms: None });
    }
}

/// The unit that a name states at its end, as the naming rules of Prometheus have it.
fn unit_of(name: &str) -> Option<&'static str> {
    const UNITS: [&str; 4] = ["seconds", "bytes", "percent", "bits"];
    let stem = name.strip_suffix("_total").unwrap_or(name);
    UNITS.into_iter().find(|unit| stem.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_read_from_the_name() {
        assert_eq!(unit_of("node_cpu_seconds_total"), Some("seconds"));
        assert_eq!(unit_of("node_memory_MemFree_bytes"), Some("bytes"));
        assert_eq!(unit_of("noetl_system_cpu_usage_percent"), Some("percent"));
        assert_eq!(unit_of("node_load1"), None);
        assert_eq!(unit_of("milliseconds"), None);
    }

    #[test]
    fn empty_labels_are_left_out() {
        let mut out = Readings::default();
        out.gauge("a", "A.", &[("x", ""), ("y", "1")], 1.0);
        assert_eq!(out.into_vec()[0].labels, vec![("y".into(), "1".to_owned())]);
    }
}
