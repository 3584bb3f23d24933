//! `/`: is everything well, what does this machine do, what can be called.

use maud::{Markup, html};

use super::data::{ComponentCounts, Endpoint, Host, HostCard, HostReading, Overview, Point, RetentionRun};
use super::humanize;
use super::parts;
use super::query::{ComponentsQuery, SeriesQuery, Show};
use super::spark::{Canvas, Scale};
use super::unit;

/// Renders the page's content.
pub(super) fn render(data: &Overview) -> Markup {
    let content = html! {
        header.head { h1 { "Overview" } (parts::freshness(data.now_ms, "/")) }
        (attention(data))
        (host(data))
        div.pair {
            (components(data.components))
            (ingest(data))
        }
        (storage(data))
        (endpoints(&data.endpoints))
    };
    parts::live("/", 5, &content)
}

/// What needs a person's attention; nothing where nothing does.
fn attention(data: &Overview) -> Markup {
    let silent = data.components.silent;
    let failed = data.last_retention.as_ref().and_then(|run| run.error.as_deref());
    let refused = data.rejected_recently;
    html! {
        @if silent > 0 || failed.is_some() || refused > 0 {
            ul.attention aria-label="Needs attention" {
                @if silent > 0 {
                    li {
                        a href=(components_href(Show::Silent)) { (parts::plural(silent, "component")) }
                        @if silent == 1 { " is silent" } @else { " are silent" }
                    }
                }
                @if let Some(error) = failed {
                    li { a href="/status#retention" { "The last retention run" } " failed: " (error) }
                }
                @if refused > 0 {
                    li {
                        a href="/components" { (parts::plural(refused, "sample")) }
                        " refused in the last quarter of an hour"
                        @if let Some(reason) = &data.rejected_reason { ", mostly: " (reason) }
                    }
                }
            }
        }
    }
}

fn host(data: &Overview) -> Markup {
    html! {
        section.host aria-labelledby="host" {
            header.bar-head {
                h2 #host { "This machine" }
                @if let Some(host) = &data.host {
                    p.facts {
                        a href={ "/components/" (host.runtime_id) } { (host.name) }
                        @for fact in &host.facts { span { (fact) } }
                        span { "reported " (parts::ago(data.now_ms, host.last_report_ms)) }
                    }
                }
            }
            @match &data.host {
                Some(host) => ul.cards { @for card in &host.cards { (card_item(host, card)) } },
                None => p.empty {
                    "Nothing reports for this machine yet. An agent does: "
                    code { "noetl-metrics agent --server-url http://127.0.0.1:8082" }
                },
            }
        }
    }
}

fn card_item(host: &Host, card: &HostCard) -> Markup {
    let lines: Vec<&[Point]> = card.readings.iter().map(|reading| reading.points.as_slice()).collect();
    // A scale from zero: a card shows how much of a resource is used.
    let top = Scale::fit(lines.iter().copied()).map_or(1.0, |scale| scale.max.max(f64::MIN_POSITIVE));
    let scale = Scale::up_to(card.scale_max.unwrap_or(top));
    html! {
        li.card {
            h3 { (card.title) }
            p.readings {
                @for (i, reading) in card.readings.iter().enumerate() { (reading_value(host, reading, i)) }
            }
            p.note { @if let Some(detail) = &card.detail { (detail) } }
            (parts::sparkline(&lines, Some(scale), Canvas::CARD))
        }
    }
}

fn reading_value(host: &Host, reading: &HostReading, index: usize) -> Markup {
    let query = SeriesQuery { q: reading.metric_name.clone(), ..SeriesQuery::default() };
    let unit = reading.unit.as_deref();
    html! {
        a.reading href={ "/components/" (host.runtime_id) (query.to_query()) } {
            @match reading.value {
                Some(value) => {
                    @let shown = unit::quantity(value, unit, &reading.metric_name);
                    (parts::human(&shown, &humanize::exact(value)))
                }
                None => span.none { "no source" },
            }
            @if !reading.label.is_empty() {
                span.what { i class={ "swatch line-" (index + 1) } {} (reading.label) }
            }
        }
    }
}

fn components(counts: ComponentCounts) -> Markup {
    let all = counts.up + counts.silent + counts.offline;
    let tiles = [
        ("up", counts.up, Show::Up),
        ("silent", counts.silent, Show::Silent),
        ("offline", counts.offline, Show::Offline),
    ];
    html! {
        section aria-labelledby="components" {
            header.bar-head { h2 #components { "Components" } p.facts { span { (all) " registered" } } }
            ul.tiles {
                @for (word, number, show) in tiles {
                    li {
                        a.tile href=(components_href(show)) {
                            span.big { (parts::count(number)) }
                            span class={ "status " (word) @if number == 0 { " zero" } } { (word) }
                        }
                    }
                }
            }
            (parts::stacked(&tiles.map(|(word, number, _)| (word, number))))
            @if all == 0 {
                p.empty { "None yet. An agent or a worker pool registers when it starts." }
            }
        }
    }
}

fn ingest(data: &Overview) -> Markup {
    let points = data.samples_per_second_points.as_slice();
    let rate = |rate| parts::human(&unit::quantity(rate, None, ""), &humanize::exact(rate));
    html! {
        section aria-labelledby="ingest" {
            header.bar-head {
                h2 #ingest { "Ingest" }
                p.facts { a href="/metrics-explorer" { "Largest metrics" } }
            }
            ul.tiles {
                li {
                    a.tile href="/metrics-explorer" {
                        span.big { (parts::count(data.live_series)) }
                        span.what { "live series" }
                    }
                }
                li {
                    div.tile {
                        span.big { (parts::known(data.samples_per_second, rate)) }
                        span.what { "samples a second" }
                    }
                }
                li {
                    a.tile href="/components" {
                        span.big { (parts::refused(data.rejected_samples)) }
                        span.what { "refused since the start" }
                    }
                }
            }
            (parts::sparkline(&[points], None, Canvas::CARD))
        }
    }
}

fn storage(data: &Overview) -> Markup {
    let uptime = humanize::seconds(data.uptime_seconds as f64);
    let version = html! { (data.version) " " small { "up for " (uptime) } };
    let per_sample = parts::known(bytes_a_sample(data), |bytes| html! { (humanize::bytes(bytes)) });
    html! {
        section aria-labelledby="storage" {
            header.bar-head { h2 #storage { "Storage" } p.facts { a href="/status" { "All of it" } } }
            dl.ledger {
                (parts::fact("Samples stored", &parts::known(data.samples_stored, parts::count)))
                (parts::fact("Database size", &parts::known(data.database_bytes, parts::size)))
                (parts::fact("Bytes a sample", &per_sample))
                (parts::fact("Partitions", &parts::known(data.partitions, parts::count)))
                (parts::fact("Last retention run", &retention(data.now_ms, data.last_retention.as_ref())))
                (parts::fact("Version", &version))
            }
        }
    }
}

/// What a stored sample costs, everything counted; nothing while there are too few to say.
fn bytes_a_sample(data: &Overview) -> Option<f64> {
    let samples = data.samples_stored.filter(|samples| *samples >= 100_000)?;
    Some(data.database_bytes? as f64 / samples as f64)
}

fn retention(now_ms: i64, run: Option<&RetentionRun>) -> Markup {
    html! {
        @match run {
            None => span.none { "none yet" },
            Some(run) => {
                (parts::ago(now_ms, Some(run.finished_at_ms))) " "
                @if run.error.is_some() {
                    strong.bad { "failed" }
                } @else {
                    small { (run.dropped_partitions) " dropped" }
                }
            }
        }
    }
}

fn endpoints(endpoints: &[Endpoint]) -> Markup {
    html! {
        section aria-labelledby="endpoints" {
            header.bar-head { h2 #endpoints { "Endpoints" } p.facts { a href="/openapi.json" { "OpenAPI" } } }
            ul.endpoints {
                @for endpoint in endpoints {
                    li {
                        span class={ "method " (endpoint.method.to_lowercase()) } { (endpoint.method) }
                        @if endpoint.is_link() {
                            a.path href=(endpoint.path) { (endpoint.path) }
                        } @else {
                            code.path { (endpoint.path) }
                        }
                        span.help { (endpoint.help) }
                    }
                }
            }
        }
    }
}

fn components_href(show: Show) -> String {
    format!("/components{}", ComponentsQuery { show, ..ComponentsQuery::default() }.to_query())
}
