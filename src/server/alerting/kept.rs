//! Alerts as the database keeps them.

use crate::rules::{Alert, State};
use crate::store::KeptAlert;

pub(super) fn written(alert: &Alert) -> KeptAlert {
    KeptAlert {
        key: alert.key(),
        rule: alert.rule.clone(),
        labels: alert.labels.clone(),
        annotations: alert.annotations.clone(),
        value: alert.value,
        state: alert.state.as_str().to_owned(),
        active_at: alert.active_at,
        fired_at: alert.fired_at,
        kept_since: alert.kept_since,
        resolved_at: alert.resolved_at,
        told: alert.told.map(|state| state.as_str().to_owned()),
    }
}

/// Nothing where its state is one that only a later version knows.
pub(super) fn read(kept: KeptAlert) -> Option<Alert> {
    Some(Alert {
        state: state(&kept.state)?,
        told: kept.told.as_deref().and_then(state),
        rule: kept.rule,
        labels: kept.labels,
        annotations: kept.annotations,
        value: kept.value,
        active_at: kept.active_at,
        fired_at: kept.fired_at,
        kept_since: kept.kept_since,
        resolved_at: kept.resolved_at,
        queued: None,
        sent_at: None,
        saved: true,
    })
}

fn state(word: &str) -> Option<State> {
    State::ALL.into_iter().find(|state| state.as_str() == word)
}
