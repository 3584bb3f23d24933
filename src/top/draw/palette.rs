//! Colours, or none of them where `NO_COLOR` says so: then words and weight are left.

use ratatui::style::{Color, Modifier, Style};

/// How things look.
#[derive(Clone, Copy, Debug)]
pub(in crate::top) struct Palette {
    has_colours: bool,
}

impl Palette {
    /// With colours, or without.
    pub(in crate::top) const fn new(has_colours: bool) -> Self {
        Self { has_colours }
    }

    /// As the environment has it: <https://no-color.org>.
    pub(in crate::top) fn of_environment() -> Self {
        Self::new(std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()))
    }

    fn colour(self, colour: Color) -> Style {
        if self.has_colours { Style::new().fg(colour) } else { Style::new() }
    }

    pub(super) fn title(self) -> Style {
        self.colour(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    pub(super) fn heading(self) -> Style {
        self.quiet().add_modifier(Modifier::BOLD)
    }

    #[expect(clippy::unused_self, reason = "it is asked as the others are")]
    pub(super) fn chosen(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    pub(super) fn good(self) -> Style {
        self.colour(Color::Green)
    }

    pub(super) fn warning(self) -> Style {
        self.colour(Color::Yellow)
    }

    pub(super) fn bad(self) -> Style {
        self.colour(Color::Red).add_modifier(Modifier::BOLD)
    }

    pub(super) fn quiet(self) -> Style {
        self.colour(Color::DarkGray)
    }

    /// How a component is.
    pub(super) fn status(self, status: &str) -> Style {
        match status {
            "up" => self.good(),
            "silent" => self.bad(),
            _ => self.quiet(),
        }
    }
}
