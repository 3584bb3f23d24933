//! The agents' DaemonSet.

use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetSpec, DaemonSetUpdateStrategy, RollingUpdateDaemonSet};
use k8s_openapi::api::core::v1::{
    Affinity, Container, HostPathVolumeSource, PodSpec, PodTemplateSpec, ProjectedVolumeSource,
    ResourceRequirements, SecurityContext, ServiceAccountTokenProjection, Volume, VolumeMount,
    VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::service::url;
use super::{AUDIENCE, metadata, pod, some, some_of, tls};
use crate::operator::names::Component;
use crate::operator::validate::Checked;

/// Where the token that servers take is.
const TOKEN_DIR: &str = "/var/run/secrets/noetl-metrics/token";
/// Where the node's `/`, `/proc` and `/sys` are.
const HOST_DIR: &str = "/host";
/// Where reports are kept: on the node a directory of the resource's own below it.
const SPOOL_DIR: &str = "/var/lib/noetl-metrics/spool";

/// The DaemonSet.
pub(super) fn agent(checked: &Checked) -> DaemonSet {
    DaemonSet {
        metadata: metadata(checked, &checked.names.agent, Component::Agent),
        spec: Some(DaemonSetSpec {
            selector: LabelSelector {
                match_labels: Some(checked.names.selector(Component::Agent)),
                ..LabelSelector::default()
            },
            revision_history_limit: Some(3),
            update_strategy: Some(DaemonSetUpdateStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDaemonSet {
                    max_unavailable: Some(IntOrString::String("25%".to_owned())),
                    max_surge: None,
                }),
            }),
            template: template(checked),
            ..DaemonSetSpec::default()
        }),
        ..DaemonSet::default()
    }
}

fn template(checked: &Checked) -> PodTemplateSpec {
    let asked = &checked.spec.agent.pod;
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(pod::labels(checked.names.labels(Component::Agent), &asked.labels)),
            annotations: some(pod::labels([].into(), &asked.annotations)),
            ..ObjectMeta::default()
        }),
        spec: Some(pod_spec(checked)),
    }
}

fn pod_spec(checked: &Checked) -> PodSpec {
    let agent = &checked.spec.agent;
    let tls = tls::client(checked);
    let mut container = pod::container(checked, "agent", [args(checked), tls.args].concat());
    container.env = Some(vec![pod::field("NODE_NAME", "spec.nodeName")]);
    let (mut volumes, mut mounts) = volumes(checked);
    volumes.extend(tls.volumes);
    mounts.extend(tls.mounts);
    container.volume_mounts = Some(mounts);
    container.resources = Some(resources(checked));
    let node_affinity = agent.placement.node_affinity.clone();
    PodSpec {
        init_containers: agent.spool.enabled.then(|| vec![prepare_spool(checked)]),
        containers: vec![container],
        volumes: Some(volumes),
        service_account_name: Some(checked.names.agent.clone()),
        // With its token it watches the pods of its node.
        automount_service_account_token: Some(checked.scraped_pods.is_some()),
        security_context: Some(pod::security()),
        termination_grace_period_seconds: Some(30),
        image_pull_secrets: pod::pull_secrets(checked),
        enable_service_links: Some(false),
        node_selector: some(agent.placement.node_selector.clone()),
        tolerations: some_of(agent.placement.tolerations.clone()),
        affinity: node_affinity.map(|node| Affinity { node_affinity: Some(node), ..Affinity::default() }),
        priority_class_name: agent.placement.priority_class_name.clone(),
        ..PodSpec::default()
    }
}

fn resources(checked: &Checked) -> ResourceRequirements {
    let asked = &checked.spec.agent.resources;
    pod::resources(asked, &[("cpu", "20m"), ("memory", "48Mi")], &[("memory", "192Mi")])
}

/// Lets the agents' group write in the spool's directory, which the kubelet makes for root alone. As
/// root it is the directory's owner, and as a member of the group it may hand it to that: for both it
/// needs no capability. It sees nothing else of the node.
fn prepare_spool(checked: &Checked) -> Container {
    let args = ["prepare-spool".to_owned(), format!("--dir={SPOOL_DIR}"), format!("--group={}", pod::USER)];
    let mut container = pod::container(checked, "prepare-spool", args.to_vec());
    container.security_context = container.security_context.map(|restricted| SecurityContext {
        run_as_non_root: Some(false),
        run_as_user: Some(0),
        run_as_group: Some(pod::USER),
        ..restricted
    });
    container.volume_mounts = Some(vec![spool_mount()]);
    container.resources = Some(resources(checked));
    container
}

/// The only thing of the node that is written to.
fn spool_mount() -> VolumeMount {
    VolumeMount { read_only: None, ..pod::mount("spool", SPOOL_DIR) }
}

fn args(checked: &Checked) -> Vec<String> {
    let agent = &checked.spec.agent;
    let mut args = vec![
        "agent".to_owned(),
        format!("--server-url={}", url(checked)),
        "--worker-id=$(NODE_NAME)".to_owned(),
        "--component-type=node_agent".to_owned(),
        format!("--metrics-interval={}", agent.metrics_interval),
        format!("--heartbeat-interval={}", agent.heartbeat_interval),
        format!("--buffer-bytes={}", agent.buffer),
        format!("--path.rootfs={HOST_DIR}/root"),
        format!("--path.procfs={HOST_DIR}/proc"),
        format!("--path.sysfs={HOST_DIR}/sys"),
    ];
    if agent.spool.enabled {
        args.push(format!("--spool-dir={SPOOL_DIR}"));
        args.push(format!("--spool-max-size={}", agent.spool.size));
    }
    if checked.spec.server.auth.enabled {
        args.push(format!("--auth-token-file={TOKEN_DIR}/token"));
    }
    if agent.textfile_directory.is_some() {
        args.push(format!("--textfile-dir={HOST_DIR}/textfile"));
    }
    if let Some(selector) = &checked.scraped_pods {
        let scrape = &agent.scrape;
        args.push(format!("--scrape-pods={selector}"));
        args.push("--scrape-pods-node=$(NODE_NAME)".to_owned());
        args.push(format!("--scrape-pods-namespace={}", checked.pods_namespaces().join(",")));
        args.push(format!("--scrape-pods-port={}", scrape.ports.join(",")));
        args.push(format!("--scrape-pods-path={}", scrape.path));
        args.push(format!("--scrape-interval={}", scrape.interval));
        args.push(format!("--scrape-keep={}", scrape.keep.join(",")));
    }
    args
}

/// The node's file systems, all read-only, the spool, and the token.
fn volumes(checked: &Checked) -> (Vec<Volume>, Vec<VolumeMount>) {
    let mut paths = vec![("proc", "/proc"), ("sys", "/sys"), ("root", "/")];
    if let Some(directory) = &checked.spec.agent.textfile_directory {
        paths.push(("textfile", directory));
    }
    let mut volumes: Vec<_> = paths.iter().map(|(name, path)| host_path(name, path)).collect();
    let mut mounts: Vec<_> = paths
        .iter()
        .map(|(name, _)| VolumeMount {
            // What the node mounts later is seen too.
            mount_propagation: (*name == "root").then(|| "HostToContainer".to_owned()),
            ..pod::mount(name, &format!("{HOST_DIR}/{name}"))
        })
        .collect();
    if checked.spec.agent.spool.enabled {
        // One for each resource: two agents never share one.
        let path = format!("{SPOOL_DIR}/{}/{}", checked.namespace, checked.names.instance);
        let source = HostPathVolumeSource { path, type_: Some("DirectoryOrCreate".to_owned()) };
        volumes.push(Volume { name: "spool".to_owned(), host_path: Some(source), ..Volume::default() });
        mounts.push(spool_mount());
    }
    if checked.spec.server.auth.enabled {
        volumes.push(token());
        mounts.push(pod::mount("token", TOKEN_DIR));
    }
    (volumes, mounts)
}

fn host_path(name: &str, path: &str) -> Volume {
    Volume {
        name: name.to_owned(),
        host_path: Some(HostPathVolumeSource { path: path.to_owned(), type_: None }),
        ..Volume::default()
    }
}

/// A token for our audience; the kubelet renews it.
fn token() -> Volume {
    let token = ServiceAccountTokenProjection {
        audience: Some(AUDIENCE.to_owned()),
        expiration_seconds: Some(3600),
        path: "token".to_owned(),
    };
    Volume {
        name: "token".to_owned(),
        projected: Some(ProjectedVolumeSource {
            default_mode: Some(0o440),
            sources: Some(vec![VolumeProjection {
                service_account_token: Some(token),
                ..VolumeProjection::default()
            }]),
        }),
        ..Volume::default()
    }
}
