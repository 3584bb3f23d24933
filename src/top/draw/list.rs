//! The list of components.

use ratatui::text::{Line, Span};

use super::{Palette, WIDE, row};
use crate::top::column::Column;
use crate::top::short::{left, right};
use crate::top::snapshot::Component;
use crate::top::state::State;

/// Names are given at least this much room.
const SHORTEST_NAME: usize = 12;

/// Its titles and as many rows as there is room for.
pub(super) fn lines(state: &mut State, columns: usize, palette: Palette) -> Vec<Line<'static>> {
    let is_wide = columns >= WIDE;
    let apart = if is_wide { 2 } else { 1 };
    let others: usize =
        Column::ALL.iter().filter_map(|column| places(*column, is_wide)).map(|p| p + apart).sum();
    let name = columns.saturating_sub(others).max(SHORTEST_NAME);
    let cell = |column: Column, text: &str| {
        let places = places(column, is_wide).unwrap_or(name);
        if column.is_text() { left(text, places) } else { right(text, places) }
    };
    let titles = Column::ALL.map(|column| {
        let style = if column == state.sort { palette.chosen() } else { palette.heading() };
        Span::styled(cell(column, column.title()), style)
    });
    let mut lines = vec![row(titles, apart)];
    let count = state.rows().len();
    state.list.fit(count, state.height);
    if count == 0 && state.snapshot.is_some() {
        let why = if state.list.filter.is_empty() {
            "No component yet."
        } else {
            "No component has this in its name."
        };
        lines.push(Line::styled(why, palette.quiet()));
    }
    for (at, component) in state.rows().into_iter().enumerate().skip(state.list.top).take(state.height) {
        let spans = Column::ALL.map(|column| {
            let text = cell(column, &text(column, component, is_wide));
            match column {
                Column::Status => Span::styled(text, palette.status(&component.status)),
                _ if component.status == "offline" => Span::styled(text, palette.quiet()),
                _ => Span::raw(text),
            }
        });
        let line = row(spans, apart);
        lines.push(if at == state.list.at { line.style(palette.chosen()) } else { line });
    }
    lines
}

/// Places that a column takes; the name takes what is left.
const fn places(column: Column, is_wide: bool) -> Option<usize> {
    Some(match column {
        Column::Name => return None,
        Column::Type => {
            if is_wide {
                11
            } else {
                6
            }
        }
        Column::Status => 7,
        Column::Heard | Column::Cpu | Column::Tasks | Column::Queue => 5,
        Column::Memory | Column::Series | Column::Samples => 6,
    })
}

/// What stands in a cell; kinds have short names where there is little room.
fn text(column: Column, component: &Component, is_wide: bool) -> String {
    match (column, component.kind.as_str()) {
        (Column::Type, "worker_pool") if !is_wide => "worker".into(),
        (Column::Type, "server_api") if !is_wide => "server".into(),
        (Column::Type, "node_agent") if !is_wide => "node".into(),
        _ => column.cell(component),
    }
}
