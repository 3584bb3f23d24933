//! Answers for the controllers and the node that a control plane of the benchmark lacks: every Job
//! has succeeded and every workload runs as soon as it is there, at the cost of one request.

use futures_util::StreamExt;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::batch::v1::Job;
use kube::api::{Patch, PatchParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::kubernetes::{ControlPlane, NAMESPACE};

/// Statuses that are written at a time, for each kind.
const AT_ONCE: usize = 8;
/// When all that a stand-in says happened: API objects want times, and nobody reads these.
const THEN: &str = "2026-01-01T00:00:00Z";

/// Stands in until the control plane ends.
pub(crate) fn begin(plane: &ControlPlane) {
    plane.spawn(follow::<Job>(plane.client(), job));
    plane.spawn(follow::<Deployment>(plane.client(), deployment));
    plane.spawn(follow::<DaemonSet>(plane.client(), daemon_set));
}

/// Gives each object the status that `answer` has for it, if it has one.
async fn follow<K>(client: Client, answer: fn(&K) -> Option<Value>)
where
    K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + Send
        + 'static,
{
    let api: Api<K> = Api::namespaced(client, NAMESPACE);
    let objects = watcher(api.clone(), watcher::Config::default()).default_backoff().applied_objects();
    let answers = objects.filter_map(move |object| {
        let status = object.ok().and_then(|object| {
            let status = answer(&object)?;
            Some((object.name_any(), json!({"status": status})))
        });
        std::future::ready(status)
    });
    let written = answers.map(|(name, status)| {
        let api = api.clone();
        async move {
            let patched = api.patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await;
            if let Err(error) = patched {
                // The row does not converge then, and says so.
                eprintln!("stand-in: {name}: {error}");
            }
        }
    });
    written.buffer_unordered(AT_ONCE).for_each(|()| std::future::ready(())).await;
}

fn condition(type_: &str, reason: &str) -> Value {
    json!({
        "type": type_, "status": "True", "reason": reason, "message": "",
        "lastTransitionTime": THEN, "lastProbeTime": THEN, "lastUpdateTime": THEN,
    })
}

fn job(job: &Job) -> Option<Value> {
    let ended = job.status.as_ref().is_some_and(|status| status.completion_time.is_some());
    let conditions = ["SuccessCriteriaMet", "Complete"].map(|type_| condition(type_, "CompletionsReached"));
    (!ended).then(|| {
        json!({"startTime": THEN, "completionTime": THEN, "succeeded": 1, "ready": 0, "conditions": conditions})
    })
}

fn deployment(deployment: &Deployment) -> Option<Value> {
    let generation = deployment.metadata.generation;
    let observed = deployment.status.as_ref().and_then(|status| status.observed_generation);
    let replicas = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let conditions = [
        condition("Available", "MinimumReplicasAvailable"),
        condition("Progressing", "NewReplicaSetAvailable"),
    ];
    (observed != generation).then(|| {
        json!({
            "observedGeneration": generation, "replicas": replicas, "updatedReplicas": replicas,
            "readyReplicas": replicas, "availableReplicas": replicas, "conditions": conditions,
        })
    })
}

/// As on a cluster of one node.
fn daemon_set(set: &DaemonSet) -> Option<Value> {
    let generation = set.metadata.generation;
    let observed = set.status.as_ref().and_then(|status| status.observed_generation);
    (observed != generation).then(|| {
        json!({
            "observedGeneration": generation, "currentNumberScheduled": 1, "desiredNumberScheduled": 1,
            "numberMisscheduled": 0, "numberReady": 1, "numberAvailable": 1, "updatedNumberScheduled": 1,
        })
    })
}
