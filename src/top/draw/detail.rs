//! The newest values of one component.

use ratatui::text::{Line, Span};

use super::{Palette, WIDE, row};
use crate::top::short::{age, cut, left, right};
use crate::top::snapshot::Newest;
use crate::top::state::State;

/// Places of an age.
const AGE: usize = 5;

/// Which component it is, and how many values there are.
pub(super) fn head(state: &State, palette: Palette) -> Line<'static> {
    let Some(detail) = &state.detail else { return Line::raw("looking …") };
    let shown = state.newest().len() as u64;
    let of = if shown < detail.matched {
        format!("{shown} of {} values", detail.matched)
    } else {
        format!("{shown} values")
    };
    Line::from(vec![
        Span::styled(cut(&detail.name, 50), palette.title()),
        Span::raw(format!("  {}  ", cut(&detail.kind, 20))),
        Span::styled(cut(&detail.status, 10), palette.status(&detail.status)),
        Span::raw(format!("   {of}")),
    ])
}

/// Titles and as many values as there is room for.
pub(super) fn lines(state: &mut State, columns: usize, palette: Palette) -> Vec<Line<'static>> {
    let (value, apart) = if columns >= WIDE { (24, 2) } else { (12, 1) };
    let room = columns.saturating_sub(value + AGE + 3 * apart);
    let name = room * 3 / 5;
    let cells = |metric: &str, labels: &str, newest: &str, old: &str| {
        let cells = [left(metric, name), left(labels, room - name), right(newest, value), right(old, AGE)];
        cells.map(Span::raw)
    };
    let titles = cells("METRIC", "LABELS", "VALUE", "AGE").map(|span| span.style(palette.heading()));
    let mut lines = vec![row(titles, apart)];
    let count = state.newest().len();
    state.values.fit(count, state.height);
    let Some(detail) = &state.detail else { return lines };
    if count == 0 {
        let why = if state.values.filter.is_empty() {
            "It has no values now."
        } else {
            "No value has this in its name or labels."
        };
        lines.push(Line::styled(why, palette.quiet()));
    }
    let shown = state.newest().into_iter().enumerate().skip(state.values.top).take(state.height);
    for (at, Newest { name, labels, value, at: time }) in shown {
        let line = row(cells(name, labels, value, &age(detail.now.since(*time) / 1000)), apart);
        lines.push(if at == state.values.at { line.style(palette.chosen()) } else { line });
    }
    lines
}
