//! The exemplars of the series that is charted: points in time, and a table that leads to their traces.

use maud::{Markup, html};

use super::data::{Chart, ComponentPage, Exemplar, Point, SeriesRow};
use super::humanize;
use super::parts::{self, Column};
use super::spark::{self, Canvas, Scale};
use super::unit;

/// Rows of the table.
const ROWS: usize = 20;

/// Points and table; nothing where there are none.
pub(super) fn render(data: &ComponentPage, chart: &Chart) -> Markup {
    let length = i64::try_from(data.query.range.seconds() * 1000).unwrap_or(i64::MAX);
    let span = (data.now_ms.saturating_sub(length), data.now_ms);
    let shown = chart.exemplars.len().min(ROWS) as u64;
    html! {
        @if !chart.exemplars.is_empty() {
            h3 #exemplars { "Exemplars" }
            (dots(chart, span))
            table.stack.exemplars {
                caption { "The newest " (parts::plural(shown, "exemplar")) " of the last " (data.query.range) }
                (parts::columns(&[
                    Column::Text("Trace"),
                    Column::Number("Value"),
                    Column::Text("Labels"),
                    Column::Number("Age"),
                ]))
                tbody {
                    @for exemplar in chart.exemplars.iter().take(ROWS) {
                        (row(data.now_ms, &chart.series, exemplar))
                    }
                }
            }
        }
    }
}

fn row(now_ms: i64, series: &SeriesRow, exemplar: &Exemplar) -> Markup {
    html! {
        tr {
            th scope="row" {
                @match &exemplar.trace_id {
                    Some(id) => @match &exemplar.trace_url {
                        Some(url) => a href=(url) { (id) },
                        None => (id),
                    },
                    None => span.none { "none" },
                }
            }
            td.num.value data-name="Value" { (value(series, exemplar)) }
            td.labels data-name="Labels" { (parts::labels(&exemplar.labels)) }
            td.num.age data-name="Age" { (parts::age(now_ms, Some(exemplar.timestamp_ms))) }
        }
    }
}

fn value(series: &SeriesRow, exemplar: &Exemplar) -> Markup {
    let shown = unit::quantity(exemplar.value, series.unit.as_deref(), &series.name);
    parts::human(&shown, &humanize::exact(exemplar.value))
}

/// A point for each.
fn dots(chart: &Chart, span: (i64, i64)) -> Markup {
    let point = |exemplar: &Exemplar| (exemplar.timestamp_ms, exemplar.value);
    let points: Vec<Point> = chart.exemplars.iter().map(point).collect();
    let Some(scale) = Scale::fit([&*points]) else { return html! {} };
    html! {
        div.dots {
            svg viewBox=(Canvas::CARD.view_box()) preserveAspectRatio="none" aria-hidden="true" {
                @for (exemplar, point) in chart.exemplars.iter().zip(points).filter(|(_, point)| point.1.is_finite()) {
                    @let path = html! {
                        path d=(spark::dot(point, span, scale, Canvas::CARD)) {
                            @if let Some(id) = &exemplar.trace_id { title { (id) } }
                        }
                    };
                    @match &exemplar.trace_url {
                        // The table has them for the keyboard.
                        Some(url) => a href=(url) tabindex="-1" { (path) },
                        None => (path),
                    }
                }
            }
        }
    }
}
