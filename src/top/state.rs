//! What is on the screen and why: the last look, the order, the filter, the chosen line.
//!
//! Contract: pure. Looks and keys go in; [`State::wanted`] says what is to be asked of the server.

use super::TopConfig;
use super::column::Column;
use super::keys::Action;
use super::snapshot::{Component, Detail, Newest, Snapshot};
use crate::server::page::data::matches_words;

/// Letters of a filter, at most.
const LONGEST_FILTER: usize = 100;

/// What is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// All components.
    List,
    /// The values of the component of this id.
    Detail(i64),
}

/// What is to be asked of the server beside the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The component whose values are shown, and the words that they are to have.
    pub(super) detail: Option<(i64, String)>,
}

/// What came of asking the server.
#[derive(Debug)]
pub(super) enum Update {
    /// A look, and the values of the component that was asked for.
    Seen(Box<Snapshot>, Option<Detail>),
    /// Why there is none.
    Away(String),
}

/// A list that is moved in.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines {
    /// Words that lines have to have.
    pub(super) filter: String,
    /// The first line on the screen.
    pub(super) top: usize,
    /// The chosen line.
    pub(super) at: usize,
}

impl Lines {
    /// Moves as far as there are lines.
    fn go(&mut self, by: isize, count: usize) {
        self.at = self.at.saturating_add_signed(by).min(count.saturating_sub(1));
    }

    /// Keeps the chosen line on a screen of so many lines.
    pub(super) fn fit(&mut self, count: usize, height: usize) {
        self.at = self.at.min(count.saturating_sub(1));
        let lowest = self.at.saturating_sub(height.saturating_sub(1));
        self.top = self.top.clamp(lowest, self.at).min(count.saturating_sub(height).max(lowest));
    }
}

/// All of it.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a thing of its own on the screen")]
pub(super) struct State {
    /// The server's address.
    pub(super) server: String,
    /// The last look; none yet at the start.
    pub(super) snapshot: Option<Snapshot>,
    /// The values of the component that is shown.
    pub(super) detail: Option<Detail>,
    /// Why the newest look failed.
    pub(super) trouble: Option<String>,
    /// The column of the order.
    pub(super) sort: Column,
    /// Whether it is the other way round.
    pub(super) reversed: bool,
    /// What is shown.
    pub(super) view: View,
    /// Whether the keys are explained.
    pub(super) help: bool,
    /// Whether a filter is typed.
    pub(super) typing: bool,
    /// The list of components.
    pub(super) list: Lines,
    /// The list of values.
    pub(super) values: Lines,
    /// Lines of the screen that have rows, as of the last drawing.
    pub(super) height: usize,
    /// Words that the server was asked for in the values.
    asked: String,
    /// The chosen component: it stays chosen while others come and go.
    chosen: Option<i64>,
    has_ended: bool,
}

impl State {
    /// Nothing seen yet.
    pub(super) fn new(config: &TopConfig) -> Self {
        Self {
            server: config.server_url.to_string(),
            snapshot: None,
            detail: None,
            trouble: None,
            sort: config.sort_by,
            reversed: false,
            view: View::List,
            help: false,
            typing: false,
            list: Lines::default(),
            values: Lines::default(),
            height: 1,
            asked: String::new(),
            chosen: None,
            has_ended: false,
        }
    }

    /// Whether it is over.
    pub(super) const fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// What is to be asked of the server.
    pub(super) fn wanted(&self) -> Wanted {
        let detail = match self.view {
            View::List => None,
            View::Detail(id) => Some((id, self.asked.clone())),
        };
        Wanted { detail }
    }

    /// Components that the filter leaves, in order.
    pub(super) fn rows(&self) -> Vec<&Component> {
        let all = self.snapshot.iter().flat_map(|snapshot| &snapshot.components);
        let mut rows: Vec<_> =
            all.filter(|c| matches_words(&self.list.filter, &[&c.name, &c.kind])).collect();
        rows.sort_by(|a, b| self.sort.order(a, b, self.reversed));
        rows
    }

    /// Values that the filter leaves.
    pub(super) fn newest(&self) -> Vec<&Newest> {
        let all = self.detail.iter().flat_map(|detail| &detail.rows);
        all.filter(|row| matches_words(&self.values.filter, &[&row.name, &row.labels])).collect()
    }

    /// Takes what came of asking the server.
    pub(super) fn take(&mut self, update: Update) {
        match update {
            Update::Away(why) => self.trouble = Some(why),
            Update::Seen(snapshot, detail) => {
                self.snapshot = Some(*snapshot);
                self.trouble = None;
                // What was asked for before may come late.
                self.detail = detail
                    .filter(|detail| self.view == View::Detail(detail.runtime_id))
                    .or_else(|| self.detail.take());
                self.find_chosen();
            }
        }
    }

    /// Does what a key asks for.
    pub(super) fn apply(&mut self, action: Action) {
        match action {
            Action::Quit => self.has_ended = true,
            Action::Help => self.help = !self.help,
            _ if self.help => self.help = false,
            Action::Back => self.back(),
            Action::Filter => self.typing = true,
            Action::Letter(letter) => self.edit(|filter| {
                if filter.chars().count() < LONGEST_FILTER {
                    filter.push(letter);
                }
            }),
            Action::Erase => self.edit(|filter| {
                let _ = filter.pop();
            }),
            Action::Enter => self.enter(),
            Action::Sort => self.sort = self.sort.next(),
            Action::Reverse => self.reversed = !self.reversed,
            Action::Move(by) => self.go(by),
            Action::Page(by) => self.go(by.saturating_mul(isize::try_from(self.height).unwrap_or(1))),
            Action::First => self.go(isize::MIN),
            Action::Last => self.go(isize::MAX),
        }
        if matches!(action, Action::Sort | Action::Reverse) {
            self.find_chosen();
        }
    }

    /// The filter of what is shown.
    pub(super) fn filter(&self) -> &str {
        match self.view {
            View::List => &self.list.filter,
            View::Detail(_) => &self.values.filter,
        }
    }

    fn lines(&mut self) -> (&mut Lines, usize) {
        match self.view {
            View::List => {
                let count = self.rows().len();
                (&mut self.list, count)
            }
            View::Detail(_) => {
                let count = self.newest().len();
                (&mut self.values, count)
            }
        }
    }

    fn go(&mut self, by: isize) {
        let (lines, count) = self.lines();
        lines.go(by, count);
        self.choose();
    }

    fn edit(&mut self, how: impl FnOnce(&mut String)) {
        let (lines, _) = self.lines();
        how(&mut lines.filter);
        (lines.at, lines.top) = (0, 0);
        self.choose();
    }

    /// Remembers the chosen line by what stands in it.
    fn choose(&mut self) {
        if self.view == View::List {
            self.chosen = self.rows().get(self.list.at).map(|c| c.runtime_id);
        }
    }

    /// Finds the chosen line again, wherever it went.
    fn find_chosen(&mut self) {
        let place = self.chosen.and_then(|id| self.rows().iter().position(|c| c.runtime_id == id));
        self.list.at = place.unwrap_or(self.list.at);
    }

    fn enter(&mut self) {
        if self.typing {
            self.typing = false;
            self.asked.clone_from(&self.values.filter);
        } else if self.view == View::List {
            self.choose();
            if let Some(id) = self.chosen {
                self.view = View::Detail(id);
                (self.detail, self.values, self.asked) = (None, Lines::default(), String::new());
            }
        }
    }

    /// First a filter goes, then the values, then all.
    fn back(&mut self) {
        self.typing = false;
        if !self.filter().is_empty() {
            self.edit(String::clear);
            self.asked.clear();
        } else if self.view == View::List {
            self.has_ended = true;
        } else {
            self.view = View::List;
            self.detail = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    fn names(state: &State) -> Vec<&str> {
        state.rows().iter().map(|c| c.name.as_str()).collect()
    }

    fn typed(state: &mut State, text: &str) {
        state.apply(Action::Filter);
        text.chars().for_each(|letter| state.apply(Action::Letter(letter)));
    }

    #[test]
    fn the_order_follows_the_column_and_its_direction() {
        let mut state = fixture::state();
        assert_eq!(names(&state)[0], "noetl-worker-gpu-01-5c6d7e8f9a-q4w5e", "silent");
        while state.sort != Column::Cpu {
            state.apply(Action::Sort);
        }
        assert_eq!(names(&state)[0], "worker-cpu-01");
        state.apply(Action::Reverse);
        assert_eq!(names(&state)[0], "noetl-server");
    }

    #[test]
    fn a_filter_has_words_of_names_and_types_and_goes_first() {
        let mut state = fixture::state();
        typed(&mut state, "CPU worker");
        assert_eq!(names(&state), ["worker-cpu-01", "worker-cpu-02"]);
        state.apply(Action::Enter);
        assert!(!state.typing && state.view == View::List);
        state.apply(Action::Back);
        assert_eq!((names(&state).len(), state.has_ended()), (5, false));
        state.apply(Action::Back);
        assert!(state.has_ended());
    }

    #[test]
    fn the_chosen_component_stays_chosen_while_others_come_and_the_order_changes() {
        let mut state = fixture::state();
        state.apply(Action::Move(2));
        let chosen = names(&state)[state.list.at].to_owned();
        let mut next = fixture::snapshot();
        next.components
            .insert(0, Component { runtime_id: 99, status: "silent".into(), ..Component::default() });
        state.take(Update::Seen(Box::new(next), None));
        assert_eq!(names(&state)[state.list.at], chosen);
        state.apply(Action::Reverse);
        assert_eq!(names(&state)[state.list.at], chosen);
    }

    #[test]
    fn moving_ends_at_the_ends() {
        let mut state = fixture::state();
        state.apply(Action::Move(-1));
        assert_eq!(state.list.at, 0);
        state.apply(Action::Last);
        state.apply(Action::Page(1));
        assert_eq!(state.list.at, 4);
        state.apply(Action::First);
        assert_eq!(state.list.at, 0);
        let mut empty = State::new(&fixture::config());
        empty.apply(Action::Last);
        empty.apply(Action::Enter);
        assert_eq!((empty.list.at, empty.view), (0, View::List));
    }

    #[test]
    fn values_are_asked_for_and_those_of_another_component_are_not_shown() {
        let mut state = fixture::state();
        state.apply(Action::Enter);
        let (id, words) = state.wanted().detail.unwrap();
        assert_eq!(words, "");
        let detail = |runtime_id| Detail { runtime_id, ..fixture::detail() };
        state.take(Update::Seen(Box::new(fixture::snapshot()), Some(detail(id + 1))));
        assert!(state.detail.is_none());
        state.take(Update::Seen(Box::new(fixture::snapshot()), Some(detail(id))));
        assert_eq!(state.newest().len(), 4);
        typed(&mut state, "queue_size");
        assert_eq!((state.newest().len(), state.wanted().detail.unwrap().1.as_str()), (1, ""));
        state.apply(Action::Enter);
        assert_eq!(
            state.wanted().detail,
            Some((id, "queue_size".into())),
            "the server looks among all of them"
        );
        state.apply(Action::Back);
        state.apply(Action::Back);
        assert_eq!((state.wanted(), state.has_ended()), (Wanted::default(), false));
    }

    #[test]
    fn what_was_seen_stays_while_the_server_is_away() {
        let mut state = fixture::state();
        state.take(Update::Away("refused".into()));
        assert_eq!((names(&state).len(), state.trouble.as_deref()), (5, Some("refused")));
        state.take(Update::Seen(Box::new(fixture::snapshot()), None));
        assert_eq!(state.trouble, None);
    }

    #[test]
    fn the_chosen_line_is_on_the_screen() {
        let mut lines = Lines { at: 50, ..Lines::default() };
        lines.fit(100, 10);
        assert_eq!(lines.top, 41);
        lines.at = 45;
        lines.fit(100, 10);
        assert_eq!(lines.top, 41, "it does not jump");
        lines.fit(5, 10);
        assert_eq!((lines.at, lines.top), (4, 0));
        lines.fit(0, 0);
        assert_eq!((lines.at, lines.top), (0, 0));
    }
}
