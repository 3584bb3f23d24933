//! The operators that are measured, started as for a cluster of many namespaces, with their defaults.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use crate::error::{Context, Result};
use crate::kubernetes::{ControlPlane, NAMESPACE, built};
use crate::process::{Process, answers, free_address};
use crate::server::program;

/// Names the program of the peer, as for the end-to-end tests.
pub(crate) const PEER_PROGRAM: &str = "E2E_VM_OPERATOR";

/// An operator to be measured.
pub(crate) struct Side {
    /// Group, version, kind and plural of its resource.
    pub(crate) resource: ApiResource,
    /// The spec of each resource.
    pub(crate) spec: Value,
    /// Whether a resource says that all it asks for is there.
    pub(crate) converged: fn(&Value) -> bool,
    /// Starts it, and waits until it says that it is ready.
    pub(crate) start: fn(&ControlPlane, &Path) -> Result<Process>,
}

/// Ours.
pub(crate) fn ours() -> Side {
    Side {
        resource: resource("metrics.noetl.io", "v1alpha1", "NoetlMetrics", "noetlmetrics"),
        spec: json!({"database": {"secretRef": {"name": "db"}}}),
        converged: |status| {
            let says = |type_: &str, what: &str| {
                status["conditions"]
                    .as_array()
                    .is_some_and(|all| all.iter().any(|one| one["type"] == type_ && one["status"] == what))
            };
            says("Ready", "True") && says("Progressing", "False")
        },
        start: |plane, folder| {
            let address = free_address()?;
            let mut command = Command::new(program());
            command.args(["operator", "--namespace", NAMESPACE, "--image", "example.org/noetl-metrics:1"]);
            command.arg(format!("--listen={address}")).env("KUBECONFIG", plane.operators_kubeconfig());
            let mut process = Process::start("operator", &mut command, folder)?;
            process.wait_until(Duration::from_millis(100), || answers(address, "/readyz"))?;
            Ok(process)
        },
    }
}

/// `VictoriaMetrics`', with as many `VMAgents`.
pub(crate) fn peer() -> Side {
    Side {
        resource: resource("operator.victoriametrics.com", "v1beta1", "VMAgent", "vmagents"),
        spec: json!({"replicaCount": 1, "remoteWrite": [{"url": "http://vmsingle:8428/api/v1/write"}]}),
        converged: |status| status["updateStatus"] == "operational",
        start: |plane, folder| {
            let (metrics, health) = (free_address()?, free_address()?);
            let mut command = Command::new(std::env::var_os(PEER_PROGRAM).unwrap_or_default());
            command.args(["--leader-elect", "--leader-elect-namespace", NAMESPACE, "--pprof-addr="]);
            command.arg(format!("--metrics-bind-address={metrics}"));
            command.arg(format!("--health-probe-bind-address={health}"));
            command.env("KUBECONFIG", plane.operators_kubeconfig());
            let mut process = Process::start("vm-operator", &mut command, folder)?;
            process.wait_until(Duration::from_millis(100), || answers(health, "/ready"))?;
            Ok(process)
        },
    }
}

fn resource(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

/// Our definition, and all of `VictoriaMetrics`: its operator wants each of them, ours makes a
/// VMPodScrape and a VMRule for a resource where they are.
pub(crate) fn definitions() -> Result<Vec<PathBuf>> {
    let folder = built("crds")?.join("victoriametrics");
    let mut files = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("crds/noetlmetrics.yaml")];
    for entry in std::fs::read_dir(&folder).context(folder.display().to_string())? {
        files.push(entry.context(folder.display().to_string())?.path());
    }
    Ok(files)
}

/// The version of the peer's API, of which its definitions are made.
pub(crate) fn peer_version() -> &'static str {
    let module = include_str!("../../e2e/cluster/tools/vm-crds/go.mod");
    let version = |line: &'static str| Some(line.split_once("VictoriaMetrics/operator/api ")?.1.trim());
    module.lines().find_map(version).unwrap_or("of an unknown version")
}
