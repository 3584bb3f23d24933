//! Percentages of CPU time: what was used of what there was, between two looks.

use std::time::{Duration, Instant};

/// Looks closer together than this say more about the kernel's 10 ms ticks than about the load.
const SHORTEST_WINDOW: Duration = Duration::from_millis(200);

/// CPU seconds at one moment, counted from anywhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// Seconds used.
    pub(super) used: f64,
    /// Seconds there were to use.
    pub(super) available: f64,
}

/// A percentage that needs two looks.
#[derive(Debug, Default)]
pub(super) struct Usage {
    last: Option<(Instant, Look)>,
    percent: Option<f64>,
}

impl Usage {
    /// Takes a look. Gives what was used since the last one, 0 to 100; that of the look before
    /// where the last is too close; `None` while there was only one.
    pub(super) fn look(&mut self, now: Instant, look: Look) -> Option<f64> {
        let Some((then, before)) = self.last else {
            self.last = Some((now, look));
            return None;
        };
        if now.duration_since(then) < SHORTEST_WINDOW {
            return self.percent;
        }
        self.last = Some((now, look));
        let available = look.available - before.available;
        let used = look.used - before.used;
        self.percent = (available > 0.0).then(|| (used / available * 100.0).clamp(0.0, 100.0));
        self.percent
    }

    /// Forgets, because what is looked at has changed.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_look_gives_nothing_and_the_second_the_share_between() {
        let start = Instant::now();
        let mut usage = Usage::default();
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(usage.look(at(0), Look { used: 10.0, available: 100.0 }), None);
        assert_eq!(usage.look(at(50), Look { used: 11.0, available: 101.0 }), None);
        assert_eq!(usage.look(at(1000), Look { used: 11.0, available: 104.0 }), Some(25.0));
        // Too soon: the same again, and the window stays open.
        assert_eq!(usage.look(at(1100), Look { used: 11.4, available: 104.4 }), Some(25.0));
        assert_eq!(usage.look(at(2000), Look { used: 13.0, available: 108.0 }), Some(50.0));
    }

    #[test]
    fn it_stays_between_0_and_100() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut usage = Usage::default();
        usage.look(at(0), Look { used: 10.0, available: 10.0 });
        assert_eq!(usage.look(at(1), Look { used: 12.0, available: 11.0 }), Some(100.0));
        assert_eq!(usage.look(at(2), Look { used: 11.0, available: 12.0 }), Some(0.0));
        assert_eq!(usage.look(at(3), Look { used: 11.0, available: 12.0 }), None);
    }
}
