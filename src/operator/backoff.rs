//! How long to wait before a resource is tried again: each on its own, so that one that fails does
//! not slow the others.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

use super::names::hash;

/// The longest wait.
const MAX: Duration = Duration::from_mins(4);

/// Failures in a row, by uid.
#[derive(Default)]
pub(super) struct Backoff(Mutex<HashMap<String, u32>>);

impl Backoff {
    /// A resource failed: how long to wait.
    pub(super) fn failed(&self, uid: &str) -> Duration {
        let mut failures = self.0.lock();
        let count = failures.entry(uid.to_owned()).or_default();
        let wait = Duration::from_secs(1 << (*count).min(8)).min(MAX);
        *count = count.saturating_add(1);
        spread(wait, uid)
    }

    /// A resource is well, or gone.
    pub(super) fn forget(&self, uid: &str) {
        self.0.lock().remove(uid);
    }
}

/// Up to a quarter longer, by the resource, so that many do not come back at one time.
pub(super) fn spread(wait: Duration, uid: &str) -> Duration {
    let share = u32::from_str_radix(&hash(uid), 16).unwrap_or(0) % 256;
    wait + wait * share / 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_are_bounded() {
        let backoff = Backoff::default();
        let waits: Vec<_> = (0..12).map(|_| backoff.failed("a")).collect();
        assert!(waits.is_sorted() && waits[0] < Duration::from_secs(2), "{waits:?}");
        assert!(waits[11] <= MAX + MAX / 4);
        assert!(backoff.failed("b") < Duration::from_secs(2));
        backoff.forget("a");
        assert!(backoff.failed("a") < Duration::from_secs(2));
    }
}
