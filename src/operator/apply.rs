//! Makes the cluster have what was built: server-side apply with a field manager of our own, and
//! only where something is to be changed. What is no longer wanted is removed.
//!
//! Servers come last, and only once their schema is there. An object that cannot be applied does
//! not keep the others from it; what went wrong is part of the result. An object of the same name
//! that belongs to somebody else is left alone and reported.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::core::DynamicObject;
use kube::{Api, Client, ResourceExt};
use serde::Serialize;
use serde_json::{Value, json};

use super::build::Resources;
use super::cache::{Cache, Look};
use super::dereference::parse;
use super::kinds::Kind;
use super::migration::{self, Migration};
use super::names::{MANAGER, hash};
use super::replicas;
use super::same::covers;
use super::validate::Checked;

/// Annotation with a hash of what was last applied: a change of it means that fields may have to
/// go, which looking at the others does not show.
const APPLIED_HASH: &str = "metrics.noetl.io/applied";
/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// The objects as they are now, and what went wrong. Only [`apply`] makes one.
#[derive(Default)]
pub(super) struct Applied {
    /// What the cluster has of each object that is wanted.
    pub(super) live: BTreeMap<(Kind, String), Arc<DynamicObject>>,
    /// Objects that could not be applied or removed.
    pub(super) failures: Vec<Failure>,
    /// How far the schema is.
    pub(super) migration: Migration,
    /// Objects written or removed.
    pub(super) written: usize,
}

/// An object that could not be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// Its kind.
    pub(super) kind: Kind,
    /// Its name.
    pub(super) name: String,
    /// Why, in a sentence.
    pub(super) reason: String,
    /// Whether it may go away by itself, as a conflict or a restart of the API server.
    pub(super) passing: bool,
    /// Whether the cluster answers that it has no such kind, as once its definition was removed.
    pub(super) kind_is_gone: bool,
}

impl Applied {
    /// An object as it is now, in its type.
    pub(super) fn get<K: serde::de::DeserializeOwned>(&self, kind: Kind, name: &str) -> Option<K> {
        parse(self.live.get(&(kind, name.to_owned()))?)
    }
}

/// What is there, with nothing changed: for a resource that is paused.
pub(super) fn look_only(checked: &Checked, cache: &Cache) -> Applied {
    let mut applied = Applied { migration: Migration::Done, ..Applied::default() };
    for kind in cache.kinds() {
        for object in cache.of(kind, &checked.namespace, &checked.names.instance) {
            applied.live.insert((kind, object.name_any()), object);
        }
    }
    applied
}

/// Applies everything, in the order in which one needs the other.
pub(super) async fn apply(
    checked: &Checked,
    resources: Resources,
    cache: &Cache,
    client: &Client,
) -> Applied {
    // Without `..`: a new resource that is not applied does not compile.
    let Resources {
        server_account,
        agent_account,
        agent_role,
        certificates,
        service,
        budget,
        network_policy,
        scrape,
        scrape_pods,
        rules,
        rules_file,
        migrate,
        retention,
        agent,
        server,
    } = resources;
    let mut pass = Pass { checked, cache, client, applied: Applied::default() };
    pass.object(Kind::ServiceAccount, &server_account).await;
    pass.optional(Kind::ServiceAccount, agent_account.as_ref()).await;
    pass.optional(Kind::RoleBinding, agent_role.as_ref()).await;
    pass.object(Kind::Service, &service).await;
    pass.optional(Kind::PodDisruptionBudget, budget.as_ref()).await;
    pass.optional(Kind::NetworkPolicy, network_policy.as_ref()).await;
    let scraped = [scrape, scrape_pods, rules].into_iter().flatten();
    for (kind, object) in certificates.into_iter().chain(scraped) {
        pass.object(kind, &object).await;
    }
    pass.optional(Kind::ConfigMap, rules_file.as_ref()).await;
    pass.object(Kind::CronJob, &retention).await;
    pass.optional(Kind::DaemonSet, agent.as_ref()).await;
    pass.object(Kind::Job, &migrate).await;
    pass.migration(&migrate).await;
    if pass.applied.migration == Migration::Done {
        pass.server(&server).await;
    } else {
        pass.keep(Kind::Deployment, &checked.names.server);
    }
    pass.remove_others().await;
    pass.applied
}

/// One way through the objects of one resource.
struct Pass<'a> {
    checked: &'a Checked,
    cache: &'a Cache,
    client: &'a Client,
    applied: Applied,
}

impl Pass<'_> {
    async fn optional(&mut self, kind: Kind, object: Option<&impl Serialize>) {
        if let Some(object) = object {
            self.object(kind, object).await;
        }
    }

    /// Brings one object about.
    async fn object(&mut self, kind: Kind, object: &impl Serialize) {
        let (name, result) = match wanted(object) {
            Ok((name, wanted)) => {
                let result = self.ensure(kind, &name, wanted).await;
                (name, result)
            }
            Err(error) => (String::new(), Err(Problem::Unserializable(error))),
        };
        match result {
            Ok(live) => {
                self.applied.live.insert((kind, name), live);
            }
            Err(problem) => self.failed(kind, name, &problem),
        }
    }

    async fn ensure(&mut self, kind: Kind, name: &str, wanted: Value) -> Result<Arc<DynamicObject>, Problem> {
        let live = match self.cache.look(kind, &self.checked.namespace, name) {
            Look::Found(live) => Some(live),
            // There may be one that the watch does not show: without our label, since that was taken
            // away by hand or it is somebody else's, or of a kind that is not listed yet.
            Look::Missing | Look::Unknown => within(self.api(kind).get_opt(name)).await?.map(Arc::new),
        };
        if let Some(live) = live {
            self.check_owner(&live)?;
            let value = serde_json::to_value(live.as_ref()).map_err(Problem::Unserializable)?;
            if covers(&value, &wanted) {
                return Ok(live);
            }
        }
        let parameters = PatchParams::apply(MANAGER).force();
        let live = within(self.api(kind).patch(name, &parameters, &Patch::Apply(&wanted))).await?;
        self.applied.written += 1;
        tracing::info!(kind = kind.name(), name, "applied");
        Ok(Arc::new(live))
    }

    /// An object that is not ours must not be taken over, and one of a predecessor of the same name
    /// is about to go.
    fn check_owner(&self, live: &DynamicObject) -> Result<(), Problem> {
        if live.metadata.deletion_timestamp.is_some() {
            return Err(Problem::Going);
        }
        let ours = live.owner_references().iter().any(|owner| owner.uid == self.checked.owner.uid);
        let predecessor = live.owner_references().iter().any(|owner| owner.kind == self.checked.owner.kind);
        match (ours, predecessor) {
            (true, _) => Ok(()),
            (false, true) => Err(Problem::Going),
            // Its owner was taken away by hand, but it says that it is ours.
            (false, false) if super::dereference::is_ours(live, &self.checked.names.instance) => Ok(()),
            (false, false) => Err(Problem::Foreign),
        }
    }

    /// The servers, whose replicas an autoscaler may have to take over before we let go of them.
    async fn server(&mut self, server: &k8s_openapi::api::apps::v1::Deployment) {
        let name = &self.checked.names.server;
        if let Look::Found(live) = self.cache.look(Kind::Deployment, &self.checked.namespace, name)
            && let Some(patch) = replicas::hand_over(&live, server)
        {
            let parameters = PatchParams::apply(replicas::MANAGER).force();
            if let Err(problem) =
                within(self.api(Kind::Deployment).patch(name, &parameters, &Patch::Apply(&patch))).await
            {
                return self.failed(Kind::Deployment, name.clone(), &problem);
            }
            self.applied.written += 1;
        }
        self.object(Kind::Deployment, server).await;
    }

    /// How far the schema is; a Job that failed is made again after a while.
    async fn migration(&mut self, job: &Job) {
        let name = job.name_any();
        let live: Option<Job> = self.applied.get(Kind::Job, &name);
        let state = migration::state(live.as_ref(), Timestamp::now());
        if state == Migration::Retry {
            let parameters = parameters(live.and_then(|job| job.uid()));
            match within(self.api(Kind::Job).delete(&name, &parameters)).await {
                Ok(_) => self.applied.written += 1,
                Err(problem) => self.failed(Kind::Job, name, &problem),
            }
        }
        self.applied.migration = state;
    }

    /// Keeps an object as it is.
    fn keep(&mut self, kind: Kind, name: &str) {
        if let Look::Found(live) = self.cache.look(kind, &self.checked.namespace, name) {
            self.applied.live.insert((kind, name.to_owned()), live);
        }
    }

    /// Removes what was made for this resource and is no longer wanted.
    async fn remove_others(&mut self) {
        for kind in self.cache.kinds().into_iter().filter(|kind| *kind != Kind::Pod) {
            for object in self.cache.of(kind, &self.checked.namespace, &self.checked.names.instance) {
                let name = object.name_any();
                let ours = object.owner_references().iter().any(|o| o.uid == self.checked.owner.uid);
                let wanted = self.applied.live.contains_key(&(kind, name.clone()))
                    || self.applied.failures.iter().any(|f| f.kind == kind && f.name == name)
                    || (kind == Kind::Deployment && name == self.checked.names.server);
                if ours && !wanted && object.metadata.deletion_timestamp.is_none() {
                    self.remove(kind, name, object.uid()).await;
                }
            }
        }
    }

    async fn remove(&mut self, kind: Kind, name: String, uid: Option<String>) {
        match within(self.api(kind).delete(&name, &parameters(uid))).await {
            Ok(_) => {
                tracing::info!(kind = kind.name(), name, "removed");
                self.applied.written += 1;
            }
            Err(Problem::Refused(status)) if status.is_not_found() || status.is_conflict() => {}
            Err(problem) => self.failed(kind, name, &problem),
        }
    }

    fn api(&self, kind: Kind) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.checked.namespace, &kind.resource())
    }

    fn failed(&mut self, kind: Kind, name: String, problem: &Problem) {
        let passing = problem.is_passing();
        let kind_is_gone = problem.is_of_a_kind_that_is_gone();
        let reason = problem.to_string();
        if passing {
            tracing::info!(kind = kind.name(), name, reason, "not applied yet");
        } else {
            tracing::warn!(kind = kind.name(), name, reason, "cannot apply");
        }
        self.applied.failures.push(Failure { kind, name, reason, passing, kind_is_gone });
    }
}

/// Deletes just the object with this uid, and what it owns.
fn parameters(uid: Option<String>) -> DeleteParams {
    DeleteParams::background().preconditions(Preconditions { uid, resource_version: None })
}

/// An object's name, and its form as it is applied.
fn wanted(object: &impl Serialize) -> Result<(String, Value), serde_json::Error> {
    let mut value = serde_json::to_value(object)?;
    let name = value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let hash = hash(&value.to_string());
    value["metadata"]["annotations"][APPLIED_HASH] = json!(hash);
    Ok((name, value))
}

/// Why one object cannot be brought about.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("{}", .0.message)]
    Refused(Box<kube::core::Status>),
    #[error("the API server cannot be reached: {0}")]
    Unreachable(kube::Error),
    #[error("the API server did not answer in {} s", REQUEST_TIMEOUT.as_secs())]
    Timeout,
    #[error("an object of that name exists that NoetlMetrics did not make; rename or delete one of the two")]
    Foreign,
    #[error("the object of that name is being deleted; waiting for it to go")]
    Going,
    #[error("it cannot be written as JSON: {0}")]
    Unserializable(serde_json::Error),
}

impl Problem {
    fn is_passing(&self) -> bool {
        match self {
            Self::Refused(status) => status.is_conflict() || matches!(status.code, 429 | 500..),
            Self::Unreachable(_) | Self::Timeout | Self::Going => true,
            Self::Foreign | Self::Unserializable(_) => false,
        }
    }

    /// No namespace answers an apply with 404 but one that is gone, and then the resource is too.
    /// While a definition is being removed, its objects are answered with 405.
    fn is_of_a_kind_that_is_gone(&self) -> bool {
        matches!(self, Self::Refused(status) if matches!(status.code, 404 | 405))
    }
}

async fn within<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, Problem> {
    match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(kube::Error::Api(status))) => Err(Problem::Refused(status)),
        Ok(Err(error)) => Err(Problem::Unreachable(error)),
        Err(_) => Err(Problem::Timeout),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u16) -> Problem {
        Problem::Refused(Box::new(kube::core::Status { code, ..Default::default() }))
    }

    #[test]
    fn a_kind_that_is_gone_is_told_from_other_refusals() {
        for (code, gone) in [(404, true), (405, true), (403, false), (409, false), (422, false), (500, false)]
        {
            assert_eq!(refused(code).is_of_a_kind_that_is_gone(), gone, "{code}");
        }
        assert!(!Problem::Timeout.is_of_a_kind_that_is_gone());
    }
}
