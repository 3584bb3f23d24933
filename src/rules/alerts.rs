//! All alerts of all rules, and how one look at the samples changes them.

use std::collections::BTreeMap;

use super::{Alert, Held, Labels, Rule, State};
use crate::model::Millis;

/// The alerts of one rule, by their labels.
type OfRule = BTreeMap<Labels, Alert>;

/// Alerts by rule.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Alerts {
    by_rule: BTreeMap<String, OfRule>,
    /// Keys of those that are gone and still kept.
    gone: Vec<String>,
}

impl Alerts {
    /// What was kept. Time in which nobody looked, `unseen_ms`, does not count as time in which a rule
    /// held.
    pub fn restore(kept: Vec<Alert>, unseen_ms: i64) -> Self {
        let mut alerts = Self::default();
        for mut alert in kept {
            if alert.state == State::Pending && unseen_ms > 0 {
                alert.active_at = alert.active_at.plus(unseen_ms);
                alert.saved = false;
            }
            let of_rule = alerts.by_rule.entry(alert.rule.clone()).or_default();
            of_rule.insert(alert.labels.clone(), alert);
        }
        alerts
    }

    /// A rule was looked at: of these it holds.
    pub fn step(&mut self, rule: &Rule, held: &Held, now: Millis) {
        let of_rule = self.by_rule.entry(rule.name.clone()).or_default();
        for (labels, (series, value)) in held {
            let alert =
                of_rule.entry(labels.clone()).or_insert_with(|| Alert::new(rule, labels.clone(), now));
            if alert.state == State::Resolved {
                *alert = Alert::new(rule, labels.clone(), now);
            }
            alert.holds(rule, series, *value, now);
        }
        Self::end(of_rule, &mut self.gone, |labels| !held.contains_key(labels), rule.keep_ms, now);
    }

    /// Rules that are no more hold of nothing.
    pub fn end_others(&mut self, rules: &[Rule], now: Millis) {
        for (name, of_rule) in &mut self.by_rule {
            if !rules.iter().any(|rule| rule.name == *name) {
                Self::end(of_rule, &mut self.gone, |_| true, 0, now);
            }
        }
        self.by_rule.retain(|name, alerts| !alerts.is_empty() || rules.iter().any(|rule| rule.name == *name));
    }

    fn end(
        of_rule: &mut OfRule,
        gone: &mut Vec<String>,
        ended: impl Fn(&Labels) -> bool,
        keep_ms: i64,
        now: Millis,
    ) {
        of_rule.retain(|labels, alert| {
            let stays = !ended(labels) || alert.holds_no_more(keep_ms, now);
            if !stays {
                gone.push(alert.key());
            }
            stays
        });
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Alert> {
        self.by_rule.values().flat_map(BTreeMap::values)
    }

    /// All of them, to note who was told.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Alert> {
        self.by_rule.values_mut().flat_map(BTreeMap::values_mut)
    }

    /// Keys of those that are gone and still kept.
    pub fn gone(&self) -> &[String] {
        &self.gone
    }

    /// Everything is kept as it is now.
    pub fn saved(&mut self) {
        self.gone.clear();
        self.iter_mut().for_each(|alert| alert.saved = true);
    }
}
