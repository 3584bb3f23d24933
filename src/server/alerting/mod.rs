//! Evaluates the rules and aggregates of `--rules-file` over the newest values, stores what aggregates
//! come to, and tells Alertmanagers and a webhook of what rules say. Only the active server does.
//!
//! Each round reads the file where it changed, evaluates, writes down what changed in a transaction that
//! fails where another server is active, and only then tells anybody. A database that is away keeps no
//! alert from being told: what was not written down is at a later round.

mod aggregates;
mod alertmanager;
mod kept;
mod metrics;
mod post;
mod rules_file;
mod source;
mod webhook;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use prometheus::Registry;
use tokio::time::{MissedTickBehavior, interval};

use super::App;
use super::core::Core;
use crate::model::Millis;
use crate::rules::{Alerts, RuleSet};
use crate::store::{StoreError, load_alerts, save_alerts};
use aggregates::Aggregates;
use alertmanager::Alertmanager;
use metrics::Metrics;
use rules_file::RulesFile;
use source::Source;
use webhook::Webhook;

/// What could not be read from the database is read again after this time.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// How rules are evaluated, and who is told.
#[derive(Clone, Debug)]
pub struct AlertingConfig {
    /// The file of rules.
    pub rules_file: PathBuf,
    /// How often they are evaluated.
    pub interval: Duration,
    /// How often Alertmanagers are told again of what is as it was.
    pub resend: Duration,
    /// Where they are.
    pub alertmanagers: Vec<String>,
    /// Who else is told of each change.
    pub webhook: Option<String>,
}

/// The rules of a server, whether it is active or not.
pub(super) struct Alerting {
    config: AlertingConfig,
    file: parking_lot::Mutex<RulesFile>,
    client: reqwest::Client,
    metrics: Metrics,
}

impl Alerting {
    /// Reads the rules; a server does not start with ones that are wrong.
    pub(super) fn open(config: &AlertingConfig, registry: &Registry) -> Result<Self, String> {
        let metrics = Metrics::new(registry);
        let file = RulesFile::open(&config.rules_file, &metrics)?;
        let client = post::client().map_err(|e| e.to_string())?;
        Ok(Self { config: config.clone(), file: parking_lot::Mutex::new(file), client, metrics })
    }

    /// The rules as they are now.
    fn rules(&self) -> Arc<RuleSet> {
        let mut file = self.file.lock();
        file.look(&self.metrics);
        Arc::clone(&file.set)
    }
}

/// Evaluates and tells until it is dropped, or another server is active.
pub(super) async fn run(app: &App, core: &Core) {
    let Some(alerting) = &app.alerting else {
        if let Err(error) = aggregates::end(core).await {
            tracing::warn!(%error, "the component of aggregates could not be marked offline");
        }
        return std::future::pending().await;
    };
    let metrics = &alerting.metrics;
    let _cleared = metrics.cleared_at_end();
    let receivers = Receivers::of(alerting);
    let alertmanagers = join_all(receivers.alertmanagers.iter().map(|one| one.run(metrics)));
    let webhook = async {
        match &receivers.webhook {
            Some(webhook) => webhook.run(metrics).await,
            None => std::future::pending().await,
        }
    };
    let tell = async { tokio::join!(alertmanagers, webhook) };
    tokio::select! {
        () = evaluate(app, core, alerting, &receivers) => {}
        _ = tell => {}
    }
}

/// Who is told.
struct Receivers {
    alertmanagers: Vec<Alertmanager>,
    webhook: Option<Webhook>,
}

impl Receivers {
    fn of(alerting: &Alerting) -> Self {
        let Alerting { config, client, metrics, .. } = alerting;
        let ahead = config.resend.max(config.interval) * 4;
        let alertmanager =
            |url: &String| Alertmanager::new(url, client.clone(), config.resend, ahead, metrics);
        let webhook = |url: &String| Webhook::new(url, client.clone(), metrics);
        Self {
            alertmanagers: config.alertmanagers.iter().map(alertmanager).collect(),
            webhook: config.webhook.as_ref().map(webhook),
        }
    }

    fn tell(&self, alerts: &mut Alerts, resend_ms: i64, now: Millis, metrics: &Metrics) {
        for alert in alerts.iter_mut().filter(|alert| alert.is_due(resend_ms, now)) {
            for alertmanager in &self.alertmanagers {
                alertmanager.tell(alert, now, metrics);
            }
            alert.sent_at = Some(now);
        }
        if let Some(webhook) = &self.webhook {
            webhook.tell(alerts, metrics);
        }
    }
}

async fn evaluate(app: &App, core: &Core, alerting: &Alerting, receivers: &Receivers) {
    let config = &alerting.config;
    let resend_ms = i64::try_from(config.resend.as_millis()).unwrap_or(i64::MAX);
    let mut alerts = restore(core, config.interval).await;
    let mut aggregates = Aggregates::default();
    let mut ticks = interval(config.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        if let Some(webhook) = &receivers.webhook {
            webhook.note(&mut alerts);
        }
        let set = alerting.rules();
        let now = Millis::now();
        let source = look(app, core, alerting, &set, &mut aggregates, &mut alerts, now).await;
        let tell = async {
            match save(core, &mut alerts, now).await {
                Ok(()) => {}
                Err(StoreError::Fenced) => return false,
                Err(error) => tracing::warn!(%error, "alerts could not be written down"),
            }
            alerting.metrics.show(&set.rules, &alerts);
            receivers.tell(&mut alerts, resend_ms, now, &alerting.metrics);
            true
        };
        let (goes_on, ()) =
            tokio::join!(tell, aggregates.store(core, &set.aggregates, &source.made, &alerting.metrics, now));
        if !goes_on {
            return;
        }
    }
}

/// The alerts as the server that was active before left them, however long the database takes.
async fn restore(core: &Core, interval: Duration) -> Alerts {
    loop {
        match load_alerts(&core.database).await {
            Ok((kept, evaluated_at)) => {
                // A round more or less is no time in which nobody looked.
                let usual = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX);
                let unseen =
                    evaluated_at.map_or(0, |at| Millis::now().since(at).saturating_sub(usual).max(0));
                return Alerts::restore(kept.into_iter().filter_map(kept::read).collect(), unseen);
            }
            Err(error) => {
                tracing::warn!(%error, "alerts could not be read");
                tokio::time::sleep(RETRY_EVERY).await;
            }
        }
    }
}

/// One round over all aggregates, then all rules.
async fn look<'a>(
    app: &App,
    core: &'a Core,
    alerting: &Alerting,
    set: &'a RuleSet,
    aggregates: &mut Aggregates,
    alerts: &mut Alerts,
    now: Millis,
) -> Source<'a> {
    let began = Instant::now();
    let mut source = Source::new(app, core);
    for aggregate in &set.aggregates {
        if aggregates.may_make(core, aggregate) {
            source.make(aggregate).await;
        }
    }
    for rule in &set.rules {
        match source.evaluate(rule) {
            Ok(held) => alerts.step(rule, &held, now),
            Err(error) => {
                alerting.metrics.rule_failed(&rule.name);
                tracing::warn!(rule = rule.name, %error, "a rule could not be evaluated");
            }
        }
        tokio::task::yield_now().await;
    }
    alerts.end_others(&set.rules, now);
    alerting.metrics.evaluated(began.elapsed());
    source
}

async fn save(core: &Core, alerts: &mut Alerts, now: Millis) -> Result<(), StoreError> {
    let changed: Vec<_> = alerts.iter().filter(|alert| !alert.saved).map(kept::written).collect();
    // One that is gone may be there again.
    let gone: Vec<String> =
        alerts.gone().iter().filter(|key| !changed.iter().any(|c| c.key == **key)).cloned().collect();
    save_alerts(&core.database, now, &changed, &gone).await?;
    alerts.saved();
    Ok(())
}
