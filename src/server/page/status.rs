//! `/status`: what runs, with which settings, on which database.

use maud::{Markup, html};

use super::data::{
    Flag, Limit, Migration, Partition, Partitions, Retention, RetentionRun, Status, TableSize,
};
use super::parts::{self, Column, ago, count, fact, known, size};
use super::{humanize, targets};

/// What stands in place of a table that comes from the database.
const NOT_KNOWN: &str = "Not known while the database does not answer.";

/// Renders the page's content.
pub(super) fn render(data: &Status) -> Markup {
    let content = html! {
        header.head { h1 { "Status" } (parts::freshness(data.now_ms, "/status")) }
        (section("build", "Program and database", &build(data)))
        (section("flags", "Settings that differ from their defaults", &flags(&data.flags)))
        (section("limits", "Limits", &limits(&data.limits)))
        (section("targets", "Targets that agents scrape", &targets::scraped(&data.targets)))
        @if !data.forward.is_empty() {
            (section("forward", "Stores that samples are sent on to", &targets::forwarded(&data.forward)))
        }
        (section("partitions", "Partitions", &partitions(data.now_ms, &data.partitions)))
        (section("retention", "Retention", &retention(data.now_ms, &data.retention)))
        div.pair {
            (section("tables", "Tables", &tables(&data.tables)))
            (section("migrations", "Schema", &migrations(&data.migrations)))
        }
    };
    parts::live("/status", 30, &content)
}

fn section(id: &str, title: &str, content: &Markup) -> Markup {
    html! {
        section aria-labelledby=(id) {
            header.bar-head { h2 id=(id) { (title) } }
            (content)
        }
    }
}

/// A table that scrolls by itself where it is too wide, also by the keyboard; a sentence where there
/// is no row.
pub(super) fn table<T>(
    rows: &[T],
    none: &str,
    caption: &Markup,
    columns: &[Column],
    row: impl Fn(&T) -> Markup,
) -> Markup {
    if rows.is_empty() {
        return html! { p.empty { (none) } };
    }
    let label = format!("Table: {}", columns[0].title());
    html! {
        div.scroll role="region" tabindex="0" aria-label=(label) {
            table.plain {
                caption { (caption) }
                (parts::columns(columns))
                tbody { @for item in rows { (row(item)) } }
            }
        }
    }
}

fn build(data: &Status) -> Markup {
    let build = &data.build;
    let postgres = data.postgres_version.as_deref().map(|version| version.trim_start_matches("PostgreSQL "));
    html! {
        dl.ledger {
            (fact("Version", &html! { (build.version) }))
            (fact("Commit", &known(build.commit.as_deref(), |commit| html! { code { (commit) } })))
            (fact("Compiler", &html! { (build.rustc) }))
            (fact("Started", &ago(data.now_ms, Some(build.started_at_ms))))
            (fact("Process", &html! { (build.pid) }))
            (fact("PostgreSQL", &known(postgres, |version| html! { (version) })))
            (fact("Database size", &known(data.database_bytes, size)))
        }
    }
}

fn flags(flags: &[Flag]) -> Markup {
    let columns =
        [Column::Text("Flag"), Column::Text("Value"), Column::Text("Default"), Column::Text("From")];
    let none = "None: every setting has its default.";
    table(flags, none, &html! { "Secrets are masked" }, &columns, |flag| {
        html! {
            tr {
                th.metric scope="row" { (flag.name) }
                td.code { (flag.value()) }
                td.code { (flag.default) }
                td { (flag.source.as_str()) }
            }
        }
    })
}

fn limits(limits: &[Limit]) -> Markup {
    let columns = [
        Column::Text("Limit"),
        Column::Text("Flag"),
        Column::Number("Used"),
        Column::Number("Of"),
        Column::Unseen("Share"),
    ];
    table(limits, "None.", &html! { "What is past a limit is refused, and counted" }, &columns, limit_row)
}

fn limit_row(limit: &Limit) -> Markup {
    let show = |value| if limit.unit.as_deref() == Some("bytes") { size(value) } else { count(value) };
    html! {
        tr {
            th scope="row" { (limit.name) }
            td.code { (limit.flag) }
            td.num { @if let Some(used) = limit.used { (show(used)) } }
            td.num { (show(limit.limit)) }
            td.share {
                @if let Some(used) = limit.used {
                    (parts::bar(used as f64, limit.limit as f64))
                    @if limit.limit > 0 {
                        span.percent { (used.saturating_mul(100) / limit.limit) "%" }
                    }
                }
            }
        }
    }
}

fn partitions(now_ms: i64, data: &Partitions) -> Markup {
    let columns = [
        Column::Text("Partition"),
        Column::Text("From, UTC"),
        Column::Text("To, UTC"),
        Column::Number("Samples"),
        Column::Number("Size"),
    ];
    let shown = data.recent.len();
    let caption = html! {
        "The newest " (shown) @if (shown as u64) < data.count { " of " (data.count) }
    };
    html! {
        dl.ledger {
            (fact("Partitions", &count(data.count)))
            (fact("Samples, about", &known(data.rows, count)))
            (fact("Size", &known(data.bytes, size)))
            (fact("Oldest starts", &known(data.oldest_ms, |ms| ago(now_ms, Some(ms)))))
            (fact("Newest ends", &known(data.newest_ms, |ms| ahead(now_ms, ms))))
        }
        (table(&data.recent, "None yet.", &caption, &columns, partition_row))
    }
}

/// How far ahead of now partitions reach; in the past there is no place for new samples.
fn ahead(now_ms: i64, ms: i64) -> Markup {
    html! {
        @if ms > now_ms {
            "in "
            time datetime=(humanize::rfc3339(ms)) title=(humanize::utc(ms)) { (humanize::age(ms, now_ms)) }
        } @else {
            strong.bad { (ago(now_ms, Some(ms))) }
        }
    }
}

fn partition_row(partition: &Partition) -> Markup {
    html! {
        tr {
            th.metric scope="row" { (partition.name) }
            td { (humanize::minute(partition.from_ms)) }
            td { (humanize::minute(partition.to_ms)) }
            td.num { (known(partition.rows, count)) }
            td.num { (size(partition.bytes)) }
        }
    }
}

fn retention(now_ms: i64, data: &Retention) -> Markup {
    let columns = [
        Column::Text("Ended, UTC"),
        Column::Number("Took"),
        Column::Number("Partitions dropped"),
        Column::Number("Freed"),
        Column::Text("Outcome"),
    ];
    let caption = html! { "The newest runs" };
    html! {
        dl.ledger {
            (fact("Samples are kept for", &kept(data.raw_seconds)))
            @if data.hourly_seconds.is_some() {
                (fact("Hourly roll-ups for", &kept(data.hourly_seconds)))
            }
            (fact("All tables at most", &html! {
                @match data.max_bytes {
                    Some(bytes) => (size(bytes)),
                    None => span.none { "without limit" },
                }
            }))
        }
        (table(&data.runs, "Retention has not run yet.", &caption, &columns, |run| run_row(now_ms, run)))
    }
}

fn kept(seconds: Option<u64>) -> Markup {
    html! {
        @match seconds {
            Some(seconds) => (humanize::seconds(seconds as f64)),
            None => span.none { "without end" },
        }
    }
}

fn run_row(now_ms: i64, run: &RetentionRun) -> Markup {
    html! {
        tr {
            th scope="row" {
                (humanize::minute(run.finished_at_ms)) " "
                span.when { (ago(now_ms, Some(run.finished_at_ms))) }
            }
            td.num { (humanize::seconds(run.duration_ms as f64 / 1000.0)) }
            td.num { (count(run.dropped_partitions)) }
            td.num { (size(run.freed_bytes)) }
            td { @match &run.error { Some(error) => strong.bad { (error) }, None => "ok" } }
        }
    }
}

fn tables(tables: &[TableSize]) -> Markup {
    let columns =
        [Column::Text("Table"), Column::Number("Rows"), Column::Number("Data"), Column::Number("Indexes")];
    let caption = html! { "The largest first; rows are estimates, of samples their number" };
    table(tables, NOT_KNOWN, &caption, &columns, |table| {
        html! {
            tr {
                th.metric scope="row" { (table.name) }
                td.num { (known(table.rows, count)) }
                td.num { (size(table.table_bytes)) }
                td.num { (size(table.index_bytes)) }
            }
        }
    })
}

fn migrations(migrations: &[Migration]) -> Markup {
    let waiting = migrations.iter().filter(|step| step.applied_at_ms.is_none()).count();
    let columns = [Column::Text("Step"), Column::Text("What it does"), Column::Text("Applied, UTC")];
    let caption = html! {
        @if waiting == 0 { "Up to date" } @else { strong.bad { (waiting) " still to be applied" } }
    };
    table(migrations, NOT_KNOWN, &caption, &columns, |step| {
        html! {
            tr {
                th scope="row" { (step.version) }
                td { (step.description) }
                td {
                    @match step.applied_at_ms {
                        Some(ms) => (humanize::minute(ms)),
                        None => strong.bad { "not yet" },
                    }
                }
            }
        }
    })
}
