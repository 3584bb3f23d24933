//! The scrape object: there, and its selector and ports are those of the servers.

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt;
use kube::core::DynamicObject;
use serde_json::Value;

use super::super::report::{Outcome, failed, left_out, listed, passed};
use super::reading::{Read, matches};
use super::resource::Installation;
use crate::crd::ScrapeKind;
use crate::operator::kinds::{Kind, SCRAPE_ORDER};
use crate::operator::names::Component;

/// The scrape object, its kind, or what there is to say of it.
pub(super) type Object = Read<(Kind, DynamicObject)>;

/// The object, of the kind that the status or the spec says.
pub(super) async fn object(it: &Installation) -> Object {
    let wanted = it.resource.spec.scrape.kind;
    if wanted == ScrapeKind::None {
        return Err(left_out("spec.scrape.kind is None"));
    }
    let made = it.resource.status.as_ref().and_then(|status| status.scrape.as_ref()?.kind.clone());
    let made = SCRAPE_ORDER.iter().copied().find(|kind| made.as_deref() == Some(kind.name()));
    let Some(kind) = Kind::of_scrape(wanted).or(made) else {
        return Err(failed("the operator made none: the cluster has no kind of scrape object that it knows"));
    };
    let name = &it.names.server;
    let found = it.space.get_kind(kind, name).await?;
    found.map(|object| (kind, object)).ok_or_else(|| failed(format!("there is no {} {name}", kind.name())))
}

/// Whether it selects the servers, and its ports are theirs.
pub(super) async fn selects(it: &Installation, object: &Object) -> Read<Outcome> {
    let (kind, object) = object.as_ref().map_err(Clone::clone)?;
    let name = format!("{} {}", kind.name(), object.name_any());
    let spec = &object.data["spec"];
    let selector: LabelSelector = serde_json::from_value(spec["selector"].clone()).unwrap_or_default();
    let ports = wanted_ports(spec);
    let pods = it.pods(Component::Server).await?;
    let (targets, offered) = match kind {
        Kind::VMServiceScrape | Kind::ServiceMonitor => {
            let services: Vec<Service> = it.space.list("").await?;
            let selected: Vec<_> = services.into_iter().filter(|s| matches(&selector, s.labels())).collect();
            (selected.len(), selected.iter().flat_map(ports_of_service).collect::<Vec<_>>())
        }
        _ => {
            let selected: Vec<_> = pods.iter().filter(|pod| matches(&selector, pod.labels())).collect();
            (selected.len(), selected.into_iter().flat_map(ports_of_pod).collect())
        }
    };
    if targets == 0 {
        let pods = pods.len();
        return Ok(failed(format!("{name} selects nothing; there are {pods} servers' pods")));
    }
    let missing: Vec<_> = ports.into_iter().filter(|port| !offered.contains(port)).collect();
    Ok(match missing.as_slice() {
        [] => passed(format!("{name} selects {targets}")),
        missing => failed(format!(
            "{name} wants the port {}, which what it selects does not have: a name of a port, not its number",
            listed(missing)
        )),
    })
}

/// Names of the ports that its endpoints want.
fn wanted_ports(spec: &Value) -> Vec<String> {
    let lists = ["podMetricsEndpoints", "endpoints"].into_iter().filter_map(|list| spec[list].as_array());
    lists.flatten().filter_map(|endpoint| Some(endpoint["port"].as_str()?.to_owned())).collect()
}

fn ports_of_pod(pod: &Pod) -> Vec<String> {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    containers.flat_map(|c| c.ports.iter().flatten()).filter_map(|port| port.name.clone()).collect()
}

fn ports_of_service(service: &Service) -> Vec<String> {
    let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    ports.filter_map(|port| port.name.clone()).collect()
}
