//! The scrape objects: one tells a scraper in the cluster about the servers' two endpoints, another,
//! where it is asked for, about NoETL's own pods.
//!
//! `/api/metrics/prometheus` is the exported data: its own labels win, `job` is `noetl`, and
//! `instance` the installation, whichever server answers, so that series go on when another server
//! takes over. `/metrics` is each server's own: `job` is `noetl-metrics`, `instance` the pod's
//! address. The port is named: a number as a string would match no port's name.

use serde_json::{Value, json};

use super::{PORT_NAME, metadata, tls};
use crate::crd::ReadAccess;
use crate::operator::kinds::Kind;
use crate::operator::names::Component;
use crate::operator::validate::Checked;

/// `job` of the exported data.
pub(super) const DATA_JOB: &str = "noetl";
/// `job` of the servers' own metrics.
pub(super) const OWN_JOB: &str = "noetl-metrics";
/// Labels of the server that answered, which say nothing of the data.
const OF_THE_SERVER: &str = "container|endpoint|service|node";
/// Where a scraper in the cluster has the token of its own ServiceAccount.
const SCRAPERS_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
/// Which part of the exported data a target is, where there are several: they differ in nothing else.
const SHARD: &str = "noetl_metrics_shard";
/// `job` of NoETL's own pods: the exported data has some of their families too.
const PODS_JOB: &str = "noetl-pods";

/// `instance` of the exported data.
pub(super) fn instance(checked: &Checked) -> String {
    format!("{}/{}", checked.namespace, checked.names.instance)
}

/// The object of the given kind; `None` for a kind that is not for scraping.
pub(super) fn scrape(checked: &Checked, kind: Kind) -> Option<Value> {
    let matching = json!({"matchLabels": checked.names.selector(Component::Server)});
    let spec = match kind {
        Kind::VMPodScrape => json!({
            "selector": matching,
            "podMetricsEndpoints": endpoints(checked, kind, "relabelConfigs", "metricRelabelConfigs"),
        }),
        Kind::PodMonitor => json!({
            "selector": matching,
            "podMetricsEndpoints": endpoints(checked, kind, "relabelings", "metricRelabelings"),
        }),
        Kind::VMServiceScrape => json!({
            "selector": matching,
            "endpoints": endpoints(checked, kind, "relabelConfigs", "metricRelabelConfigs"),
        }),
        Kind::ServiceMonitor => json!({
            "selector": matching,
            "endpoints": endpoints(checked, kind, "relabelings", "metricRelabelings"),
        }),
        Kind::PodMonitoring => json!({
            "selector": matching,
            // Without the pod's labels; job and instance are protected there.
            "targetLabels": {"metadata": []},
            "endpoints": [plain(checked, kind, "/api/metrics/prometheus"), plain(checked, kind, "/metrics")],
        }),
        _ => return None,
    };
    Some(object(checked, kind, &checked.names.server, &checked.spec.scrape.labels, &spec))
}

/// The object that names the pods that agents scrape, of a kind that names pods. It is of the resource's
/// namespace alone: what may be read in another one is for its owner to say, whom a scraper with rights
/// in all of them would not ask.
pub(super) fn pods(checked: &Checked, kind: Kind) -> Value {
    let asked = &checked.spec.agent.scrape;
    let job = json!([{"action": "replace", "targetLabel": "job", "replacement": PODS_JOB}]);
    let endpoint = |port: &String| {
        let mut endpoint = json!({"path": asked.path, "interval": asked.interval});
        let is_google = kind == Kind::PodMonitoring;
        match port.parse::<u16>() {
            Ok(number) if is_google => endpoint["port"] = json!(number),
            Ok(number) => endpoint["portNumber"] = json!(number),
            Err(_) => endpoint["port"] = json!(port),
        }
        // There `job` is the object's name.
        if !is_google {
            let relabel = if kind == Kind::PodMonitor { "relabelings" } else { "relabelConfigs" };
            endpoint[relabel] = job.clone();
        }
        endpoint
    };
    let endpoints: Vec<Value> = asked.ports.iter().map(endpoint).collect();
    let list = if kind == Kind::PodMonitoring { "endpoints" } else { "podMetricsEndpoints" };
    let spec = json!({"selector": asked.selector, list: endpoints});
    object(checked, kind, &checked.names.pods, &checked.spec.scrape.labels, &spec)
}

/// An object of an optional kind; `labels` are the user's, ours win.
pub(super) fn object(
    checked: &Checked,
    kind: Kind,
    name: &str,
    labels: &std::collections::BTreeMap<String, String>,
    spec: &Value,
) -> Value {
    let mut metadata = metadata(checked, name, Component::Server);
    let mut all = labels.clone();
    all.extend(metadata.labels.take().unwrap_or_default());
    metadata.labels = Some(all);
    json!({
        "apiVersion": kind.api_version(),
        "kind": kind.name(),
        "metadata": metadata,
        "spec": spec,
    })
}

fn endpoints(checked: &Checked, kind: Kind, relabel: &str, relabel_metrics: &str) -> Value {
    let mut all: Vec<Value> = (1..=checked.spec.scrape.shards)
        .map(|index| data(checked, kind, index, relabel, relabel_metrics))
        .collect();
    let mut own = plain(checked, kind, "/metrics");
    own[relabel] = json!([{"action": "replace", "targetLabel": "job", "replacement": OWN_JOB}]);
    all.push(own);
    if let Some((field, value)) = credentials(checked, kind) {
        for endpoint in &mut all {
            endpoint[field] = value.clone();
        }
    }
    all.into()
}

/// The exported data, or a part of it.
fn data(checked: &Checked, kind: Kind, index: u16, relabel: &str, relabel_metrics: &str) -> Value {
    let (shards, own_pods) = (checked.spec.scrape.shards, format!("{}-.+", checked.names.server));
    let mut data = plain(checked, kind, "/api/metrics/prometheus");
    data["honorLabels"] = json!(true);
    data[relabel] = json!([
        {"action": "replace", "targetLabel": "job", "replacement": DATA_JOB},
        {"action": "labeldrop", "regex": OF_THE_SERVER},
    ]);
    // Of samples, not of the target: `up` still tells the servers apart. What a component itself
    // reports as `pod` or `instance` stays.
    data[relabel_metrics] = json!([
        {"action": "replace", "sourceLabels": ["pod"], "regex": own_pods, "targetLabel": "pod", "replacement": ""},
        {"action": "replace", "sourceLabels": ["instance"], "regex": "[^/]+:8082",
         "targetLabel": "instance", "replacement": instance(checked)},
    ]);
    if matches!(kind, Kind::VMPodScrape | Kind::VMServiceScrape) {
        data["max_scrape_size"] = json!(checked.spec.scrape.max_size);
    }
    if shards > 1 {
        let shard = format!("{index}/{shards}");
        data["params"] = json!({"shard": [shard]});
        let label = json!({"action": "replace", "targetLabel": SHARD, "replacement": shard});
        let drop = json!({"action": "labeldrop", "regex": SHARD});
        for (list, step) in [(relabel, label), (relabel_metrics, drop)] {
            data[list].as_array_mut().into_iter().for_each(|steps| steps.push(step.clone()));
        }
    }
    data
}

/// What scrapers send where reading needs a right: the token of the Secret that the spec names, else
/// that of their own ServiceAccount, where the kind can say so.
fn credentials(checked: &Checked, kind: Kind) -> Option<(&'static str, Value)> {
    if checked.spec.server.auth.read == ReadAccess::Open {
        return None;
    }
    match &checked.spec.scrape.token_secret_ref {
        Some(secret) => {
            let key = json!({"name": secret.name, "key": secret.key});
            Some(("authorization", json!({"type": "Bearer", "credentials": key})))
        }
        None if kind == Kind::PodMonitor => None,
        None => Some(("bearerTokenFile", json!(SCRAPERS_TOKEN))),
    }
}

fn plain(checked: &Checked, kind: Kind, path: &str) -> Value {
    let timeout = if kind == Kind::PodMonitoring { "timeout" } else { "scrapeTimeout" };
    let scrape = &checked.spec.scrape;
    let mut endpoint =
        json!({"port": PORT_NAME, "path": path, "interval": scrape.interval, timeout: scrape.timeout});
    tls::scraped(checked, kind, &mut endpoint);
    endpoint
}
