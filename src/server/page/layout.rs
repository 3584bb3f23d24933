//! The frame around every page: head, navigation, footer.

use maud::{DOCTYPE, Markup, html};

use super::assets::ASSETS;
use super::data::Shell;
use super::humanize;

/// Settings of htmx: no style of its own in the page, and errors are told, not swapped in.
const HTMX_CONFIG: &str =
    r#"{"includeIndicatorCSS":false,"history":false,"noSwap":[204,304,"4xx","5xx"],"defaultTimeout":10000}"#;

/// Where a page belongs in the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Overview,
    Components,
    Explorer,
    Status,
}

impl Section {
    const ALL: [(Self, &'static str, &'static str); 4] = [
        (Self::Overview, "/", "Overview"),
        (Self::Components, "/components", "Components"),
        (Self::Explorer, "/metrics-explorer", "Metrics"),
        (Self::Status, "/status", "Status"),
    ];
}

/// What the frame needs to know of the page in it.
pub(super) struct Frame<'a> {
    /// Title, without the program's name.
    pub title: &'a str,
    /// Its place in the navigation; `None` for an error.
    pub section: Option<Section>,
    /// Whether the page has a chart, and so needs uPlot.
    pub chart: bool,
}

impl<'a> Frame<'a> {
    pub(super) fn new(title: &'a str, section: Section) -> Self {
        Self { title, section: Some(section), chart: false }
    }
}

/// A whole page.
pub(super) fn document(frame: &Frame, shell: &Shell, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(frame))
            body {
                a.skip href="#main" { "Skip to the content" }
                (banner(frame, shell))
                main #main tabindex="-1" {
                    @for notice in &shell.notices {
                        p.notice role="alert" { (notice) }
                    }
                    (content)
                }
                (footer(shell))
            }
        }
    }
}

/// The content of an error page.
pub(super) fn problem(status: u16, title: &str, detail: &str) -> Markup {
    html! {
        div #live {
            header.head { h1 { (title) } p.fresh { (status) } }
            p.lead { (detail) }
            p { a href="/" { "Go to the overview" } }
        }
    }
}

fn head(frame: &Frame) -> Markup {
    let assets = &*ASSETS;
    html! {
        head {
            meta charset="utf-8";
            title { (frame.title) " · NoETL Metrics" }
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            meta name="htmx-config" content=(HTMX_CONFIG);
            link rel="icon" type="image/svg+xml" href=(assets.icon.url);
            @if frame.chart {
                link rel="stylesheet" href=(assets.uplot_style.url);
            }
            link rel="stylesheet" href=(assets.style.url);
            script defer src=(assets.htmx.url) {}
            @if frame.chart {
                script defer src=(assets.uplot.url) {}
            }
            script defer src=(assets.script.url) {}
        }
    }
}

fn banner(frame: &Frame, shell: &Shell) -> Markup {
    html! {
        header.banner {
            div.inner {
                a.brand href="/" aria-label="NoETL Metrics, overview" {
                    (logo())
                    span.name { "NoETL " b { "Metrics" } }
                }
                nav aria-label="Pages" {
                    ul {
                        @for (section, href, name) in Section::ALL {
                            @let current = (frame.section == Some(section)).then_some("page");
                            li { a href=(href) aria-current=[current] { (name) } }
                        }
                    }
                }
                div.controls {
                    p #link role="status" {}
                    // The script shows it: without the script nothing moves that could be paused.
                    button #pause type="button" hidden { "Pause" }
                    span.instance title="This server" { (shell.instance) }
                }
            }
        }
    }
}

fn footer(shell: &Shell) -> Markup {
    let uptime = humanize::seconds(shell.uptime_seconds as f64);
    html! {
        footer.foot {
            div.inner {
                p { "NoETL Metrics " (shell.version) ", up for " (uptime) }
                ul {
                    li { a href="/openapi.json" { "API description" } }
                    li { a href="/api/metrics/prometheus?active=1" { "Prometheus export" } }
                    li { a href="/metrics" { "Own metrics" } }
                    li { a href="/readyz?verbose" { "Health" } }
                }
            }
        }
    }
}

/// The sign of the program: a pulse that crosses an N.
fn logo() -> Markup {
    html! {
        svg.logo viewBox="0 0 32 32" aria-hidden="true" {
            path d="M3 21h5l3-12 9 15 3-12 2 4h4" {}
        }
    }
}
