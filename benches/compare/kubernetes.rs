//! A Kubernetes control plane of the benchmark's own: etcd and the API server, which keep objects and
//! tell of them. No node, no controller: [`crate::stand_in`] answers for those.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ObjectMeta, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client, Config, ResourceExt};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::audit::Audit;
use crate::error::{BenchError, Context, Result, failed};
use crate::process::{Process, free_address};

/// Who measures and stands in; its requests are not in the audit log.
pub(crate) const BENCH: &str = "bench";
/// Whoever is measured.
pub(crate) const OPERATOR: &str = "operator";
/// Where the resources are.
pub(crate) const NAMESPACE: &str = "bench";

/// How long the API server may take to serve a new kind.
const ESTABLISHED_WITHIN: Duration = Duration::from_mins(3);

/// A running control plane.
pub(crate) struct ControlPlane {
    // Dropped in this order: who asks before who answers.
    client: Client,
    runtime: Runtime,
    _api_server: Process,
    _etcd: Process,
    folder: PathBuf,
}

impl ControlPlane {
    /// Starts one in a new folder of `directory`, with these definitions installed.
    pub(crate) fn start(name: &str, definitions: &[PathBuf], directory: &Path) -> Result<Self> {
        let folder = directory.join(name);
        std::fs::create_dir_all(&folder).context(folder.display().to_string())?;
        let etcd = etcd(&folder)?;
        let address = free_address()?;
        let mut api_server = api_server(&folder, etcd.1, address)?;
        for user in [BENCH, OPERATOR] {
            write(&folder.join(user), &kubeconfig(user, address))?;
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .context("runtime")?;
        // Another part of this program may have said so before.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = runtime.block_on(client(&kubeconfig(BENCH, address)))?;
        let ready = || http::Request::get("/readyz").body(Vec::new()).map_err(kube::Error::HttpError);
        api_server.wait_until(Duration::from_millis(200), || {
            runtime.block_on(async { client.request_text(ready()?).await }).is_ok()
        })?;
        let plane = Self { client, runtime, _api_server: api_server, _etcd: etcd.0, folder };
        plane.block_on(plane.prepare(definitions))?;
        Ok(plane)
    }

    /// A client of the benchmark's own.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Runs a future to its end; what was spawned goes on meanwhile, and between the calls.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = Result<T>>) -> Result<T> {
        self.runtime.block_on(future)
    }

    /// Runs a future beside all else, until the control plane ends.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        drop(self.runtime.spawn(future));
    }

    /// The file by which the operator under test finds the API server.
    pub(crate) fn operators_kubeconfig(&self) -> PathBuf {
        self.folder.join(OPERATOR)
    }

    /// What the operator asked of the API server, from now on.
    pub(crate) fn audit(&self) -> Result<Audit> {
        Audit::from_now_on(&self.folder.join("audit.log"))
    }

    /// Namespace and definitions, until their kinds are served.
    async fn prepare(&self, definitions: &[PathBuf]) -> Result<()> {
        let metadata = ObjectMeta { name: Some(NAMESPACE.to_owned()), ..ObjectMeta::default() };
        let namespace = Namespace { metadata, ..Namespace::default() };
        Api::all(self.client()).create(&PostParams::default(), &namespace).await?;
        let api: Api<CustomResourceDefinition> = Api::all(self.client());
        let mut names = Vec::new();
        for file in definitions {
            let text = std::fs::read_to_string(file).context(file.display().to_string())?;
            let definition: CustomResourceDefinition = serde_yaml::from_str(&text)
                .map_err(|error| BenchError::Failed(format!("{}: {error}", file.display())))?;
            api.create(&PostParams::default(), &definition).await?;
            names.push(definition.name_any());
        }
        for name in names {
            let established = await_condition(api.clone(), &name, conditions::is_crd_established());
            match tokio::time::timeout(ESTABLISHED_WITHIN, established).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return failed(format!("{name}: {error}")),
                Err(_) => return failed(format!("{name} is not served")),
            }
        }
        Ok(())
    }
}

/// A folder of what `e2e/cluster/build.sh` makes, which `scripts/bench.sh` names: `bin` or `crds`.
pub(crate) fn built(what: &str) -> Result<PathBuf> {
    let Some(folder) = std::env::var_os("BENCH_CLUSTER") else {
        return failed("BENCH_CLUSTER does not name the programs of a cluster; scripts/bench.sh builds them");
    };
    Ok(PathBuf::from(folder).join(what))
}

fn etcd(folder: &Path) -> Result<(Process, SocketAddr)> {
    let (clients, peers) = (free_address()?, free_address()?);
    let mut command = Command::new(built("bin")?.join("etcd"));
    // A disk is not what is measured.
    command.arg("--unsafe-no-fsync").arg(format!("--data-dir={}", folder.join("etcd").display()));
    command.arg(format!("--listen-client-urls=http://{clients}"));
    command.arg(format!("--advertise-client-urls=http://{clients}"));
    command.arg(format!("--listen-peer-urls=http://{peers}"));
    command.arg(format!("--initial-advertise-peer-urls=http://{peers}"));
    command.arg(format!("--initial-cluster=default=http://{peers}"));
    // Nobody reads its data again.
    Ok((Process::start("etcd", &mut command, folder)?.ends_by("-KILL"), clients))
}

fn api_server(folder: &Path, etcd: SocketAddr, address: SocketAddr) -> Result<Process> {
    let (key, tokens, policy) =
        (folder.join("accounts.key"), folder.join("tokens.csv"), folder.join("audit.json"));
    let made = Command::new("openssl").args(["genrsa", "-out"]).arg(&key).arg("2048").output();
    let made = made.context("openssl")?;
    if !made.status.success() {
        return failed(format!("openssl: {}", String::from_utf8_lossy(&made.stderr).trim()));
    }
    let token = |user: &str| format!("{user},{user},{user},system:masters\n");
    write(&tokens, &[BENCH, OPERATOR].map(token).concat())?;
    write(&policy, &Audit::policy(OPERATOR))?;
    let mut command = Command::new(built("bin")?.join("kube-apiserver"));
    command.arg(format!("--etcd-servers=http://{etcd}"));
    command.arg("--authorization-mode=RBAC").arg("--service-account-issuer=https://kubernetes.default.svc");
    command.arg("--service-cluster-ip-range=10.96.0.0/16");
    command.arg(format!("--bind-address={}", address.ip())).arg(format!("--secure-port={}", address.port()));
    for (flag, file) in [
        ("service-account-key-file", key.clone()),
        ("service-account-signing-key-file", key),
        ("cert-dir", folder.join("certificates")),
        ("token-auth-file", tokens),
        ("audit-policy-file", policy),
        ("audit-log-path", folder.join("audit.log")),
    ] {
        command.arg(format!("--{flag}={}", file.display()));
    }
    // In one file: 0 would be 100 MB.
    command.arg("--audit-log-maxsize=100000");
    Ok(Process::start("kube-apiserver", &mut command, folder)?.ends_by("-KILL"))
}

/// As JSON, which is YAML.
fn kubeconfig(user: &str, address: SocketAddr) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "it", "cluster": {
            "server": format!("https://{address}"), "insecure-skip-tls-verify": true,
        }}],
        "users": [{"name": "it", "user": {"token": user}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "current-context": "it",
    })
    .to_string()
}

async fn client(kubeconfig: &str) -> Result<Client> {
    let kubeconfig = Kubeconfig::from_yaml(kubeconfig).map_err(kube::Error::from)?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    Ok(Client::try_from(config.map_err(kube::Error::from)?)?)
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).context(path.display().to_string())
}
