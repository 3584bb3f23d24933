//! `/components`: every component, what needs attention first.

use maud::{Markup, html};

use super::data::{ComponentList, ComponentRow};
use super::parts::{self, Column};
use super::query::{ComponentsQuery, Show};

/// Renders the page's content.
pub(super) fn render(data: &ComponentList) -> Markup {
    let href = |query: &ComponentsQuery| format!("/components{}", query.to_query());
    let address = href(&data.query);
    let content = html! {
        header.head { h1 { "Components" } (parts::freshness(data.now_ms, &address)) }
        (filter(data))
        (table(data))
        (parts::pager(data.paging, |page| href(&data.query.with_page(page))))
    };
    parts::live(&address, 5, &content)
}

fn filter(data: &ComponentList) -> Markup {
    let choice = html! {
        fieldset {
            legend { "Show" }
            @for (show, word) in Show::ALL {
                label {
                    input type="radio" name="show" value=(word) checked[data.query.show == show];
                    span { (word) }
                }
            }
        }
    };
    parts::filter("/components", "Name, kind or id", &data.query.q, "Filter", &choice)
}

fn table(data: &ComponentList) -> Markup {
    let shown = parts::shown(data.paging, data.rows.len(), "components");
    if data.rows.is_empty() {
        return html! {
            p.empty { (shown) }
            @if data.paging.total == 0 {
                p.empty { "An agent or a worker pool appears here as soon as it registers." }
            }
        };
    }
    html! {
        table.stack.components {
            caption { (shown) }
            (parts::columns(&[
                Column::Text("Component"),
                Column::Text("Kind"),
                Column::Text("Status"),
                Column::Number("Heartbeat"),
                Column::Number("Report"),
                Column::Number("Series"),
                Column::Number("Refused"),
                Column::Text("Last refusal"),
            ]))
            tbody {
                @for row in &data.rows { (table_row(row, data.now_ms)) }
            }
        }
    }
}

fn table_row(row: &ComponentRow, now_ms: i64) -> Markup {
    html! {
        tr {
            th scope="row" { a href={ "/components/" (row.runtime_id) } { (row.name) } }
            td data-name="Kind" { (row.kind) }
            td data-name="Status" { (parts::status(row.status)) }
            td.num data-name="Heartbeat" { (parts::age(now_ms, row.last_heartbeat_ms)) }
            td.num data-name="Report" { (parts::age(now_ms, row.last_report_ms)) }
            td.num data-name="Series" { (parts::count(row.series)) }
            td.num data-name="Refused" { (parts::refused(row.rejected_samples)) }
            td.reason data-name="Last refusal" {
                @if let Some(rejection) = &row.last_rejection {
                    (rejection.reason)
                    " " span.when { (parts::ago(now_ms, Some(rejection.at_ms))) }
                }
            }
        }
    }
}
