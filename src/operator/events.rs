//! Events on a resource: what `kubectl describe` shows of what became better or worse.
//!
//! The same event again within ten minutes is counted, not written anew; one that cannot be
//! written is logged and forgotten.

use k8s_controller::conditions::ConditionStatus;
use k8s_controller::events::{Event, EventRecorder, EventType, Reporter};
use kube::Client;

use super::status::Change;
use crate::crd::{GROUP, NoetlMetrics};

/// Writes events.
pub(super) struct Events(EventRecorder);

impl Events {
    /// Events by the replica `instance`.
    pub(super) fn new(client: Client, instance: &str) -> Self {
        let reporter =
            Reporter { controller: format!("{GROUP}/operator"), instance: Some(instance.to_owned()) };
        Self(EventRecorder::new(client, reporter))
    }

    /// Tells of the conditions that changed, where people would want to know.
    pub(super) async fn changed(&self, object: &NoetlMetrics, changes: &[Change]) {
        for change in changes {
            if let Some(event) = event(change) {
                self.publish(object, event).await;
            }
        }
    }

    /// Tells that a resource cannot be read.
    pub(super) async fn unreadable(&self, object: &super::Guarded, error: &str) {
        let note = format!("the resource cannot be read: {error}");
        self.publish(object, warning("Invalid", note)).await;
    }

    /// Forgets a resource that is gone.
    pub(super) fn forget(&self, object: &super::Guarded) {
        self.0.forget(object);
    }

    async fn publish<K>(&self, object: &K, event: Event)
    where
        K: kube::Resource<DynamicType = ()>,
    {
        if let Err(error) = self.0.publish(object, &event).await {
            tracing::warn!(%error, reason = event.reason, "cannot write an event");
        }
    }
}

fn event(change: &Change) -> Option<Event> {
    let condition = &change.condition;
    let normal =
        |reason: &str| Event { type_: EventType::Normal, ..warning(reason, condition.message.clone()) };
    match (condition.type_.as_str(), condition.status) {
        ("Ready", ConditionStatus::True) if change.transitioned => Some(normal("Ready")),
        ("Progressing", ConditionStatus::True) if change.transitioned => Some(normal(&condition.reason)),
        // A new reason is news as well.
        ("Degraded", ConditionStatus::True)
        | ("DatabaseReady" | "RetentionHealthy", ConditionStatus::False) => {
            Some(warning(&condition.reason, condition.message.clone()))
        }
        _ => None,
    }
}

fn warning(reason: &str, note: String) -> Event {
    Event {
        type_: EventType::Warning,
        reason: reason.to_owned(),
        action: "Reconcile".to_owned(),
        note: Some(note),
        related: None,
    }
}

#[cfg(test)]
mod tests {
    use k8s_controller::conditions::DesiredCondition;

    use super::*;

    fn told(type_: &str, status: ConditionStatus, transitioned: bool) -> Option<EventType> {
        let condition = DesiredCondition::new(type_, status, "Reason", "message");
        event(&Change { condition, transitioned }).map(|event| event.type_)
    }

    #[test]
    fn what_people_want_to_know_is_told() {
        use ConditionStatus::{False, True, Unknown};
        assert_eq!(told("Ready", True, true), Some(EventType::Normal));
        assert_eq!(told("Ready", True, false), None);
        assert_eq!(told("Degraded", True, false), Some(EventType::Warning));
        assert_eq!(told("RetentionHealthy", False, true), Some(EventType::Warning));
        assert_eq!(told("RetentionHealthy", Unknown, true), None);
        assert_eq!(told("Available", False, true), None);
    }
}
