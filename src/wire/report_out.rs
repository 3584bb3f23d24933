//! A report body as `POST /api/metrics/report` takes it: readings in, JSON bytes out.
//!
//! Timestamps are RFC 3339 in UTC with milliseconds. NaN and the infinities, which JSON has no
//! numbers for, go as the strings `"NaN"`, `"+Inf"`, `"-Inf"`; the end of a series as `"Stale"`.

use std::borrow::Cow;

use serde::ser::{Serialize, SerializeMap, SerializeStruct, Serializer};

use crate::model::{Millis, Reading, is_stale};

/// A report to be written: who reports, and what it read.
#[derive(Clone, Copy, Debug)]
pub struct ReportOut<'a> {
    /// Name under which the component is registered.
    pub component_name: &'a str,
    /// Its type, `node_agent` or `worker_pool` for an agent.
    pub component_type: &'a str,
    /// Labels that every sample gets. A reading's own label of the same name wins.
    pub common_labels: &'a [(&'static str, String)],
    /// When the readings were taken, in milliseconds since the epoch; for those that say nothing
    /// else.
    pub read_at_ms: i64,
    /// The readings, in the order in which the server numbers them when it rejects some.
    pub readings: &'a [Reading],
}

impl ReportOut<'_> {
    /// The body.
    ///
    /// # Errors
    /// None of its parts can fail to serialise; the error is `serde_json`'s in form only.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }
}

impl Serialize for ReportOut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut body = serializer.serialize_struct("Report", 3)?;
        body.serialize_field("component_name", self.component_name)?;
        body.serialize_field("component_type", self.component_type)?;
        let read_at = Millis(self.read_at_ms).rfc3339();
        body.serialize_field("metrics", &Samples(self, &read_at))?;
        body.end()
    }
}

/// The samples of a report, and its time as it is written.
struct Samples<'a>(&'a ReportOut<'a>, &'a str);

impl Serialize for Samples<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.readings.iter().map(|reading| Sample(self.0, self.1, reading)))
    }
}

struct Sample<'a>(&'a ReportOut<'a>, &'a str, &'a Reading);

impl Serialize for Sample<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(report, read_at, reading) = self;
        let mut sample = serializer.serialize_map(None)?;
        sample.serialize_entry("metric_name", &reading.name)?;
        sample.serialize_entry("metric_type", &reading.kind)?;
        sample.serialize_entry("metric_value", &Value(reading.value))?;
        match reading.timestamp_ms {
            Some(own) => sample.serialize_entry("timestamp", &Millis(own).rfc3339())?,
            None => sample.serialize_entry("timestamp", read_at)?,
        }
        sample.serialize_entry("labels", &Labels(report.common_labels, &reading.labels))?;
        if !reading.help.is_empty() {
            sample.serialize_entry("help_text", &reading.help)?;
        }
        if let Some(unit) = reading.unit {
            sample.serialize_entry("unit", unit)?;
        }
        sample.end()
    }
}

struct Labels<'a>(&'a [(&'static str, String)], &'a [(Cow<'static, str>, String)]);

impl Serialize for Labels<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(common, own) = self;
        let is_own = |name: &str| own.iter().any(|(own, _)| own == name);
        let common = common.iter().filter(|(name, _)| !is_own(name));
        let common = common.map(|(name, value)| (*name, value));
        serializer.collect_map(common.chain(own.iter().map(|(name, value)| (name.as_ref(), value))))
    }
}

struct Value(f64);

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            value if value.is_finite() => serializer.serialize_f64(value),
            value if is_stale(value) => serializer.serialize_str("Stale"),
            value if value.is_nan() => serializer.serialize_str("NaN"),
            value if value > 0.0 => serializer.serialize_str("+Inf"),
            _ => serializer.serialize_str("-Inf"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::model::{MetricType, STALE};

    fn reading(name: &str, value: f64) -> Reading {
        Reading {
            name: name.to_owned().into(),
            kind: MetricType::Gauge,
            value,
            labels: Vec::new(),
            help: "".into(),
            unit: None,
            timestamp_ms: None,
        }
    }

    fn body(common: &[(&'static str, String)], readings: &[Reading]) -> Json {
        let report = ReportOut {
            component_name: "worker-cpu-01",
            component_type: "worker_pool",
            common_labels: common,
            read_at_ms: 1_704_110_400_000,
            readings,
        };
        serde_json::from_slice(&report.to_json().unwrap()).unwrap()
    }

    #[test]
    fn the_guides_example_comes_out_as_written() {
        let readings = [Reading {
            labels: vec![("component".into(), "worker-cpu-01".into())],
            help: "CPU usage percentage".into(),
            unit: Some("percent"),
            ..reading("noetl_system_cpu_usage_percent", 45.2)
        }];
        assert_eq!(
            body(&[("hostname", "node-1".into())], &readings),
            json!({
                "component_name": "worker-cpu-01",
                "component_type": "worker_pool",
                "metrics": [{
                    "metric_name": "noetl_system_cpu_usage_percent",
                    "metric_type": "gauge",
                    "metric_value": 45.2,
                    "timestamp": "2024-01-01T12:00:00.000Z",
                    "labels": {"component": "worker-cpu-01", "hostname": "node-1"},
                    "help_text": "CPU usage percentage",
                    "unit": "percent"
                }]
            })
        );
    }

    #[test]
    fn values_that_json_cannot_carry_are_strings() {
        let values = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, STALE].map(|v| reading("x", v));
        let body = body(&[], &values);
        let written: Vec<_> = (0..4).map(|i| body["metrics"][i]["metric_value"].clone()).collect();
        assert_eq!(written, ["NaN", "+Inf", "-Inf", "Stale"]);
    }

    #[test]
    fn a_readings_own_label_and_time_win() {
        let readings = [Reading {
            labels: vec![("hostname".into(), "inner".into())],
            timestamp_ms: Some(1),
            ..reading("x", 1.0)
        }];
        let body = body(&[("hostname", "outer".into()), ("pool_name", "p".into())], &readings);
        let sample = &body["metrics"][0];
        assert_eq!(sample["labels"], json!({"hostname": "inner", "pool_name": "p"}));
        assert_eq!(sample["timestamp"], "1970-01-01T00:00:00.001Z");
    }

    proptest! {
        #[test]
        fn every_finite_value_and_text_survives(
            value in any::<f64>().prop_filter("finite", |v| v.is_finite()),
            label in any::<String>(),
            help in any::<String>(),
        ) {
            let readings = [Reading {
                labels: vec![("l".into(), label.clone())],
                help: help.clone().into(),
                ..reading("x", value)
            }];
            let body = body(&[], &readings);
            let sample = &body["metrics"][0];
            // Parsed by the standard library: serde_json without `float_roundtrip` may be off by
            // the last bit.
            let text = serde_json::to_string(&Value(value)).unwrap();
            prop_assert_eq!(text.parse::<f64>().map(f64::to_bits), Ok(value.to_bits()));
            prop_assert_eq!(sample["labels"]["l"].as_str(), Some(label.as_str()));
            prop_assert_eq!(sample.get("help_text").and_then(Json::as_str).unwrap_or(""), help);
        }
    }
}
