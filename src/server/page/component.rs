//! `/components/{runtime_id}`: one component, its newest values, the chart of one series.

use maud::{Markup, html};

use super::data::{Chart, ComponentPage, Point, RejectionCount, SeriesRow};
use super::exemplars;
use super::humanize;
use super::parts::{self, Column};
use super::query::{Range, SeriesQuery};
use super::spark::{self, Canvas, Scale};
use super::unit;

/// Renders the page's content.
pub(super) fn render(data: &ComponentPage) -> Markup {
    let address = href(data, &data.query);
    let content = html! {
        header.head {
            nav.crumbs aria-label="Breadcrumb" { a href="/components" { "Components" } }
            h1 { (data.component.name) }
            (parts::freshness(data.now_ms, &address))
        }
        (facts(data))
        (rejections(&data.rejections, data.now_ms))
        @if let Some(chart) = &data.chart {
            (chart_section(data, chart))
        } @else if data.query.series.is_some() {
            p.empty #chart { "The series that was asked for is gone, or never was." }
        }
        section aria-labelledby="values" {
            header.bar-head { h2 #values { "Newest values" } }
            (filter(data))
            (table(data))
            (parts::pager(data.paging, |page| href(data, &data.query.with_page(page))))
        }
    };
    parts::live(&address, 10, &content)
}

fn href(data: &ComponentPage, query: &SeriesQuery) -> String {
    format!("/components/{}{}", data.component.runtime_id, query.to_query())
}

fn facts(data: &ComponentPage) -> Markup {
    let component = &data.component;
    html! {
        dl.ledger {
            (parts::fact("Status", &parts::status(component.status)))
            (parts::fact("Kind", &html! { (component.kind) }))
            (parts::fact("Heartbeat", &parts::age(data.now_ms, component.last_heartbeat_ms)))
            (parts::fact("Report", &parts::age(data.now_ms, component.last_report_ms)))
            (parts::fact("Series", &parts::count(component.series)))
            (parts::fact("Refused samples", &parts::refused(component.rejected_samples)))
            (parts::fact("Id", &html! { (component.runtime_id) }))
            @for fact in &data.facts { (parts::fact(&fact.name, &html! { (fact.value) })) }
        }
    }
}

fn rejections(rejections: &[RejectionCount], now_ms: i64) -> Markup {
    html! {
        @if !rejections.is_empty() {
            section aria-labelledby="refused" {
                header.bar-head { h2 #refused { "Refused samples" } }
                table.plain {
                    caption { "Since the server started, by reason" }
                    (parts::columns(&[
                        Column::Text("Reason"),
                        Column::Number("Samples"),
                        Column::Number("Newest"),
                    ]))
                    tbody {
                        @for rejection in rejections {
                            tr {
                                th scope="row" { (rejection.reason) }
                                td.num { (parts::count(rejection.count)) }
                                td.num { (parts::age(now_ms, Some(rejection.last_ms))) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn filter(data: &ComponentPage) -> Markup {
    let action = format!("/components/{}", data.component.runtime_id);
    // The chart stays while the table below it is filtered.
    let chart = html! {
        @if let Some(series) = data.query.series {
            input #series type="hidden" name="series" value=(series);
            @if data.query.range != Range::default() {
                input #range type="hidden" name="range" value=(data.query.range);
            }
        }
    };
    parts::filter(&action, "Metric name or label", &data.query.q, "Filter", &chart)
}

fn table(data: &ComponentPage) -> Markup {
    let shown = parts::shown(data.paging, data.rows.len(), "series");
    if data.rows.is_empty() {
        return html! { p.empty { (shown) } };
    }
    html! {
        table.stack.series {
            caption { (shown) }
            (parts::columns(&[
                Column::Text("Metric"),
                Column::Text("Labels"),
                Column::Text("Type"),
                Column::Number("Value"),
                Column::Number("Rate"),
                Column::Text("Trend"),
                Column::Number("Age"),
            ]))
            tbody {
                @for (i, row) in data.rows.iter().enumerate() {
                    @let repeated = i > 0 && data.rows[i - 1].name == row.name;
                    (table_row(data, row, repeated))
                }
            }
        }
    }
}

fn table_row(data: &ComponentPage, row: &SeriesRow, repeated: bool) -> Markup {
    let charted = data.query.series == Some(row.series_id);
    let query = SeriesQuery { series: Some(row.series_id), ..data.query.clone() };
    let points = drawn(row, &row.points);
    html! {
        tr.repeated[repeated].charted[charted] {
            th scope="row" {
                span.metric title=[row.help.as_deref().filter(|_| !repeated)] { (parts::metric_name(&row.name)) }
            }
            td.labels data-name="Labels" { (parts::labels(&row.labels)) }
            td.kind data-name="Type" { (row.kind) }
            td.num.value data-name="Value" { (parts::value(row)) }
            td.num.rate data-name="Rate" {
                @if row.is_cumulative() { (parts::rate(row, &points)) }
            }
            td.trend data-name="Trend" {
                @let label = format!("Chart of {}", parts::series_text(row));
                a href={ (href(data, &query)) "#chart" } aria-label=(label) {
                    @if points.iter().any(|(_, v)| v.is_finite()) {
                        (parts::sparkline(&[&points], None, Canvas::ROW))
                    } @else { "chart" }
                }
            }
            td.num.age data-name="Age" { (parts::age(data.now_ms, Some(row.timestamp_ms))) }
        }
    }
}

/// The points as they are drawn: of a value that only goes up, its rate.
fn drawn<'a>(row: &SeriesRow, points: &'a [Point]) -> std::borrow::Cow<'a, [Point]> {
    if row.is_cumulative() { spark::rate(points).into() } else { points.into() }
}

fn chart_section(data: &ComponentPage, chart: &Chart) -> Markup {
    let row = &chart.series;
    html! {
        section.chart #chart aria-labelledby="charted" {
            header.bar-head {
                h2.metric #charted { (parts::metric_name(&row.name)) }
                (ranges(data))
            }
            @if !row.labels.is_empty() { p.labels { (parts::labels(&row.labels)) } }
            @if let Some(help) = &row.help { p.help { (help) } }
            (figure(row, &drawn(row, &chart.points), data.query.range))
            (exemplars::render(data, chart))
        }
    }
}

fn ranges(data: &ComponentPage) -> Markup {
    let with = |range| SeriesQuery { range, ..data.query.clone() };
    let closed = SeriesQuery { series: None, range: Range::default(), ..data.query.clone() };
    html! {
        nav.ranges aria-label="Range of the chart" {
            @for (range, word, _) in Range::ALL {
                @let current = (range == data.query.range).then_some("true");
                a href={ (href(data, &with(range))) "#chart" } aria-current=[current] { (word) }
            }
            a href=(href(data, &closed)) { "Close" }
        }
    }
}

fn figure(row: &SeriesRow, points: &[Point], range: Range) -> Markup {
    let show = |value: f64| shown(row, value);
    let finite = points.iter().map(|(_, v)| *v).filter(|v| v.is_finite());
    let (min, max) =
        finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), v| (min.min(v), max.max(v)));
    let (Some(scale), Some(first), Some(last)) = (Scale::fit([points]), points.first(), points.last()) else {
        return html! { p.empty { "No values in the last " (range) "." } };
    };
    let summary = format!("least {}, greatest {}, newest {}", show(min), show(max), show(last.1));
    html! {
        figure {
            (plot(row, points, scale, &format!("{} over {range}: {summary}", row.name)))
            figcaption {
                span { (humanize::minute(first.0)) " to " (humanize::minute(last.0)) " UTC" }
                @if row.is_cumulative() { span { "rate per second" } }
                span { (summary) }
                span.readout hx-morph-skip-children="" aria-hidden="true" {}
            }
        }
    }
}

/// The drawing: an SVG, with what uPlot needs to take its place.
fn plot(row: &SeriesRow, points: &[Point], scale: Scale, description: &str) -> Markup {
    let axis = unit::axis(row.unit.as_deref(), &row.name, row.is_cumulative());
    let shape = spark::draw(points, scale, Canvas::CHART);
    // Nothing in the columns can fail to serialise: values that are not finite are gaps.
    let columns = serde_json::to_string(&spark::columns(points)).unwrap_or_default();
    html! {
        div.plot role="img" aria-label=(description) hx-morph-skip-children=""
            data-columns=(columns) data-factor=(axis.factor) data-step=(axis.step) data-unit=(axis.unit) {
            span.top aria-hidden="true" { (shown(row, scale.max)) }
            span.bottom aria-hidden="true" { (shown(row, scale.min)) }
            svg viewBox=(Canvas::CHART.view_box()) preserveAspectRatio="none" aria-hidden="true" {
                @if !shape.area.is_empty() { path.area d=(shape.area) {} }
                path.line d=(shape.line) {}
            }
        }
    }
}

fn shown(row: &SeriesRow, value: f64) -> String {
    let unit = row.unit.as_deref();
    if row.is_cumulative() {
        unit::per_second(value, unit, &row.name).to_string()
    } else {
        unit::quantity(value, unit, &row.name).to_string()
    }
}
