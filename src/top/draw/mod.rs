//! The screen: three lines of what matters most, a list, and the keys.
//!
//! Contract: a [`State`] in, a frame out; of the state only the height of the list and its first line
//! are changed. It fits 80 columns and 24 lines; more of both show more.

mod detail;
mod help;
mod list;
mod palette;
#[cfg(test)]
mod tests;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

pub(super) use self::palette::Palette;
use super::short::{self, UNKNOWN, clean, cut, left, width};
use super::snapshot::{Alert, Snapshot};
use super::state::{State, View};

/// From this width on columns are further apart, and words are whole.
const WIDE: usize = 100;
/// Lines above the list, and below it.
const ABOVE: usize = 4;
const BELOW: usize = 1;

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, state: &mut State, palette: Palette) {
    let area = frame.area();
    let (columns, lines) = (usize::from(area.width), usize::from(area.height));
    state.height = lines.saturating_sub(ABOVE + BELOW).max(1);
    let mut text = vec![title(state, columns, palette)];
    match (state.help, state.view) {
        (true, _) => text.extend(help::lines(palette)),
        (false, View::List) => {
            text.push(Line::raw(state.snapshot.as_ref().map_or_else(|| "looking …".into(), totals)));
            text.push(news(state, columns, palette));
            text.extend(list::lines(state, columns, palette));
        }
        (false, View::Detail(_)) => {
            text.push(detail::head(state, palette));
            text.push(news(state, columns, palette));
            text.extend(detail::lines(state, columns, palette));
        }
    }
    text.truncate(lines.saturating_sub(BELOW));
    frame.render_widget(Paragraph::new(text), area);
    let bottom = Rect { y: area.height.saturating_sub(1), height: area.height.min(1), ..area };
    frame.render_widget(Paragraph::new(keys(state, palette)), bottom);
}

/// Whose it is, and of when.
fn title(state: &State, columns: usize, palette: Palette) -> Line<'static> {
    let clock = state.snapshot.as_ref().map_or_else(String::new, |s| {
        // The date is of no use to who looks at it.
        s.time.rfc3339().get(11..19).map(|time| format!("{time} UTC")).unwrap_or_default()
    });
    let room = columns.saturating_sub(width(&clock));
    let name = left(&format!("noetl-metrics top  {}", state.server), room.saturating_sub(1));
    Line::from(vec![Span::styled(name, palette.title()), Span::raw(format!(" {clock}"))])
}

/// What can't be read, else alerts and notices.
fn news(state: &State, columns: usize, palette: Palette) -> Line<'static> {
    if let Some(trouble) = &state.trouble {
        return Line::styled(cut(trouble, columns), palette.bad());
    }
    let Some(snapshot) = &state.snapshot else { return Line::default() };
    let is_firing = |alert: &Alert| alert.state == "firing";
    let style = match &snapshot.alerts {
        Some(alerts) if alerts.iter().any(is_firing) => palette.bad(),
        Some(alerts) if !alerts.is_empty() => palette.warning(),
        _ if !snapshot.notices.is_empty() => palette.warning(),
        _ => palette.quiet(),
    };
    let said: Vec<String> = alerts(snapshot).into_iter().chain(snapshot.notices.iter().cloned()).collect();
    let said = clean(&said.join("   "));
    // Its beginning is what matters.
    let shown = if width(&said) <= columns { said } else { format!("{}…", start(&said, columns)) };
    Line::styled(shown, style)
}

/// As many letters as fit before an ellipsis.
fn start(text: &str, columns: usize) -> String {
    let mut shown: String = text.chars().take(columns).collect();
    while width(&shown) >= columns.max(1) {
        shown.pop();
    }
    shown
}

/// All components together, in a line.
pub(super) fn totals(snapshot: &Snapshot) -> String {
    let total = &snapshot.total;
    let known = |value: Option<f64>, how: fn(f64) -> String| value.map_or(UNKNOWN.into(), how);
    let offline = if total.offline > 0 { format!("  offline {}", total.offline) } else { String::new() };
    format!(
        "up {}  silent {}{offline}   workers {}   series {}   samples/s {}   p99 {}",
        total.up,
        total.silent,
        total.active_workers,
        short::count(total.series as f64),
        known(total.samples_per_second, short::count),
        known(total.report_p99_seconds, short::seconds),
    )
}

/// The alerts, in a line; nothing where there are no rules.
pub(super) fn alerts(snapshot: &Snapshot) -> Option<String> {
    let alerts = snapshot.alerts.as_ref()?;
    let of = |state: &str| {
        let such = alerts.iter().filter(|alert| alert.state == state);
        let such =
            such.map(|a| if a.count > 1 { format!("{} ({})", a.name, a.count) } else { a.name.clone() });
        Some(such.collect::<Vec<_>>().join(", ")).filter(|text| !text.is_empty())
    };
    let firing = of("firing").map(|names| format!("firing: {names}"));
    let pending = of("pending").map(|names| format!("pending: {names}"));
    let said: Vec<String> = firing.into_iter().chain(pending).collect();
    Some(if said.is_empty() { "no alert fires".into() } else { said.join("   ") })
}

/// The filter while it is typed, else the keys.
fn keys(state: &State, palette: Palette) -> Line<'static> {
    let filter = clean(state.filter());
    if state.typing {
        return Line::from(vec![
            Span::styled("filter: ", palette.title()),
            Span::raw(filter),
            Span::styled(" ", palette.chosen()),
            Span::styled("  Enter keeps it, Esc drops it", palette.quiet()),
        ]);
    }
    let filter = if filter.is_empty() { "/ filter".to_owned() } else { format!("/ filter: {filter}") };
    let words = match state.view {
        _ if state.help => "any key: back".to_owned(),
        View::List => {
            let arrow = if state.reversed { '↑' } else { '↓' };
            let order = format!("{}{arrow}", state.sort.title().to_lowercase());
            format!("q quit  ↑↓ move  Enter values  s sort: {order}  r reverse  {filter}  ? help")
        }
        View::Detail(_) => format!("q quit  Esc back  ↑↓ move  {filter}  ? help"),
    };
    Line::styled(words, palette.quiet())
}

/// Cells side by side.
fn row(cells: impl IntoIterator<Item = Span<'static>>, apart: usize) -> Line<'static> {
    let mut spans = Vec::new();
    for cell in cells {
        if !spans.is_empty() {
            spans.push(Span::raw(" ".repeat(apart)));
        }
        spans.push(cell);
    }
    Line::from(spans)
}
