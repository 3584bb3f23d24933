//! Asks servers how they are: `GET /readyz?verbose` of each pod, all at once, with a short limit.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::build::PORT;

/// How long a server may take to answer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Servers that are asked in one pass, at most.
const PODS_MAX: usize = 6;
/// As much of an answer as is read.
const BODY_MAX: usize = 16 * 1024;

/// What a server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// Its pod.
    pub(super) pod: String,
    /// Its checks by name, `None` where one is well and the reason where it is not; or why there
    /// was no answer.
    pub(super) checks: Result<BTreeMap<String, Option<String>>, String>,
}

impl Answer {
    /// What the server says of one check; `None` where it says nothing.
    pub(super) fn check(&self, name: &str) -> Option<Result<(), &str>> {
        let checks = self.checks.as_ref().ok()?;
        Some(checks.get(name)?.as_deref().map_or(Ok(()), Err))
    }
}

/// Asks.
#[derive(Clone)]
pub(super) struct Prober {
    client: reqwest::Client,
}

impl Prober {
    /// A client that asks pods by their address, as the kubelet does: it verifies no certificate, since
    /// the operator reads no Secrets. It sends nothing that is secret, and learns how a server is.
    pub(super) fn new() -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .user_agent(concat!("noetl-metrics-operator/", env!("CARGO_PKG_VERSION")))
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .tls_danger_accept_invalid_certs(true)
            .tls_certs_only([])
            .build()?;
        Ok(Self { client })
    }

    /// Asks all pods that run.
    pub(super) async fn ask(&self, pods: &[&Pod]) -> Vec<Answer> {
        let running = pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).filter_map(|pod| {
            let status = pod.status.as_ref().filter(|s| s.phase.as_deref() == Some("Running"))?;
            Some((pod.name_any(), scheme_of(pod), status.pod_ip.clone()?))
        });
        join_all(running.take(PODS_MAX).map(|(pod, scheme, ip)| self.ask_one(pod, scheme, ip))).await
    }

    async fn ask_one(&self, pod: String, scheme: &str, ip: String) -> Answer {
        let host = if ip.contains(':') { format!("[{ip}]") } else { ip };
        Answer { pod, checks: self.get(&format!("{scheme}://{host}:{PORT}/readyz?verbose")).await }
    }

    async fn get(&self, url: &str) -> Result<BTreeMap<String, Option<String>>, String> {
        let mut response = self.client.get(url).send().await.map_err(|e| reason(&e))?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| reason(&e))? {
            body.extend_from_slice(&chunk);
            if body.len() > BODY_MAX {
                break;
            }
        }
        let checks = parse(&String::from_utf8_lossy(&body));
        if checks.is_empty() { Err(format!("{url} answered {}", response.status())) } else { Ok(checks) }
    }
}

/// What a pod speaks, by how it was started: while TLS is turned on or off there are both.
fn scheme_of(pod: &Pod) -> &'static str {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let mut args = containers.flat_map(|container| container.args.iter().flatten());
    if args.any(|arg| arg.starts_with("--tls-cert-file=")) { "https" } else { "http" }
}

fn reason(error: &reqwest::Error) -> String {
    let what = if error.is_timeout() {
        "does not answer in time"
    } else if error.is_connect() {
        "cannot be connected to"
    } else {
        "cannot be asked"
    };
    what.to_owned()
}

/// Lines such as `[+]database ok` and `[-]database failed: connection refused`.
fn parse(body: &str) -> BTreeMap<String, Option<String>> {
    body.lines()
        .filter_map(|line| {
            if let Some(good) = line.strip_prefix("[+]") {
                return Some((good.split(' ').next()?.to_owned(), None));
            }
            let (name, reason) = line.strip_prefix("[-]")?.split_once(' ')?;
            Some((name.to_owned(), Some(reason.trim_start_matches("failed: ").to_owned())))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_read() {
        let checks = parse("[+]shutdown ok\n[-]database failed: password authentication failed\nnot ready\n");
        let answer = Answer { pod: "p".into(), checks: Ok(checks) };
        assert_eq!(answer.check("shutdown"), Some(Ok(())));
        assert_eq!(answer.check("database"), Some(Err("password authentication failed")));
        assert_eq!(answer.check("writer"), None);
    }

    #[test]
    fn other_text_is_no_check() {
        assert!(parse("ok\n<html>\n[?]x\n[-]\n[-]lonely").is_empty());
    }

    #[test]
    fn a_pod_says_what_it_speaks() {
        let pod = |args: &[&str]| -> Pod {
            let containers = serde_json::json!([{"name": "server", "args": args}]);
            serde_json::from_value(serde_json::json!({"spec": {"containers": containers}})).unwrap()
        };
        assert_eq!(scheme_of(&pod(&["server", "--tls-cert-file=/c"])), "https");
        assert_eq!(scheme_of(&pod(&["server"])), "http");
    }

    #[tokio::test]
    async fn a_server_that_is_away_is_an_answer() {
        let pod: Pod = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "p"}, "status": {"phase": "Running", "podIP": "127.0.0.77"},
        }))
        .unwrap();
        crate::operator::install_crypto();
        let answers = Prober::new().unwrap().ask(&[&pod]).await;
        assert_eq!(answers[0].checks, Err("cannot be connected to".to_owned()));
    }
    /// A server at a random port, which answers each connection by these bytes, again and again.
    async fn server(first: &'static str, again: &'static str) -> String {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/readyz", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _request = stream.read(&mut [0; 1024]).await;
            if stream.write_all(first.as_bytes()).await.is_err() || again.is_empty() {
                std::future::pending::<()>().await;
            }
            while stream.write_all(again.as_bytes()).await.is_ok() {}
        });
        url
    }

    #[tokio::test]
    async fn an_answer_without_end_is_cut() {
        crate::operator::install_crypto();
        let url = server("HTTP/1.1 200 OK\r\n\r\n[+]first ok\n", "[+]a ok\n").await;
        let checks = Prober::new().unwrap().get(&url).await.unwrap();
        assert_eq!(checks.keys().take(2).collect::<Vec<_>>(), ["a", "first"]);
    }

    #[tokio::test]
    async fn a_server_that_hangs_is_not_waited_for() {
        crate::operator::install_crypto();
        let url = server("HTTP/1.1 200 OK\r\n", "").await;
        assert_eq!(Prober::new().unwrap().get(&url).await, Err("does not answer in time".to_owned()));
    }

    #[tokio::test]
    async fn of_many_servers_some_are_asked() {
        crate::operator::install_crypto();
        let pod: Pod = serde_json::from_value(serde_json::json!({
            "status": {"phase": "Running", "podIP": "127.0.0.77"},
        }))
        .unwrap();
        assert_eq!(Prober::new().unwrap().ask(&[&pod; 40]).await.len(), PODS_MAX);
    }
}
