//! TLS: who is let in, what is said to the others, and that certificates change under a running server.

mod clients;
mod forwarding;
mod handshakes;
mod postgres;

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use http::Method;
use serde_json::json;

use crate::harness::{
    Authority, Cluster, Contract, Exposition, Http, Pair, SOON, SecretFiles, eventually, gauge,
};

/// Where servers listen.
const HERE: &str = "127.0.0.1";

/// A client that trusts an authority, and shows a certificate where it has one.
fn client(authority: &Authority, shown: Option<&Pair>) -> reqwest::ClientBuilder {
    let root = reqwest::Certificate::from_pem(authority.pem().as_bytes()).unwrap();
    let client = Http::builder().tls_certs_only([root]);
    match shown {
        None => client,
        Some(pair) => {
            let both = format!("{}{}", pair.cert, pair.key);
            client.identity(reqwest::Identity::from_pem(both.as_bytes()).unwrap())
        }
    }
}

/// A server of TLS with its authority and files.
struct Secure {
    authority: Authority,
    files: SecretFiles,
    contract: Contract,
}

impl Secure {
    async fn start() -> Self {
        let authority = Authority::new();
        let pair = authority.signs(&[HERE]);
        Self::with(authority, &pair, &[]).await
    }

    /// A server with this certificate and further flags, spoken to by a client without one.
    async fn with(authority: Authority, pair: &Pair, flags: &[String]) -> Self {
        let files = SecretFiles::new(&authority, pair);
        let flags = [&files.pair_flags(), flags].concat();
        let database = Cluster::shared().database().await;
        let http = |address| Http::secure(address, client(&authority, None));
        let contract = Contract::spoken_to(database, flags, http).await;
        Self { authority, files, contract }
    }

    fn address(&self) -> SocketAddr {
        self.contract.server.address
    }

    fn spoken_to_by(&self, client: reqwest::ClientBuilder) -> Http {
        Http::secure(self.address(), client)
    }
}

async fn metrics(http: &Http) -> Exposition {
    Exposition::checked(http.get("/metrics").await.expect(200).text())
}

async fn metric(http: &Http, name: &str, labels: &[(&str, &str)]) -> f64 {
    let read = metrics(http).await;
    read.get(name, labels).unwrap_or_else(|| panic!("{name} {labels:?}")).parse().unwrap()
}

async fn handshakes(http: &Http, result: &str) -> f64 {
    metric(http, "noetl_metrics_tls_handshakes_total", &[("result", result)]).await
}

#[tokio::test]
async fn https_works_and_who_speaks_plain_http_is_told() {
    let secure = Secure::start().await;
    let contract = &secure.contract;
    contract.ready().await;
    contract.register("w").await;
    assert_eq!(contract.report("w", json!([gauge("m", 1.0)])).await.ok()["metrics_inserted"], 1);
    // Both versions of HTTP, by what the handshake agrees on.
    for (builder, version) in [
        (client(&secure.authority, None), http::Version::HTTP_2),
        (client(&secure.authority, None).http1_only(), http::Version::HTTP_11),
    ] {
        let url = format!("https://{}/livez", secure.address());
        assert_eq!(builder.build().unwrap().get(url).send().await.unwrap().version(), version);
    }
    for version in [reqwest::tls::Version::TLS_1_2, reqwest::tls::Version::TLS_1_3] {
        let one = client(&secure.authority, None).tls_version_min(version).tls_version_max(version);
        secure.spoken_to_by(one).get("/livez").await.expect(200);
    }
    // Plain HTTP has a clear end.
    Http::new(secure.address()).get("/livez").await.problem(400, "https-required");
    eventually("it is counted", SOON, async || {
        (handshakes(contract, "plain_http").await >= 1.0).then_some(())
    })
    .await;
    // Whom nobody who signed it is trusted by, does not go on.
    let stranger = secure.spoken_to_by(client(&Authority::new(), None));
    let error = stranger.try_send(Method::GET, "/livez", &[], Vec::new()).await.unwrap_err();
    assert!(format!("{error:?}").contains("UnknownIssuer"), "{error:?}");
    eventually("it is counted", SOON, async || (handshakes(contract, "broken").await >= 1.0).then_some(()))
        .await;
    assert!(handshakes(contract, "ok").await >= 1.0);
}

#[tokio::test]
async fn files_that_can_t_be_used_end_the_start_with_their_flag() {
    let authority = Authority::new();
    let pair = authority.signs(&[HERE]);
    let start = |files: &SecretFiles| {
        let mut flags = files.pair_flags();
        flags.extend(files.flag("--tls-client-ca-file", "ca.crt"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_noetl-metrics"));
        command.args(["server", "--listen", "127.0.0.1:0", "--database-url", "postgres://nowhere/x"]);
        command.args(flags).env_clear().envs(crate::harness::clock()).stdin(Stdio::null());
        async move {
            let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
            assert!(!output.status.success());
            String::from_utf8(output.stderr).unwrap()
        }
    };
    for (file, text, flag, reason) in [
        ("tls.crt", "nothing", "--tls-cert-file", "it holds no certificate in PEM"),
        ("tls.key", &pair.cert, "--tls-key-file", "it holds no private key in PEM"),
        ("tls.key", &authority.signs(&[HERE]).key, "--tls-key-file", "it is not the key of the certificate"),
        ("ca.crt", "", "--tls-client-ca-file", "it holds no certificate in PEM"),
    ] {
        let files = SecretFiles::new(&authority, &pair);
        files.put(file, text);
        let said = start(&files).await;
        assert!(said.contains(flag) && said.contains(reason), "{file}: {said}");
    }
    let files = SecretFiles::new(&authority, &pair);
    std::fs::remove_file(files.path("tls.key")).unwrap();
    let said = start(&files).await;
    assert!(said.contains("--tls-key-file") && said.contains("No such file"), "{said}");
}

#[tokio::test]
async fn with_an_authority_for_callers_all_but_probes_need_a_certificate() {
    let (authority, for_callers) = (Authority::new(), Authority::new());
    let pair = authority.signs(&[HERE]);
    let callers = SecretFiles::new(&for_callers, &pair);
    let secure = Secure::with(authority, &pair, &callers.flag("--tls-client-ca-file", "ca.crt")).await;
    let showing = |pair: &Pair| secure.spoken_to_by(client(&secure.authority, Some(pair)));
    let without = &*secure.contract;
    let with = showing(&for_callers.signs(&["a caller"]));
    eventually("the server is ready", SOON, async || {
        (without.get("/readyz").await.status == 200).then_some(())
    })
    .await;
    without.get("/livez").await.expect(200);
    for path in
        ["/metrics", "/api/metrics/prometheus", "/api/metrics/query", "/", "/openapi.json", "/nowhere"]
    {
        without.get(path).await.problem(403, "certificate-required");
    }
    let body = json!({"name": "w", "component_type": "worker_pool"});
    without.post("/api/worker/pool/register", &body).await.problem(403, "certificate-required");
    with.post("/api/worker/pool/register", &body).await.ok();
    with.get("/api/metrics/prometheus").await.expect(200);
    // One that another authority signed, or that has ended, is worse than none.
    for bad in [secure.authority.signs(&["a caller"]), for_callers.signs_until(&["a caller"], 2001)] {
        showing(&bad).try_send(Method::GET, "/livez", &[], Vec::new()).await.unwrap_err();
    }
    let refused = async || (handshakes(&with, "client_certificate").await >= 2.0).then_some(());
    eventually("both are counted", SOON, refused).await;
}

/// The certificate that a new connection is shown.
async fn shown(secure: &Secure) -> Vec<u8> {
    let fresh = client(&secure.authority, None).tls_info(true).build().unwrap();
    let answer = fresh.get(format!("https://{}/livez", secure.address())).send().await.unwrap();
    let info = answer.extensions().get::<reqwest::tls::TlsInfo>().unwrap();
    info.peer_certificate().unwrap().to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_is_taken_up_and_a_broken_one_is_not_while_requests_go_on() {
    let secure = Secure::start().await;
    secure.contract.ready().await;
    let first = shown(&secure).await;
    let (done, asked) = (AtomicBool::new(false), AtomicU32::new(0));
    let ask = async |fresh: bool| {
        let kept = secure.spoken_to_by(client(&secure.authority, None));
        while !done.load(Ordering::Relaxed) {
            let http =
                if fresh { secure.spoken_to_by(client(&secure.authority, None)) } else { kept.clone() };
            http.get("/livez").await.expect(200);
            asked.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let change = async {
        let http = &secure.contract;
        let next = secure.authority.signs_until(&[HERE], 3000);
        secure.files.replace(&next);
        let second = eventually("another certificate is shown", SOON, async || {
            Some(shown(&secure).await).filter(|shown| *shown != first)
        })
        .await;
        let ends = metric(http, "noetl_metrics_tls_certificate_not_after_seconds", &[]).await;
        assert_eq!(ends, 32_503_680_000.0, "the year 3000");
        // A certificate without its key: what there is stays, and it is said.
        let before = metric(http, "noetl_metrics_tls_reload_failures_total", &[]).await;
        secure.files.put("tls.crt", &secure.authority.signs(&[HERE]).cert);
        eventually("it is counted", SOON, async || {
            (metric(http, "noetl_metrics_tls_reload_failures_total", &[]).await > before).then_some(())
        })
        .await;
        secure.contract.server.says(&["--tls-key-file", "it is not the key of the certificate"]).await;
        assert_eq!(shown(&secure).await, second);
        done.store(true, Ordering::Relaxed);
    };
    tokio::join!(ask(true), ask(false), change);
    assert!(asked.load(Ordering::Relaxed) > 10);
}

#[tokio::test]
async fn a_certificate_that_has_ended_is_shown_by_the_metric() {
    let authority = Authority::new();
    let ended = authority.signs_until(&[HERE], 2001);
    let secure = Secure::with(authority, &ended, &[]).await;
    let careless = secure.spoken_to_by(Http::builder().tls_danger_accept_invalid_certs(true));
    let ends = metric(&careless, "noetl_metrics_tls_certificate_not_after_seconds", &[]).await;
    assert_eq!(ends, 978_307_200.0, "the year 2001");
    let error = secure.contract.try_send(Method::GET, "/livez", &[], Vec::new()).await.unwrap_err();
    assert!(format!("{error:?}").contains("Expired"), "{error:?}");
}
