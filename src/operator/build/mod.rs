//! From a checked resource to the objects it asks for: pure functions, a file for each kind.
//!
//! An object holds only fields that the operator decides: whatever is left out is Kubernetes' or
//! another manager's. Nothing here depends on the time or on what the cluster has now, so the same
//! resource always gives the same objects. The files in `golden/` are what they look like.

mod account;
mod agent;
mod budget;
mod forward;
mod jobs;
mod network_policy;
mod pod;
mod rules;
mod rules_file;
mod scrape;
mod server;
mod service;
#[cfg(test)]
mod tests;
mod tls;

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::RoleBinding;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

pub(super) use self::service::{scheme, url};
use super::kinds::Kind;
use super::names::Component;
use super::validate::Checked;

/// The port that servers listen on.
pub(crate) const PORT: i32 = 8082;
/// Its name, by which scrape objects, Service and NetworkPolicy find it.
pub(crate) const PORT_NAME: &str = "metrics";
/// The audience of the tokens that servers take.
pub(super) const AUDIENCE: &str = "noetl-metrics";

/// Everything that a resource asks for.
#[derive(Clone, Debug)]
pub(super) struct Resources {
    /// The servers' identity.
    pub(super) server_account: ServiceAccount,
    /// The agents' identity.
    pub(super) agent_account: Option<ServiceAccount>,
    /// What agents may do in the namespace, where they look in it.
    pub(super) agent_role: Option<RoleBinding>,
    /// What cert-manager is asked for, with its kind.
    pub(super) certificates: Vec<(Kind, Value)>,
    /// The servers' address.
    pub(super) service: Service,
    /// How many servers a drain may take.
    pub(super) budget: Option<PodDisruptionBudget>,
    /// Who may connect to the servers.
    pub(super) network_policy: Option<NetworkPolicy>,
    /// What a scraper is told, with its kind.
    pub(super) scrape: Option<(Kind, Value)>,
    /// What it is told of NoETL's own pods, with its kind.
    pub(super) scrape_pods: Option<(Kind, Value)>,
    /// Alert rules, with their kind.
    pub(super) rules: Option<(Kind, Value)>,
    /// The rules that the servers evaluate where there is no such object.
    pub(super) rules_file: Option<ConfigMap>,
    /// Brings the schema forward; has to have succeeded before `server` is applied.
    pub(super) migrate: Job,
    /// Drops what is past its age.
    pub(super) retention: CronJob,
    /// The agents.
    pub(super) agent: Option<DaemonSet>,
    /// The servers.
    pub(super) server: Deployment,
}

/// Builds all of it.
pub(super) fn build(checked: &Checked) -> Resources {
    let agents = checked.spec.agent.enabled;
    Resources {
        server_account: account::server(checked),
        agent_account: agents.then(|| account::agent(checked)),
        agent_role: checked
            .agent_cluster_role
            .as_deref()
            .filter(|_| agents && checked.looks_in_own())
            .map(|role| account::agent_role(checked, role)),
        certificates: tls::certificates(checked),
        service: service::service(checked),
        budget: budget::budget(checked),
        network_policy: network_policy::network_policy(checked),
        scrape: checked.scrape.and_then(|kind| Some((kind, scrape::scrape(checked, kind)?))),
        scrape_pods: checked
            .scrape_pods
            .filter(|_| checked.looks_in_own())
            .map(|kind| (kind, scrape::pods(checked, kind))),
        rules: checked.rules.map(|kind| (kind, rules::rules(checked, kind))),
        rules_file: rules_file::rules_file(checked),
        migrate: jobs::migrate(checked),
        retention: jobs::retention(checked),
        agent: agents.then(|| agent::agent(checked)),
        server: server::server(checked),
    }
}

/// The metadata that all objects share.
fn metadata(checked: &Checked, name: &str, component: Component) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(checked.namespace.clone()),
        labels: Some(checked.names.labels(component)),
        owner_references: Some(vec![checked.owner.clone()]),
        ..ObjectMeta::default()
    }
}

/// `None` where there is nothing, so that the field is left out.
fn some<K: Ord, V>(map: BTreeMap<K, V>) -> Option<BTreeMap<K, V>> {
    Some(map).filter(|map| !map.is_empty())
}

/// `None` where there is nothing, so that the field is left out.
fn some_of<T>(list: Vec<T>) -> Option<Vec<T>> {
    Some(list).filter(|list| !list.is_empty())
}
