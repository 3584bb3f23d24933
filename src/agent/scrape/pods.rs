//! Pods of NoETL on the agent's own node, watched: each port of one that bears a name we look for
//! is a target for as long as the pod runs.
//!
//! Of the API server it asks one thing, pods of one node by their labels, in the namespaces that it
//! was told. An API server that is away, or a right that is missing, leaves the targets as they are.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use futures_util::stream::{SelectAll, StreamExt};
use k8s_openapi::api::core::v1::{Container, Pod};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use super::config::{SERVER, TargetSpec, WORKER};

/// Label of NoETL's pods that says what they are.
const COMPONENT_LABEL: &str = "component";
/// The most targets of a node; those beyond are left out, and said to be.
const MOST_TARGETS: usize = 500;
/// Seconds after which a watch is begun anew.
const WATCH_SECONDS: u32 = 240;
/// Pause where there is no cluster to be asked.
const NO_CLUSTER: Duration = Duration::from_secs(30);
/// From the first change to the next set of targets: pods come and go together.
const SETTLE: Duration = Duration::from_millis(200);

/// Which pods are scraped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodsConfig {
    /// Label selector.
    pub selector: String,
    /// Name of the node.
    pub node: String,
    /// Namespaces that are looked in.
    pub namespaces: Vec<String>,
    /// Names or numbers of ports.
    pub ports: Vec<String>,
    /// Path of the metrics.
    pub path: String,
}

/// A pod behind a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PodOf {
    /// Its uid.
    pub(super) uid: String,
    /// Its name.
    pub(super) name: String,
    /// Its namespace.
    pub(super) namespace: String,
}

/// Follows pods for as long as it is polled; each change of the targets is sent.
pub(super) async fn follow(config: PodsConfig, targets: watch::Sender<Vec<TargetSpec>>) -> Infallible {
    let client = loop {
        match client().await {
            Ok(client) => break client,
            Err(error) => tracing::warn!(%error, "the Kubernetes API cannot be reached; trying again"),
        }
        sleep(NO_CLUSTER).await;
    };
    let mut events = SelectAll::new();
    for namespace in &config.namespaces {
        let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
        let asked = watcher::Config::default()
            .timeout(WATCH_SECONDS)
            .labels(&config.selector)
            .fields(&format!("spec.nodeName={}", config.node));
        let namespace = namespace.clone();
        let stream = watcher(pods, asked).default_backoff().map(move |event| (namespace.clone(), event));
        events.push(stream.boxed());
    }
    let mut known = Known::default();
    while let Some((namespace, event)) = events.next().await {
        let mut changed = known.take(&config, &namespace, event);
        let settled = Instant::now() + SETTLE;
        while let Ok(Some((namespace, event))) = timeout_at(settled, events.next()).await {
            changed |= known.take(&config, &namespace, event);
        }
        if changed {
            targets.send_replace(known.targets());
        }
    }
    // Without a namespace there is nothing to follow.
    std::future::pending().await
}

async fn client() -> Result<Client, String> {
    crate::client::install_crypto();
    let config = kube::Config::infer().await.map_err(|e| e.to_string())?;
    Client::try_from(config).map_err(|e| e.to_string())
}

/// The targets of the pods that were seen, by namespace and name of the pod.
#[derive(Debug, Default)]
struct Known {
    by_pod: BTreeMap<(String, String), Vec<TargetSpec>>,
    /// Those of a list that is not at its end yet, by namespace.
    listing: BTreeMap<String, BTreeMap<(String, String), Vec<TargetSpec>>>,
}

impl Known {
    /// Takes an event in; whether the targets may have changed.
    fn take(&mut self, config: &PodsConfig, namespace: &str, event: watcher::Result<Event<Pod>>) -> bool {
        let key = |pod: &Pod| (namespace.to_owned(), pod.name_any());
        match event {
            Ok(Event::Init) => {
                self.listing.insert(namespace.to_owned(), BTreeMap::new());
                false
            }
            Ok(Event::InitApply(pod)) => {
                let listing = self.listing.entry(namespace.to_owned()).or_default();
                listing.insert(key(&pod), targets_of(config, &pod));
                false
            }
            Ok(Event::InitDone) => {
                self.by_pod.retain(|(of, _), _| of != namespace);
                self.by_pod.append(&mut self.listing.remove(namespace).unwrap_or_default());
                true
            }
            Ok(Event::Apply(pod)) => {
                let now = targets_of(config, &pod);
                self.by_pod.insert(key(&pod), now.clone()) != Some(now)
            }
            Ok(Event::Delete(pod)) => self.by_pod.remove(&key(&pod)).is_some(),
            Err(error) => {
                tracing::warn!(namespace, %error, "pods cannot be watched; trying again");
                false
            }
        }
    }

    fn targets(&self) -> Vec<TargetSpec> {
        let mut all: Vec<_> = self.by_pod.values().flatten().cloned().collect();
        if all.len() > MOST_TARGETS {
            let left_out = all.len() - MOST_TARGETS;
            tracing::warn!(left_out, "more than {MOST_TARGETS} targets on this node: some are not scraped");
            all.truncate(MOST_TARGETS);
        }
        all
    }
}

/// The targets that a pod is: none unless it runs and has an address.
fn targets_of(config: &PodsConfig, pod: &Pod) -> Vec<TargetSpec> {
    let (Some(spec), Some(status)) = (&pod.spec, &pod.status) else { return Vec::new() };
    let is_running = status.phase.as_deref() == Some("Running") && pod.metadata.deletion_timestamp.is_none();
    let (true, Some(address)) = (is_running, &status.pod_ip) else { return Vec::new() };
    let host = if address.contains(':') { format!("[{address}]") } else { address.clone() };
    let mut targets = Vec::new();
    for container in &spec.containers {
        for port in container.ports.iter().flatten().filter(|port| port.protocol.as_deref() != Some("UDP")) {
            let number = port.container_port.to_string();
            if !config.ports.iter().any(|asked| *asked == number || port.name.as_ref() == Some(asked)) {
                continue;
            }
            let Ok(url) = format!("http://{host}:{number}{}", config.path).parse() else { continue };
            targets.push(TargetSpec {
                url,
                name: Some(variable(container, "WORKER_ID").unwrap_or_else(|| pod.name_any())),
                pool: variable(container, "WORKER_POOL_NAME"),
                kind: kind_of(pod),
                pod: Some(PodOf {
                    uid: pod.uid().unwrap_or_default(),
                    name: pod.name_any(),
                    namespace: pod.namespace().unwrap_or_default(),
                }),
            });
        }
    }
    targets
}

/// What its label says that it is; a server that was just started has no family that would tell.
fn kind_of(pod: &Pod) -> Option<String> {
    match pod.labels().get(COMPONENT_LABEL)?.as_str() {
        "server" => Some(SERVER.to_owned()),
        "worker" => Some(WORKER.to_owned()),
        _ => None,
    }
}

/// A variable whose value is written in the pod's spec.
fn variable(container: &Container, name: &str) -> Option<String> {
    let found = container.env.iter().flatten().find(|env| env.name == name)?;
    found.value.clone().filter(|value| !value.is_empty() && !value.contains("$("))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn config() -> PodsConfig {
        PodsConfig {
            selector: "component in (server,worker)".into(),
            node: "node-1".into(),
            namespaces: vec!["noetl".into()],
            ports: vec!["metrics".into(), "http".into()],
            path: "/metrics".into(),
        }
    }

    fn pod(name: &str, more: &Value) -> Pod {
        let mut pod = json!({
            "metadata": {"name": name, "namespace": "noetl", "uid": format!("uid-{name}"), "labels": {"component": "worker"}},
            "spec": {"containers": [
                {"name": "w", "ports": [{"name": "metrics", "containerPort": 9090}, {"name": "other", "containerPort": 1}],
                 "env": [{"name": "WORKER_POOL_NAME", "value": "cpu"}, {"name": "WORKER_ID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]},
                {"name": "side"},
            ]},
            "status": {"phase": "Running", "podIP": "10.0.0.7"},
        });
        for (path, value) in more.as_object().unwrap() {
            *pod.pointer_mut(path).unwrap() = value.clone();
        }
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn a_port_that_bears_the_name_is_a_target() {
        let targets = targets_of(&config(), &pod("w-1", &json!({})));
        assert_eq!(targets.len(), 1);
        assert_eq!(targets[0].label(), "http://10.0.0.7:9090/metrics");
        assert_eq!((targets[0].name.as_deref(), targets[0].pool.as_deref()), (Some("w-1"), Some("cpu")));
        assert_eq!(targets[0].kind.as_deref(), Some(WORKER));
        assert_eq!(targets[0].pod.as_ref().unwrap().uid, "uid-w-1");
        let six = targets_of(&config(), &pod("w-1", &json!({"/status/podIP": "fd00::7"})));
        assert_eq!(six[0].label(), "http://[fd00::7]:9090/metrics");
        let by_number = PodsConfig { ports: vec!["1".into()], ..config() };
        assert_eq!(targets_of(&by_number, &pod("w-1", &json!({})))[0].address(), "10.0.0.7:1");
        let literal = json!([{"name": "WORKER_ID", "value": "w-x"}]);
        let named = targets_of(&config(), &pod("w-1", &json!({"/spec/containers/0/env": literal})));
        assert_eq!(named[0].name.as_deref(), Some("w-x"));
    }

    #[test]
    fn a_pod_that_does_not_run_is_none() {
        for more in [
            json!({"/status/phase": "Pending"}),
            json!({"/status/phase": "Succeeded"}),
            json!({"/status/podIP": null}),
            json!({"/metadata/labels": {"component": "worker"}, "/status": null}),
            json!({"/spec/containers/0/ports": null}),
        ] {
            assert!(targets_of(&config(), &pod("w-1", &more)).is_empty(), "{more}");
        }
    }

    #[test]
    fn lists_replace_what_was_known_of_their_namespace_only() {
        let (config, mut known) = (config(), Known::default());
        let mut take = |namespace: &str, event| known.take(&config, namespace, Ok(event));
        assert!(take("a", Event::Apply(pod("old", &json!({})))));
        assert!(take("b", Event::Apply(pod("b", &json!({})))));
        assert!(!take("b", Event::Apply(pod("b", &json!({})))), "the same again changes nothing");
        assert!(!take("a", Event::Init));
        assert!(!take("a", Event::InitApply(pod("new", &json!({})))));
        assert!(take("a", Event::InitDone));
        assert!(!take("a", Event::Delete(pod("old", &json!({})))), "it is gone already");
        let names: Vec<_> = known.targets().into_iter().map(|target| target.name.unwrap()).collect();
        assert_eq!(names, ["new", "b"]);
    }
}
