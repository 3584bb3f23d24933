//! What the agent is told at start, read once.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;

use super::scrape::ScrapeConfig;
use super::spool::SpoolConfig;
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

/// Base of the server's addresses, without `/api` and without a slash at its end.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl(Url);

impl ServerUrl {
    /// Reads an `http://` or `https://` address, which may end in `/` or in `/api`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let example = "write one such as http://127.0.0.1:8082";
        let mut url: Url = text.trim().parse().map_err(|e| format!("{text:?} is no URL ({e}); {example}"))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(format!("{text:?} is neither http:// nor https://; {example}"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(format!("{text:?} has a query or a fragment; {example}"));
        }
        let path = url.path().trim_end_matches('/');
        let base = path.strip_suffix("/api").unwrap_or(path).trim_end_matches('/').to_owned();
        url.set_path(&base);
        Ok(Self(url))
    }

    /// The address of an endpoint, `path` being such as `/api/metrics/report`.
    pub(crate) fn endpoint(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(&format!("{}{path}", url.path().trim_end_matches('/')));
        url
    }

    /// Whether the server is spoken to without TLS.
    pub(crate) fn is_plain(&self) -> bool {
        self.0.scheme() == "http"
    }

    /// Its host and port, as a connection needs them.
    pub(crate) fn host_and_port(&self) -> (String, u16) {
        let host = self.0.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        (host, self.0.port_or_known_default().unwrap_or_default())
    }

    /// Whether the server is on this very machine.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = self.0.host_str().unwrap_or_default().trim_matches(['[', ']']);
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for ServerUrl {
    // Without the credentials that a URL may carry: this is what goes into the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = &self.0;
        write!(f, "{}://{}", url.scheme(), url.host_str().unwrap_or_default())?;
        if let Some(port) = url.port() {
            write!(f, ":{port}")?;
        }
        f.write_str(url.path().trim_end_matches('/'))
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
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

    fn url(text: &str) -> String {
        ServerUrl::parse(text).unwrap().endpoint("/api/metrics/report").to_string()
    }

    #[test]
    fn the_base_may_end_in_a_slash_or_in_api() {
        for text in ["http://h:8082", "http://h:8082/", "http://h:8082/api", " http://h:8082/api/ "] {
            assert_eq!(url(text), "http://h:8082/api/metrics/report", "{text}");
        }
        assert_eq!(url("https://h/at/noetl/api"), "https://h/at/noetl/api/metrics/report");
        assert_eq!(url("http://h/myapi"), "http://h/myapi/api/metrics/report");
    }

    #[test]
    fn what_is_no_server_is_refused() {
        for text in ["", "h:8082", "ftp://h", "localhost", "http://", "http://h/?a=1", "http://h/#x"] {
            assert!(ServerUrl::parse(text).unwrap_err().contains("http://127.0.0.1:8082"), "{text}");
        }
    }

    #[test]
    fn credentials_stay_out_of_the_log() {
        let url = ServerUrl::parse("https://user:secret@h:1/api").unwrap();
        assert_eq!(format!("{url} {url:?}"), "https://h:1 \"https://h:1\"");
    }

    #[test]
    fn loopback_is_recognised() {
        let is_loopback = |text| ServerUrl::parse(text).unwrap().is_loopback();
        assert!(is_loopback("http://127.0.0.1:1") && is_loopback("http://[::1]:1"));
        assert!(is_loopback("http://localhost") && !is_loopback("http://10.0.0.1"));
    }

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
