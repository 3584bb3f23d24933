//! How long to wait before the next attempt: full jitter under a growing bound, so that clients
//! that lost their server together do not come back together.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;

/// The bound on the first wait; it doubles with each attempt.
const FIRST: Duration = Duration::from_millis(500);
/// The bound on every wait that the server did not ask for.
const LONGEST: Duration = Duration::from_secs(30);
/// No wait is shorter: jitter may well come out at nothing.
const SHORTEST: Duration = Duration::from_millis(50);
/// The longest wait that a server may ask for.
const LONGEST_ASKED: Duration = Duration::from_mins(5);

/// The waits between attempts at one thing.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// Whether there was no attempt yet.
    pub(crate) fn is_fresh(&self) -> bool {
        self.attempts == 0
    }

    /// The wait before the next attempt. `asked` is what the server wants it to be, at least.
    pub(crate) fn next(&mut self, asked: Option<Duration>) -> Duration {
        let bound = FIRST.saturating_mul(1 << self.attempts.min(16)).min(LONGEST);
        self.attempts = self.attempts.saturating_add(1);
        match asked {
            Some(asked) => asked.min(LONGEST_ASKED) + FIRST.mul_f64(random()),
            None => bound.mul_f64(random()).max(SHORTEST),
        }
    }
}

/// A random number from 0 to 1, good enough to spread clients. The standard library's hasher keys
/// are random, and each is different.
pub(crate) fn random() -> f64 {
    let bits = RandomState::new().hash_one(0) >> 11;
    bits as f64 / (1_u64 << 53) as f64
}

/// What a `Retry-After` header asks for: seconds, or a date.
pub(crate) fn retry_after(header: &str, now_ms: i64) -> Option<Duration> {
    if let Ok(seconds) = header.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(header.trim()).ok()?;
    let wait = date.timestamp().as_millisecond().saturating_sub(now_ms);
    Some(Duration::from_millis(u64::try_from(wait).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_their_bound_and_are_spread() {
        let mut longest = Duration::ZERO;
        for _ in 0..200 {
            let mut backoff = Backoff::default();
            assert!(backoff.next(None) <= FIRST);
            for _ in 0..40 {
                let wait = backoff.next(None);
                assert!((SHORTEST..=LONGEST).contains(&wait), "{wait:?}");
                longest = longest.max(wait);
            }
        }
        assert!(longest > LONGEST / 2, "{longest:?}");
    }

    #[test]
    fn the_server_may_ask_for_more_but_not_for_ever() {
        let mut backoff = Backoff::default();
        let wait = backoff.next(Some(Duration::from_secs(90)));
        assert!((90..=91).contains(&wait.as_secs()), "{wait:?}");
        assert!(backoff.next(Some(Duration::from_hours(24))) < Duration::from_secs(301));
    }

    #[test]
    fn random_numbers_are_spread_between_0_and_1() {
        let numbers: Vec<_> = (0..1000).map(|_| random()).collect();
        assert!(numbers.iter().all(|n| (0.0..1.0).contains(n)));
        let mean = numbers.iter().sum::<f64>() / 1000.0;
        assert!((0.4..0.6).contains(&mean), "{mean}");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let date = "Mon, 01 Jan 2024 12:00:00 GMT";
        let noon = 1_704_110_400_000;
        assert_eq!(retry_after("3", 0), Some(Duration::from_secs(3)));
        assert_eq!(retry_after(date, noon - 1500), Some(Duration::from_millis(1500)));
        assert_eq!(retry_after(date, noon + 1500), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", 0), None);
    }
}
