//! The list of components, and the page of one.

use std::sync::Arc;

use super::super::core::Core;
use super::super::page::data::{
    Chart, ComponentList, ComponentPage, ComponentRow, ComponentStatus, Exemplar, Fact, Label, Rejection,
    RejectionCount, SeriesRow,
};
use super::super::page::{ComponentsQuery, SeriesQuery};
use super::super::problem::Problem;
use super::super::trace_url::TraceUrl;
use crate::model::{Component, Millis, RuntimeId, Series, SeriesId, TRACE_ID, family_of, labels_of_line};
use crate::store::{Exemplars, points};

/// Sparklines of a component's series show the last quarter of an hour.
const WHILE_MS: i64 = 15 * 60_000;
/// One point of them is at least this long.
const STEP_MS: i64 = 15_000;
/// Points of the chart at most.
const CHART_POINTS: i64 = 1000;
/// Exemplars beside it at most.
const EXEMPLARS: usize = 100;

pub(super) fn list(core: &Core, query: ComponentsQuery) -> ComponentList {
    let rows = core.components.all().iter().map(|c| row(core, c)).collect();
    ComponentList::select(rows, query, Millis::now().0)
}

/// How a component is.
pub(super) fn status(core: &Core, component: &Component) -> ComponentStatus {
    if component.is_offline() {
        ComponentStatus::Offline
    } else if core.is_up(component) {
        ComponentStatus::Up
    } else {
        ComponentStatus::Silent
    }
}

fn row(core: &Core, component: &Component) -> ComponentRow {
    ComponentRow {
        runtime_id: component.id.0,
        name: component.name.to_string(),
        kind: component.kind.to_string(),
        status: status(core, component),
        last_heartbeat_ms: component.heartbeat().map(|t| t.0),
        last_report_ms: component.last_report().map(|t| t.0),
        series: u64::from(component.series()),
        rejected_samples: component.rejected(),
        last_rejection: component
            .last_rejection()
            .map(|(at, reason)| Rejection { reason: reason.into(), at_ms: at.0 }),
    }
}

pub(super) async fn one(
    core: &Core,
    runtime_id: i64,
    query: SeriesQuery,
    trace_url: Option<&TraceUrl>,
) -> Result<Option<ComponentPage>, Problem> {
    let Some(component) = core.components.by_id(&core.database, RuntimeId(runtime_id)).await? else {
        return Ok(None);
    };
    let now = Millis::now();
    let series = core.live.of_component(component.id);
    let all: Vec<SeriesRow> = series.iter().filter_map(|s| series_row(core, s)).collect();
    let chart = chart(core, &all, &query, now, trace_url).await?;
    let (mut rows, paging) = ComponentPage::select(all, &query);
    let ids: Vec<SeriesId> = rows.iter().map(id_of).collect();
    let mut history = points(&core.database, &ids, now.plus(-WHILE_MS), now, STEP_MS).await?;
    for row in &mut rows {
        row.points = history.remove(&id_of(row).0).unwrap_or_default();
    }
    Ok(Some(ComponentPage {
        now_ms: now.0,
        component: row(core, &component),
        facts: facts(core, &component).await?,
        rejections: component
            .last_rejection()
            .map(|(at, reason)| RejectionCount {
                reason: reason.into(),
                count: component.rejected(),
                last_ms: at.0,
            })
            .into_iter()
            .collect(),
        query,
        paging,
        rows,
        chart,
    }))
}

fn id_of(row: &SeriesRow) -> SeriesId {
    SeriesId(i32::try_from(row.series_id).unwrap_or(0))
}

fn series_row(core: &Core, series: &Arc<Series>) -> Option<SeriesRow> {
    let (at, value) = series.newest.get()?;
    let own = |name: &str| matches!(name, "component" | "component_type");
    let labels = labels_of_line(&series.line).into_iter().filter(|(name, _)| !own(name));
    let metadata = core.live.metadata(family_of(series.metric_name(), series.kind()).name);
    Some(SeriesRow {
        series_id: u64::from(series.id.0.unsigned_abs()),
        name: series.metric_name().into(),
        kind: series.kind(),
        labels: labels.map(|(name, value)| Label { name, value }).collect(),
        value,
        unit: metadata.unit.map(Into::into),
        help: metadata.help.map(Into::into),
        timestamp_ms: at.0,
        points: Vec::new(),
    })
}

async fn chart(
    core: &Core,
    all: &[SeriesRow],
    query: &SeriesQuery,
    now: Millis,
    trace_url: Option<&TraceUrl>,
) -> Result<Option<Chart>, Problem> {
    let Some(series) = query.series.and_then(|id| all.iter().find(|r| r.series_id == id)) else {
        return Ok(None);
    };
    let length = i64::try_from(query.range.seconds() * 1000).unwrap_or(i64::MAX);
    let id = id_of(series);
    let mut found =
        points(&core.database, &[id], now.plus(-length), now, (length / CHART_POINTS).max(1000)).await?;
    let points = found.remove(&id.0).unwrap_or_default();
    let exemplars = Exemplars::of_series(&core.database, id, now.plus(-length), EXEMPLARS).await?;
    let exemplars = exemplars.into_iter().map(|one| exemplar(one, trace_url)).collect();
    Ok(Some(Chart { series: series.clone(), points, exemplars }))
}

fn exemplar(stored: crate::model::Exemplar<'_>, trace_url: Option<&TraceUrl>) -> Exemplar {
    let labels = stored.labels.into_iter();
    let labels = labels.map(|(name, value)| Label { name: name.into(), value: value.into() });
    let (trace, labels): (Vec<_>, Vec<_>) = labels.partition(|label| label.name == TRACE_ID);
    let trace_id = trace.into_iter().next().map(|label| label.value);
    Exemplar {
        timestamp_ms: stored.at.0,
        value: stored.value,
        trace_url: trace_id.as_ref().and_then(|id| Some(trace_url?.of(id))),
        trace_id,
        labels,
    }
}

/// What its registration says.
async fn facts(core: &Core, component: &Component) -> Result<Vec<Fact>, Problem> {
    let Some(row) = core.components.row(&core.database, component.id).await? else { return Ok(Vec::new()) };
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut facts = vec![fact("Registered", &row.created_at), fact("Reports itself as", &row.status)];
    facts.extend(row.uri.as_deref().map(|uri| fact("Address", uri)));
    facts.extend(row.capacity.map(|capacity| fact("Capacity", &capacity.to_string())));
    for part in [row.labels, row.runtime] {
        match part {
            Some(serde_json::Value::Object(fields)) => {
                // A key is nobody's business, and long.
                let shown = fields.iter().filter(|(name, _)| !name.contains("key"));
                facts.extend(shown.map(|(name, value)| fact(name, &text(value))));
            }
            Some(other) => facts.push(fact("Labels", &text(&other))),
            None => {}
        }
    }
    Ok(facts)
}

fn fact(name: &str, value: &str) -> Fact {
    Fact { name: name.into(), value: value.chars().take(300).collect() }
}
