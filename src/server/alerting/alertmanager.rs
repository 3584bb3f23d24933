//! An Alertmanager, by its API v2. It takes an alert of which it hears nothing until `endsAt` for
//! resolved, so it is told again and again, each time with a later one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::Metrics;
use super::post::{Failure, pause, post};
use crate::model::Millis;
use crate::rules::Alert;

/// Alerts that may wait; of each only the newest news.
const MAX_WAITING: usize = 10_000;
/// Alerts of one request.
const BATCH: usize = 64;

/// One of them.
pub(super) struct Alertmanager {
    /// Its name in metrics and logs: where it is.
    name: String,
    url: String,
    client: Client,
    /// After this time there is newer news of an alert, or none is needed.
    stale_after: Duration,
    /// How far ahead an alert ends that is firing.
    ahead_ms: i64,
    waiting: Mutex<BTreeMap<String, News>>,
    more: Arc<Notify>,
}

/// What it is to be told of one alert.
struct News {
    made: Instant,
    body: Value,
}

impl Alertmanager {
    pub(super) fn new(
        url: &str,
        client: Client,
        resend: Duration,
        ahead: Duration,
        metrics: &Metrics,
    ) -> Self {
        let name = url.split_once("://").map_or(url, |(_, rest)| rest).to_owned();
        metrics.receiver(&name);
        Self {
            name,
            url: format!("{}/api/v2/alerts", url.trim_end_matches('/')),
            client,
            stale_after: resend * 2,
            ahead_ms: i64::try_from(ahead.as_millis()).unwrap_or(i64::MAX),
            waiting: Mutex::default(),
            more: Arc::default(),
        }
    }

    /// It is to be told of this alert.
    pub(super) fn tell(&self, alert: &Alert, now: Millis, metrics: &Metrics) {
        let news = News { made: Instant::now(), body: self.body(alert, now) };
        let mut waiting = self.waiting.lock();
        let key = alert.key();
        if waiting.len() >= MAX_WAITING && !waiting.contains_key(&key) {
            metrics.dropped(&self.name, 1);
            return;
        }
        waiting.insert(key, news);
        metrics.waiting(&self.name, waiting.len());
        self.more.notify_one();
    }

    fn body(&self, alert: &Alert, now: Millis) -> Value {
        json!({
            "labels": alert.labels,
            "annotations": alert.annotations,
            "startsAt": alert.fired_at.unwrap_or(alert.active_at).rfc3339(),
            "endsAt": alert.resolved_at.unwrap_or(now.plus(self.ahead_ms)).rfc3339(),
        })
    }

    /// Sends what waits, until it is dropped.
    pub(super) async fn run(&self, metrics: &Metrics) {
        let mut failures = 0;
        loop {
            let batch = self.take();
            metrics.waiting(&self.name, self.waiting.lock().len());
            if batch.is_empty() {
                self.more.notified().await;
                continue;
            }
            let bodies: Vec<&Value> = batch.iter().map(|(_, news)| &news.body).collect();
            let body = serde_json::to_vec(&bodies).unwrap_or_default();
            match post(self.client.post(&self.url), body).await {
                Ok(()) => {
                    failures = 0;
                    metrics.sent(&self.name, batch.len());
                }
                Err(Failure::Lasting(why)) => {
                    metrics.failed(&self.name, batch.len());
                    tracing::warn!(alertmanager = self.name, why, "alerts were refused");
                }
                Err(Failure::Passing(why)) => {
                    failures += 1;
                    metrics.failed(&self.name, batch.len());
                    tracing::warn!(alertmanager = self.name, why, "alerts could not be sent; trying again");
                    metrics.dropped(&self.name, self.put_back(batch));
                    tokio::time::sleep(pause(failures)).await;
                }
            }
        }
    }

    fn take(&self) -> Vec<(String, News)> {
        let mut waiting = self.waiting.lock();
        let mut batch = Vec::new();
        while batch.len() < BATCH
            && let Some(one) = waiting.pop_first()
        {
            batch.push(one);
        }
        batch
    }

    /// What was not taken waits again, where there is no newer news of the same alert; returns how many
    /// were too old for that.
    fn put_back(&self, batch: Vec<(String, News)>) -> usize {
        let mut waiting = self.waiting.lock();
        let mut old = 0;
        for (key, news) in batch {
            if news.made.elapsed() < self.stale_after {
                waiting.entry(key).or_insert(news);
            } else {
                old += 1;
            }
        }
        old
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Alerts, Labels, parse};

    #[test]
    fn no_more_than_so_many_alerts_wait_and_each_once() {
        let metrics = Metrics::new(&prometheus::Registry::new());
        let hour = Duration::from_hours(1);
        let one =
            Alertmanager::new("http://h:1/x/", super::super::post::client().unwrap(), hour, hour, &metrics);
        assert_eq!((one.name.as_str(), one.url.as_str()), ("h:1/x/", "http://h:1/x/api/v2/alerts"));
        let rule =
            parse("rules: [{name: A, metric: m, comparison: '>', threshold: 0}]").unwrap().rules.remove(0);
        let of = |component: usize| {
            let labels: Labels = [("component".to_owned(), component.to_string())].into();
            let mut alerts = Alerts::default();
            alerts.step(&rule, &rule.evaluate([(1.0, || labels)]).unwrap(), Millis(1));
            alerts.iter().next().unwrap().clone()
        };
        for n in 0..MAX_WAITING + 5 {
            one.tell(&of(n), Millis(2), &metrics);
            one.tell(&of(0), Millis(3), &metrics);
        }
        assert_eq!(one.waiting.lock().len(), MAX_WAITING);
        assert_eq!(metrics.count_dropped("h:1/x/"), 5);
        let batch = one.take();
        assert_eq!(batch.len(), BATCH);
        assert_eq!(one.put_back(batch), 0);
        assert_eq!(one.waiting.lock().len(), MAX_WAITING);
    }
}
