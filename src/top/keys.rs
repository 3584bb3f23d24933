//! Which key does what.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// End.
    Quit,
    /// One step back; the last one ends.
    Back,
    /// By so many lines, down where it is above 0.
    Move(isize),
    /// By so many screens.
    Page(isize),
    /// To the first line.
    First,
    /// To the last line.
    Last,
    /// The next column becomes that of the order.
    Sort,
    /// The other way round.
    Reverse,
    /// Words of a filter follow.
    Filter,
    /// A letter of it.
    Letter(char),
    /// Without its last letter.
    Erase,
    /// The values of the chosen component; of a filter, that it is whole.
    Enter,
    /// What keys there are.
    Help,
}

/// What a key asks for; `typing` while a filter is typed.
pub(super) fn action(key: KeyEvent, typing: bool) -> Option<Action> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    let with_control = key.modifiers.contains(KeyModifiers::CONTROL);
    Some(match key.code {
        KeyCode::Char('c' | 'd') if with_control => Action::Quit,
        KeyCode::Char('u') if with_control && typing => Action::Back,
        KeyCode::Char(_) if with_control || key.modifiers.contains(KeyModifiers::ALT) => return None,
        KeyCode::Backspace if typing => Action::Erase,
        KeyCode::Char(letter) if typing => Action::Letter(letter),
        KeyCode::Esc | KeyCode::Backspace | KeyCode::Left => Action::Back,
        KeyCode::Enter => Action::Enter,
        KeyCode::Char('q') => Action::Quit,
        KeyCode::Up | KeyCode::Char('k') => Action::Move(-1),
        KeyCode::Down | KeyCode::Char('j') => Action::Move(1),
        KeyCode::PageUp => Action::Page(-1),
        KeyCode::PageDown | KeyCode::Char(' ') => Action::Page(1),
        KeyCode::Home | KeyCode::Char('g') => Action::First,
        KeyCode::End | KeyCode::Char('G') => Action::Last,
        KeyCode::Char('s') => Action::Sort,
        KeyCode::Char('r') => Action::Reverse,
        KeyCode::Char('/') => Action::Filter,
        KeyCode::Char('?' | 'h') => Action::Help,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pressed(code: KeyCode, typing: bool) -> Option<Action> {
        action(KeyEvent::new(code, KeyModifiers::NONE), typing)
    }

    #[test]
    fn letters_are_commands_until_a_filter_is_typed() {
        assert_eq!(pressed(KeyCode::Char('q'), false), Some(Action::Quit));
        assert_eq!(pressed(KeyCode::Char('q'), true), Some(Action::Letter('q')));
        assert_eq!(pressed(KeyCode::Char('x'), false), None);
        assert_eq!(pressed(KeyCode::Char('/'), false), Some(Action::Filter));
        assert_eq!(pressed(KeyCode::Backspace, true), Some(Action::Erase));
        assert_eq!(
            [pressed(KeyCode::Down, true), pressed(KeyCode::Char('j'), false)],
            [Some(Action::Move(1)); 2]
        );
    }

    #[test]
    fn control_c_always_ends() {
        for typing in [false, true] {
            let key = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
            assert_eq!(action(key, typing), Some(Action::Quit));
        }
        let other = KeyEvent::new(KeyCode::Char('q'), KeyModifiers::CONTROL);
        assert_eq!(action(other, true), None);
    }
}
