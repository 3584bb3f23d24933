//! What a metric is measured in, and how a value of it is shown.
//!
//! Contract: pure. The unit is the one that was reported or, where there is none, the one that the
//! conventions for metric names put at the end of the name.

use super::humanize::{Human, bytes, count, digits, human, seconds, special, to_ms, utc};

/// What a value is measured in, as far as it changes how the value is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Unit {
    Bytes,
    Seconds,
    Percent,
    Ratio,
    Celsius,
    Time,
    Plain(String),
}

impl Unit {
    /// From the unit as reported or, where there is none, from the name, as the conventions for
    /// metric names have it.
    fn of(unit: Option<&str>, name: &str) -> Self {
        let stem = name.trim_end_matches("_total").trim_end_matches("_sum");
        if stem.ends_with("_timestamp_seconds") || stem.ends_with("_time_seconds") && !stem.contains("cpu") {
            return Self::Time;
        }
        let suffix = stem.rsplit('_').next().unwrap_or_default();
        match unit.unwrap_or(suffix).to_lowercase().as_str() {
            "byte" | "bytes" | "by" => Self::Bytes,
            "second" | "seconds" | "s" => Self::Seconds,
            "percent" | "%" => Self::Percent,
            "ratio" | "1" => Self::Ratio,
            "celsius" => Self::Celsius,
            other if unit.is_some() => Self::Plain(other.to_owned()),
            _ => Self::Plain(String::new()),
        }
    }
}

/// A value of the metric `name`, which is reported in `unit`.
pub(crate) fn quantity(value: f64, unit: Option<&str>, name: &str) -> Human {
    if let Some(base) = unit.and_then(|unit| unit.strip_suffix("/s")) {
        return per_second(value, Some(base), name);
    }
    if !value.is_finite() {
        return human(special(value), "");
    }
    match Unit::of(unit, name) {
        Unit::Bytes => bytes(value),
        Unit::Percent => human(digits(value), "%"),
        Unit::Ratio => human(digits(value * 100.0), "%"),
        Unit::Celsius => human(digits(value), "°C"),
        // A point in time in this century; anything else under such a name is a length of time.
        Unit::Time if (9.0e8..4.2e9).contains(&value) => human(utc(to_ms(value)), ""),
        Unit::Seconds | Unit::Time => human(seconds(value), ""),
        Unit::Plain(unit) => human(count(value), &unit),
    }
}

/// The rate per second of the metric `name`.
pub(super) fn per_second(value: f64, unit: Option<&str>, name: &str) -> Human {
    if !value.is_finite() {
        return human(special(value), "");
    }
    match Unit::of(unit, name) {
        Unit::Bytes => {
            let size = bytes(value);
            human(size.number, &format!("{}/s", size.unit))
        }
        // Seconds in a second are a share: of a CPU, mostly.
        Unit::Seconds | Unit::Time => human(digits(value * 100.0), "%"),
        _ => human(count(value), "/s"),
    }
}

/// How the axis of a chart is to be labelled: what values are multiplied by, the step between
/// prefixes (0 for none), and the unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Axis {
    /// Factor from stored to shown values.
    pub(super) factor: f64,
    /// 1024, 1000, or 0 where no prefix is to be used.
    pub(super) step: u32,
    /// Unit behind the prefix.
    pub(super) unit: &'static str,
}

/// The axis of a metric, or of its rate per second.
pub(super) fn axis(unit: Option<&str>, name: &str, per_second: bool) -> Axis {
    let (factor, step, unit) = match (Unit::of(unit, name), per_second) {
        (Unit::Bytes, false) => (1.0, 1024, "B"),
        (Unit::Bytes, true) => (1.0, 1024, "B/s"),
        (Unit::Seconds | Unit::Time, true) | (Unit::Ratio, false) => (100.0, 0, "%"),
        (Unit::Seconds | Unit::Time, false) => (1.0, 0, "s"),
        (Unit::Percent, false) => (1.0, 0, "%"),
        (Unit::Celsius, false) => (1.0, 0, "°C"),
        (Unit::Plain(_), false) => (1.0, 1000, ""),
        (_, true) => (1.0, 1000, "/s"),
    };
    Axis { factor, step, unit }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_the_reported_one_or_the_one_in_the_name() {
        for (value, unit, name, text) in [
            (45.2, Some("percent"), "noetl_system_cpu_usage_percent", "45.2%"),
            (0.97, None, "cache_hit_ratio", "97.0%"),
            (2048.0, None, "noetl_process_memory_rss_bytes", "2.00 KiB"),
            (4096.0, None, "network_receive_bytes_total", "4.00 KiB"),
            (90.0, None, "noetl_uptime_seconds", "1 m 30 s"),
            (150.0, Some("items"), "custom_work_items_processed", "150 items"),
            (3.0, None, "noetl_worker_active_tasks", "3"),
            (1_704_110_400.0, None, "node_boot_time_seconds", "2024-01-01 12:00:00 UTC"),
            (12.0, None, "last_run_timestamp_seconds", "12 s"),
            (61.0, Some("celsius"), "temp", "61.0°C"),
            (1024.0, Some("bytes/s"), "x", "1.00 KiB/s"),
            (f64::NAN, Some("bytes"), "x", "NaN"),
            (f64::NEG_INFINITY, None, "x", "-Inf"),
        ] {
            assert_eq!(quantity(value, unit, name).to_string(), text, "{name}");
        }
    }

    #[test]
    fn rates_keep_the_unit_and_cpu_seconds_become_a_share() {
        assert_eq!(per_second(2048.0, None, "rx_bytes_total").to_string(), "2.00 KiB/s");
        assert_eq!(per_second(0.25, None, "cpu_seconds_total").to_string(), "25.0%");
        assert_eq!(per_second(12.5, None, "requests_total").to_string(), "12.5 /s");
    }
}
