//! What is scraped, and its bounds, read once at start.

use std::time::Duration;

use reqwest::Url;

use super::keep::Keep;
use super::pods::{PodOf, PodsConfig};
use crate::client::ServerUrl;
use crate::model::is_component_kind;

/// Kind of a NoETL server.
pub(super) const SERVER: &str = "server_api";
/// Kind of a NoETL worker.
pub(super) const WORKER: &str = "worker_pool";
/// The most bytes of a name or a pool, as the server takes them.
const MAX_NAME_BYTES: usize = 255;
const EXAMPLE: &str = "write one such as http://127.0.0.1:9090/metrics";

/// What is scraped, and its bounds.
#[derive(Clone, Debug)]
pub struct ScrapeConfig {
    /// The targets, each address once.
    pub targets: Vec<TargetSpec>,
    /// Pods of the agent's node that are scraped too.
    pub pods: Option<PodsConfig>,
    /// NoETL's own server: it is scraped too, and asked for its workers and its status.
    pub noetl_server: Option<ServerUrl>,
    /// Time between two scrapes of a target.
    pub interval: Duration,
    /// The longest that one scrape may take, from the connection to the last byte.
    pub timeout: Duration,
    /// Families that are reported.
    pub keep: Keep,
    /// The most samples of one scrape, before families are left out.
    pub sample_limit: usize,
    /// The most bytes of one body, also after decompression.
    pub body_limit: usize,
}

impl Default for ScrapeConfig {
    fn default() -> Self {
        Self {
            targets: Vec::new(),
            pods: None,
            noetl_server: None,
            interval: Duration::from_secs(15),
            timeout: Duration::from_secs(10),
            keep: Keep::default(),
            sample_limit: 10_000,
            body_limit: 4 << 20,
        }
    }
}

impl ScrapeConfig {
    /// All targets: those given, and NoETL's server unless it is among them.
    pub(super) fn all_targets(&self) -> Vec<TargetSpec> {
        let mut targets = self.targets.clone();
        if let Some(server) = &self.noetl_server
            && !targets.iter().any(|target| target.is_of(server))
        {
            let kind = Some(SERVER.to_owned());
            targets.push(TargetSpec {
                url: server.endpoint("/metrics"),
                name: None,
                pool: None,
                kind,
                pod: None,
            });
        }
        targets
    }

    /// Whether this target is asked for NoETL's workers: the server that was named; where none was,
    /// each server's pod.
    pub(super) fn lists_workers(&self, target: &TargetSpec, is_server: bool) -> bool {
        match &self.noetl_server {
            Some(server) => target.is_of(server),
            None => is_server && target.pod.is_some(),
        }
    }
}

/// A target: its address, and what is known of the component behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetSpec {
    pub(super) url: Url,
    /// Name of the component.
    pub(super) name: Option<String>,
    /// Pool of the worker.
    pub(super) pool: Option<String>,
    /// Kind of the component.
    pub(super) kind: Option<String>,
    /// The pod that it is a port of.
    pub(super) pod: Option<PodOf>,
}

impl TargetSpec {
    /// Reads `http://host:port/path`, followed by parts such as `;name=worker-1;pool=cpu`. Without
    /// a path it is `/metrics`, without a scheme `http`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.trim().split(';').map(str::trim);
        let url = target_url(parts.next().unwrap_or_default())?;
        let mut target = Self { url, name: None, pool: None, kind: None, pod: None };
        for part in parts.filter(|part| !part.is_empty()) {
            target.set(part)?;
        }
        Ok(target)
    }

    fn set(&mut self, part: &str) -> Result<(), String> {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let slot = match key.trim() {
            "name" => &mut self.name,
            "pool" => &mut self.pool,
            "kind" => &mut self.kind,
            _ => return Err(format!("{part:?} is none of name=…, pool=…, kind=…")),
        };
        let value = value.trim();
        if value.is_empty() || value.len() > MAX_NAME_BYTES {
            return Err(format!("{key} must have 1 to {MAX_NAME_BYTES} bytes"));
        }
        if key.trim() == "kind" && !is_component_kind(value) {
            return Err("kind must have letters, digits, _, - or . only".to_owned());
        }
        if slot.replace(value.to_owned()).is_some() {
            return Err(format!("{key} is given twice"));
        }
        Ok(())
    }

    /// The address as it is shown and as the label `target` has it: without credentials.
    pub fn label(&self) -> String {
        let mut url = self.url.clone();
        // Neither can fail for a URL with a host.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.to_string()
    }

    /// `host:port`.
    pub(super) fn address(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        format!("{host}:{}", self.port())
    }

    pub(super) fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or(80)
    }

    /// Whether it is on this very machine.
    pub(super) fn is_loopback(&self) -> bool {
        let host = self.url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// Whether it is `server`.
    pub(super) fn is_of(&self, server: &ServerUrl) -> bool {
        self.url.origin() == server.endpoint("/").origin()
    }
}

fn target_url(text: &str) -> Result<Url, String> {
    if text.is_empty() {
        return Err(format!("the address is missing; {EXAMPLE}"));
    }
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let mut url: Url = with_scheme.parse().map_err(|e| format!("{text:?} is no URL ({e}); {EXAMPLE}"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(format!("{text:?} is neither http:// nor https://; {EXAMPLE}"));
    }
    if url.fragment().is_some() {
        return Err(format!("{text:?} has a fragment; {EXAMPLE}"));
    }
    if url.path() == "/" {
        url.set_path("/metrics");
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(text: &str) -> String {
        TargetSpec::parse(text).unwrap().label()
    }

    #[test]
    fn scheme_and_path_have_defaults() {
        for text in ["127.0.0.1:9090", "http://127.0.0.1:9090", " http://127.0.0.1:9090/metrics ; "] {
            assert_eq!(label(text), "http://127.0.0.1:9090/metrics", "{text}");
        }
        assert_eq!(label("https://u:secret@h/m?a=1"), "https://h/m?a=1");
        assert_eq!(TargetSpec::parse("https://h").unwrap().address(), "h:443");
        assert_eq!(TargetSpec::parse("[::1]:9090").unwrap().address(), "[::1]:9090");
    }

    #[test]
    fn parts_say_which_component_it_is() {
        let target = TargetSpec::parse("h:1;name=worker-1; pool = cpu ;kind=worker_pool").unwrap();
        assert_eq!((target.name.as_deref(), target.pool.as_deref()), (Some("worker-1"), Some("cpu")));
        assert_eq!(target.kind.as_deref(), Some("worker_pool"));
    }

    #[test]
    fn what_is_no_target_is_refused_with_what_is_accepted() {
        for (text, part) in [
            ("", "missing"),
            ("ftp://h/m", "http://127.0.0.1:9090/metrics"),
            ("http://", "http://127.0.0.1:9090/metrics"),
            ("http://h/#x", "fragment"),
            ("h:1;colour=red", "name="),
            ("h:1;name=", "name must have"),
            ("h:1;name=a;name=b", "twice"),
            ("h:1;kind=a b", "kind must have"),
        ] {
            let error = TargetSpec::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn the_named_server_or_a_server_s_pod_is_asked_for_workers() {
        let plain = TargetSpec::parse("10.0.0.7:8082").unwrap();
        let pod = PodOf { uid: "u".into(), name: "noetl-0".into(), namespace: "noetl".into() };
        let pod = TargetSpec { pod: Some(pod), ..plain.clone() };
        let nobody_named = ScrapeConfig::default();
        let named = Some(ServerUrl::parse("http://10.0.0.7:8082").unwrap());
        let named = ScrapeConfig { noetl_server: named, ..ScrapeConfig::default() };
        let other = TargetSpec { url: "http://10.0.0.8:8082/metrics".parse().unwrap(), ..pod.clone() };
        assert!(nobody_named.lists_workers(&pod, true) && nobody_named.lists_workers(&other, true));
        assert!(!nobody_named.lists_workers(&pod, false), "a worker's pod");
        assert!(!nobody_named.lists_workers(&plain, true), "nobody said that it is to be asked");
        assert!(named.lists_workers(&plain, true) && named.lists_workers(&pod, true));
        assert!(!named.lists_workers(&other, true));
    }

    #[test]
    fn noetl_s_server_is_a_target_once() {
        let server = Some(ServerUrl::parse("http://127.0.0.1:8082/api").unwrap());
        let config = ScrapeConfig { noetl_server: server, ..ScrapeConfig::default() };
        let all = config.all_targets();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].label(), "http://127.0.0.1:8082/metrics");
        assert_eq!(all[0].kind.as_deref(), Some(SERVER));
        let given = TargetSpec::parse("127.0.0.1:8082;name=noetl").unwrap();
        let all = ScrapeConfig { targets: vec![given], ..config }.all_targets();
        assert_eq!((all.len(), all[0].name.as_deref()), (1, Some("noetl")));
    }
}
