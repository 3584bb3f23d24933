//! Agents, `check` and other servers as clients.

use std::time::Duration;

use http::Method;
use serde_json::json;

use super::{HERE, Secure, client, handshakes, metric};
use crate::check::{check, fails, line};
use crate::harness::{
    Agent, Authority, Cluster, Http, SOON, SecretFiles, Server, eventually, free_port, gauge,
};
use crate::top::top;

/// A name that no resolver knows, so that only certificates are for it.
const NAME: &str = "noetl-server.noetl.svc";
/// Long enough for a busy machine.
const LONG: Duration = Duration::from_mins(1);

fn words(flags: &[String]) -> Vec<&str> {
    flags.iter().map(String::as_str).collect()
}

#[tokio::test]
async fn an_agent_reports_by_tls_with_the_certificate_that_its_files_hold_now() {
    let authority = Authority::new();
    let for_callers = Authority::new();
    // What the agent has at first nobody would take.
    let agents = SecretFiles::new(&authority, &Authority::new().signs(&["an agent"]));
    let callers = SecretFiles::new(&for_callers, &authority.signs(&[HERE]));
    let pair = authority.signs(&[NAME]);
    let secure = Secure::with(authority, &pair, &callers.flag("--tls-client-ca-file", "ca.crt")).await;
    let mut flags = agents.client_flags();
    let others = ["--tls-server-name", NAME, "--metrics-interval", "1s", "--heartbeat-interval", "1s"];
    flags.extend(others.map(str::to_owned));
    let _agent = Agent::start_by_tls(secure.address(), &words(&flags));
    let resolved = client(&secure.authority, Some(&for_callers.signs(&["a reader"])));
    let http = secure.spoken_to_by(resolved.tls_danger_accept_invalid_hostnames(true));
    eventually("the agent is refused", LONG, async || {
        (handshakes(&http, "client_certificate").await >= 1.0).then_some(())
    })
    .await;
    agents.replace(&for_callers.signs(&["an agent"]));
    eventually("its reports are stored", LONG, async || {
        let stored = secure.contract.value::<i64>("select count(*) from noetl.metrics").await;
        (stored > 0).then_some(())
    })
    .await;
    let sql = "select max(metric_value)::bigint from noetl.metrics where metric_name = \
               'noetl_agent_tls_certificate_not_after_seconds'";
    eventually("it says how long its certificate is good for", LONG, async || {
        let ends = secure.contract.column::<Option<i64>>(sql).await[0];
        // The beginning of the year 4000.
        (ends == Some(64_060_588_800)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn check_says_what_is_wrong_with_a_certificate() {
    let secure = Secure::start().await;
    secure.contract.ready().await;
    let url = format!("https://{}", secure.address());
    let good = secure.files.flag("--tls-ca-file", "ca.crt").to_vec();
    let (output, steps) = check(&url, &words(&good)).await;
    assert!(output.status.success(), "{steps}");
    assert_eq!(line(&steps, "tls-expiry")["status"], "passed", "{steps}");
    let strangers = SecretFiles::new(&Authority::new(), &secure.authority.signs(&[HERE]));
    let other_name = [&good[..], &["--tls-server-name".to_owned(), NAME.to_owned()]].concat();
    for (flags, id, said) in [
        (
            strangers.flag("--tls-ca-file", "ca.crt").to_vec(),
            "tls-trusted",
            "is of no authority that is trusted",
        ),
        (other_name, "tls-trusted", "is for another name"),
        (strangers.flag("--tls-ca-file", "nothing").to_vec(), "input", "--tls-ca-file"),
    ] {
        let (output, steps) = check(&url, &words(&flags)).await;
        assert!(!output.status.success());
        fails(&steps, id, said);
    }
    let plain = format!("http://{}", secure.address());
    let (_, steps) = check(&plain, &[]).await;
    fails(&steps, "answers", "https://");
}

#[tokio::test]
async fn top_verifies_the_server_that_it_looks_at() {
    let secure = Secure::start().await;
    secure.contract.ready().await;
    let url = format!("https://{}", secure.address());
    let output = top(&url, &words(&secure.files.flag("--tls-ca-file", "ca.crt"))).await;
    assert!(output.status.success(), "{output:?}");
    let strangers = SecretFiles::new(&Authority::new(), &secure.authority.signs(&[HERE]));
    let output = top(&url, &words(&strangers.flag("--tls-ca-file", "ca.crt"))).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("is of no authority that is trusted"), "{said}");
}

#[tokio::test]
async fn check_says_that_a_certificate_has_ended_or_will_soon() {
    let secure = Secure::start().await;
    secure.contract.ready().await;
    let url = format!("https://{}", secure.address());
    let flags = secure.files.flag("--tls-ca-file", "ca.crt");
    secure.files.replace(&secure.authority.signs_until(&[HERE], 2020));
    eventually("it is told", SOON, async || {
        let (_, steps) = check(&url, &words(&flags)).await;
        (line(&steps, "tls-trusted")["status"] == "failed")
            .then(|| fails(&steps, "tls-trusted", "has expired"))
    })
    .await;
    secure.files.replace(&secure.authority.signs_for(&[HERE], Duration::from_hours(24 * 7)));
    eventually("it is told", SOON, async || {
        let (output, steps) = check(&url, &words(&flags)).await;
        let soon = line(&steps, "tls-expiry");
        (soon["status"] == "warning").then(|| {
            assert!(output.status.success() && soon["hint"].is_string(), "{steps}");
            assert_eq!(soon["detail"], "it ends in 6 days");
        })
    })
    .await;
}

#[tokio::test]
async fn servers_forward_to_each_other_by_name_whatever_their_addresses() {
    let authority = Authority::new();
    // Valid for the Service's name, as in Kubernetes; what is advertised is an address.
    let files = SecretFiles::new(&authority, &authority.signs(&[NAME]));
    let database = Cluster::shared().database().await;
    let start = async |flags: Vec<String>| {
        let listen = format!("{HERE}:{}", free_port());
        let mut all = [flags, files.client_flags()].concat();
        all.extend(files.flag("--tls-client-ca-file", "ca.crt"));
        all.extend(["--advertise-url".to_owned(), format!("https://{listen}")]);
        all.extend(["--lease-duration", "3s"].map(str::to_owned));
        let server = Server::start(&listen, &database.url, &all).await;
        let caller = authority.signs(&["a caller"]);
        let resolved = client(&authority, Some(&caller)).tls_danger_accept_invalid_hostnames(true);
        let http = Http::secure(server.address, resolved);
        eventually("a server is ready", LONG, async || {
            let answer = http.try_send(Method::GET, "/readyz", &[], Vec::new()).await;
            answer.is_ok_and(|a| a.status == 200).then_some(())
        })
        .await;
        (server, http)
    };
    let named = ["--tls-server-name".to_owned(), NAME.to_owned()].to_vec();
    let (_active, _) = start(named.clone()).await;
    let (_standby, http) = start(named).await;
    assert_eq!(metric(&http, "noetl_metrics_active", &[]).await, 0.0);
    http.post("/api/worker/pool/register", &json!({"name": "w", "component_type": "worker_pool"})).await.ok();
    let body = json!({"component_name": "w", "metrics": [gauge("m", 1.0)]});
    assert_eq!(http.post("/api/metrics/report", &body).await.ok()["metrics_inserted"], 1);
    // Without the name an address is what a certificate would have to be for.
    let (third, http) = start(Vec::new()).await;
    http.post("/api/metrics/report", &body).await.problem(503, "unavailable");
    eventually("it is said why", SOON, async || {
        third.logged(&["could not forward", "is for another name"]).then_some(())
    })
    .await;
}
