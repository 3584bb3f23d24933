//! Delivers requests to one target: again and again until it has them, and never before the time at
//! which it wants to be asked.

use std::time::Duration;

use parking_lot::Mutex;
use reqwest::Client;
use tokio::time::{Instant, sleep_until};

use super::batch::Request;
use super::metrics::Counters;
use super::post::{Failure, ForwardTarget, Why, post};
use crate::client::backoff::Backoff;

/// Of the failures of so much time the log is told one.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// The way to a target.
pub(super) struct Sender<'a> {
    config: &'a ForwardTarget,
    client: &'a Client,
    pub(super) counters: Counters,
    /// When it is asked next, at the earliest. A pause holds also for whoever comes after one that gave
    /// up waiting.
    not_before: Mutex<Option<Instant>>,
    /// What was wrong with the newest request; nothing where the target has it.
    problem: Mutex<Option<String>>,
    said: Mutex<Option<Instant>>,
}

impl<'a> Sender<'a> {
    pub(super) fn new(config: &'a ForwardTarget, client: &'a Client, counters: Counters) -> Self {
        let (not_before, problem, said) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { config, client, counters, not_before, problem, said }
    }

    /// What was wrong with the newest request.
    pub(super) fn problem(&self) -> Option<String> {
        self.problem.lock().clone()
    }

    /// Sends a request until the target has it, or refuses it for good.
    pub(super) async fn deliver(&self, request: &Request) {
        let mut backoff = Backoff::default();
        loop {
            let not_before = *self.not_before.lock();
            if let Some(at) = not_before {
                sleep_until(at).await;
            }
            if !backoff.is_fresh() {
                self.counters.retried.inc_by(request.samples);
            }
            let to = &self.config.name;
            match post(self.client, self.config, request).await {
                Ok(()) => {
                    self.counters.sent.inc_by(request.samples);
                    *self.problem.lock() = None;
                    return;
                }
                Err(Failure::Lasting(why)) => {
                    self.counters.dropped.inc_by(request.samples);
                    if self.may_say() {
                        let Why { words, said } = &why;
                        tracing::warn!(
                            to,
                            why = words,
                            said,
                            samples = request.samples,
                            "samples were refused"
                        );
                    }
                    *self.problem.lock() = Some(why.words);
                    return;
                }
                Err(Failure::Passing(why, asked)) => {
                    self.counters.failed.inc_by(request.samples);
                    *self.not_before.lock() = Some(Instant::now() + backoff.next(asked));
                    if self.may_say() {
                        let Why { words, said } = &why;
                        tracing::warn!(to, why = words, said, "samples could not be sent on; trying again");
                    }
                    *self.problem.lock() = Some(why.words);
                }
            }
        }
    }

    /// Whether the log is told of a failure.
    fn may_say(&self) -> bool {
        let mut said = self.said.lock();
        let may = said.is_none_or(|at| at.elapsed() >= SAY_EVERY);
        if may {
            *said = Some(Instant::now());
        }
        may
    }
}
