//! Tables of the status page about others: what agents scrape, and where samples are sent on to.

use maud::{Markup, html};

use super::data::{ForwardedTo, ScrapeTarget};
use super::humanize;
use super::parts::{self, Column, count, known};
use super::status::table;

/// Targets that agents scrape.
pub(super) fn scraped(targets: &[ScrapeTarget]) -> Markup {
    let columns = [
        Column::Text("Target"),
        Column::Text("Agent"),
        Column::Text("Last scrape"),
        Column::Number("Took"),
        Column::Number("Samples"),
        Column::Text("Failed so far"),
        Column::Text("Absent"),
    ];
    let down = targets.iter().filter(|target| !target.up).count();
    let caption = html! {
        @if down == 0 { "All answer" } @else { strong.bad { (down) " of " (targets.len()) " fail" } }
    };
    table(targets, "None: --scrape of an agent names them.", &caption, &columns, scraped_row)
}

fn scraped_row(target: &ScrapeTarget) -> Markup {
    html! {
        tr {
            th.metric scope="row" { (target.target) }
            td { (target.agent) }
            td { @if target.up { "ok" } @else { strong.bad { "failed" } } }
            td.num { (humanize::seconds(target.seconds)) }
            td.num { (count(target.samples)) }
            td {
                @for (reason, times) in &target.errors { (reason) " " (count(*times)) " " }
                @if target.rejected > 0 { (parts::refused(target.rejected)) }
            }
            td.code { @for (metric, reason) in &target.absent { (metric) ": " (reason) br; } }
        }
    }
}

/// Stores that samples are sent on to.
pub(super) fn forwarded(targets: &[ForwardedTo]) -> Markup {
    let columns = [
        Column::Text("Store"),
        Column::Text("Host"),
        Column::Text("Newest request"),
        Column::Number("Behind"),
        Column::Text("Sent from"),
        Column::Number("In memory"),
        Column::Number("Sent"),
        Column::Number("Dropped"),
    ];
    let wrong = targets.iter().filter(|target| target.problem.is_some()).count();
    let caption = html! {
        @if wrong == 0 { "All take what they are sent" }
        @else { strong.bad { (wrong) " of " (targets.len()) " do not take what they are sent" } }
        "; numbers are since the server started"
    };
    table(targets, "None.", &caption, &columns, forwarded_row)
}

fn forwarded_row(target: &ForwardedTo) -> Markup {
    html! {
        tr {
            th.metric scope="row" { (target.name) }
            td.code { (target.host) }
            td { @match &target.problem { Some(why) => strong.bad { (why) }, None => "ok" } }
            td.num { (known(target.lag_seconds, |seconds| html! { (humanize::seconds(seconds as f64)) })) }
            td {
                (known(target.reads_database, |reads| html! { @if reads { "the database" } @else { "memory" } }))
            }
            td.num { (known(target.pending, count)) }
            td.num { (count(target.sent)) }
            td.num { @if target.dropped > 0 { strong.bad { (count(target.dropped)) } } @else { "0" } }
        }
    }
}
