//! How much one sender may send: so much a second, and what was not used of the last minute on top.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::Steady;

/// Seconds for which an allowance that was not used is kept.
pub const KEPT_SECONDS: i64 = 60;

/// What was taken of an allowance. Nothing waits: who took too much is told for how long to wait.
#[derive(Debug, Default)]
pub struct Allowance {
    /// When all that was taken will have been allowed, in microseconds.
    allowed_at: AtomicI64,
}

impl Allowance {
    /// Whether something may be taken now, however much; else how long it takes until it may.
    pub fn check(&self, now: Steady) -> Result<(), Duration> {
        let ahead = self.allowed_at.load(Ordering::Relaxed) - micros(now) - KEPT_SECONDS * 1_000_000;
        match u64::try_from(ahead) {
            Ok(ahead @ 1..) => Err(Duration::from_micros(ahead)),
            _ => Ok(()),
        }
    }

    /// Takes an amount, of so much a second; 0 is no limit.
    pub fn take(&self, now: Steady, amount: u64, per_second: u64) {
        let Some(cost) = amount.saturating_mul(1_000_000).checked_div(per_second) else { return };
        let cost = i64::try_from(cost).unwrap_or(i64::MAX);
        let next = |at: i64| Some(at.max(micros(now)).saturating_add(cost));
        let _ = self.allowed_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }
}

const fn micros(at: Steady) -> i64 {
    at.0.saturating_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_is_kept_for_a_minute_and_debts_are_waited_for() {
        let allowance = Allowance::default();
        let now = Steady(1_700_000_000_000);
        let later = |ms: i64| Steady(now.0 + ms);
        for _ in 0..60 {
            allowance.check(now).unwrap();
            allowance.take(now, 10, 10);
        }
        allowance.check(now).expect("a minute's worth at once");
        allowance.take(now, 20, 10);
        assert_eq!(allowance.check(now), Err(Duration::from_secs(2)));
        assert_eq!(allowance.check(later(1500)), Err(Duration::from_millis(500)));
        allowance.check(later(2000)).unwrap();
        // However large: it is taken, and paid for afterwards.
        allowance.take(later(2000), 6000, 10);
        assert_eq!(allowance.check(later(2000)), Err(Duration::from_mins(10)));
    }

    #[test]
    fn no_limit_is_no_limit() {
        let allowance = Allowance::default();
        allowance.take(Steady(1), u64::MAX, 0);
        allowance.check(Steady(1)).unwrap();
        allowance.take(Steady(1), u64::MAX, 1);
        assert!(allowance.check(Steady(1)).is_err(), "and no overflow");
    }
}
