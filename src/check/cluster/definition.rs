//! What comes before any resource: its definition, and the operator.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, ResourceExt};

use super::super::report::{Outcome, failed, passed, warning};
use super::reading::{Read, Space, listed, unread};
use crate::crd::{self, VERSION};
use crate::operator::status::pods::of_pod;

const OPERATOR_LABELS: &str = "app.kubernetes.io/name=noetl-metrics,app.kubernetes.io/component=operator";

/// Whether the definition is there, served, and this program's.
pub(super) async fn definition(space: &Space) -> Read<Outcome> {
    let ours = crd::definition();
    let name = ours.name_any();
    let api: Api<CustomResourceDefinition> = Api::all(space.client.clone());
    let Some(theirs) = api.get_opt(&name).await.map_err(|e| unread(&e))? else {
        return Ok(failed(format!("the cluster has no {name}")));
    };
    let served = theirs.spec.versions.iter().find(|version| version.name == VERSION && version.served);
    let Some(served) = served else { return Ok(failed(format!("{name} does not serve {VERSION}"))) };
    let conditions = theirs.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let refused = conditions
        .into_iter()
        .find(|c| c.status != "True" && matches!(c.type_.as_str(), "Established" | "NamesAccepted"));
    if let Some(refused) = refused {
        let why = refused.message.as_deref().unwrap_or("no reason is given");
        return Ok(failed(format!("{name} is not {}: {why}", refused.type_)));
    }
    Ok(if ours.spec.versions.first().is_some_and(|version| version.schema == served.schema) {
        passed(format!("{VERSION}, with the fields of {}", env!("CARGO_PKG_VERSION")))
    } else {
        warning(format!("{VERSION} has other fields than in {}", env!("CARGO_PKG_VERSION")))
    })
}

/// Whether an operator runs, in whatever namespace.
pub(super) async fn operator(space: &Space) -> Read<Outcome> {
    let deployments: Vec<Deployment> = listed(&Api::all(space.client.clone()), OPERATOR_LABELS).await?;
    let Some(deployment) = deployments.first() else {
        return Ok(failed("no namespace has a Deployment of an operator"));
    };
    let namespace = deployment.namespace().unwrap_or_default();
    let name = format!("{} in {namespace}", deployment.name_any());
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let ready = deployment.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0);
    let words = format!("{ready} of {wanted} replicas of {name} are ready");
    if ready >= wanted && ready > 0 {
        return Ok(passed(words));
    }
    let pods: Vec<Pod> =
        listed(&Api::namespaced(space.client.clone(), &namespace), OPERATOR_LABELS).await.unwrap_or_default();
    let why = pods.iter().find_map(|pod| Some(format!(": pod {}: {}", pod.name_any(), of_pod(pod)?)));
    let words = format!("{words}{}", why.unwrap_or_default());
    Ok(if ready == 0 { failed(words) } else { warning(words) })
}
