//! What there is: the objects made before, their pods, and what the servers say of themselves.
//!
//! Reads only; objects come from the watches, so a resource at rest costs no request to the API
//! server. What cannot be read is left out, never an error: the pipeline goes on with the rest.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::core::DynamicObject;
use serde::de::DeserializeOwned;

use super::cache::Look;
use super::kinds::Kind;
use super::names::{COMPONENT_LABEL, INSTANCE_LABEL, MANAGER, MANAGER_LABEL, Names};
use super::probe::Answer;
use super::reconcile::Context;
use crate::crd::NoetlMetrics;

/// Objects whose warnings are asked for in one pass, at most.
const WARNINGS_MAX: usize = 4;

/// What there is.
#[derive(Default)]
pub(super) struct Seen {
    /// Optional kinds that the cluster has.
    pub(super) present: BTreeSet<Kind>,
    /// Jobs of migration and retention.
    pub(super) jobs: Vec<Job>,
    /// Pods of servers and Jobs.
    pub(super) pods: Vec<Pod>,
    /// The retention CronJob.
    pub(super) cron_job: Option<CronJob>,
    /// What the servers say of themselves.
    pub(super) answers: Vec<Answer>,
    /// The newest warning about an object that does not get on, by its uid.
    pub(super) warnings: HashMap<String, String>,
}

/// Collects it.
pub(super) async fn dereference(object: &NoetlMetrics, context: &Context) -> Seen {
    let cache = &context.cache;
    let namespace = object.namespace().unwrap_or_default();
    let instance = object.name_any();
    let names = Names::of(&instance);
    let mut seen = Seen {
        present: cache.optional(),
        jobs: typed(&cache.of(Kind::Job, &namespace, &instance)),
        pods: typed(&cache.of(Kind::Pod, &namespace, &instance)),
        cron_job: found(cache.look(Kind::CronJob, &namespace, &names.retention)),
        ..Seen::default()
    };
    let servers: Vec<&Pod> = seen.pods.iter().filter(|pod| is_part(*pod, "server")).collect();
    seen.answers = context.prober.ask(&servers).await;
    let agents: Option<DaemonSet> = found(cache.look(Kind::DaemonSet, &namespace, &names.agent));
    for uid in stuck(&seen, agents.as_ref()) {
        if let Some(warning) = context.warnings.about(&context.client, &namespace, &uid).await {
            seen.warnings.insert(uid, warning);
        }
    }
    seen
}

/// Whether an object belongs to a part of the installation.
pub(super) fn is_part(object: &impl ResourceExt, part: &str) -> bool {
    object.labels().get(COMPONENT_LABEL).is_some_and(|label| label == part)
}

/// Whether an object's labels say that the operator made it from the resource `instance`.
pub(super) fn is_ours(object: &impl ResourceExt, instance: &str) -> bool {
    let labels = object.labels();
    labels.get(MANAGER_LABEL).is_some_and(|manager| manager == MANAGER)
        && labels.get(INSTANCE_LABEL).is_some_and(|label| label == instance)
}

/// An object of the cache in its type; `None` where it is missing or has another form.
pub(super) fn found<K: DeserializeOwned>(look: Look) -> Option<K> {
    match look {
        Look::Found(object) => parse(&object),
        Look::Unknown | Look::Missing => None,
    }
}

/// An object in its type.
pub(super) fn parse<K: DeserializeOwned>(object: &DynamicObject) -> Option<K> {
    serde_json::to_value(object).and_then(serde_json::from_value).ok()
}

fn typed<K: DeserializeOwned>(objects: &[Arc<DynamicObject>]) -> Vec<K> {
    objects.iter().filter_map(|object| parse(object)).collect()
}

/// Objects that wait for something which only an event tells: pods without containers, Jobs
/// without pods, a DaemonSet that lacks pods.
fn stuck(seen: &Seen, agents: Option<&DaemonSet>) -> Vec<String> {
    let pods = seen.pods.iter().filter(|pod| is_waiting(pod)).filter_map(ResourceExt::uid);
    let jobs = seen.jobs.iter().filter(|job| {
        let status = job.status.clone().unwrap_or_default();
        status.completion_time.is_none()
            && status.active.unwrap_or(0) == 0
            && status.conditions.unwrap_or_default().is_empty()
    });
    let agents = agents.filter(|agents| {
        agents.status.as_ref().is_some_and(|s| s.current_number_scheduled < s.desired_number_scheduled)
    });
    let uids = pods.chain(jobs.filter_map(ResourceExt::uid)).chain(agents.and_then(ResourceExt::uid));
    uids.take(WARNINGS_MAX).collect()
}

/// Whether a pod has a node, but no running container, and does not say why.
fn is_waiting(pod: &Pod) -> bool {
    let Some(status) = &pod.status else { return true };
    let has_node = pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
    has_node
        && status.phase.as_deref() == Some("Pending")
        && status.container_statuses.iter().flatten().all(|container| {
            let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
            waiting.is_some_and(|w| {
                matches!(w.reason.as_deref(), Some("ContainerCreating" | "PodInitializing") | None)
            })
        })
}
