//! The webhook: told once of each alert that fires or is resolved, in order, in the form that
//! Alertmanager's own webhooks have.
//!
//! A request that fails is sent again, with pauses, under the same `Idempotency-Key`, also by a server
//! that took over: that the receiver was told is kept with the alert.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use reqwest::Client;
use serde_json::json;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::Metrics;
use super::post::{Failure, pause, post};
use crate::rules::{Alert, Alerts, State};

/// Its name in metrics.
const NAME: &str = "webhook";
/// Messages that may wait; of what does not fit the alerts themselves remember it.
const MAX_WAITING: usize = 1000;
/// A message is sent again for so long; where its alert is as it was, another message follows.
const GIVE_UP_AFTER: Duration = Duration::from_mins(15);
/// How Alertmanager writes that an alert has not ended.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// A receiver of messages.
pub(super) struct Webhook {
    url: String,
    client: Client,
    sender: Sender<Message>,
    receiver: tokio::sync::Mutex<Receiver<Message>>,
    outcomes: Mutex<Vec<Outcome>>,
}

struct Message {
    made: Instant,
    key: String,
    idempotency_key: String,
    state: State,
    body: Vec<u8>,
}

/// What became of a message.
struct Outcome {
    key: String,
    state: State,
    /// Whether it is done, for good or bad.
    done: bool,
}

impl Webhook {
    pub(super) fn new(url: &str, client: Client, metrics: &Metrics) -> Self {
        metrics.receiver(NAME);
        let (sender, receiver) = channel(MAX_WAITING);
        let (receiver, outcomes) = (tokio::sync::Mutex::new(receiver), Mutex::default());
        Self { url: url.to_owned(), client, sender, receiver, outcomes }
    }

    /// Queues what it was not told of; what finds no place does at a later round.
    pub(super) fn tell(&self, alerts: &mut Alerts, metrics: &Metrics) {
        for alert in alerts.iter_mut() {
            let Some(state) = alert.untold() else { continue };
            if self.sender.try_send(message(alert, state)).is_err() {
                metrics.dropped(NAME, 1);
                break;
            }
            alert.queued = Some(state);
        }
        metrics.waiting(NAME, self.sender.max_capacity() - self.sender.capacity());
    }

    /// Notes on the alerts what became of messages.
    pub(super) fn note(&self, alerts: &mut Alerts) {
        let outcomes = std::mem::take(&mut *self.outcomes.lock());
        if outcomes.is_empty() {
            return;
        }
        for alert in alerts.iter_mut().filter(|alert| alert.queued.is_some()) {
            let key = alert.key();
            for outcome in outcomes.iter().filter(|outcome| outcome.key == key) {
                if outcome.done {
                    alert.told = alert.told.max(Some(outcome.state));
                    alert.saved = false;
                }
                if alert.queued == Some(outcome.state) {
                    alert.queued = None;
                }
            }
        }
    }

    /// Sends one message after the other, until it is dropped.
    pub(super) async fn run(&self, metrics: &Metrics) {
        let mut receiver = self.receiver.lock().await;
        while let Some(message) = receiver.recv().await {
            let done = self.send(&message, metrics).await;
            self.outcomes.lock().push(Outcome { key: message.key, state: message.state, done });
        }
    }

    async fn send(&self, message: &Message, metrics: &Metrics) -> bool {
        let mut failures = 0;
        loop {
            let request = self.client.post(&self.url).header("idempotency-key", &message.idempotency_key);
            match post(request, message.body.clone()).await {
                Ok(()) => {
                    metrics.sent(NAME, 1);
                    return true;
                }
                Err(Failure::Lasting(why)) => {
                    metrics.failed(NAME, 1);
                    tracing::warn!(why, "the webhook refused an alert");
                    return true;
                }
                Err(Failure::Passing(why)) => {
                    failures += 1;
                    metrics.failed(NAME, 1);
                    tracing::warn!(why, "the webhook could not be told of an alert; trying again");
                    if message.made.elapsed() >= GIVE_UP_AFTER {
                        return false;
                    }
                    tokio::time::sleep(pause(failures)).await;
                }
            }
        }
    }
}

fn message(alert: &Alert, state: State) -> Message {
    let key = alert.key();
    let began = alert.fired_at.unwrap_or(alert.active_at);
    let ended = alert.resolved_at.map_or_else(|| NEVER.to_owned(), crate::model::Millis::rfc3339);
    let body = json!({
        "version": "4",
        "groupKey": key,
        "truncatedAlerts": 0,
        "status": state.as_str(),
        "receiver": "noetl-metrics",
        "groupLabels": {"alertname": alert.rule},
        "commonLabels": alert.labels,
        "commonAnnotations": alert.annotations,
        "externalURL": "",
        "alerts": [{
            "status": state.as_str(),
            "labels": alert.labels,
            "annotations": alert.annotations,
            "startsAt": began.rfc3339(),
            "endsAt": ended,
            "generatorURL": "",
            "fingerprint": &key[..16],
        }],
    });
    Message {
        made: Instant::now(),
        idempotency_key: format!("{key}-{}-{}", began.0, state.as_str()),
        state,
        body: body.to_string().into_bytes(),
        key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Millis;
    use crate::rules::{Labels, parse};

    /// Alerts that fire, of so many series.
    fn firing(series: usize) -> Alerts {
        let text = |name| format!("rules: [{{name: {name}, metric: m, comparison: '>', threshold: 0}}]");
        let mut alerts = Alerts::default();
        // A rule has a thousand at most.
        for (name, some) in [("A", series.min(1000)), ("B", series.saturating_sub(1000))] {
            let rule = parse(&text(name)).unwrap().rules.remove(0);
            let samples = (0..some).map(|n| (1.0, move || Labels::from([("n".to_owned(), n.to_string())])));
            alerts.step(&rule, &rule.evaluate(samples).unwrap(), Millis(1));
        }
        alerts
    }

    #[test]
    fn what_finds_no_place_is_told_later() {
        let metrics = Metrics::new(&prometheus::Registry::new());
        let webhook = Webhook::new("http://h", super::super::post::client().unwrap(), &metrics);
        let mut alerts = firing(MAX_WAITING + 5);
        webhook.tell(&mut alerts, &metrics);
        let untold = |alerts: &Alerts| alerts.iter().filter(|alert| alert.untold().is_some()).count();
        assert_eq!((untold(&alerts), metrics.count_dropped(NAME)), (5, 1));
        let mut receiver = webhook.receiver.try_lock().unwrap();
        let keys: std::collections::BTreeSet<_> =
            (0..10).map(|_| receiver.try_recv().unwrap().idempotency_key).collect();
        assert_eq!(keys.len(), 10);
        drop(receiver);
        webhook.tell(&mut alerts, &metrics);
        assert_eq!(untold(&alerts), 0);
    }

    #[test]
    fn what_became_of_messages_is_noted() {
        let metrics = Metrics::new(&prometheus::Registry::new());
        let webhook = Webhook::new("http://h", super::super::post::client().unwrap(), &metrics);
        let mut alerts = firing(2);
        webhook.tell(&mut alerts, &metrics);
        alerts.saved();
        let keys: Vec<String> = alerts.iter().map(Alert::key).collect();
        for (key, done) in keys.into_iter().zip([true, false]) {
            webhook.outcomes.lock().push(Outcome { key, state: State::Firing, done });
        }
        webhook.note(&mut alerts);
        let noted: Vec<_> = alerts.iter().map(|alert| (alert.told, alert.queued, alert.saved)).collect();
        assert_eq!(noted, [(Some(State::Firing), None, false), (None, None, true)]);
    }
}
