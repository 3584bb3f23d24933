//! `/metrics-explorer`: which metrics there are, and which of them have the most series.

use maud::{Markup, html};

use super::data::{Explorer, LabelRow, MetricDetail, MetricRow};
use super::humanize;
use super::parts::{self, Column};
use super::query::{ExplorerQuery, SeriesQuery};

/// Renders the page's content.
pub(super) fn render(data: &Explorer) -> Markup {
    let address = href(&data.query);
    let content = html! {
        header.head { h1 { "Metrics" } (parts::freshness(data.now_ms, &address)) }
        @if let Some(detail) = &data.detail {
            (detail_section(data, detail))
        } @else if let Some(name) = &data.query.name {
            p.empty { "No live series is named " code { (name) } "." }
        }
        (parts::filter("/metrics-explorer", "Name, type or help text", &data.query.q, "Search", &html! {}))
        div.aside {
            (table(data))
            (labels(data))
        }
        (parts::pager(data.paging, |page| href(&data.query.with_page(page))))
    };
    parts::live(&address, 60, &content)
}

fn href(query: &ExplorerQuery) -> String {
    format!("/metrics-explorer{}", query.to_query())
}

fn table(data: &Explorer) -> Markup {
    let shown = parts::shown(data.paging, data.rows.len(), "metrics");
    let Some(largest) = data.rows.iter().map(|row| row.series).max() else {
        return html! { p.empty { (shown) } };
    };
    html! {
        table.stack.metrics {
            caption {
                (shown)
                ", " (parts::count(data.total_series)) " live series in all"
            }
            (parts::columns(&[
                Column::Text("Metric"),
                Column::Text("Type"),
                Column::Text("Unit"),
                Column::Number("Components"),
                Column::Number("Series"),
                Column::Unseen("Share"),
            ]))
            tbody {
                @for row in &data.rows { (table_row(data, row, largest)) }
            }
        }
    }
}

fn table_row(data: &Explorer, row: &MetricRow, largest: u64) -> Markup {
    let query = ExplorerQuery { name: Some(row.name.clone()), ..data.query.clone() };
    html! {
        tr {
            th scope="row" {
                a.metric href=(href(&query)) { (parts::metric_name(&row.name)) }
                @if let Some(help) = &row.help { span.help { (help) } }
            }
            td.kind data-name="Type" { (row.kind) }
            td data-name="Unit" { (row.unit.as_deref().unwrap_or_default()) }
            td.num data-name="Components" { (parts::count(row.components)) }
            td.num data-name="Series" { (parts::count(row.series)) }
            td.share { (parts::bar(row.series as f64, largest as f64)) }
        }
    }
}

fn labels(data: &Explorer) -> Markup {
    let Some(largest) = data.labels.iter().map(|row| row.values).max() else { return html! {} };
    html! {
        table.plain.top {
            caption {
                "Labels with the most values"
                @if let Some(detail) = &data.detail {
                    " of " span.metric { (parts::metric_name(&detail.metric.name)) }
                }
            }
            (parts::columns(&[Column::Text("Label"), Column::Number("Values"), Column::Number("Series")]))
            tbody { @for row in &data.labels { (label_row(row, largest)) } }
        }
    }
}

fn label_row(row: &LabelRow, largest: u64) -> Markup {
    html! {
        tr {
            th.metric scope="row" { (row.name) (parts::bar(row.values as f64, largest as f64)) }
            td.num { (parts::count(row.values)) }
            td.num { (parts::count(row.series)) }
        }
    }
}

fn detail_section(data: &Explorer, detail: &MetricDetail) -> Markup {
    let metric = &detail.metric;
    let closed = ExplorerQuery { name: None, ..data.query.clone() };
    html! {
        section.chosen aria-labelledby="metric" {
            header.bar-head {
                h2.metric #metric { (parts::metric_name(&metric.name)) }
                p.facts {
                    a href=(samples_href(&metric.name)) { "Newest samples, JSON" }
                    a href=(href(&closed)) { "Close" }
                }
            }
            p.help { (metric.help.as_deref().unwrap_or("No help text was reported.")) }
            @if detail.reporters.is_empty() {
                p.empty { "No component reports it now." }
            } @else {
                (reporters(data, detail))
            }
        }
    }
}

fn reporters(data: &Explorer, detail: &MetricDetail) -> Markup {
    let metric = &detail.metric;
    let of_metric = SeriesQuery { q: metric.name.clone(), ..SeriesQuery::default() }.to_query();
    let shown = detail.reporters.len();
    html! {
        table.plain {
            caption {
                (metric.kind) ", " @if let Some(unit) = &metric.unit { (unit) ", " }
                (humanize::grouped(metric.series as f64)) " series of "
                (parts::plural(metric.components, "component"))
                @if (shown as u64) < metric.components { ", the largest " (shown) " shown" }
            }
            (parts::columns(&[
                Column::Text("Component"),
                Column::Text("Status"),
                Column::Number("Series"),
                Column::Number("Newest"),
            ]))
            tbody {
                @for reporter in &detail.reporters {
                    tr {
                        th scope="row" {
                            a href={ "/components/" (reporter.runtime_id) (of_metric) } { (reporter.name) }
                        }
                        td { (parts::status(reporter.status)) }
                        td.num { (parts::count(reporter.series)) }
                        td.num { (parts::age(data.now_ms, reporter.last_ms)) }
                    }
                }
            }
        }
    }
}

/// Address of the newest samples of a metric.
fn samples_href(name: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::from("/api/metrics/query?"));
    query.append_pair("metric_name", name).append_pair("limit", "100");
    query.finish()
}
