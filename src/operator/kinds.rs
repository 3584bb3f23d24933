//! The kinds of objects that the operator makes or looks at.

use kube::core::{ApiResource, GroupVersionKind};

use crate::crd::ScrapeKind;

/// A kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    ServiceAccount,
    ConfigMap,
    RoleBinding,
    Service,
    PodDisruptionBudget,
    NetworkPolicy,
    Job,
    CronJob,
    DaemonSet,
    Deployment,
    Pod,
    VMPodScrape,
    VMServiceScrape,
    PodMonitor,
    ServiceMonitor,
    PodMonitoring,
    VMRule,
    PrometheusRule,
    Certificate,
}

impl Kind {
    /// Kinds that every cluster has.
    pub(crate) const BUILT_IN: &[Self] = &[
        Self::ServiceAccount,
        Self::ConfigMap,
        Self::RoleBinding,
        Self::Service,
        Self::PodDisruptionBudget,
        Self::NetworkPolicy,
        Self::Job,
        Self::CronJob,
        Self::DaemonSet,
        Self::Deployment,
        Self::Pod,
    ];

    /// Kinds that come with another operator, a scraper's or cert-manager; they may appear and vanish.
    pub(crate) const OPTIONAL: &[Self] = &[
        Self::VMPodScrape,
        Self::VMServiceScrape,
        Self::PodMonitor,
        Self::ServiceMonitor,
        Self::PodMonitoring,
        Self::VMRule,
        Self::PrometheusRule,
        Self::Certificate,
    ];

    /// Group, version, kind and plural.
    const fn parts(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::ServiceAccount => ("", "v1", "ServiceAccount", "serviceaccounts"),
            Self::ConfigMap => ("", "v1", "ConfigMap", "configmaps"),
            Self::RoleBinding => ("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings"),
            Self::Service => ("", "v1", "Service", "services"),
            Self::PodDisruptionBudget => ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
            Self::NetworkPolicy => ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"),
            Self::Job => ("batch", "v1", "Job", "jobs"),
            Self::CronJob => ("batch", "v1", "CronJob", "cronjobs"),
            Self::DaemonSet => ("apps", "v1", "DaemonSet", "daemonsets"),
            Self::Deployment => ("apps", "v1", "Deployment", "deployments"),
            Self::Pod => ("", "v1", "Pod", "pods"),
            Self::VMPodScrape => (VM, "v1beta1", "VMPodScrape", "vmpodscrapes"),
            Self::VMServiceScrape => (VM, "v1beta1", "VMServiceScrape", "vmservicescrapes"),
            Self::VMRule => (VM, "v1beta1", "VMRule", "vmrules"),
            Self::PodMonitor => (PROMETHEUS, "v1", "PodMonitor", "podmonitors"),
            Self::ServiceMonitor => (PROMETHEUS, "v1", "ServiceMonitor", "servicemonitors"),
            Self::PrometheusRule => (PROMETHEUS, "v1", "PrometheusRule", "prometheusrules"),
            Self::Certificate => ("cert-manager.io", "v1", "Certificate", "certificates"),
            Self::PodMonitoring => ("monitoring.googleapis.com", "v1", "PodMonitoring", "podmonitorings"),
        }
    }

    /// Its name, as in `kind:`.
    pub(crate) const fn name(self) -> &'static str {
        self.parts().2
    }

    /// Its plural, as in URLs.
    pub(crate) const fn plural(self) -> &'static str {
        self.parts().3
    }

    /// Group and version, as in `apiVersion:`.
    pub(crate) fn api_version(self) -> String {
        match self.parts() {
            ("", version, ..) => version.to_owned(),
            (group, version, ..) => format!("{group}/{version}"),
        }
    }

    /// What a dynamic client needs to know.
    pub(crate) fn resource(self) -> ApiResource {
        let (group, version, kind, plural) = self.parts();
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
    }

    /// The kind that a spec's scrape kind names; `None` for Auto and None.
    pub(crate) const fn of_scrape(kind: ScrapeKind) -> Option<Self> {
        match kind {
            ScrapeKind::VMPodScrape => Some(Self::VMPodScrape),
            ScrapeKind::VMServiceScrape => Some(Self::VMServiceScrape),
            ScrapeKind::PodMonitor => Some(Self::PodMonitor),
            ScrapeKind::ServiceMonitor => Some(Self::ServiceMonitor),
            ScrapeKind::PodMonitoring => Some(Self::PodMonitoring),
            ScrapeKind::Auto | ScrapeKind::None => None,
        }
    }

    /// The scrape kind of the same scraper that names pods: NoETL's may have no Service.
    pub(crate) const fn of_pods(self) -> Self {
        match self {
            Self::VMServiceScrape => Self::VMPodScrape,
            Self::ServiceMonitor => Self::PodMonitor,
            other => other,
        }
    }
}

const VM: &str = "operator.victoriametrics.com";
const PROMETHEUS: &str = "monitoring.coreos.com";

/// Scrape kinds in the order in which `Auto` tries them.
pub(crate) const SCRAPE_ORDER: &[Kind] =
    &[Kind::VMPodScrape, Kind::VMServiceScrape, Kind::PodMonitor, Kind::ServiceMonitor, Kind::PodMonitoring];

/// Rules kinds in the order in which `Auto` tries them.
pub(crate) const RULES_ORDER: &[Kind] = &[Kind::VMRule, Kind::PrometheusRule];

#[cfg(test)]
mod tests {
    use k8s_openapi::api::{apps, batch, core, networking, policy, rbac};

    use super::*;

    #[test]
    fn built_in_kinds_are_spelled_as_kubernetes_does() {
        let typed = [
            (Kind::ServiceAccount, ApiResource::erase::<core::v1::ServiceAccount>(&())),
            (Kind::ConfigMap, ApiResource::erase::<core::v1::ConfigMap>(&())),
            (Kind::RoleBinding, ApiResource::erase::<rbac::v1::RoleBinding>(&())),
            (Kind::Service, ApiResource::erase::<core::v1::Service>(&())),
            (Kind::PodDisruptionBudget, ApiResource::erase::<policy::v1::PodDisruptionBudget>(&())),
            (Kind::NetworkPolicy, ApiResource::erase::<networking::v1::NetworkPolicy>(&())),
            (Kind::Job, ApiResource::erase::<batch::v1::Job>(&())),
            (Kind::CronJob, ApiResource::erase::<batch::v1::CronJob>(&())),
            (Kind::DaemonSet, ApiResource::erase::<apps::v1::DaemonSet>(&())),
            (Kind::Deployment, ApiResource::erase::<apps::v1::Deployment>(&())),
            (Kind::Pod, ApiResource::erase::<core::v1::Pod>(&())),
        ];
        assert_eq!(typed.len(), Kind::BUILT_IN.len());
        for (kind, expected) in typed {
            assert_eq!(kind.resource(), expected);
            assert_eq!(kind.api_version(), expected.api_version);
        }
    }
}
