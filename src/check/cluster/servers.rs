//! The servers' pods, and the Service before them.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;

use super::super::report::{Outcome, failed, listed, passed, warning};
use super::reading::{Read, has_all};
use super::resource::Installation;
use crate::operator::names::Component;
use crate::operator::status::pods::of_pod;

/// Whether as many servers are ready as are wanted, and what keeps the others from it.
pub(super) async fn run(it: &Installation) -> Read<Outcome> {
    let name = &it.names.server;
    let Some(deployment) = it.space.get::<Deployment>(name).await? else {
        return Ok(failed(format!(
            "there is no Deployment {name}: servers come when the schema's Job has succeeded"
        )));
    };
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let status = deployment.status.clone().unwrap_or_default();
    let ready = status.ready_replicas.unwrap_or(0);
    let words = format!("{ready} of {wanted} are ready");
    if ready >= wanted && ready > 0 {
        return Ok(passed(words));
    }
    let mut why = Vec::new();
    for pod in it.pods(Component::Server).await?.iter().filter(|pod| !is_ready(pod)) {
        why.push(format!("pod {}: {}", pod.name_any(), of_waiting(it, pod).await));
    }
    // A quota or an admission keeps pods from being made at all.
    let refused =
        status.conditions.iter().flatten().filter(|c| c.type_ == "ReplicaFailure" && c.status == "True");
    why.extend(refused.filter_map(|condition| condition.message.clone()));
    let words = if why.is_empty() { words } else { format!("{words}. {}", listed(&why)) };
    Ok(if ready == 0 { failed(words) } else { warning(words) })
}

/// What keeps a pod from being ready.
async fn of_waiting(it: &Installation, pod: &Pod) -> String {
    match of_pod(pod) {
        Some(why) => why,
        None => it
            .warning(pod.metadata.uid.as_deref())
            .await
            .unwrap_or_else(|| "not ready yet, and says no reason".to_owned()),
    }
}

/// Whether a pod takes requests.
pub(super) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Whether the Service has servers behind it.
pub(super) async fn service(it: &Installation) -> Read<Outcome> {
    let name = &it.names.server;
    let Some(service) = it.space.get::<Service>(name).await? else {
        return Ok(failed(format!("there is no Service {name}")));
    };
    let slices: Vec<EndpointSlice> = it.space.list(&format!("kubernetes.io/service-name={name}")).await?;
    let ready = slices
        .iter()
        .flat_map(|slice| &slice.endpoints)
        .filter(|endpoint| endpoint.conditions.as_ref().and_then(|c| c.ready).unwrap_or(true));
    let ready: usize = ready.map(|endpoint| endpoint.addresses.len()).sum();
    if ready > 0 {
        return Ok(passed(format!("{name} has {ready} addresses")));
    }
    let selector = service.spec.and_then(|spec| spec.selector).unwrap_or_default();
    let pods = it.pods(Component::Server).await?;
    let selected = pods.iter().filter(|pod| has_all(pod.labels(), &selector)).count();
    Ok(failed(format!(
        "{name} has no ready address; its selector matches {selected} of {} servers' pods",
        pods.len()
    )))
}
