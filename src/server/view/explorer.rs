//! The metrics explorer: names, how many series each has, and which labels make them many.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::super::core::Core;
use super::super::page::ExplorerQuery;
use super::super::page::data::{Explorer, LabelRow, MetricDetail, MetricReporter, MetricRow};
use super::components::status;
use crate::live::FamilySummary;
use crate::model::{Component, Millis, Series, labels_of_line};

/// Labels shown.
const LABELS: usize = 20;
/// Reporters shown.
const REPORTERS: usize = 200;
/// Series looked at for the labels of all metrics; more would take long and say the same.
const LOOKED_AT: usize = 200_000;

pub(super) fn fill(core: &Core, query: ExplorerQuery) -> Explorer {
    let all: Vec<MetricRow> = core.live.summaries().into_iter().map(row).collect();
    let chosen = query.name.as_ref().and_then(|name| all.iter().find(|r| r.name == *name)).cloned();
    let series = core.live.of_family(chosen.as_ref().map(|row| row.name.as_str()), LOOKED_AT);
    let (rows, paging) = Explorer::select(all, &query);
    Explorer {
        now_ms: Millis::now().0,
        query,
        total_series: core.live.len() as u64,
        paging,
        rows,
        labels: labels(&series),
        detail: chosen.map(|metric| MetricDetail { metric, reporters: reporters(core, &series) }),
    }
}

fn row(summary: FamilySummary) -> MetricRow {
    MetricRow {
        name: summary.name,
        kind: summary.kind,
        help: summary.metadata.help.map(Into::into),
        unit: summary.metadata.unit.map(Into::into),
        series: summary.series as u64,
        components: summary.components as u64,
    }
}

fn labels(series: &[Arc<Series>]) -> Vec<LabelRow> {
    let mut found: HashMap<String, (HashSet<String>, u64)> = HashMap::new();
    for one in series {
        for (name, value) in labels_of_line(&one.line) {
            let (values, count) = found.entry(name).or_default();
            values.insert(value);
            *count += 1;
        }
    }
    let mut rows: Vec<LabelRow> = found
        .into_iter()
        .map(|(name, (values, series))| LabelRow { name, values: values.len() as u64, series })
        .collect();
    rows.sort_by(|a, b| b.values.cmp(&a.values).then_with(|| a.name.cmp(&b.name)));
    rows.truncate(LABELS);
    rows
}

fn reporters(core: &Core, series: &[Arc<Series>]) -> Vec<MetricReporter> {
    let mut found: HashMap<i64, (&Component, MetricReporter)> = HashMap::new();
    for one in series {
        let component = &*one.component;
        let (_, reporter) = found.entry(component.id.0).or_insert_with(|| {
            let reporter = MetricReporter {
                runtime_id: component.id.0,
                name: component.name.to_string(),
                status: status(core, component),
                ..MetricReporter::default()
            };
            (component, reporter)
        });
        reporter.series += 1;
        reporter.last_ms = reporter.last_ms.max(one.newest.get().map(|(at, _)| at.0));
    }
    let mut rows: Vec<MetricReporter> = found.into_values().map(|(_, reporter)| reporter).collect();
    rows.sort_by(|a, b| b.series.cmp(&a.series).then_with(|| a.name.cmp(&b.name)));
    rows.truncate(REPORTERS);
    rows
}
