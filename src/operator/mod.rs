//! The operator: makes the cluster have what each NoetlMetrics asks for, and says how that goes.
//!
//! A pass over a resource is a pipeline, a module for each stage: [`dereference`] (reads what there
//! is) → [`validate`] (no client: a spec becomes a checked resource) → [`build`] (no client: the
//! objects) → [`apply`] (server-side apply, only where something is to be changed) → [`status`]
//! (computed, compared, written once). Replicas elect a leader by a Lease; only the leader acts.
//!
//! # Rights
//!
//! In each namespace that is watched (a ClusterRole, or a Role in each with `--watch-namespaces`):
//!
//! | group | resources | verbs | what for |
//! |---|---|---|---|
//! | `metrics.noetl.io` | `noetlmetrics` | list, watch | the resources |
//! | `metrics.noetl.io` | `noetlmetrics/status` | patch | their status |
//! | core | `services`, `serviceaccounts`, `configmaps` | get, list, watch, create, patch, delete | made for a resource |
//! | core | `pods` | list, watch | why servers and Jobs do not run |
//! | core | `events` | list | why a pod waits, such as for a Secret |
//! | `apps` | `deployments`, `daemonsets` | get, list, watch, create, patch, delete | servers, agents |
//! | `batch` | `jobs`, `cronjobs` | get, list, watch, create, patch, delete | migration, retention |
//! | `policy` | `poddisruptionbudgets` | get, list, watch, create, patch, delete | drains |
//! | `networking.k8s.io` | `networkpolicies` | get, list, watch, create, patch, delete | who may connect |
//! | `rbac.authorization.k8s.io` | `rolebindings` | get, list, watch, create, patch, delete | agents' rights; only with `--agent-cluster-role`, else list and watch |
//! | `rbac.authorization.k8s.io` | `clusterroles`, by that name only | bind | to bind agents to that role and no other |
//! | `operator.victoriametrics.com` | `vmpodscrapes`, `vmservicescrapes`, `vmrules` | get, list, watch, create, patch, delete | scrape and rules objects |
//! | `monitoring.coreos.com` | `podmonitors`, `servicemonitors`, `prometheusrules` | get, list, watch, create, patch, delete | the same |
//! | `monitoring.googleapis.com` | `podmonitorings` | get, list, watch, create, patch, delete | the same |
//! | `cert-manager.io` | `certificates` | get, list, watch, create, patch, delete | the certificates of `server.tls`, where an issuer makes them |
//! | `events.k8s.io` | `events` | create, patch | what `kubectl describe` shows |
//!
//! In the operator's own namespace: `coordination.k8s.io` `leases`: get, create, update. Which kinds
//! there are is asked of the discovery endpoints, which every ServiceAccount may read. No right on
//! Secrets: they are mounted by name.

mod apply;
mod backoff;
pub(crate) mod build;
mod cache;
mod controller;
mod dereference;
mod discovery;
mod events;
mod health;
pub(crate) mod kinds;
mod metrics;
mod migration;
pub(crate) mod names;
mod probe;
mod reconcile;
mod replicas;
mod same;
pub(crate) mod status;
#[cfg(test)]
mod testing;
mod validate;
pub(crate) mod warnings;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use k8s_controller::LeaderElection;
use kube::core::{DeserializeGuard, DynamicObject};
use kube::{Api, Client};
use tokio::net::TcpListener;

use crate::crd::NoetlMetrics;
use controller::{Controller, Parts};
use health::Readiness;
use kinds::Kind;
use metrics::Metrics;

/// Name of the Lease by which replicas elect a leader.
const LEASE: &str = "noetl-metrics-operator";
/// How often a candidate tries to become leader, at least: what a hand-over may take.
const LEASE_RETRY: Duration = Duration::from_millis(1500);
/// How long connecting may take. An address that swallows what is sent to it, as that of an API server
/// that is away may do, is tried again soon: a candidate that waits on it would see its return late.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request may be silent.
const REQUEST_READ_TIMEOUT: Duration = Duration::from_secs(15);
/// How often is asked whether the definition of the resource is there.
const DEFINITION_INTERVAL: Duration = Duration::from_secs(5);

/// A resource, or why it cannot be read.
pub type Guarded = DeserializeGuard<NoetlMetrics>;

/// How the operator runs.
#[derive(Clone, Debug)]
pub struct OperatorConfig {
    /// Where `/livez`, `/readyz` and `/metrics` are served.
    pub listen: SocketAddr,
    /// Namespaces that are watched; all where the list is empty.
    pub namespaces: Vec<String>,
    /// Namespace of the operator itself, where its Lease is.
    pub namespace: String,
    /// Name of this replica, different from all others.
    pub identity: String,
    /// Image of what is made, where a resource names none.
    pub image: Option<String>,
    /// ClusterRole that agents are bound to.
    pub agent_cluster_role: Option<String>,
}

/// What all resources share.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Namespace of the operator.
    pub namespace: String,
    /// Image of what is made, where a resource names none.
    pub image: Option<String>,
    /// ClusterRole that agents are bound to.
    pub agent_cluster_role: Option<String>,
}

/// Why the operator did not start.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The address can't be listened on.
    #[error("--listen {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// There is no way to an API server.
    #[error("no Kubernetes to talk to, neither in a pod nor by a kubeconfig: {0}")]
    NoCluster(#[from] kube::config::InferConfigError),
    /// The way to the API server cannot be used.
    #[error("cannot talk to Kubernetes: {0}")]
    Client(#[from] kube::Error),
    /// The client for servers cannot be made.
    #[error("cannot make an HTTP client: {0}")]
    Http(#[from] reqwest::Error),
}

/// Where resources are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In the whole cluster.
    Cluster,
    /// In one namespace.
    Namespace(String),
}

impl Scope {
    fn api(&self, client: &Client, kind: Kind) -> Api<DynamicObject> {
        match self {
            Self::Cluster => Api::all_with(client.clone(), &kind.resource()),
            Self::Namespace(namespace) => Api::namespaced_with(client.clone(), namespace, &kind.resource()),
        }
    }

    fn resources(&self, client: Client) -> Api<Guarded> {
        match self {
            Self::Cluster => Api::all(client),
            Self::Namespace(namespace) => Api::namespaced(client, namespace),
        }
    }
}

/// Runs until `stop` resolves.
pub async fn run(config: OperatorConfig, stop: impl Future<Output = ()>) -> Result<(), OperatorError> {
    install_crypto();
    let listener =
        TcpListener::bind(config.listen).await.map_err(|e| OperatorError::Listen(config.listen, e))?;
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "the operator listens");
    }
    let parts = parts(&config).await?;
    let readiness = Arc::new(Readiness::new());
    let (ended, end) = tokio::sync::oneshot::channel::<()>();
    let served = health::serve(listener, Arc::clone(&readiness), Arc::clone(&parts.metrics), async {
        let _ = end.await;
    });
    let work = async {
        lead_until(&config, &parts, &readiness, stop).await;
        drop(ended);
    };
    tokio::join!(served, work);
    Ok(())
}

/// Clients and what else all controllers share.
async fn parts(config: &OperatorConfig) -> Result<Parts, OperatorError> {
    let mut watch_config = kube::Config::infer().await?;
    watch_config.connect_timeout = Some(CONNECT_TIMEOUT);
    let mut request_config = watch_config.clone();
    request_config.read_timeout = Some(REQUEST_READ_TIMEOUT);
    // Who asks decides when to ask again.
    request_config.default_retry = false;
    Ok(Parts {
        client: Client::try_from(request_config)?,
        watch_client: Client::try_from(watch_config)?,
        settings: Settings {
            namespace: config.namespace.clone(),
            image: config.image.clone(),
            agent_cluster_role: config.agent_cluster_role.clone(),
        },
        prober: probe::Prober::new()?,
        metrics: Arc::new(Metrics::new()),
        identity: config.identity.clone(),
    })
}

/// Takes part in the election, and leads while elected.
async fn lead_until(
    config: &OperatorConfig,
    parts: &Parts,
    readiness: &Readiness,
    stop: impl Future<Output = ()>,
) {
    let election = LeaderElection::new(parts.client.clone(), &config.namespace, LEASE, &config.identity)
        .with_retry_period(LEASE_RETRY);
    let work = async {
        await_definition(&parts.client, readiness).await;
        readiness.set(Ok(()));
        loop {
            election.with_lease(lead(config, parts)).await;
            parts.metrics.leads(None);
            tracing::warn!("this replica no longer leads");
        }
    };
    tokio::select! {
        () = stop => tracing::info!("told to stop"),
        () = work => {}
    }
    // The work is dropped by now: the next leader may begin.
    parts.metrics.leads(None);
    let _ = tokio::time::timeout(Duration::from_secs(5), election.release()).await;
}

async fn lead(config: &OperatorConfig, parts: &Parts) {
    tracing::info!(identity = config.identity, "this replica leads");
    let scopes = match config.namespaces.as_slice() {
        [] => vec![Scope::Cluster],
        named => named.iter().cloned().map(Scope::Namespace).collect(),
    };
    let controllers: Vec<_> = scopes.into_iter().map(|scope| Controller::new(parts, scope)).collect();
    parts.metrics.leads(Some(controllers.iter().map(Controller::store).collect()));
    join_all(controllers.into_iter().map(Controller::run)).await;
}

/// Waits until the cluster has the resource's definition, and says what is missing.
async fn await_definition(client: &Client, readiness: &Readiness) {
    loop {
        let missing = match discovery::has_noetl_metrics(client).await {
            Ok(true) => return,
            Ok(false) => "the definition noetlmetrics.metrics.noetl.io is not installed; apply what `noetl-metrics crd` prints".to_owned(),
            Err(error) => format!("the API server cannot be asked for the definition of NoetlMetrics: {error}"),
        };
        tracing::warn!("{missing}");
        readiness.set(Err(missing));
        tokio::time::sleep(DEFINITION_INTERVAL).await;
    }
}

/// The one implementation of TLS in this program.
fn install_crypto() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}
