//! Queues that several targets speak of. Workers of one pool share a consumer, and each exposes
//! how much waits for it: the sum over workers would count it once for each of them. So one worker
//! carries a queue's size, for as long as it is scraped.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The most queues that are remembered, whatever targets claim to have.
const MOST: usize = 1024;

/// A queue: a consumer of a stream, or the subjects of a pool.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Queue {
    /// A consumer of a stream in NATS.
    Consumer {
        /// Name of the consumer.
        consumer: String,
        /// Name of the stream.
        stream: String,
    },
    /// The subjects of a pool on the command bus.
    Pool(String),
}

/// Who carries a queue's size, and what it was.
#[derive(Debug)]
struct Carried {
    by: String,
    size: f64,
    at: Instant,
}

/// What targets said of queues within a while.
#[derive(Debug)]
pub(super) struct Queues {
    /// What is older than this no longer counts.
    fresh: Duration,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    carried: HashMap<Queue, Carried>,
    /// Lag of each pool, as the command bus gives it.
    pool_lags: HashMap<String, (f64, Instant)>,
    /// Lag of all subjects, by the target that gives it.
    total_lags: HashMap<String, (f64, Instant)>,
}

impl Queues {
    /// What is said counts for `fresh`.
    pub(super) fn new(fresh: Duration) -> Self {
        Self { fresh, known: Mutex::default() }
    }

    /// Whether the target `by` is the one that carries this queue's size, which it says is `size`.
    pub(super) fn carries(&self, by: &str, queue: Queue, size: f64, now: Instant) -> bool {
        let known = &mut self.known.lock().carried;
        if let Some(carried) = known.get_mut(&queue) {
            let is_free = now.duration_since(carried.at) > self.fresh;
            if carried.by != by && !is_free {
                return false;
            }
            *carried = Carried { by: by.to_owned(), size, at: now };
            return true;
        }
        if known.len() >= MOST {
            known.retain(|_, carried| now.duration_since(carried.at) <= self.fresh);
        }
        if known.len() < MOST {
            known.insert(queue, Carried { by: by.to_owned(), size, at: now });
        }
        true
    }

    /// The command bus's lags, as the target `by` gives them.
    pub(super) fn note_lags(&self, by: &str, total: Option<f64>, pools: &[(String, f64)], now: Instant) {
        let mut known = self.known.lock();
        if let Some(total) = total {
            // Targets come and go with their pods.
            known.total_lags.retain(|_, (_, at)| now.duration_since(*at) <= self.fresh);
            known.total_lags.insert(by.to_owned(), (total, now));
        }
        for (pool, lag) in pools {
            if known.pool_lags.len() < MOST || known.pool_lags.contains_key(pool) {
                known.pool_lags.insert(pool.clone(), (*lag, now));
            }
        }
    }

    /// What waits for a pool on the command bus.
    pub(super) fn pool_lag(&self, pool: &str, now: Instant) -> Option<f64> {
        let known = self.known.lock();
        known.pool_lags.get(pool).filter(|(_, at)| now.duration_since(*at) <= self.fresh).map(|(lag, _)| *lag)
    }

    /// What waits on the command bus.
    pub(super) fn total_lag(&self, now: Instant) -> Option<f64> {
        let known = self.known.lock();
        let fresh = known.total_lags.values().filter(|(_, at)| now.duration_since(*at) <= self.fresh);
        sum(fresh.map(|(lag, _)| *lag))
    }

    /// What waits for all consumers in NATS, each counted once.
    pub(super) fn consumers_pending(&self, now: Instant) -> Option<f64> {
        let known = self.known.lock();
        let is_fresh = |carried: &Carried| now.duration_since(carried.at) <= self.fresh;
        let consumers = known.carried.iter().filter(|(queue, _)| matches!(queue, Queue::Consumer { .. }));
        sum(consumers.filter(|(_, carried)| is_fresh(carried)).map(|(_, carried)| carried.size))
    }
}

/// The sum; nothing of nothing.
fn sum(values: impl Iterator<Item = f64>) -> Option<f64> {
    values.reduce(|a, b| a + b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consumer(name: &str) -> Queue {
        Queue::Consumer { consumer: name.to_owned(), stream: "noetl_commands".to_owned() }
    }

    #[test]
    fn a_shared_consumer_counts_once() {
        let queues = Queues::new(Duration::from_secs(45));
        let now = Instant::now();
        assert_eq!(queues.consumers_pending(now), None, "absent is not zero");
        assert!(queues.carries("a", consumer("pool"), 4.0, now));
        assert!(!queues.carries("b", consumer("pool"), 4.0, now));
        assert!(queues.carries("b", consumer("other"), 3.0, now));
        assert!(queues.carries("a", consumer("pool"), 5.0, now));
        assert_eq!(queues.consumers_pending(now), Some(8.0));
    }

    #[test]
    fn another_worker_carries_it_when_the_first_is_gone() {
        let queues = Queues::new(Duration::from_secs(45));
        let now = Instant::now();
        queues.carries("a", consumer("pool"), 4.0, now);
        let later = now + Duration::from_secs(46);
        assert_eq!(queues.consumers_pending(later), None);
        assert!(queues.carries("b", consumer("pool"), 1.0, later));
        assert!(!queues.carries("a", consumer("pool"), 1.0, later));
    }

    #[test]
    fn a_target_that_claims_very_many_queues_takes_no_memory() {
        let queues = Queues::new(Duration::from_secs(45));
        let now = Instant::now();
        for i in 0..5000 {
            assert!(queues.carries("a", consumer(&i.to_string()), 1.0, now));
        }
        assert_eq!(queues.known.lock().carried.len(), MOST);
    }

    #[test]
    fn lags_of_the_bus_are_of_pools_and_of_all() {
        let queues = Queues::new(Duration::from_secs(45));
        let now = Instant::now();
        queues.note_lags("bus", Some(9.0), &[("shared".to_owned(), 7.0)], now);
        assert_eq!((queues.pool_lag("shared", now), queues.total_lag(now)), (Some(7.0), Some(9.0)));
        assert_eq!(queues.pool_lag("other", now), None);
        assert_eq!(queues.total_lag(now + Duration::from_secs(50)), None);
    }
}
