//! Samples as JSON, NDJSON and CSV. What a series' samples share is written once for all of them.

use std::io::Write as _;

use crate::model::Millis;
use crate::store::Row;
use crate::wire::value;

/// One page of samples.
#[derive(utoipa::ToSchema)]
#[cfg_attr(test, derive(Debug, serde::Deserialize))]
#[cfg_attr(test, serde(deny_unknown_fields))]
#[allow(dead_code, reason = "it is the form of what is written here")]
pub(in crate::server) struct QueryReply {
    /// The samples, newest first.
    metrics: Vec<Sample>,
    /// How many there are on this page.
    count: usize,
    /// How many there could be.
    limit: usize,
    /// Send it as `page_token` to get the next page; missing on the last one.
    next_page_token: Option<String>,
}

/// A stored sample with what is known of its series.
#[derive(utoipa::ToSchema)]
#[cfg_attr(test, derive(Debug, serde::Deserialize))]
#[cfg_attr(test, serde(deny_unknown_fields))]
#[allow(dead_code, reason = "it is the form of what is written here")]
#[schema(as = Row)]
pub(in crate::server) struct Sample {
    /// Id of the sample, a 64-bit number; null for an aggregated value.
    #[schema(required)]
    metric_id: Option<i64>,
    /// Id of the component; null where its row is gone.
    #[schema(required)]
    runtime_id: Option<i64>,
    /// Name of the component.
    component_name: String,
    /// Kind of the component.
    component_type: String,
    /// Metric name.
    metric_name: String,
    /// gauge, counter, histogram or summary.
    metric_type: String,
    /// The value; NaN, +Inf and -Inf are strings.
    #[schema(schema_with = crate::wire::value::schema)]
    metric_value: serde_json::Value,
    /// Labels as they were reported first.
    labels: Option<std::collections::HashMap<String, String>>,
    /// Help text.
    help_text: Option<String>,
    /// Unit.
    unit: Option<String>,
    /// Time of the sample, or start of the step; RFC 3339 with milliseconds.
    timestamp: String,
    /// When it was stored: for a sample in time the same as `timestamp`.
    created_at: String,
}

pub(super) fn json(rows: &[Row], limit: usize, next: Option<&str>) -> Vec<u8> {
    let mut out = Vec::with_capacity(rows.len() * 350 + 100);
    out.extend_from_slice(b"{\"metrics\":[");
    let mut times = Times::default();
    for (i, row) in rows.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        object(&mut out, row, &mut times);
    }
    let _ = write!(out, "],\"count\":{},\"limit\":{limit}", rows.len());
    if let Some(token) = next {
        let _ = write!(out, ",\"next_page_token\":\"{token}\"");
    }
    out.push(b'}');
    out
}

pub(super) fn ndjson(rows: &[Row]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut times = Times::default();
    for row in rows {
        object(&mut out, row, &mut times);
        out.push(b'\n');
    }
    out
}

fn object(out: &mut Vec<u8>, row: &Row, times: &mut Times) {
    let _ = match row.metric_id {
        Some(id) => write!(out, "{{\"metric_id\":{id},"),
        None => write!(out, "{{\"metric_id\":null,"),
    };
    out.extend_from_slice(row.series.members.as_bytes());
    out.extend_from_slice(b",\"metric_value\":");
    // Into memory, and of a number or a word: it can't fail.
    let _ = value::serialize(row.value, &mut serde_json::Serializer::new(&mut *out));
    out.extend_from_slice(b",\"timestamp\":\"");
    out.extend_from_slice(times.text(row.at).as_bytes());
    out.extend_from_slice(b"\",\"created_at\":\"");
    out.extend_from_slice(times.text(row.created).as_bytes());
    out.extend_from_slice(b"\"}");
}

/// The time that was written last: many samples share one.
#[derive(Default)]
struct Times {
    last: Option<(Millis, String)>,
}

impl Times {
    fn text(&mut self, at: Millis) -> &str {
        if self.last.as_ref().is_none_or(|(last, _)| *last != at) {
            self.last = Some((at, at.rfc3339()));
        }
        self.last.as_ref().map_or("", |(_, text)| text)
    }
}

pub(super) fn csv(rows: &[Row]) -> Vec<u8> {
    let mut out = Vec::from(
        "metric_id,runtime_id,component_name,component_type,metric_name,metric_type,metric_value,labels,help_text,unit,timestamp,created_at\r\n",
    );
    let mut times = Times::default();
    for row in rows {
        let series = &row.series;
        let id = |id: Option<i64>| id.map(|id| id.to_string()).unwrap_or_default();
        let labels = series.labels.as_ref().map_or("", |labels| labels.get());
        let _ = write!(out, "{},{},", id(row.metric_id), id(series.runtime_id));
        for field in
            [&series.component_name, &series.component_type, &series.metric_name, &series.metric_type]
        {
            let _ = write!(out, "{},", quote(field));
        }
        value::write(&mut out, row.value);
        for field in [
            labels,
            series.help_text.as_deref().unwrap_or_default(),
            series.unit.as_deref().unwrap_or_default(),
        ] {
            let _ = write!(out, ",{}", quote(field));
        }
        let _ = write!(out, ",{}", times.text(row.at));
        let _ = write!(out, ",{}\r\n", times.text(row.created));
    }
    out
}

/// RFC 4180.
fn quote(field: &str) -> String {
    if field.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::{Described, Page};

    /// Rows of one series with values of all kinds, and one of steps of another.
    fn rows() -> Vec<Row> {
        let members = |name: &str| {
            format!(
                "\"runtime_id\":7,\"component_name\":\"{name}\",\"component_type\":\"worker_pool\",\
                 \"metric_name\":\"m\",\"metric_type\":\"gauge\",\"labels\":{{\"a\":\"b\"}},\"help_text\":null,\"unit\":\"s\""
            )
        };
        let series = |name: &str| Arc::new(Described { members: members(name), ..Described::default() });
        let row = |series: &Arc<Described>, id: Option<i64>, value: f64| Row {
            metric_id: id,
            series: Arc::clone(series),
            value,
            at: Millis(1_704_110_400_000),
            created: Millis(1_704_110_400_000 + id.unwrap_or(0)),
            place: Page { at: Millis(0), series: 1 },
        };
        let one = series("w");
        let values = [1.0, -0.5, 1e300, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
        let mut rows: Vec<Row> = (0..).zip(values).map(|(id, v)| row(&one, Some(id), v)).collect();
        rows.push(row(&series("other"), None, 2.0));
        rows
    }

    #[test]
    fn json_has_the_form_that_is_described() {
        let rows = rows();
        let reply: QueryReply = serde_json::from_slice(&json(&rows, 10, Some("1f-2"))).unwrap();
        assert_eq!((reply.count, reply.limit, reply.next_page_token.as_deref()), (7, 10, Some("1f-2")));
        let values: Vec<String> = reply.metrics.iter().map(|m| m.metric_value.to_string()).collect();
        assert_eq!(values, ["1.0", "-0.5", "1e+300", "\"NaN\"", "\"+Inf\"", "\"-Inf\"", "2.0"]);
        let last = reply.metrics.last().unwrap();
        assert_eq!((last.metric_id, last.component_name.as_str()), (None, "other"));
        let second = reply.metrics.get(1).unwrap();
        assert_eq!(second.timestamp, "2024-01-01T12:00:00.000Z");
        assert_eq!(second.created_at, "2024-01-01T12:00:00.001Z");
        let empty: QueryReply = serde_json::from_slice(&json(&[], 10, None)).unwrap();
        assert!(empty.metrics.is_empty() && empty.next_page_token.is_none());
        let lines = ndjson(&rows);
        assert_eq!(String::from_utf8(lines).unwrap().lines().count(), 7);
    }

    #[test]
    fn csv_fields_are_quoted() {
        assert_eq!(quote("a\"b,c"), "\"a\"\"b,c\"");
        assert_eq!(quote("plain"), "plain");
    }
}
