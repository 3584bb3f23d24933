//! The servers' Deployment.

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{
    ContainerPort, HTTPGetAction, PodSpec, PodTemplateSpec, Probe, TopologySpreadConstraint,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{AUDIENCE, PORT, PORT_NAME, forward, metadata, pod, rules_file, scheme, some, some_of, tls};
use crate::crd::ReadAccess;
use crate::operator::names::{Component, hash};
use crate::operator::validate::Checked;

/// Where the tokens of `auth.tokenSecretRef` are.
const TOKENS_DIR: &str = "/var/run/secrets/noetl-metrics/tokens";
/// Annotation of a pod with a hash of what it was started with.
const CONFIG_HASH: &str = "metrics.noetl.io/config-hash";

/// The Deployment. A new server is ready before an old one goes.
pub(super) fn server(checked: &Checked) -> Deployment {
    let server = &checked.spec.server;
    let selector = checked.names.selector(Component::Server);
    Deployment {
        metadata: metadata(checked, &checked.names.server, Component::Server),
        spec: Some(DeploymentSpec {
            // What an autoscaler decides is not even named.
            replicas: (!server.autoscaling.enabled).then_some(server.replicas),
            selector: LabelSelector { match_labels: Some(selector), ..LabelSelector::default() },
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_unavailable: Some(IntOrString::Int(0)),
                    max_surge: Some(IntOrString::Int(1)),
                }),
            }),
            revision_history_limit: Some(3),
            progress_deadline_seconds: Some(300),
            template: template(checked),
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    }
}

fn template(checked: &Checked) -> PodTemplateSpec {
    let server = &checked.spec.server;
    let labels = pod::labels(checked.names.labels(Component::Server), &server.pod.labels);
    let mut annotations = pod::labels([].into(), &server.pod.annotations);
    let spec = pod_spec(checked);
    annotations.insert(CONFIG_HASH.to_owned(), config_hash(&spec));
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(spec),
    }
}

/// A hash of how the program is started, for people who compare two pods.
fn config_hash(spec: &PodSpec) -> String {
    let started: Vec<_> = spec.containers.iter().map(|c| (&c.image, &c.args, &c.env)).collect();
    hash(&format!("{started:?} {:?}", spec.volumes))
}

fn pod_spec(checked: &Checked) -> PodSpec {
    let server = &checked.spec.server;
    let placement = &server.placement;
    let database = pod::database(checked);
    let (tls, forward) = (tls::server(checked), forward::server(checked));
    let others = [database.args, tls.args, forward.args].concat();
    let mut container = pod::container(checked, "server", args(checked, others));
    let (mut volumes, mut mounts) = (database.volumes, database.mounts);
    volumes.extend([tls.volumes, forward.volumes].concat());
    mounts.extend([tls.mounts, forward.mounts].concat());
    if let Some(tokens) = &server.auth.token_secret_ref {
        volumes.push(pod::secret_file("tokens", &tokens.name, &tokens.key, "tokens"));
        mounts.push(pod::mount("tokens", TOKENS_DIR));
    }
    if rules_file::is_wanted(checked) {
        volumes.push(rules_file::volume(checked));
        mounts.push(pod::mount(rules_file::VOLUME, rules_file::DIR));
    }
    let mut env = vec![pod::field("POD_IP", "status.podIP"), pod::field("POD_NAME", "metadata.name")];
    env.extend(database.env);
    container.env = Some(env);
    container.volume_mounts = Some(mounts);
    container.ports = Some(vec![ContainerPort {
        name: Some(PORT_NAME.to_owned()),
        container_port: PORT,
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }]);
    container.resources = Some(pod::resources(
        &server.resources,
        &[("cpu", "50m"), ("memory", "128Mi")],
        &[("memory", "512Mi")],
    ));
    // A database that is away is no reason to restart, so only /livez decides that.
    container.liveness_probe = Some(probe(checked, "/livez", 10, 3));
    container.readiness_probe = Some(probe(checked, "/readyz", 5, 2));
    container.startup_probe = Some(probe(checked, "/livez", 2, 30));
    PodSpec {
        containers: vec![container],
        volumes: Some(volumes),
        service_account_name: Some(checked.names.server.clone()),
        // The token reads the cluster's published keys, with which callers' tokens are checked.
        automount_service_account_token: Some(server.auth.enabled),
        security_context: Some(pod::security()),
        termination_grace_period_seconds: Some(30),
        image_pull_secrets: pod::pull_secrets(checked),
        enable_service_links: Some(false),
        node_selector: some(placement.node_selector.clone()),
        tolerations: some_of(placement.tolerations.clone()),
        affinity: placement.affinity.clone(),
        topology_spread_constraints: Some(spread(checked)),
        priority_class_name: placement.priority_class_name.clone(),
        ..PodSpec::default()
    }
}

fn args(checked: &Checked, others: Vec<String>) -> Vec<String> {
    let spec = &checked.spec;
    let (server, limits) = (&spec.server, &spec.server.limits);
    let mut args = vec![
        "server".to_owned(),
        format!("--listen=0.0.0.0:{PORT}"),
        format!("--advertise-url={}://$(POD_IP):{PORT}", scheme(checked)),
        "--no-migrate".to_owned(),
        format!("--server-name={}", checked.names.server),
        format!("--database-connections={}", spec.database.connections),
        format!("--metrics-interval={}", server.metrics_interval),
        format!("--stale-after={}", server.stale_after),
        format!("--max-series={}", limits.series),
        format!("--max-component-series={}", limits.component_series),
        format!("--max-labels={}", limits.labels),
        format!("--max-body-bytes={}", checked.body_bytes),
    ];
    args.extend(others);
    if server.register_unknown_components {
        args.push("--unknown-components=register".to_owned());
    }
    if server.auth.enabled {
        args.push(format!("--auth-kubernetes-audience={AUDIENCE}"));
        args.extend(rights(checked));
    }
    if server.auth.token_secret_ref.is_some() {
        args.push(format!("--auth-token-file={TOKENS_DIR}/tokens"));
    }
    args.extend(server.trace_url.iter().map(|url| format!("--trace-url={url}")));
    args.extend(rules_file::args(checked));
    args
}

/// What ServiceAccounts may do: those of the spec, and the agents, who report as whatever they scrape
/// and read back what a check has written.
fn rights(checked: &Checked) -> Vec<String> {
    let auth = &checked.spec.server.auth;
    let agents = format!("{}/{}", checked.namespace, checked.names.agent);
    let and_agents = |named: &[String]| [std::slice::from_ref(&agents), named].concat().join(",");
    let mut args = vec![format!("--auth-service-accounts={}", and_agents(&auth.service_accounts))];
    if auth.read == ReadAccess::Required {
        args.push("--auth-read=required".to_owned());
        args.push(format!("--auth-readers={}", and_agents(&auth.readers)));
    } else if !auth.readers.is_empty() {
        args.push(format!("--auth-readers={}", auth.readers.join(",")));
    }
    if !auth.admins.is_empty() {
        args.push(format!("--auth-admins={}", auth.admins.join(",")));
    }
    if auth.own_component {
        args.push("--auth-own-component".to_owned());
        args.push(format!("--auth-any-component={}", and_agents(&auth.any_component)));
    }
    if auth.review {
        args.push("--auth-kubernetes-review".to_owned());
    }
    args
}

/// The kubelet verifies no certificate and shows none, which these two paths do without.
fn probe(checked: &Checked, path: &str, period: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(PORT_NAME.to_owned()),
            scheme: Some(scheme(checked).to_ascii_uppercase()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(3),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

/// The spec's own, or over nodes where that is possible.
fn spread(checked: &Checked) -> Vec<TopologySpreadConstraint> {
    let asked = &checked.spec.server.placement.topology_spread;
    if !asked.is_empty() {
        return asked.clone();
    }
    vec![TopologySpreadConstraint {
        max_skew: 1,
        topology_key: "kubernetes.io/hostname".to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(LabelSelector {
            match_labels: Some(checked.names.selector(Component::Server)),
            ..LabelSelector::default()
        }),
        ..TopologySpreadConstraint::default()
    }]
}
