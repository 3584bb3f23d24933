//! How far a command is: with a bar on a terminal, with a line now and then elsewhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::model::Millis;
use crate::rules::Looks;

/// A line comes this often where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// As how many steps a rule counts.
const STEPS: u64 = 1000;

/// Where it is shown.
pub(super) struct Shown {
    bar: ProgressBar,
    said: Instant,
}

impl Shown {
    /// A bar of this form.
    pub(super) fn new(template: &str) -> Self {
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        Self { bar: ProgressBar::new(0).with_style(style), said: Instant::now() }
    }

    /// Shows where it is; `line` says it in words. At the end the bar goes.
    pub(super) fn at(&mut self, position: u64, all: u64, message: String, line: impl FnOnce() -> String) {
        self.bar.set_length(all);
        self.bar.set_position(position);
        self.bar.set_message(message);
        if position == all {
            self.bar.finish_and_clear();
        } else if self.bar.is_hidden() && self.said.elapsed() >= LINE_EVERY {
            self.said = Instant::now();
            tracing::info!("{}", line());
        }
    }
}

/// How far a test of rules is. Of each rule its history is read, from the end on, then what is made of it
/// is, and then the rule is evaluated: these are its parts, alike to who only wants to know that it goes on.
pub(super) struct Testing {
    shown: Shown,
    looks: Looks,
    rules: u64,
    /// The rule that is tested, counted from 1.
    rule: u64,
    name: String,
    parts: u64,
    part: u64,
    position: u64,
}

impl Testing {
    /// So many rules at these looks.
    pub(super) fn new(rules: usize, looks: Looks) -> Self {
        let shown = Shown::new("{bar:40} {percent}%, rule {msg}, {eta} left");
        let (rules, name) = (rules as u64, String::new());
        Self { shown, looks, rules, rule: 0, name, parts: 1, part: 0, position: 0 }
    }

    /// The next rule, with so many parts, begins.
    pub(super) fn rule(&mut self, name: &str, parts: usize) {
        (self.rule, self.name) = (self.rule + 1, name.to_owned());
        (self.parts, self.part) = (parts as u64, 0);
        self.show(0);
    }

    /// Reading has come to this time.
    pub(super) fn read(&mut self, to: Millis) {
        self.show(STEPS - self.share(to));
    }

    /// The next part begins.
    pub(super) fn part(&mut self) {
        self.part += 1;
        self.show(0);
    }

    /// Looking has come to this time.
    pub(super) fn looked(&mut self, to: Millis) {
        self.show(self.share(to));
    }

    /// All is done.
    pub(super) fn end(&mut self) {
        let all = self.rules * STEPS;
        self.shown.at(all, all, String::new(), String::new);
    }

    /// How much of the time from the first look to the last is before this one.
    fn share(&self, at: Millis) -> u64 {
        let since_start = |at: Millis| u64::try_from(at.since(self.looks.start)).unwrap_or(0);
        let all = since_start(self.looks.end).max(1);
        since_start(at).min(all) * STEPS / all
    }

    fn show(&mut self, share: u64) {
        let position = (self.rule - 1) * STEPS + (self.part * STEPS + share) / self.parts;
        // There is a look each few seconds of many years.
        if position == self.position {
            return;
        }
        self.position = position;
        let (all, percent) = (self.rules * STEPS, 100 * position / (self.rules * STEPS));
        let of = format!("{} of {}, {}", self.rule, self.rules, self.name);
        let line = format!("tested: {percent} %, at rule {of}");
        self.shown.at(position.min(all - 1), all, of, || line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_each_rule_brings_it_further() {
        let at = |second: i64| Millis(second * 1000);
        let looks = Looks { start: at(100), end: at(200), step_ms: 1000, stale_after_ms: 1000 };
        let mut testing = Testing::new(2, looks);
        let mut positions = Vec::new();
        testing.rule("A", 2);
        for to in [200, 150, 100, 90] {
            testing.read(at(to));
            positions.push(testing.position);
        }
        testing.part();
        for to in [100, 150, 200] {
            testing.looked(at(to));
            positions.push(testing.position);
        }
        testing.rule("B", 1);
        testing.looked(at(150));
        positions.push(testing.position);
        assert_eq!(positions, [0, 250, 500, 500, 500, 750, 1000, 1500]);
    }
}
