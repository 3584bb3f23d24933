//! How fast history is sent after an outage: so many samples a second, whatever the server could take,
//! and not from all agents at the same moment.

use std::time::{Duration, Instant};

use crate::client::backoff::random;

/// Agents begin at a moment of their own within this time.
const SPREAD: Duration = Duration::from_secs(2);
/// Pauses are up to this part longer than they must be, so that agents do not keep step.
const JITTER: f64 = 0.1;

/// When the next report of history may be sent.
#[derive(Debug)]
pub(super) struct Pace {
    per_second: f64,
    next: Instant,
}

impl Pace {
    /// At most so many samples a second.
    pub(super) fn new(samples_per_second: u32) -> Self {
        Self { per_second: f64::from(samples_per_second.max(1)), next: Instant::now() }
    }

    /// When the next report may be sent.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// The server is back.
    pub(super) fn begin(&mut self) {
        self.wait(SPREAD.mul_f64(random()));
    }

    /// A report with so many samples is sent, beginning at `began`.
    pub(super) fn sends(&mut self, samples: usize, began: Instant) {
        let seconds = samples as f64 / self.per_second * (1.0 + JITTER * random());
        self.next = self.next.max(began + Duration::from_secs_f64(seconds.min(3600.0)));
    }

    /// Nothing is sent for so long.
    pub(super) fn wait(&mut self, wait: Duration) {
        self.next = self.next.max(Instant::now() + wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_sent_than_the_rate() {
        let mut pace = Pace::new(500);
        let began = pace.next();
        for samples in [100, 1, 1000, 0, 5000] {
            pace.sends(samples, pace.next());
        }
        let took = (pace.next() - began).as_secs_f64();
        assert!((12.2..13.5).contains(&took), "{took}");
    }

    #[test]
    fn agents_begin_apart() {
        let mut starts: Vec<_> = (0..20)
            .map(|_| {
                let mut pace = Pace::new(500);
                pace.begin();
                pace.next()
            })
            .collect();
        starts.sort_unstable();
        let apart = starts[19] - starts[0];
        assert!(apart > SPREAD / 4 && apart < SPREAD * 2, "{apart:?}");
    }
}
