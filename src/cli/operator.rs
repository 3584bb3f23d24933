//! Flags of `operator`.

use std::net::SocketAddr;

use clap::Args;

use crate::operator::OperatorConfig;

/// Flags of `operator`.
#[derive(Args, Clone, Debug)]
pub struct OperatorArgs {
    /// Namespaces whose resources are looked after, separated by commas; all where it is empty.
    #[arg(long, env = "NOETL_METRICS_WATCH_NAMESPACES", value_delimiter = ',', value_name = "NAMESPACES")]
    pub watch_namespaces: Vec<String>,
    /// Address and port of /livez, /readyz and /metrics.
    #[arg(long, env = "NOETL_METRICS_OPERATOR_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// Image of servers, agents and jobs, where a resource names none.
    #[arg(long, env = "NOETL_METRICS_IMAGE", value_name = "REFERENCE")]
    pub image: Option<String>,
    /// ClusterRole that agents are bound to in their namespace; without it they get no rights.
    #[arg(long, env = "NOETL_METRICS_AGENT_CLUSTER_ROLE", value_name = "NAME")]
    pub agent_cluster_role: Option<String>,
    /// Namespace of the operator's Lease, by which replicas elect a leader.
    #[arg(long, env = "POD_NAMESPACE", default_value = "default")]
    pub namespace: String,
    /// Name of this replica in the election, different from all others [default: host and process].
    #[arg(long, env = "POD_NAME")]
    pub identity: Option<String>,
}

/// Host and process: different for each replica outside of pods too.
fn default_identity() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{host}-{}", std::process::id())
}

impl OperatorArgs {
    /// How the operator runs. Empty values, as templates leave them, count as not given.
    pub fn into_config(self) -> OperatorConfig {
        let given = |value: Option<String>| value.filter(|v| !v.trim().is_empty());
        let namespaces: Vec<_> =
            self.watch_namespaces.iter().map(|n| n.trim().to_owned()).filter(|n| !n.is_empty()).collect();
        OperatorConfig {
            listen: self.listen,
            namespaces,
            namespace: self.namespace,
            identity: given(self.identity).unwrap_or_else(default_identity),
            image: given(self.image),
            agent_cluster_role: given(self.agent_cluster_role),
        }
    }
}
