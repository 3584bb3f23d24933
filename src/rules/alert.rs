//! One alert: a rule held of one label set, for how long, and who was told.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Labels, Rule};
use crate::model::Millis;

/// For so long a resolved alert is known and told of, as Prometheus does: a receiver that was away
/// meanwhile hears of it.
pub const RESOLVED_KEPT_MS: i64 = 15 * 60_000;

/// What an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// The rule holds, not for long enough yet.
    Pending,
    /// It held for long enough.
    Firing,
    /// It was firing, and does not hold any more.
    Resolved,
}

impl State {
    /// All, in the order in which an alert has them.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Firing, Self::Resolved];

    /// Its word in metrics, messages and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

/// An alert. Restored from what was kept of it, it goes on as if nothing had been.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Name of its rule.
    pub rule: String,
    /// Its labels, by which it is told from others: the series', `alertname`, `severity`.
    pub labels: Labels,
    /// Its texts.
    pub annotations: BTreeMap<String, String>,
    /// The series' value as the rule held last.
    pub value: f64,
    /// What it is.
    pub state: State,
    /// Since when the rule holds.
    pub active_at: Millis,
    /// When it began to fire.
    pub fired_at: Option<Millis>,
    /// Since when the rule does not hold, where it goes on firing for a while.
    pub kept_since: Option<Millis>,
    /// When it was resolved.
    pub resolved_at: Option<Millis>,
    /// What the webhook was told of it last.
    pub told: Option<State>,
    /// What is on its way to the webhook.
    pub queued: Option<State>,
    /// When it was sent to Alertmanagers last; not kept over restarts.
    pub sent_at: Option<Millis>,
    /// Whether it is kept as it is; a value or a text that changes is not worth a write.
    pub saved: bool,
}

impl Alert {
    /// The rule began to hold.
    pub(super) fn new(rule: &Rule, labels: Labels, now: Millis) -> Self {
        Self {
            rule: rule.name.clone(),
            labels,
            annotations: BTreeMap::new(),
            value: 0.0,
            state: State::Pending,
            active_at: now,
            fired_at: None,
            kept_since: None,
            resolved_at: None,
            told: None,
            queued: None,
            sent_at: None,
            saved: false,
        }
    }

    /// The rule holds now.
    pub(super) fn holds(&mut self, rule: &Rule, series: &Labels, value: f64, now: Millis) {
        self.value = value;
        self.annotations = rule
            .annotations
            .iter()
            .map(|(name, text)| ((*name).to_owned(), text.fill(series, value)))
            .collect();
        self.saved &= self.kept_since.take().is_none();
        if self.state == State::Pending && now.since(self.active_at) >= rule.hold_ms {
            self.state = State::Firing;
            self.fired_at = Some(now);
            self.saved = false;
        }
    }

    /// The rule does not hold now; whether something of the alert is left.
    pub(super) fn holds_no_more(&mut self, keep_ms: i64, now: Millis) -> bool {
        match self.state {
            State::Pending => return false,
            State::Resolved => {
                return self.resolved_at.is_some_and(|at| now.since(at) <= RESOLVED_KEPT_MS);
            }
            State::Firing => {}
        }
        if keep_ms > 0 {
            if self.kept_since.is_none() {
                self.kept_since = Some(now);
                self.saved = false;
            }
            if self.kept_since.is_some_and(|since| now.since(since) < keep_ms) {
                return true;
            }
        }
        self.state = State::Resolved;
        self.resolved_at = Some(now);
        self.saved = false;
        true
    }

    /// Whether Alertmanagers are to be told: at once of what changed, and again after a while, since
    /// they take an alert of which they hear nothing for resolved.
    pub fn is_due(&self, resend_ms: i64, now: Millis) -> bool {
        let Some(sent) = self.sent_at else { return self.state != State::Pending };
        let changed = self.resolved_at.or(self.fired_at).is_some_and(|at| at > sent);
        self.state != State::Pending && (changed || now.since(sent) >= resend_ms)
    }

    /// What the webhook is to be told now, where it was not, and that is not on its way.
    pub fn untold(&self) -> Option<State> {
        let known = self.told.max(self.queued);
        (self.state > State::Pending && known < Some(self.state)).then_some(self.state)
    }

    /// Its identity, the same for the same labels: 64 hexadecimal digits.
    pub fn key(&self) -> String {
        let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
        for (name, value) in &self.labels {
            for part in [name, value] {
                digest.update(&(part.len() as u64).to_le_bytes());
                digest.update(part.as_bytes());
            }
        }
        digest.finish().as_ref().iter().fold(String::with_capacity(64), |mut key, byte| {
            let _ = write!(key, "{byte:02x}");
            key
        })
    }
}
