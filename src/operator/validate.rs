//! From a spec to what shall be built: defaults of the installation filled in, `Auto` decided, and
//! what the schema cannot see checked. No client, no clock.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::Selector;
use kube::{Resource, ResourceExt};

use super::Settings;
use super::kinds::{Kind, RULES_ORDER, SCRAPE_ORDER};
use super::names::{Names, hash};
use crate::crd::{AgentScrape, NoetlMetrics, NoetlMetricsSpec, Rules, RulesKind, ScrapeKind};
use crate::rules::{self, RuleSet, RulesError};

/// A resource that can be built: the only way to get at what `build` takes.
#[derive(Clone, Debug)]
pub(super) struct Checked {
    /// What the user wrote.
    pub(super) spec: NoetlMetricsSpec,
    /// Its namespace.
    pub(super) namespace: String,
    /// The names of what is made from it.
    pub(super) names: Names,
    /// Makes objects go when the resource does.
    pub(super) owner: OwnerReference,
    /// The image of all pods.
    pub(super) image: String,
    /// The scrape object's kind; `None` where none is wanted or the cluster has none.
    pub(super) scrape: Option<Kind>,
    /// The kind of the scrape object of NoETL's own pods; `None` likewise.
    pub(super) scrape_pods: Option<Kind>,
    /// The rules object's kind; `None` where none is wanted or the cluster has none.
    pub(super) rules: Option<Kind>,
    /// Whether cert-manager is asked for certificates: where that is wanted, and it is there.
    pub(super) certificates: bool,
    /// `spec.rules.aggregates`, and the rules of `spec.rules.custom`, in their order.
    pub(super) own_rules: RuleSet,
    /// ClusterRole that agents are bound to.
    pub(super) agent_cluster_role: Option<String>,
    /// Namespace of the operator, which asks servers how they are.
    pub(super) operator_namespace: String,
    /// Limit of a request's body, in bytes.
    pub(super) body_bytes: u64,
    /// Labels of the pods that agents scrape, as a query has them; `None` where they scrape none.
    pub(super) scraped_pods: Option<String>,
    /// What the schema is brought forward for: changes with the image and the database.
    pub(super) schema_version: String,
}

impl Checked {
    /// The namespaces whose pods agents scrape.
    pub(super) fn pods_namespaces(&self) -> Vec<&str> {
        let named = &self.spec.agent.scrape.namespaces;
        if named.is_empty() { vec![&self.namespace] } else { named.iter().map(String::as_str).collect() }
    }

    /// Whether the resource's own namespace is one of them.
    pub(super) fn looks_in_own(&self) -> bool {
        self.pods_namespaces().contains(&self.namespace.as_str())
    }
}

/// Why a resource cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Invalid {
    /// The operator was started without an image, and the resource names none.
    #[error("spec.image.reference is missing, and the operator was started without --image")]
    NoImage,
    /// A size that no program could take.
    #[error("spec.{field}: {value} is not a number of bytes up to 1TiB")]
    Bytes {
        /// The field's path.
        field: &'static str,
        /// Its value.
        value: String,
    },
    /// A selector that no API server takes, or that takes every pod.
    #[error("spec.{field}: {reason}")]
    Selector {
        /// The field's path.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A rule that the schema cannot see through.
    #[error("spec.rules.{0}")]
    Rule(String),
    /// The API server has to have given it.
    #[error("metadata.{0} is missing")]
    Metadata(&'static str),
}

/// Checks a resource against the installation's settings and the optional kinds that are there.
pub(super) fn validate(
    object: &NoetlMetrics,
    settings: &Settings,
    present: &BTreeSet<Kind>,
) -> Result<Checked, Invalid> {
    let spec = object.spec.clone();
    let image = spec.image.as_ref().and_then(|image| image.reference.clone());
    let image = image.or_else(|| settings.image.clone()).ok_or(Invalid::NoImage)?;
    let body_bytes = bytes("server.limits.body", &spec.server.limits.body)?;
    bytes("agent.buffer", &spec.agent.buffer)?;
    bytes("agent.spool.size", &spec.agent.spool.size)?;
    let scrape = scrape_kind(spec.scrape.kind, present);
    let scrape_pods = scrape.map(Kind::of_pods).filter(|kind| present.contains(kind));
    Ok(Checked {
        namespace: object.namespace().ok_or(Invalid::Metadata("namespace"))?,
        names: Names::of(&object.name_any()),
        owner: object.controller_owner_ref(&()).ok_or(Invalid::Metadata("uid"))?,
        scrape,
        scrape_pods: scrape_pods.filter(|_| spec.agent.scrape.object),
        rules: rules_kind(spec.rules.kind, present),
        certificates: wants_certificates(&spec) && present.contains(&Kind::Certificate),
        own_rules: own_rules(&spec.rules)?,
        agent_cluster_role: settings.agent_cluster_role.clone(),
        operator_namespace: settings.namespace.clone(),
        body_bytes,
        scraped_pods: scraped_pods(&spec.agent.scrape)?,
        schema_version: hash(&format!("{image} {:?}", spec.database)),
        image,
        spec,
    })
}

/// Whether cert-manager shall make certificates.
pub(super) fn wants_certificates(spec: &NoetlMetricsSpec) -> bool {
    spec.server.tls.as_ref().is_some_and(|tls| tls.issuer_ref.is_some())
}

fn scraped_pods(scrape: &AgentScrape) -> Result<Option<String>, Invalid> {
    if !scrape.enabled && !scrape.object {
        return Ok(None);
    }
    let wrong = |reason: String| Invalid::Selector { field: "agent.scrape.selector", reason };
    let selector = Selector::try_from(scrape.selector.clone()).map_err(|e| wrong(e.to_string()))?;
    if selector.selects_all() {
        return Err(wrong("it takes every pod: name a label of NoETL's pods".into()));
    }
    Ok(Some(selector.to_string()).filter(|_| scrape.enabled))
}

fn own_rules(rules: &Rules) -> Result<RuleSet, Invalid> {
    let form = serde_json::json!({"aggregates": rules.aggregates, "rules": rules.custom});
    let written = serde_json::from_value(form).map_err(|e| Invalid::Rule(format!("custom: {e}")))?;
    rules::check(written).map_err(|error| match error {
        RulesError::Field { list, place, field, reason } => {
            let list = if list == "rules" { "custom" } else { list };
            Invalid::Rule(format!("{list}[{place}].{field}: {reason}"))
        }
        other => Invalid::Rule(format!("custom: {other}")),
    })
}

fn scrape_kind(wanted: ScrapeKind, present: &BTreeSet<Kind>) -> Option<Kind> {
    match wanted {
        ScrapeKind::Auto => SCRAPE_ORDER.iter().copied().find(|kind| present.contains(kind)),
        named => Kind::of_scrape(named).filter(|kind| present.contains(kind)),
    }
}

fn rules_kind(wanted: RulesKind, present: &BTreeSet<Kind>) -> Option<Kind> {
    let named = match wanted {
        RulesKind::Auto => return RULES_ORDER.iter().copied().find(|kind| present.contains(kind)),
        RulesKind::VMRule => Kind::VMRule,
        RulesKind::PrometheusRule => Kind::PrometheusRule,
        RulesKind::None => return None,
    };
    Some(named).filter(|kind| present.contains(kind))
}

fn bytes(field: &'static str, text: &str) -> Result<u64, Invalid> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match &text[digits.len()..] {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => 0,
    };
    let size = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(unit));
    size.filter(|size| (1..=1 << 40).contains(size))
        .ok_or_else(|| Invalid::Bytes { field, value: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{object, settings};
    use super::*;

    fn present(kinds: &[Kind]) -> BTreeSet<Kind> {
        kinds.iter().copied().collect()
    }

    #[test]
    fn pods_are_chosen_by_a_selector_that_chooses() {
        let of = |spec: &str| validate(&object("noetl", spec), &settings(), &present(&[]));
        let chosen = |spec: &str| of(spec).unwrap().scraped_pods;
        assert_eq!(chosen("{}").as_deref(), Some("component in (server,worker)"));
        assert_eq!(chosen("agent: {scrape: {enabled: false}}"), None);
        let labels = "agent: {scrape: {selector: {matchLabels: {app: noetl}}}}";
        assert_eq!(chosen(labels).as_deref(), Some("app=noetl"));
        for wrong in ["{}", "{matchExpressions: [{key: a, operator: Near}]}"] {
            let error = of(&format!("agent: {{scrape: {{selector: {wrong}}}}}")).unwrap_err().to_string();
            assert!(error.starts_with("spec.agent.scrape.selector: "), "{error}");
        }
    }

    #[test]
    fn the_scraper_is_told_of_noetl_s_pods_only_where_that_is_asked_for_and_by_a_kind_of_pods() {
        let of = |spec: &str, kinds: &[Kind]| {
            validate(&object("noetl", spec), &settings(), &present(kinds)).unwrap().scrape_pods
        };
        let asked = "agent: {scrape: {object: true}}";
        assert_eq!(of("{}", &[Kind::VMPodScrape]), None);
        assert_eq!(of(asked, &[Kind::VMPodScrape]), Some(Kind::VMPodScrape));
        assert_eq!(of(asked, &[]), None);
        let by_service = "{agent: {scrape: {object: true, enabled: false}}, scrape: {kind: ServiceMonitor}}";
        assert_eq!(of(by_service, &[Kind::ServiceMonitor, Kind::PodMonitor]), Some(Kind::PodMonitor));
        assert_eq!(of(by_service, &[Kind::ServiceMonitor]), None);
    }

    #[test]
    fn auto_takes_the_first_kind_that_is_there() {
        let auto = |kinds: &[Kind]| scrape_kind(ScrapeKind::Auto, &present(kinds));
        assert_eq!(auto(&[Kind::ServiceMonitor, Kind::PodMonitor]), Some(Kind::PodMonitor));
        assert_eq!(auto(&[Kind::PodMonitor, Kind::VMServiceScrape]), Some(Kind::VMServiceScrape));
        assert_eq!(
            auto(&[Kind::PodMonitor, Kind::VMServiceScrape, Kind::VMPodScrape]),
            Some(Kind::VMPodScrape)
        );
        assert_eq!(auto(&[]), None);
    }

    #[test]
    fn a_named_kind_that_is_not_there_is_not_replaced() {
        assert_eq!(scrape_kind(ScrapeKind::PodMonitor, &present(&[Kind::VMPodScrape])), None);
        assert_eq!(scrape_kind(ScrapeKind::None, &present(&[Kind::VMPodScrape])), None);
        assert_eq!(rules_kind(RulesKind::None, &present(&[Kind::VMRule])), None);
        assert_eq!(
            rules_kind(RulesKind::Auto, &present(&[Kind::PrometheusRule])),
            Some(Kind::PrometheusRule)
        );
    }

    #[test]
    fn a_rule_that_no_schema_refuses_is_named() {
        let of = |rule: &str| {
            let spec = format!("rules: {{custom: [{{name: A, metric: m, comparison: absent}}, {{{rule}}}]}}");
            validate(&object("noetl", &spec), &settings(), &present(&[]))
        };
        let error =
            of("name: B, metric: m, comparison: '>', threshold: 1, labels: {pool: '=~('}").unwrap_err();
        assert!(
            error.to_string().starts_with("spec.rules.custom[1].labels.pool: is not a regular"),
            "{error}"
        );
        assert_eq!(of("name: B, metric: m, comparison: '>', threshold: 1").unwrap().own_rules.rules.len(), 2);
    }

    #[test]
    fn an_aggregate_that_no_schema_refuses_is_named() {
        let of = |aggregates: &str| {
            let object = object("noetl", &format!("rules: {{aggregates: [{aggregates}]}}"));
            validate(&object, &settings(), &present(&[]))
        };
        let of_other = "{name: b, metric: a, function: max}";
        let made = of(&format!("{{name: a, metric: m, function: sum, by: [pool]}}, {of_other}"));
        assert_eq!(made.unwrap().own_rules.aggregates.len(), 2);
        let error =
            of(&format!("{of_other}, {{name: a, metric: m, function: sum}}")).unwrap_err().to_string();
        assert!(error.starts_with("spec.rules.aggregates[0].metric: is what aggregates[1] makes"), "{error}");
    }

    #[test]
    fn an_image_is_needed() {
        let without = Settings { image: None, ..settings() };
        let error = validate(&object("noetl", "{}"), &without, &present(&[])).unwrap_err();
        assert_eq!(error, Invalid::NoImage);
    }

    #[test]
    fn the_schema_version_follows_image_and_database() {
        let version =
            |spec: &str| validate(&object("noetl", spec), &settings(), &present(&[])).unwrap().schema_version;
        assert_eq!(version("{}"), version("{server: {replicas: 3}}"));
        assert_ne!(version("{}"), version("{image: {reference: 'example.org/other:2'}}"));
        assert_ne!(version("{}"), version("{database: {secretRef: {name: other}}}"));
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(bytes("f", "16MiB"), Ok(16 << 20));
        assert_eq!(bytes("f", "17"), Ok(17));
        assert!(bytes("f", "5000GiB").is_err() && bytes("f", "999999999999999GiB").is_err());
    }
}
