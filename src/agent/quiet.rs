//! Keeps a fault that repeats itself from filling the log.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Lets one line through per interval, and counts the others.
#[derive(Debug)]
pub(super) struct Quiet {
    every: Duration,
    state: Mutex<(Option<Instant>, u64)>,
}

impl Quiet {
    /// One line in `every`.
    pub(super) const fn new(every: Duration) -> Self {
        Self { every, state: Mutex::new((None, 0)) }
    }

    /// Counts `events`. Where it is time for a line, gives how many there were since the last one,
    /// these included.
    pub(super) fn note(&self, events: u64) -> Option<u64> {
        let mut state = self.state.lock();
        state.1 = state.1.saturating_add(events);
        if state.0.is_some_and(|last| last.elapsed() < self.every) {
            return None;
        }
        state.0 = Some(Instant::now());
        Some(std::mem::take(&mut state.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_said_and_the_rest_counted() {
        let quiet = Quiet::new(Duration::from_hours(1));
        assert_eq!(quiet.note(1), Some(1));
        assert_eq!(quiet.note(1), None);
        assert_eq!(quiet.note(2), None);
        quiet.state.lock().0 = None;
        assert_eq!(quiet.note(1), Some(4));
    }
}
