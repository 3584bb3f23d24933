//! History as Prometheus and VictoriaMetrics tell it: what is read is what a library reads, and comes back
//! once it is written again.
#![allow(clippy::panic, reason = "a check fails by a panic")]

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Found, prometheus, victoriametrics};

/// A line of VictoriaMetrics, where all of its values are numbers.
#[derive(Deserialize)]
struct Line {
    metric: BTreeMap<String, String>,
    values: Vec<f64>,
    timestamps: Vec<i64>,
}

/// Bytes are given to both as they are.
pub(crate) fn history(data: &[u8]) {
    if let Some(found) = victoriametrics::series(data) {
        if let Ok(line) = serde_json::from_slice::<Line>(data) {
            assert_eq!(found.labels, line.metric);
            assert_eq!(found.left_out, 0);
            let samples: Vec<_> = line.timestamps.into_iter().zip(line.values).collect();
            assert_eq!(found.samples, samples);
        }
        let again = victoriametrics::series(&as_line(&found));
        assert!(again.is_some_and(|again| same(&again, &found)), "{found:?}");
    }
    for found in prometheus::series(data).unwrap_or_default() {
        let again = prometheus::series(&as_answer(&found)).unwrap_or_default();
        // Times that are no times come back as others.
        let sane = found.samples.iter().all(|(at, _)| (0..=crate::model::Millis::MAX.0).contains(at));
        assert!(!sane || matches!(&again[..], [again] if same(again, &found)), "{found:?}");
    }
}

fn same(a: &Found, b: &Found) -> bool {
    let alike = |(one, other): (&(i64, f64), &(i64, f64))| {
        one.0 == other.0 && (one.1 == other.1 || (one.1.is_nan() && other.1.is_nan()))
    };
    a.labels == b.labels && a.samples.len() == b.samples.len() && a.samples.iter().zip(&b.samples).all(alike)
}

fn as_line(found: &Found) -> Vec<u8> {
    let values: Vec<String> = found.samples.iter().map(|(_, value)| value.to_string()).collect();
    let times: Vec<String> = found.samples.iter().map(|(at, _)| at.to_string()).collect();
    let labels = serde_json::to_string(&found.labels).unwrap_or_default();
    let (values, times) = (values.join(","), times.join(","));
    format!("{{\"metric\":{labels},\"values\":[{values}],\"timestamps\":[{times}]}}").into_bytes()
}

fn as_answer(found: &Found) -> Vec<u8> {
    let values: Vec<String> = found
        .samples
        .iter()
        .map(|(at, value)| format!("[{}.{:03},\"{value}\"]", at / 1000, at % 1000))
        .collect();
    let labels = serde_json::to_string(&found.labels).unwrap_or_default();
    let series = format!("{{\"metric\":{labels},\"values\":[{}]}}", values.join(","));
    format!("{{\"data\":{{\"resultType\":\"matrix\",\"result\":[{series}]}}}}").into_bytes()
}
