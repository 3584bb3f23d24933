//! How many scrapes run at once. Targets that failed wait among themselves: a hundred that hang
//! until their timeout must not make the others late.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Scrapes at once of targets that answered the last time.
const GOOD: usize = 16;
/// Scrapes at once of those that did not.
const BAD: usize = 4;

/// Bodies that are read at once: it takes milliseconds, and memory for each.
const READING: usize = 1;

/// The two lanes, and the gate behind them.
#[derive(Debug)]
pub(super) struct Lanes {
    good: Semaphore,
    bad: Semaphore,
    reading: Semaphore,
}

impl Default for Lanes {
    fn default() -> Self {
        Self { good: Semaphore::new(GOOD), bad: Semaphore::new(BAD), reading: Semaphore::new(READING) }
    }
}

impl Lanes {
    /// Waits for a place, first come first served. `None` never comes: the lanes are not closed.
    pub(super) async fn enter(&self, failed_before: bool) -> Option<SemaphorePermit<'_>> {
        let lane = if failed_before { &self.bad } else { &self.good };
        lane.acquire().await.ok()
    }

    /// Waits until a body may be read.
    pub(super) async fn read(&self) -> Option<SemaphorePermit<'_>> {
        self.reading.acquire().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn targets_that_hang_do_not_hold_up_the_others() {
        let lanes = Lanes::default();
        let mut held = Vec::new();
        for _ in 0..BAD {
            held.push(lanes.enter(true).await.unwrap());
        }
        let next = tokio::time::timeout(Duration::from_millis(20), lanes.enter(true)).await;
        assert!(next.is_err(), "the bad lane is full");
        assert!(lanes.enter(false).await.is_some());
    }
}
