//! The data of the metrics explorer: metric names, how many series each has, and which labels make
//! the series many.

use serde::Serialize;

use super::{ComponentStatus, Paging, matches_words, paginate};
use crate::model::MetricType;
use crate::server::page::query::ExplorerQuery;

/// Metric names that match a search, the largest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Explorer {
    /// Time against which ages are reckoned.
    pub now_ms: i64,
    /// The search that was asked for.
    pub query: ExplorerQuery,
    /// Live series of all names.
    pub total_series: u64,
    /// Which part of the names this is.
    #[serde(flatten)]
    pub paging: Paging,
    /// The names.
    pub rows: Vec<MetricRow>,
    /// The labels with the most values, of the chosen metric or of all.
    pub labels: Vec<LabelRow>,
    /// The metric that was chosen; `None` where none was, or it is not known.
    pub detail: Option<MetricDetail>,
}

impl Explorer {
    /// Searches, sorts and pages `all` metric names: the rows, and which part of the whole they are.
    pub fn select(mut all: Vec<MetricRow>, query: &ExplorerQuery) -> (Vec<MetricRow>, Paging) {
        all.sort_by(|a, b| b.series.cmp(&a.series).then_with(|| a.name.cmp(&b.name)));
        paginate(all, query.page, |row| row.matches(&query.q))
    }
}

/// One metric name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MetricRow {
    /// Metric name.
    pub name: String,
    /// Type of the metric.
    #[serde(rename = "type")]
    pub kind: MetricType,
    /// Help text, as one of the reporters gave it.
    pub help: Option<String>,
    /// Unit, as one of the reporters gave it.
    pub unit: Option<String>,
    /// Live series of this name.
    pub series: u64,
    /// Components that report it.
    pub components: u64,
}

impl MetricRow {
    fn matches(&self, q: &str) -> bool {
        let help = self.help.as_deref().unwrap_or_default();
        matches_words(q, &[&self.name, help, self.kind.as_str()])
    }
}

/// One label name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LabelRow {
    /// Label name.
    pub name: String,
    /// Different values.
    pub values: u64,
    /// Live series that carry the label.
    pub series: u64,
}

/// A chosen metric: who reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MetricDetail {
    /// The metric.
    pub metric: MetricRow,
    /// Its reporters, the largest first; at most a few hundred.
    pub reporters: Vec<MetricReporter>,
}

/// A component that reports a metric.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MetricReporter {
    /// The component's id.
    pub runtime_id: i64,
    /// The component's name.
    pub name: String,
    /// How the component is.
    pub status: ComponentStatus,
    /// Series of the metric that are the component's.
    pub series: u64,
    /// Newest sample of any of them.
    pub last_ms: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::page::fixture;

    #[test]
    fn the_largest_names_come_first() {
        let (rows, _) = Explorer::select(fixture::metric_rows(30), &ExplorerQuery::default());
        assert!(rows.is_sorted_by_key(|row| std::cmp::Reverse(row.series)));
    }

    #[test]
    fn the_search_looks_at_help_texts_too() {
        let query = ExplorerQuery { q: "percent of the limit".into(), ..ExplorerQuery::default() };
        let (rows, paging) = Explorer::select(fixture::metric_rows(30), &query);
        assert!(!rows.is_empty() && paging.matched < 30);
    }
}
