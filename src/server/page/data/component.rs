//! The data of one component's page: its facts, its newest values, one chart.

use std::cmp::Ordering;

use serde::Serialize;

use super::{ComponentRow, Paging, Point, json_value, matches_words, paginate};
use crate::model::MetricType;
use crate::server::page::query::SeriesQuery;

/// One component.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ComponentPage {
    /// Time against which ages are reckoned.
    pub now_ms: i64,
    /// The component as the list shows it.
    pub component: ComponentRow,
    /// Further facts, in the order shown: pool, host, version, registered at.
    pub facts: Vec<Fact>,
    /// Refused samples by reason, the most frequent first.
    pub rejections: Vec<RejectionCount>,
    /// The filter that was asked for.
    pub query: SeriesQuery,
    /// Which part of the series this is.
    #[serde(flatten)]
    pub paging: Paging,
    /// Newest values, by metric name and labels.
    pub rows: Vec<SeriesRow>,
    /// The series that was asked for; `None` where none was, or it is gone.
    pub chart: Option<Chart>,
}

impl ComponentPage {
    /// Filters, sorts and pages the series of a component. The rows that are left may then be given
    /// their `points`, so that only what is shown is looked up.
    pub fn select(mut all: Vec<SeriesRow>, query: &SeriesQuery) -> (Vec<SeriesRow>, Paging) {
        all.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| by_labels(&a.labels, &b.labels)));
        paginate(all, query.page, |row| row.matches(&query.q))
    }
}

/// Order of series of one name. Values that are numbers are ordered as such, so that `cpu="10"` comes
/// after `cpu="9"` and a bucket after the smaller ones; numbers come before words.
fn by_labels(a: &[Label], b: &[Label]) -> Ordering {
    let number = |label: &Label| label.value.parse::<f64>().ok();
    let by_label = |(a, b): (&Label, &Label)| {
        a.name.cmp(&b.name).then_with(|| match (number(a), number(b)) {
            (Some(x), Some(y)) => x.total_cmp(&y),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => a.value.cmp(&b.value),
        })
    };
    let differing = a.iter().zip(b).map(by_label).find(|order| order.is_ne());
    differing.unwrap_or_else(|| a.len().cmp(&b.len()))
}

/// A fact about a component.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// What it is: `Pool`.
    pub name: String,
    /// Its value, ready to be read.
    pub value: String,
}

/// Refused samples that share a reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RejectionCount {
    /// Why they were refused.
    pub reason: String,
    /// How many since the server started.
    pub count: u64,
    /// The newest of them.
    pub last_ms: i64,
}

/// A label of a series.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Label {
    /// Label name.
    pub name: String,
    /// Label value.
    pub value: String,
}

/// The newest value of one series.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SeriesRow {
    /// Id of the series.
    pub series_id: u64,
    /// Metric name.
    pub name: String,
    /// Type of the metric.
    #[serde(rename = "type")]
    pub kind: MetricType,
    /// Labels, sorted by name.
    pub labels: Vec<Label>,
    /// Newest value, in `unit`.
    #[serde(serialize_with = "json_value")]
    pub value: f64,
    /// Unit as reported; where it is `None` the name may still tell (`_bytes`).
    pub unit: Option<String>,
    /// Help text as reported.
    pub help: Option<String>,
    /// Time of the newest value.
    pub timestamp_ms: i64,
    /// The last while, as stored: for a counter the counts, not their rate.
    pub points: Vec<Point>,
}

impl SeriesRow {
    /// Whether the value only ever goes up, so that its rate says more than itself: counters, and
    /// the buckets, sums and counts of histograms and summaries.
    pub fn is_cumulative(&self) -> bool {
        match self.kind {
            MetricType::Gauge => false,
            MetricType::Counter | MetricType::Histogram => true,
            MetricType::Summary => self.name.ends_with("_sum") || self.name.ends_with("_count"),
        }
    }

    fn matches(&self, q: &str) -> bool {
        let labels = self.labels.iter().flat_map(|label| [label.name.as_str(), label.value.as_str()]);
        let texts: Vec<&str> = std::iter::once(self.name.as_str()).chain(labels).collect();
        matches_words(q, &texts)
    }
}

/// One series over a range of time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Chart {
    /// The series.
    pub series: SeriesRow,
    /// Its points over the range asked for, thinned to at most a few thousand.
    pub points: Vec<Point>,
    /// Its newest exemplars over that range, newest first.
    pub exemplars: Vec<Exemplar>,
}

/// A single observation behind the values of a series.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Exemplar {
    /// When it was observed.
    pub timestamp_ms: i64,
    /// What was observed, in the unit of the series.
    #[serde(serialize_with = "json_value")]
    pub value: f64,
    /// The trace that it is of.
    pub trace_id: Option<String>,
    /// Where that can be looked at.
    pub trace_url: Option<String>,
    /// Its other labels.
    pub labels: Vec<Label>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::page::fixture;

    #[test]
    fn the_filter_looks_at_names_and_labels() {
        let all = fixture::series_rows(40);
        let query = SeriesQuery { q: "cpu_seconds iowait".into(), ..SeriesQuery::default() };
        let (rows, paging) = ComponentPage::select(all, &query);
        assert!(!rows.is_empty() && paging.matched < paging.total);
        assert!(rows.iter().all(|row| row.name.contains("cpu_seconds")));
    }

    #[test]
    fn numbers_in_labels_are_ordered_as_numbers() {
        let (rows, _) = ComponentPage::select(
            fixture::series_rows(100),
            &SeriesQuery { q: "bucket".into(), ..SeriesQuery::default() },
        );
        let bounds: Vec<&str> = rows.iter().map(|row| row.labels[0].value.as_str()).collect();
        assert_eq!(bounds, ["0.005", "0.05", "0.5", "5", "+Inf"]);
    }

    #[test]
    fn quantiles_of_a_summary_are_not_cumulative() {
        let mut row = fixture::series_rows(1).remove(0);
        row.kind = MetricType::Summary;
        row.name = "request_seconds".into();
        assert!(!row.is_cumulative());
        row.name = "request_seconds_sum".into();
        assert!(row.is_cumulative());
    }
}
