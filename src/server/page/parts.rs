//! Small pieces that several pages share: status words, ages, values, sparklines, the pager.

use std::fmt::Display;

use maud::{Markup, html};

use super::data::{ComponentStatus, Label, PAGE_ROWS, Paging, Point, SeriesRow};
use super::humanize::{self, Human};
use super::spark::{self, Canvas, Scale};
use super::unit;

/// The part of a page that htmx fetches again: `address` is the page's own, `seconds` the interval.
pub(super) fn live(address: &str, seconds: u32, content: &Markup) -> Markup {
    html! {
        div #live
            hx-get=(address)
            hx-trigger={ "every " (seconds) "s, refresh" }
            hx-swap="outerMorph"
            hx-sync="this:drop" {
            (content)
        }
    }
}

/// How fresh a page is, and the way to its JSON twin.
pub(super) fn freshness(now_ms: i64, address: &str) -> Markup {
    let separator = if address.contains('?') { '&' } else { '?' };
    html! {
        p.fresh {
            span { "As of " time datetime=(humanize::rfc3339(now_ms)) title=(humanize::utc(now_ms)) {
                (humanize::clock(now_ms)) " UTC"
            } }
            a href={ (address) (separator) "format=json" } { "JSON" }
        }
    }
}

/// A status, as a mark and a word.
pub(super) fn status(status: ComponentStatus) -> Markup {
    html! { span class={ "status " (status.as_str()) } { (status.as_str()) } }
}

/// How long ago something was; `never` where it was not.
pub(super) fn age(now_ms: i64, then_ms: Option<i64>) -> Markup {
    html! {
        @match then_ms {
            Some(then) => {
                time datetime=(humanize::rfc3339(then)) title=(humanize::utc(then)) {
                    (humanize::age(now_ms, then))
                }
            }
            None => span.none { "never" }
        }
    }
}

/// How long ago something was, in a phrase: `12 s ago`.
pub(super) fn ago(now_ms: i64, then_ms: Option<i64>) -> Markup {
    let past = then_ms.is_some_and(|then| now_ms.saturating_sub(then) >= 1000);
    html! { (age(now_ms, then_ms)) @if past { " ago" } }
}

/// A number of things: `1 component`, `2 components`.
pub(super) fn plural(number: u64, noun: &str) -> String {
    let number_text = humanize::grouped(number as f64);
    if number == 1 { format!("{number_text} {noun}") } else { format!("{number_text} {noun}s") }
}

/// A number with its unit set smaller, the exact value beside it for the curious.
pub(super) fn human(human: &Human, exact: &str) -> Markup {
    html! {
        data value=(exact) title=(exact) {
            (human.number)
            @if !human.unit.is_empty() {
                // Units that are written without a space are set so.
                @if !matches!(human.unit.as_str(), "%" | "°C") { " " }
                small { (human.unit) }
            }
        }
    }
}

/// A number that may not be known.
pub(super) fn known<T>(value: Option<T>, show: impl FnOnce(T) -> Markup) -> Markup {
    html! {
        @match value {
            Some(value) => (show(value)),
            None => span.none title="not known yet" { "unknown" }
        }
    }
}

/// A count: rounded where it is large, exact in the title.
pub(super) fn count(value: u64) -> Markup {
    if value == 0 {
        return html! { data.none value="0" { "0" } };
    }
    let exact = humanize::grouped(value as f64);
    html! { data value=(value) title=(exact) { (humanize::count(value as f64)) } }
}

/// A number of refused samples, in the colour of trouble where there are any.
pub(super) fn refused(samples: u64) -> Markup {
    html! { span.bad[samples > 0] { (count(samples)) } }
}

/// A size in bytes.
pub(super) fn size(bytes: u64) -> Markup {
    human(&humanize::bytes(bytes as f64), &format!("{} bytes", humanize::grouped(bytes as f64)))
}

/// The newest value of a series.
pub(super) fn value(row: &SeriesRow) -> Markup {
    let unit = row.unit.as_deref();
    let shown = unit::quantity(row.value, unit, &row.name);
    human(&shown, &humanize::exact(row.value))
}

/// The newest of the `rates` of a value that only goes up.
pub(super) fn rate(row: &SeriesRow, rates: &[Point]) -> Markup {
    html! {
        @if let Some((_, last)) = rates.last() {
            (human(&unit::per_second(*last, row.unit.as_deref(), &row.name), &humanize::exact(*last)))
        }
    }
}

/// Labels of a series, as the exposition format writes them.
pub(super) fn labels(labels: &[Label]) -> Markup {
    html! {
        @for (i, label) in labels.iter().enumerate() {
            @if i > 0 { ", " }
            span.label { span.key { (label.name) "=" } "\"" (escape_label(&label.value)) "\"" }
        }
    }
}

/// A label value as the exposition format escapes it.
pub(super) fn escape_label(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// A series in one line: `name{label="value"}`.
pub(super) fn series_text(row: &SeriesRow) -> String {
    let labels: Vec<String> =
        row.labels.iter().map(|l| format!("{}=\"{}\"", l.name, escape_label(&l.value))).collect();
    if labels.is_empty() { row.name.clone() } else { format!("{}{{{}}}", row.name, labels.join(", ")) }
}

/// A metric name that may be broken after each word.
pub(super) fn metric_name(name: &str) -> Markup {
    html! {
        @for piece in name.split_inclusive(['_', ':', '.']) { (piece) wbr; }
    }
}

/// One or more lines drawn small; nothing where there is no point. The value stands beside it in
/// words, so it is hidden from screen readers.
pub(super) fn sparkline(lines: &[&[Point]], scale: Option<Scale>, canvas: Canvas) -> Markup {
    let scale = scale.or_else(|| Scale::fit(lines.iter().copied()));
    html! {
        @if let Some(scale) = scale {
            svg.spark viewBox=(canvas.view_box()) preserveAspectRatio="none" aria-hidden="true" {
                @for (i, points) in lines.iter().enumerate() {
                    @let shape = spark::draw(points, scale, canvas);
                    @if canvas != Canvas::ROW && i == 0 && !shape.area.is_empty() {
                        path.area d=(shape.area) {}
                    }
                    @if !shape.line.is_empty() {
                        path class={ "line" @if i > 0 { " line-" (i + 1) } } d=(shape.line) {}
                    }
                }
            }
        }
    }
}

/// A horizontal bar that is `part` of `whole` long.
pub(super) fn bar(part: f64, whole: f64) -> Markup {
    let share = if whole > 0.0 { (part / whole).clamp(0.0, 1.0) } else { 0.0 };
    html! {
        svg.bar viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true" {
            rect.track width="100" height="1" {}
            rect.fill width=(format!("{:.1}", share * 100.0)) height="1" {}
        }
    }
}

/// A bar of parts side by side, each in the colour of its class.
pub(super) fn stacked(parts: &[(&str, u64)]) -> Markup {
    let whole = parts.iter().map(|(_, n)| n).sum::<u64>().max(1) as f64;
    let widths = parts.iter().map(|(_, n)| *n as f64 / whole * 100.0);
    let starts = widths.clone().scan(0.0, |end, width| Some(std::mem::replace(end, *end + width)));
    html! {
        svg.bar.stacked viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true" {
            rect.track width="100" height="1" {}
            @for (((class, _), width), x) in parts.iter().zip(widths).zip(starts) {
                rect class=(class) x=(format!("{x:.1}")) width=(format!("{width:.1}")) height="1" {}
            }
        }
    }
}

/// Which rows of how many are shown: `1–200 of 340 series`.
pub(super) fn shown(paging: Paging, rows: usize, noun: &str) -> String {
    let number = |n: u64| humanize::grouped(n as f64);
    let (total, matched) = (number(paging.total), number(paging.matched));
    if paging.total == 0 {
        return format!("No {noun} yet");
    }
    if rows == 0 {
        return format!("None of {total} {noun} match");
    }
    let of = if paging.matched == paging.total {
        format!("{total} {noun}")
    } else {
        format!("{matched} that match of {total} {noun}")
    };
    if paging.pages == 1 {
        return of;
    }
    let before = u64::from(paging.page - 1) * PAGE_ROWS as u64;
    format!("{}–{} of {of}", number(before + 1), number(before + rows as u64))
}

/// Links to the neighbouring pages; nothing where there is only one.
pub(super) fn pager(paging: Paging, href: impl Fn(u32) -> String) -> Markup {
    html! {
        @if paging.pages > 1 {
            nav.pager aria-label="Pages of the table" {
                @if paging.page > 1 {
                    a href=(href(1)) { "First" }
                    a href=(href(paging.page - 1)) rel="prev" { "Previous" }
                }
                span { "Page " (paging.page) " of " (paging.pages) }
                @if paging.page < paging.pages {
                    a href=(href(paging.page + 1)) rel="next" { "Next" }
                    a href=(href(paging.pages)) { "Last" }
                }
            }
        }
    }
}

/// A column of a table, by its title.
#[derive(Clone, Copy)]
pub(super) enum Column {
    Text(&'static str),
    Number(&'static str),
    /// A column that explains itself to the eye: its title is for screen readers.
    Unseen(&'static str),
}

impl Column {
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Text(title) | Self::Number(title) | Self::Unseen(title) => title,
        }
    }
}

/// The head of a table.
pub(super) fn columns(columns: &[Column]) -> Markup {
    html! {
        thead {
            tr {
                @for column in columns {
                    @match column {
                        Column::Text(title) => th scope="col" { (title) },
                        Column::Number(title) => th.num scope="col" { (title) },
                        Column::Unseen(title) => th scope="col" { span.unseen { (title) } },
                    }
                }
            }
        }
    }
}

/// A form that filters the page at `action` by the text `q` and by what is in `more`. It works by
/// itself; htmx sends it while a person types.
pub(super) fn filter(action: &str, label: &str, q: &str, button: &str, more: &Markup) -> Markup {
    html! {
        form.filter #filter role="search" action=(action) method="get"
            hx-get=(action)
            hx-trigger="input delay:250ms, submit"
            hx-target="#live"
            hx-swap="outerMorph"
            hx-sync="#live:replace" {
            label.text for="q" { (label) }
            input #q type="search" name="q" value=(q) autocomplete="off" spellcheck="false";
            (more)
            button type="submit" { (button) }
        }
    }
}

/// A name and its value, in a list of facts.
pub(super) fn fact(name: impl Display, value: &Markup) -> Markup {
    html! { div { dt { (name.to_string()) } dd { (value) } } }
}
