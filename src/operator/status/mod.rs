//! The answer to a resource: conditions and counts, computed from what there is, compared with what
//! the resource says already, and written once, only where it differs.

mod conditions;
pub(crate) mod pods;
#[cfg(test)]
mod tests;

use std::time::Duration;

use k8s_controller::conditions::{ConditionChange, DesiredCondition, set};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::{Value, json};

use super::apply::Applied;
use super::dereference::{Seen, is_part};
use super::kinds::Kind;
use super::names::{Component, MANAGER};
use super::validate::{Checked, Invalid};
use crate::crd::{
    AgentStatus, GROUP, NoetlMetrics, NoetlMetricsStatus, RetentionStatus, ScrapeStatus, ServerStatus,
    VERSION,
};

/// How long writing a status may take.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);

/// All that a status is computed from.
pub(super) struct Facts<'a> {
    /// The checked resource.
    pub(super) checked: &'a Checked,
    /// What there was.
    pub(super) seen: &'a Seen,
    /// What was made of it.
    pub(super) applied: &'a Applied,
    /// The servers' Deployment as it is now.
    pub(super) server: Option<Deployment>,
    /// The agents' DaemonSet as it is now.
    pub(super) agent: Option<DaemonSet>,
    /// The time of the pass.
    pub(super) now: Timestamp,
}

impl<'a> Facts<'a> {
    /// The facts of one pass.
    pub(super) fn new(checked: &'a Checked, seen: &'a Seen, applied: &'a Applied, now: Timestamp) -> Self {
        let server = applied.get(Kind::Deployment, &checked.names.server);
        let agent = applied.get(Kind::DaemonSet, &checked.names.agent);
        Self { checked, seen, applied, server, agent, now }
    }

    /// Servers that are wanted, that there are, and that are ready.
    fn servers(&self) -> (i32, i32, i32) {
        let status = self.server.as_ref().and_then(|d| d.status.clone()).unwrap_or_default();
        let in_cluster = self.server.as_ref().and_then(|d| d.spec.as_ref()?.replicas);
        let wanted = in_cluster.unwrap_or(self.checked.spec.server.replicas);
        (wanted, status.replicas.unwrap_or(0), status.ready_replicas.unwrap_or(0))
    }

    /// Nodes that should have an agent, and agents that are ready.
    fn agents(&self) -> (i32, i32) {
        let status = self.agent.as_ref().and_then(|d| d.status.clone()).unwrap_or_default();
        (status.desired_number_scheduled, status.number_ready)
    }

    /// The last run of retention that ended.
    fn last_retention(&self) -> Option<(&Job, bool, Option<Time>)> {
        self.seen
            .jobs
            .iter()
            .filter(|job| is_part(*job, Component::Retention.as_str()))
            .filter_map(|job| {
                let ended = job.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| {
                    matches!(condition.type_.as_str(), "Complete" | "Failed") && condition.status == "True"
                })?;
                Some((job, ended.type_ == "Complete", ended.last_transition_time.clone()))
            })
            .max_by_key(|(_, _, when)| when.as_ref().map(|t| t.0))
    }
}

/// A condition that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// The condition as it is now.
    pub(super) condition: DesiredCondition,
    /// Whether its status changed, not only its reason or message.
    pub(super) transitioned: bool,
}

/// The new status, and the conditions that changed.
pub(super) fn compute(object: &NoetlMetrics, facts: &Facts<'_>) -> (NoetlMetricsStatus, Vec<Change>) {
    let (wanted, replicas, ready) = facts.servers();
    let (desired, agents_ready) = facts.agents();
    let names = &facts.checked.names;
    let selector: Vec<_> =
        names.selector(Component::Server).iter().map(|(key, value)| format!("{key}={value}")).collect();
    let scrape = facts.checked.scrape;
    let mut status = NoetlMetricsStatus {
        observed_generation: object.meta().generation,
        conditions: current(object),
        server: Some(ServerStatus {
            replicas,
            ready,
            summary: Some(format!("{ready}/{wanted}")),
            selector: Some(selector.join(",")),
            url: Some(super::build::url(facts.checked)),
        }),
        agent: facts.checked.spec.agent.enabled.then(|| AgentStatus {
            desired,
            ready: agents_ready,
            summary: Some(format!("{agents_ready}/{desired}")),
        }),
        scrape: Some(ScrapeStatus {
            kind: Some(scrape.map_or("None", Kind::name).to_owned()),
            name: scrape.map(|_| names.server.clone()),
            rules: Some(facts.checked.rules.map_or("None", Kind::name).to_owned()),
        }),
        retention: facts.last_retention().map(|(job, succeeded, when)| RetentionStatus {
            last_run: when,
            succeeded: Some(succeeded),
            job: job.metadata.name.clone(),
        }),
        image: Some(facts.checked.image.clone()),
    };
    let changes = set_all(&mut status, conditions::all(facts));
    (status, changes)
}

/// The status of a resource that cannot be built: what was there before, and why.
pub(super) fn refused(object: &NoetlMetrics, invalid: &Invalid) -> (NoetlMetricsStatus, Vec<Change>) {
    let mut status = object.status.clone().unwrap_or_default();
    status.observed_generation = object.meta().generation;
    let changes = set_all(&mut status, conditions::invalid(&invalid.to_string()));
    (status, changes)
}

fn current(object: &NoetlMetrics) -> Vec<Condition> {
    object.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default()
}

fn set_all(status: &mut NoetlMetricsStatus, desired: Vec<DesiredCondition>) -> Vec<Change> {
    let generation = status.observed_generation;
    let mut changes = Vec::new();
    for condition in desired {
        let condition = condition.observed_generation(generation);
        let change = set(&mut status.conditions, condition.clone());
        if change.is_changed() {
            changes.push(Change { condition, transitioned: change == ConditionChange::Transitioned });
        }
    }
    changes
}

/// Writes a status where it differs from the resource's. Returns whether it was written.
pub(super) async fn write(
    client: &Client,
    object: &NoetlMetrics,
    status: &NoetlMetricsStatus,
) -> kube::Result<bool> {
    if object.status.as_ref() == Some(status) {
        return Ok(false);
    }
    let namespace = object.namespace().unwrap_or_default();
    // The uid keeps the answer to one resource from its successor of the same name.
    patch(client, &namespace, &object.name_any(), object.uid(), json!(status)).await?;
    Ok(true)
}

/// Writes the status of a resource that cannot even be read, from its parts. Returns whether it
/// was written.
pub(super) async fn write_unreadable(
    client: &Client,
    namespace: &str,
    name: &str,
    error: &str,
) -> kube::Result<bool> {
    let resource = kube::core::ApiResource::erase::<NoetlMetrics>(&());
    let api: Api<kube::core::DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let Some(live) = api.get_opt(name).await? else { return Ok(false) };
    let before: NoetlMetricsStatus =
        live.data.get("status").and_then(|s| serde_json::from_value(s.clone()).ok()).unwrap_or_default();
    let mut status = before.clone();
    status.observed_generation = live.metadata.generation;
    set_all(&mut status, conditions::invalid(&format!("the resource cannot be read: {error}")));
    if status == before {
        return Ok(false);
    }
    patch(client, namespace, name, live.metadata.uid, json!(status)).await?;
    Ok(true)
}

async fn patch(
    client: &Client,
    namespace: &str,
    name: &str,
    uid: Option<String>,
    status: Value,
) -> kube::Result<()> {
    let resource = kube::core::ApiResource::erase::<NoetlMetrics>(&());
    let api: Api<kube::core::DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let patch = json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": "NoetlMetrics",
        "metadata": {"name": name, "namespace": namespace, "uid": uid},
        "status": status,
    });
    let parameters = PatchParams::apply(MANAGER).force();
    let patch = Patch::Apply(&patch);
    let written = api.patch_status(name, &parameters, &patch);
    match tokio::time::timeout(WRITE_TIMEOUT, written).await {
        Ok(result) => result.map(drop),
        Err(_) => Err(kube::Error::Service("the API server did not answer in time".into())),
    }
}
