//! What the agent is told at start, read once.

use std::path::PathBuf;
use std::time::Duration;

use super::scrape::ScrapeConfig;
use super::spool::SpoolConfig;
use crate::client::ServerUrl;
use crate::host::{HostPaths, SystemScope, node_name};
use crate::tls::ClientTlsConfig;

/// Kind of an agent that stands for a node.
const NODE_AGENT: &str = "node_agent";
/// Kind of an agent that stands for a worker.
const WORKER_POOL: &str = "worker_pool";

/// What the agent is told at start.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// The server that takes the reports.
    pub server_url: ServerUrl,
    /// How it speaks TLS to it; `None` for plain HTTP.
    pub tls: Option<ClientTlsConfig>,
    /// Pool of the worker it stands for; becomes the label `pool_name`.
    pub pool_name: Option<String>,
    /// Name under which it is registered; the node's name unless given.
    pub worker_id: Option<String>,
    /// Kind of component; `worker_pool` where a pool or a worker id is given, else `node_agent`.
    pub component_type: Option<String>,
    /// Time between reports.
    pub metrics_interval: Duration,
    /// Time between heartbeats.
    pub heartbeat_interval: Duration,
    /// Directory of `*.prom` files that workers leave there.
    pub textfile_dir: Option<PathBuf>,
    /// File with a bearer token, read again at each request.
    pub auth_token_file: Option<PathBuf>,
    /// Where the host's filesystems are mounted.
    pub paths: HostPaths,
    /// Bytes that reports may take in memory while the server is away, as sent.
    pub buffer_bytes: usize,
    /// Where reports are kept while the server is away, and by the end of the process; in memory only
    /// where that is not given.
    pub spool: Option<SpoolConfig>,
    /// Samples a second that are sent of what could not be sent before.
    pub drain_rate: u32,
    /// What else it scrapes.
    pub scrape: ScrapeConfig,
}

impl AgentConfig {
    /// An agent of this node that sends to `server_url`, all else as by default.
    pub fn new(server_url: ServerUrl) -> Self {
        Self {
            tls: (!server_url.is_plain()).then(ClientTlsConfig::default),
            server_url,
            pool_name: None,
            worker_id: None,
            component_type: None,
            metrics_interval: Duration::from_mins(1),
            heartbeat_interval: Duration::from_secs(15),
            textfile_dir: None,
            auth_token_file: None,
            paths: HostPaths::default(),
            buffer_bytes: 64 << 20,
            spool: None,
            drain_rate: 1000,
            scrape: ScrapeConfig::default(),
        }
    }
}

/// Who the agent is to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// Name of the component.
    pub(super) name: String,
    /// Kind of the component.
    pub(super) kind: String,
    /// The node's name.
    pub(super) hostname: String,
    /// Pool of the worker it stands for.
    pub(super) pool_name: Option<String>,
}

impl Identity {
    /// The identity that `config` and this machine make.
    pub(super) fn of(config: &AgentConfig) -> Self {
        let hostname = node_name(&config.paths);
        let stands_for_worker = config.pool_name.is_some() || config.worker_id.is_some();
        let kind = if stands_for_worker { WORKER_POOL } else { NODE_AGENT };
        Self {
            name: config.worker_id.clone().unwrap_or_else(|| hostname.clone()),
            kind: config.component_type.clone().unwrap_or_else(|| kind.to_owned()),
            hostname,
            pool_name: config.pool_name.clone(),
        }
    }

    /// Labels that every sample gets.
    pub(super) fn labels(&self) -> Vec<(&'static str, String)> {
        let mut labels = vec![("hostname", self.hostname.clone())];
        labels.extend(self.pool_name.clone().map(|pool| ("pool_name", pool)));
        labels
    }

    /// What its percentages are of: an agent that stands for a node gives the node's, whatever
    /// limit it has itself.
    pub(super) fn scope(&self) -> SystemScope {
        if self.kind == NODE_AGENT { SystemScope::Node } else { SystemScope::OwnLimit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_a_nodes_unless_told_of_a_worker() {
        let node = AgentConfig::new(ServerUrl::parse("http://h").unwrap());
        let identity = Identity::of(&node);
        assert_eq!((identity.kind.as_str(), &identity.name), ("node_agent", &identity.hostname));
        assert_eq!(identity.scope(), SystemScope::Node);
        assert_eq!(identity.labels().len(), 1);

        let pool = AgentConfig { pool_name: Some("worker-cpu".into()), ..node.clone() };
        let identity = Identity::of(&pool);
        assert_eq!(identity.kind, "worker_pool");
        assert_eq!(identity.labels()[1], ("pool_name", "worker-cpu".to_owned()));

        let worker = AgentConfig { worker_id: Some("w-1".into()), ..node.clone() };
        let identity = Identity::of(&worker);
        assert_eq!((identity.kind.as_str(), identity.name.as_str()), ("worker_pool", "w-1"));
        assert_eq!(identity.scope(), SystemScope::OwnLimit);

        let told = AgentConfig { component_type: Some("broker".into()), ..pool };
        assert_eq!(Identity::of(&told).kind, "broker");
    }
}
