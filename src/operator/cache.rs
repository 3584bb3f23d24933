//! What the cluster has of what the operator made, kept by watches.
//!
//! One watch a kind, of objects that carry the operator's label only, so that memory follows the
//! number of resources and not the size of the cluster. A change of an object asks for a reconcile
//! of the resource it was made from. Kinds that come with a scraper's operator are followed while
//! they exist.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use kube::core::{DynamicObject, TypeMeta};
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt};
use parking_lot::RwLock;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::kinds::Kind;
use super::names::{INSTANCE_LABEL, MANAGER, MANAGER_LABEL};
use super::replicas::decides_replicas;
use super::{Guarded, Scope};
use crate::crd::GROUP;

/// Seconds after which a watch is begun anew: less than what load balancers allow to be idle.
pub(super) const WATCH_SECONDS: u32 = 200;

/// How long passes wait for the first lists, at most.
const WARM_UP: Duration = Duration::from_secs(10);

/// What is to be reconciled.
#[derive(Clone, Debug)]
pub(super) enum Trigger {
    /// One resource.
    One(ObjectRef<Guarded>),
    /// All of them: something that concerns all changed, or changes may have been missed.
    All,
}

/// What is known of an object.
#[derive(Clone, Debug)]
pub(super) enum Look {
    /// The watch has not listed its kind yet, or may not.
    Unknown,
    /// There is none with the operator's label.
    Missing,
    /// It was like this.
    Found(Arc<DynamicObject>),
}

/// The objects of one scope.
pub(super) struct Cache {
    client: Client,
    scope: Scope,
    triggers: mpsc::Sender<Trigger>,
    followed: RwLock<HashMap<Kind, Followed>>,
    began: Instant,
}

struct Followed {
    store: Store<DynamicObject>,
    listed: Arc<AtomicBool>,
    /// Ends the watch when dropped.
    _task: Task,
}

struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Cache {
    /// An empty cache; [`Self::follow`] fills it.
    pub(super) fn new(client: Client, scope: Scope, triggers: mpsc::Sender<Trigger>) -> Self {
        Self { client, scope, triggers, followed: RwLock::default(), began: Instant::now() }
    }

    /// Watches a kind from now on.
    pub(super) fn follow(&self, kind: Kind) {
        let mut followed = self.followed.write();
        if followed.contains_key(&kind) {
            return;
        }
        let writer = Writer::new(kind.resource());
        let store = writer.as_reader();
        let listed = Arc::new(AtomicBool::new(false));
        let api = self.scope.api(&self.client, kind);
        let task = tokio::spawn(watch(kind, api, writer, Arc::clone(&listed), self.triggers.clone()));
        followed.insert(kind, Followed { store, listed, _task: Task(task) });
    }

    /// Watches exactly these optional kinds from now on. Returns what changed.
    pub(super) fn follow_optional(&self, present: &BTreeSet<Kind>) -> bool {
        let mut changed = false;
        for kind in Kind::OPTIONAL {
            // Not inside the match: its temporaries, and so the lock, live to its end.
            let is_followed = self.followed.read().contains_key(kind);
            match (present.contains(kind), is_followed) {
                (true, false) => self.follow(*kind),
                (false, true) => drop(self.followed.write().remove(kind)),
                _ => continue,
            }
            changed = true;
        }
        changed
    }

    /// Optional kinds that the cluster has.
    pub(super) fn optional(&self) -> BTreeSet<Kind> {
        let followed = self.followed.read();
        Kind::OPTIONAL.iter().copied().filter(|kind| followed.contains_key(kind)).collect()
    }

    /// Whether a pass had better wait until the watches have listed what there is. Not for long: a
    /// kind that may not be listed must not keep the others from being looked after.
    pub(super) fn is_warming_up(&self) -> bool {
        self.began.elapsed() < WARM_UP && !self.unlisted().is_empty()
    }

    /// Kinds whose objects are not known: not listed yet, or not allowed to be.
    fn unlisted(&self) -> Vec<Kind> {
        let followed = self.followed.read();
        let mut kinds: Vec<_> = followed
            .iter()
            .filter(|(_, f)| !f.listed.load(Ordering::Relaxed))
            .map(|(kind, _)| *kind)
            .collect();
        kinds.sort_unstable();
        kinds
    }

    /// What is known of one object.
    pub(super) fn look(&self, kind: Kind, namespace: &str, name: &str) -> Look {
        let followed = self.followed.read();
        let Some(followed) = followed.get(&kind).filter(|f| f.listed.load(Ordering::Relaxed)) else {
            return Look::Unknown;
        };
        let key = ObjectRef::new_with(name, kind.resource()).within(namespace);
        followed.store.get(&key).map_or(Look::Missing, Look::Found)
    }

    /// The objects of a kind that were made from a resource.
    pub(super) fn of(&self, kind: Kind, namespace: &str, instance: &str) -> Vec<Arc<DynamicObject>> {
        let followed = self.followed.read();
        let Some(followed) = followed.get(&kind) else { return Vec::new() };
        followed.store.state_filter(|object| {
            object.metadata.namespace.as_deref() == Some(namespace)
                && object.labels().get(INSTANCE_LABEL).is_some_and(|label| label == instance)
        })
    }

    /// Kinds that are followed, to look for what is no longer wanted.
    pub(super) fn kinds(&self) -> Vec<Kind> {
        let mut kinds: Vec<_> = self.followed.read().keys().copied().collect();
        kinds.sort_unstable();
        kinds
    }
}

/// Half a second, then twice as long each time, up to eight seconds: what an API server that comes
/// back may have to bear from one operator, and how long a right that was given back is not noticed.
#[derive(Default)]
pub(super) struct WatchBackoff(u32);

impl Iterator for WatchBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let wait = Duration::from_millis(500 << self.0);
        self.0 = (self.0 + 1).min(4);
        Some(wait)
    }
}

impl Backoff for WatchBackoff {
    fn reset(&mut self) {
        self.0 = 0;
    }
}

/// Follows one kind for as long as it is polled.
async fn watch(
    kind: Kind,
    api: Api<DynamicObject>,
    mut writer: Writer<DynamicObject>,
    listed: Arc<AtomicBool>,
    triggers: mpsc::Sender<Trigger>,
) {
    let mut config =
        watcher::Config::default().timeout(WATCH_SECONDS).labels(&format!("{MANAGER_LABEL}={MANAGER}"));
    if kind == Kind::Pod {
        // Not the agents' pods: there are as many as nodes, and the DaemonSet says how they are.
        let parts = "app.kubernetes.io/component in (server,migrate,retention)";
        config = config.labels(&format!("{MANAGER_LABEL}={MANAGER},{parts}"));
    }
    let mut events = std::pin::pin!(watcher(api, config).backoff(WatchBackoff::default()));
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(event) => event.modify(|object| strip(kind, object)),
            Err(error) => {
                tracing::warn!(kind = kind.name(), %error, "cannot watch; trying again");
                continue;
            }
        };
        let trigger = match &event {
            Event::Apply(object) | Event::Delete(object) => of_object(object),
            // Whatever was missed since the last list.
            Event::InitDone => Some(Trigger::All),
            Event::Init | Event::InitApply(_) => None,
        };
        writer.apply_watcher_event(&event);
        if matches!(event, Event::InitDone) {
            listed.store(true, Ordering::Relaxed);
        }
        if let Some(trigger) = trigger
            && triggers.send(trigger).await.is_err()
        {
            return;
        }
    }
}

/// Drops what nobody reads, which is often most of an object, and says what it is, which the items
/// of a list do not: without that a comparison finds something missing.
fn strip(kind: Kind, object: &mut DynamicObject) {
    object.types = Some(TypeMeta { api_version: kind.api_version(), kind: kind.name().to_owned() });
    // Who decides a Deployment's replicas is asked when an autoscaler takes over.
    if kind == Kind::Deployment
        && let Some(entries) = &mut object.metadata.managed_fields
    {
        entries.retain(decides_replicas);
    } else {
        object.metadata.managed_fields = None;
    }
}

/// The resource that an object was made from: its controller, or whom its label names.
fn of_object(object: &DynamicObject) -> Option<Trigger> {
    let owner = object
        .owner_references()
        .iter()
        .find(|owner| owner.kind == "NoetlMetrics" && owner.api_version.starts_with(GROUP))
        .map(|owner| &owner.name);
    let name = owner.or_else(|| object.labels().get(INSTANCE_LABEL))?;
    Some(Trigger::One(ObjectRef::new(name).within(&object.namespace()?)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn trigger(metadata: &serde_json::Value) -> Option<String> {
        let object = json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata});
        match of_object(&serde_json::from_value(object).unwrap()) {
            Some(Trigger::One(reference)) => {
                Some(format!("{}/{}", reference.namespace.unwrap(), reference.name))
            }
            _ => None,
        }
    }

    #[test]
    fn an_item_of_a_list_is_the_same_as_one_of_a_watch() {
        let full = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}, "spec": {"replicas": 2},
        });
        let mut item = full.clone();
        for field in ["apiVersion", "kind"] {
            item.as_object_mut().unwrap().remove(field);
        }
        let mut item: DynamicObject = serde_json::from_value(item).unwrap();
        strip(Kind::Deployment, &mut item);
        assert_eq!(serde_json::to_value(item).unwrap(), full);
    }

    #[test]
    fn a_change_leads_to_the_resource() {
        let owner = json!([{"apiVersion": "metrics.noetl.io/v1alpha1", "kind": "NoetlMetrics", "name": "a", "uid": "1"}]);
        assert_eq!(
            trigger(&json!({"name": "x", "namespace": "n", "ownerReferences": owner})),
            Some("n/a".into())
        );
        let labels = json!({"app.kubernetes.io/instance": "b"});
        assert_eq!(trigger(&json!({"name": "x", "namespace": "n", "labels": labels})), Some("n/b".into()));
        assert_eq!(trigger(&json!({"name": "x", "namespace": "n"})), None);
    }
}
