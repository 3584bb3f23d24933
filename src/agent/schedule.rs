//! When the next report is due: at whole multiples of the interval, moved by a phase that is the
//! agent's own. An agent's samples are evenly spaced, and many agents do not strike at once.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// When reports are due.
#[derive(Debug)]
pub(super) struct Schedule {
    interval_ms: u64,
    phase_ms: u64,
}

impl Schedule {
    /// A report each `interval`, in a phase that is always the same for `name`.
    pub(super) fn new(interval: Duration, name: &str) -> Self {
        let interval_ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).max(1);
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        Self { interval_ms, phase_ms: hasher.finish() % interval_ms }
    }

    /// How long from now until the next report, where the last was now: half an interval or more,
    /// and at most one and a half.
    pub(super) fn wait(&self, now_ms: i64) -> Duration {
        let now = u64::try_from(now_ms).unwrap_or(0);
        let into = (now % self.interval_ms + self.interval_ms - self.phase_ms) % self.interval_ms;
        let wait = self.interval_ms - into;
        let too_soon = wait < self.interval_ms / 2;
        Duration::from_millis(if too_soon { wait.saturating_add(self.interval_ms) } else { wait })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reports_are_a_whole_interval_apart() {
        let schedule = Schedule::new(Duration::from_mins(1), "node-1");
        let mut now = 1_704_110_400_123;
        now += i64::try_from(schedule.wait(now).as_millis()).unwrap();
        for _ in 0..10 {
            // A little late, as timers are.
            let wait = schedule.wait(now + 3);
            assert_eq!(wait.as_millis(), 59_997);
            now += 60_000;
        }
    }

    #[test]
    fn agents_are_spread_over_the_interval() {
        let phase = |i: usize| Schedule::new(Duration::from_mins(1), &format!("node-{i}")).phase_ms;
        let phases: Vec<_> = (0..1000).map(phase).collect();
        for tenth in 0..10 {
            let span = tenth * 6000..(tenth + 1) * 6000;
            let inside = phases.iter().filter(|phase| span.contains(*phase)).count();
            assert!((50..200).contains(&inside), "{inside} of 1000 agents in {span:?}");
        }
    }

    proptest! {
        #[test]
        fn the_wait_is_half_to_one_and_a_half_intervals(
            interval in 1u64..100_000_000,
            now in 0i64..4_000_000_000_000,
            name in any::<String>(),
        ) {
            let wait = Schedule::new(Duration::from_millis(interval), &name).wait(now);
            let wait = u64::try_from(wait.as_millis()).unwrap();
            prop_assert!(wait >= interval / 2 && wait <= interval + interval / 2, "{}", wait);
            prop_assert!(wait >= 1);
        }
    }
}
