//! What is drawn is what `golden/` says. To write the files anew: `UPDATE_GOLDEN=1 cargo test --lib top`.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;

use super::super::keys::Action;
use super::super::snapshot::{Component, Detail};
use super::super::state::Update;
use super::super::{fixture, golden};
use super::*;

fn drawn(state: &mut State, columns: u16, lines: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(columns, lines)).unwrap();
    terminal.draw(|frame| draw(frame, state, Palette::new(false))).unwrap();
    let text = terminal.backend().to_string();
    text.lines().map(|line| line.trim_matches('"').trim_end().to_owned() + "\n").collect()
}

#[test]
fn the_list_fits_80_columns_and_shows_more_in_120() {
    golden("list-80x24.txt", &drawn(&mut fixture::state(), 80, 24));
    golden("list-120x40.txt", &drawn(&mut fixture::state(), 120, 40));
}

#[test]
fn docs_show_what_is_drawn() {
    let page = include_str!("../../../docs/operate.md");
    let shown = drawn(&mut fixture::state(), 80, 11);
    assert!(page.contains(&format!("```text\n{shown}```")), "docs/operate.md has to have\n{shown}");
}

#[test]
fn the_values_of_a_component_fit_both() {
    let mut state = fixture::state();
    state.apply(Action::Enter);
    let View::Detail(runtime_id) = state.view else { panic!("{:?}", state.view) };
    let detail = Detail { runtime_id, ..fixture::detail() };
    state.take(Update::Seen(Box::new(fixture::snapshot()), Some(detail)));
    golden("values-80x24.txt", &drawn(&mut state, 80, 24));
    golden("values-120x40.txt", &drawn(&mut state, 120, 40));
}

#[test]
fn keys_are_explained() {
    let mut state = fixture::state();
    state.apply(Action::Help);
    golden("help-80x24.txt", &drawn(&mut state, 80, 24));
}

#[test]
fn a_filter_that_is_typed_and_a_server_that_is_away_are_seen() {
    let mut state = fixture::state();
    state.apply(Action::Filter);
    "cpu".chars().for_each(|letter| state.apply(Action::Letter(letter)));
    state.take(Update::Away("http://127.0.0.1:8082: Connection refused; next try in 4 s".into()));
    golden("away-80x24.txt", &drawn(&mut state, 80, 24));
}

#[test]
fn nothing_is_drawn_outside_of_any_screen() {
    for (columns, lines) in [(1, 1), (10, 3), (40, 5), (80, 6), (300, 100)] {
        let mut state = fixture::state();
        for action in [Action::Last, Action::Enter, Action::Back, Action::Help] {
            drawn(&mut state, columns, lines);
            state.apply(action);
        }
    }
}

#[test]
fn a_long_list_is_moved_through() {
    let mut state = fixture::state();
    let mut many = fixture::snapshot();
    let named = |id: i64| Component {
        runtime_id: id,
        name: format!("w-{id:03}"),
        status: "up".into(),
        ..Component::default()
    };
    many.components = (0..100).map(named).collect();
    state.take(Update::Seen(Box::new(many), None));
    drawn(&mut state, 80, 24);
    state.apply(Action::Page(1));
    let text = drawn(&mut state, 80, 24);
    assert!(text.contains("w-019") && !text.contains("w-000"), "{text}");
    state.apply(Action::Last);
    assert!(drawn(&mut state, 80, 24).contains("w-099"));
}

/// Whether any cell has a colour of its own.
fn has_colours(palette: Palette) -> bool {
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    terminal.draw(|frame| draw(frame, &mut fixture::state(), palette)).unwrap();
    terminal
        .backend()
        .buffer()
        .content()
        .iter()
        .any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
}

#[test]
fn colours_are_there_unless_they_are_not_wanted() {
    assert!(has_colours(Palette::new(true)));
    assert!(!has_colours(Palette::new(false)));
}
