//! The forms in which history is written: remote write, VictoriaMetrics' JSON lines, CSV.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::model::Millis;
use crate::store::Past;
use crate::wire::remote_write_out::{TimeSeries, encode};
use crate::wire::value::write as write_value;

/// The beginning of the series' line in the text exposition, which selectors are held against.
pub(super) fn line(series: &Past) -> Vec<u8> {
    line_of(series.all_labels().iter().map(|(name, value)| (&**name, &**value)))
}

/// The same of all labels, the name among them.
pub(super) fn line_of<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let (mut line, mut own) = (Vec::new(), Vec::new());
    for (name, value) in labels {
        if name == "__name__" {
            line.extend_from_slice(value.as_bytes());
            continue;
        }
        own.push(if own.is_empty() { b'{' } else { b',' });
        let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        own.extend_from_slice(format!("{name}=\"{escaped}\"").as_bytes());
    }
    if !own.is_empty() {
        line.append(&mut own);
        line.push(b'}');
    }
    line.push(b' ');
    line
}

/// Takes out what the others have no form for, and says how much that was: NaN is no value to them.
pub(super) fn leave_out(series: &mut Past) -> u64 {
    let before = series.times.len();
    let mut values = series.values.iter();
    series.times.retain(|_| values.next().is_some_and(|value| !value.is_nan()));
    series.values.retain(|value| !value.is_nan());
    (before - series.times.len()) as u64
}

/// A line of VictoriaMetrics' JSON, as `/api/v1/import` takes it and `/api/v1/export` gives it.
pub(super) fn json_line(series: &Past) -> Vec<u8> {
    let value = |value: &f64| match *value {
        f64::INFINITY => json!("Infinity"),
        f64::NEG_INFINITY => json!("-Infinity"),
        finite => json!(finite),
    };
    let values: Vec<Value> = series.values.iter().map(value).collect();
    let mut line = json!({"metric": series.all_labels(), "values": values, "timestamps": series.times})
        .to_string()
        .into_bytes();
    line.push(b'\n');
    line
}

/// The first line of a CSV file.
pub(super) const CSV_HEADER: &str = "component,component_type,metric,labels,timestamp,value\n";

/// Rows of CSV, one for each sample; the labels are a JSON object.
pub(super) fn csv(series: &Past) -> Vec<u8> {
    let quoted = |text: &str| {
        if text.contains(['"', ',', '\n', '\r']) {
            format!("\"{}\"", text.replace('"', "\"\""))
        } else {
            text.to_owned()
        }
    };
    let labels = serde_json::to_string(&series.labels).unwrap_or_default();
    let start = [&series.component, &series.component_type, &series.metric, &labels]
        .map(|text| quoted(text))
        .join(",");
    let mut rows = Vec::new();
    for (at, value) in series.times.iter().zip(&series.values) {
        let _ = write!(rows, "{start},{},", Millis(*at).rfc3339());
        write_value(&mut rows, *value);
        rows.push(b'\n');
    }
    rows
}

/// A message of remote write 1.0.
pub(super) fn remote_write(batch: &[Past]) -> Vec<u8> {
    let of = |series: &Past| {
        let mut written = TimeSeries::new(series.all_labels());
        series.times.iter().zip(&series.values).for_each(|(at, value)| written.push(*at, *value));
        written
    };
    encode(batch.iter().map(of).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::live::Selector;
    use crate::model::Limits;
    use crate::wire::remote_write::{self as wire, Message as Version};

    fn series() -> Past {
        Past {
            component: "w,1".into(),
            component_type: "worker_pool".into(),
            metric: "jobs".into(),
            metric_type: "counter".into(),
            labels: BTreeMap::from([("path".into(), "a\"b".into())]),
            times: vec![1000, 2000, 3000],
            values: vec![1.0, f64::NAN, f64::INFINITY],
        }
    }

    #[test]
    fn what_has_no_form_is_left_out_and_counted() {
        let mut series = series();
        assert_eq!(leave_out(&mut series), 1);
        assert_eq!((series.times, series.values), (vec![1000, 3000], vec![1.0, f64::INFINITY]));
    }

    #[test]
    fn each_form_holds_name_labels_times_and_values() {
        let mut series = series();
        leave_out(&mut series);
        let line: Value = serde_json::from_slice(&json_line(&series)).unwrap();
        assert_eq!(line["metric"]["__name__"], "jobs");
        assert_eq!(line["metric"]["path"], "a\"b");
        assert_eq!((&line["values"], &line["timestamps"]), (&json!([1.0, "Infinity"]), &json!([1000, 3000])));
        let rows = String::from_utf8(csv(&series)).unwrap();
        assert_eq!(
            rows.lines().next(),
            Some(r#""w,1",worker_pool,jobs,"{""path"":""a\""b""}",1970-01-01T00:00:01.000Z,1"#)
        );
        let message = remote_write(std::slice::from_ref(&series));
        let read = wire::read(Version::V1, &message, &Limits::default()).unwrap();
        let labels = read.labels(&read.series[0]).unwrap();
        assert!(labels.is_sorted() && labels.len() == 4, "{labels:?}");
        assert_eq!(read.samples(&read.series[0]).len(), 2);
    }

    #[test]
    fn selectors_are_held_against_all_labels() {
        let selects = |text: &str| Selector::parse(text).unwrap().selects(&line(&series()));
        assert!(selects("jobs") && selects(r#"{component="w,1",path="a\"b"}"#));
        assert!(!selects("other") && !selects(r#"jobs{component_type="x"}"#));
    }
}
