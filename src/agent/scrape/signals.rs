//! What a target's body says of the guide's metrics, and of the queues that they are made from.

use super::guide;
use crate::wire::exposition::Sample;

/// A worker's dispatches in flight.
pub(super) const IN_FLIGHT: &str = "noetl_worker_concurrent_dispatches";
/// What waits for a consumer in NATS.
pub(super) const PENDING: &str = "noetl_worker_nats_consumer_pending";
/// What waits on the command bus, by subject and in all.
pub(super) const SUBJECT_LAG: &str = "ehdb_feed_subject_lag";
pub(super) const TOTAL_LAG: &str = "ehdb_feed_total_lag";
/// The most queues of one worker.
const MAX_QUEUES: usize = 64;

/// The same, kept family or not.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Signals {
    /// The guide's names that the target exposes itself.
    pub(super) exposed: Vec<&'static str>,
    pub(super) in_flight: Option<f64>,
    /// Consumer, stream, what waits.
    pub(super) pending: Vec<(String, String, f64)>,
    /// Lags of the command bus by pool.
    pub(super) pool_lags: Vec<(String, f64)>,
    pub(super) total_lag: Option<f64>,
}

impl Signals {
    pub(super) fn of(samples: &[Sample<'_>]) -> Self {
        let mut signals = Self::default();
        for sample in samples {
            let text = |name| sample.label(name).unwrap_or_default();
            match sample.name {
                IN_FLIGHT => signals.in_flight = Some(sample.value),
                TOTAL_LAG => signals.total_lag = Some(sample.value),
                PENDING if signals.pending.len() < MAX_QUEUES => {
                    let (consumer, stream) = (text("consumer").to_owned(), text("stream").to_owned());
                    signals.pending.push((consumer, stream, sample.value));
                }
                SUBJECT_LAG => signals.add_lag(text("subject"), sample.value),
                name => signals.exposed.extend(guide::metrics().find(|metric| *metric == name)),
            }
        }
        signals
    }

    /// A subject is `commands.<pool>.shard.<number>`.
    fn add_lag(&mut self, subject: &str, lag: f64) {
        let Some(pool) = subject.strip_prefix("commands.").and_then(|rest| rest.split('.').next()) else {
            return;
        };
        if let Some((_, sum)) = self.pool_lags.iter_mut().find(|(known, _)| known == pool) {
            *sum += lag;
        } else if self.pool_lags.len() < MAX_QUEUES {
            self.pool_lags.push((pool.to_owned(), lag));
        }
    }
}
