//! The scrapers that could select the scrape object, and whether one does: VMAgent and VMSingle of
//! VictoriaMetrics' operator, Prometheus and PrometheusAgent of its own.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, ResourceExt};
use serde_json::Value;

use super::super::report::{Outcome, failed, left_out, listed as in_words, passed, warning};
use super::reading::{Read, listed, matches, unread};
use super::resource::Installation;
use super::scrape::Object;
use crate::operator::kinds::Kind;

/// A scraper, and whether it selects the object.
pub(super) struct Scraper {
    /// Its kind and name, in words.
    words: String,
    /// Its kind.
    pub(super) kind: &'static str,
    /// Its name.
    pub(super) name: String,
    /// Its namespace.
    pub(super) namespace: String,
    /// Why it does not select the object; `None` where it does.
    pub(super) misses: Option<String>,
}

const VM: (&str, &str) = ("operator.victoriametrics.com", "v1beta1");
const KINDS: [((&str, &str), &str, &str); 3] = [
    (VM, "VMAgent", "vmagents"),
    (("monitoring.coreos.com", "v1"), "Prometheus", "prometheuses"),
    (("monitoring.coreos.com", "v1alpha1"), "PrometheusAgent", "prometheusagents"),
];

/// The scrapers of the object's family in all namespaces.
pub(super) async fn all(it: &Installation, object: &Object) -> Read<Vec<Scraper>> {
    let (kind, object) = object.as_ref().map_err(|_| left_out("there is no scrape object to be selected"))?;
    let (group, field) = match kind {
        Kind::VMPodScrape => (VM.0, "podScrape"),
        Kind::VMServiceScrape => (VM.0, "serviceScrape"),
        Kind::PodMonitor => ("monitoring.coreos.com", "podMonitor"),
        Kind::ServiceMonitor => ("monitoring.coreos.com", "serviceMonitor"),
        _ => return Err(left_out(format!("{} is selected by the cloud's own collector", kind.name()))),
    };
    let namespace = namespace_labels(it).await;
    let mut scrapers = Vec::new();
    for ((_, version), kind, plural) in KINDS.iter().filter(|((g, _), ..)| *g == group) {
        let resource =
            ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
        let api: Api<DynamicObject> = Api::all_with(it.space.client.clone(), &resource);
        let found = match api.list(&kube::api::ListParams::default()).await {
            Ok(found) => found.items,
            Err(kube::Error::Api(status)) if status.code == 404 => continue,
            Err(error) => return Err(unread(&error)),
        };
        scrapers.extend(found.iter().map(|scraper| {
            let (name, home) = (scraper.name_any(), scraper.namespace().unwrap_or_default());
            let misses =
                misses(&scraper.data["spec"], field, object.labels(), home == it.space.namespace, &namespace);
            Scraper { words: format!("{kind} {name} in {home}"), kind, name, namespace: home, misses }
        }));
    }
    Ok(scrapers)
}

/// Whether one of them selects the object.
pub(super) fn selected(object: &Object, scrapers: &Read<Vec<Scraper>>) -> Outcome {
    let scrapers = match scrapers {
        Ok(scrapers) => scrapers,
        Err(why) => return why.clone(),
    };
    let kind = object.as_ref().map_or("scrape object", |(kind, _)| kind.name());
    let (missing, selecting): (Vec<_>, Vec<_>) =
        scrapers.iter().partition(|scraper| scraper.misses.is_some());
    match (selecting.as_slice(), missing.as_slice()) {
        ([], []) => {
            warning(format!("the cluster has no scraper that reads a {kind}, as far as its objects say"))
        }
        ([], missing) => {
            let why =
                missing.iter().map(|s| format!("{}: {}", s.words, s.misses.as_deref().unwrap_or_default()));
            failed(format!("no scraper selects the {kind}. {}", in_words(&why.collect::<Vec<_>>())))
        }
        (selecting, _) => passed(in_words(&selecting.iter().map(|s| s.words.clone()).collect::<Vec<_>>())),
    }
}

/// Labels of the installation's namespace; at least its name's.
async fn namespace_labels(it: &Installation) -> BTreeMap<String, String> {
    let api: Api<Namespace> = Api::all(it.space.client.clone());
    let found = listed(&api, "").await.unwrap_or_default();
    let ours = found.into_iter().find(|namespace| namespace.name_any() == it.space.namespace);
    let name = ("kubernetes.io/metadata.name".to_owned(), it.space.namespace.clone());
    ours.and_then(|namespace| namespace.metadata.labels).unwrap_or_else(|| [name].into())
}

/// Why a scraper with this spec does not select an object with these labels; `None` where it does.
///
/// No selector of objects selects none with Prometheus; with VictoriaMetrics `selectAllByDefault` says,
/// where there is none of namespaces either. No selector of namespaces is the scraper's own namespace.
fn misses(
    spec: &Value,
    field: &str,
    labels: &BTreeMap<String, String>,
    same_namespace: bool,
    namespace: &BTreeMap<String, String>,
) -> Option<String> {
    let selector =
        |name: &str| serde_json::from_value::<Option<LabelSelector>>(spec[name].clone()).ok().flatten();
    let (of_objects, of_namespaces) = (format!("{field}Selector"), format!("{field}NamespaceSelector"));
    let is_vm = field.ends_with("Scrape");
    let (objects, namespaces) = (selector(&of_objects), selector(&of_namespaces));
    if is_vm && objects.is_none() && namespaces.is_none() {
        return (spec["selectAllByDefault"] != true).then(|| {
            format!("it has neither {of_objects} nor {of_namespaces}, and selectAllByDefault is not true")
        });
    }
    match &objects {
        None if !is_vm => return Some(format!("it has no {of_objects}, and so selects none")),
        Some(selector) if !matches(selector, labels) => {
            return Some(format!("its {of_objects} does not match the object's labels"));
        }
        _ => {}
    }
    match &namespaces {
        None if !same_namespace => {
            Some(format!("it has no {of_namespaces}, and so selects in its own namespace only"))
        }
        Some(selector) if !matches(selector, namespace) => {
            Some(format!("its {of_namespaces} does not match the namespace's labels"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn selects(spec: &Value, field: &str, same: bool) -> bool {
        misses(spec, field, &labels(&[("team", "noetl")]), same, &labels(&[("stage", "live")])).is_none()
    }

    #[test]
    fn victoriametrics_selects_all_only_where_it_is_told() {
        assert!(!selects(&json!({}), "podScrape", true));
        assert!(selects(&json!({"selectAllByDefault": true}), "podScrape", false));
        assert!(selects(&json!({"podScrapeNamespaceSelector": {}}), "podScrape", false));
        assert!(!selects(&json!({"podScrapeSelector": {}}), "podScrape", false), "its own namespace only");
        assert!(selects(&json!({"podScrapeSelector": {}}), "podScrape", true));
    }

    #[test]
    fn prometheus_selects_nothing_without_a_selector() {
        assert!(!selects(&json!({"podMonitorNamespaceSelector": {}}), "podMonitor", true));
        assert!(selects(&json!({"podMonitorSelector": {}}), "podMonitor", true));
        assert!(!selects(&json!({"podMonitorSelector": {}}), "podMonitor", false));
        let all = json!({"podMonitorSelector": {"matchLabels": {"team": "noetl"}},
            "podMonitorNamespaceSelector": {"matchExpressions": [{"key": "stage", "operator": "In", "values": ["live"]}]}});
        assert!(selects(&all, "podMonitor", false));
        let other = json!({"podMonitorSelector": {"matchLabels": {"release": "monitoring"}}});
        let why = misses(&other, "podMonitor", &labels(&[]), true, &labels(&[]));
        assert_eq!(why.as_deref(), Some("its podMonitorSelector does not match the object's labels"));
    }
}
