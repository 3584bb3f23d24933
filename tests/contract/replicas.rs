//! Several servers on one database: one is active, the others forward to it and take over.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use http::Method;
use noetl_metrics::wire::encoding::{Encoding, compress, decompress};
use serde_json::json;

use crate::durability::{Client, check_stored};
use crate::harness::{
    Cluster, Contract, Database, Exposition, Http, SOON, Server, eventually, free_port, gauge, remote_write,
};
use crate::traces::open_metrics;

/// Short, so that the tests are; a busy machine must still be able to renew it.
pub const LEASE: Duration = Duration::from_secs(3);

/// Two servers on one database.
pub struct Pair {
    pub database: Database,
    pub servers: [Server; 2],
    pub https: [Http; 2],
    flags: Vec<String>,
}

async fn server_with(database: &Database, port: u16, more: &[String]) -> Server {
    let listen = format!("127.0.0.1:{port}");
    let mut flags =
        vec!["--advertise-url".into(), format!("http://{listen}"), "--lease-duration".into(), "3s".into()];
    flags.extend_from_slice(more);
    Server::start(&listen, &database.url, &flags).await
}

impl Pair {
    /// Two servers that are ready, of which the first is active.
    async fn start() -> Self {
        Self::with(&[]).await
    }

    /// The same with these flags.
    pub async fn with(flags: &[String]) -> Self {
        let database = Cluster::shared().database().await;
        let first = server_with(&database, free_port(), flags).await;
        is_ready(&Http::new(first.address)).await;
        let second = server_with(&database, free_port(), flags).await;
        let https = [Http::new(first.address), Http::new(second.address)];
        is_ready(&https[1]).await;
        Self { database, servers: [first, second], https, flags: flags.to_vec() }
    }

    /// Starts one again at the same address; it was stopped or killed before.
    pub async fn start_again(&mut self, which: usize) {
        let port = self.servers[which].address.port();
        self.servers[which] = server_with(&self.database, port, &self.flags).await;
    }

    /// Clients that are registered, and each know both, half of them one first and half the other.
    pub async fn clients(&self) -> Vec<Client> {
        let http = |which: usize| Http::new(self.servers[which].address);
        let clients: Vec<Client> = (0..8).map(|i| Client::of_two(i, http(i % 2), http(1 - i % 2))).collect();
        for client in &clients {
            let body = json!({"name": client.name, "component_type": "worker_pool"});
            self.https[0].post("/api/worker/pool/register", &body).await.ok();
        }
        clients
    }

    /// Waits until this one is active.
    pub async fn becomes_active(&self, which: usize, within: Duration) {
        eventually("the other one takes over", within, async || {
            (is_active(&self.https[which]).await == Some(true)).then_some(())
        })
        .await;
    }
}

async fn is_ready(http: &Http) {
    eventually("a server is ready", Duration::from_mins(1), async || {
        let answer = http.try_send(Method::GET, "/readyz", &[], Vec::new()).await;
        answer.is_ok_and(|a| a.status == 200).then_some(())
    })
    .await;
}

/// What a server says of itself; nothing where it does not answer.
async fn is_active(http: &Http) -> Option<bool> {
    let answer = http.try_send(Method::GET, "/metrics", &[], Vec::new()).await.ok()?;
    let read = Exposition::checked(answer.text());
    let ready = read.get("noetl_metrics_ready", &[])? == "1";
    Some(read.get("noetl_metrics_active", &[])? == "1" && ready)
}

#[tokio::test]
async fn a_server_that_is_not_active_forwards_and_exports_nothing() {
    let pair = Pair::start().await;
    assert_eq!(is_active(&pair.https[0]).await, Some(true));
    assert_eq!(is_active(&pair.https[1]).await, Some(false));
    let standby = &pair.https[1];
    standby
        .post("/api/worker/pool/register", &json!({"name": "w", "component_type": "worker_pool"}))
        .await
        .ok();
    let body = json!({"component_name": "w", "metrics": [gauge("m", 1.0)]});
    let reply = standby.post("/api/metrics/report", &body).await.ok();
    assert_eq!(reply["metrics_inserted"], 1);
    let series = [remote_write::Series::new("written", &[("instance", "i")]).at(crate::harness::now(), 1.0)];
    let body = compress(Encoding::Snappy, &remote_write::encode_v2(&series)).unwrap();
    let headers = [("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request")];
    let answer = standby.send(Method::POST, "/api/v1/write", &headers, body).await.expect(204);
    assert_eq!(answer.header("x-prometheus-remote-write-samples-written"), "1");
    // Errors, queries and pages come from the active one as they are.
    let bad = standby.post("/api/metrics/report", &json!({"component_name": "none", "metrics": []})).await;
    bad.problem(404, "unknown-component");
    let found = standby.get("/api/metrics/query?metric_name=m").await.ok();
    assert_eq!(found["metrics"][0]["metric_value"], 1.0);
    let page = standby.get("/?refresh=off").await;
    assert!(page.status == 200 || page.status == 400, "{}", page.status);
    let exported = Exposition::checked(pair.https[0].get("/api/metrics/prometheus").await.expect(200).text());
    assert_eq!(exported.get("m", &[("component", "w")]), Some("1"));
    for (accept, text) in [("text/plain", ""), ("application/openmetrics-text;version=1.0.0", "# EOF\n")] {
        let answer =
            standby.send(Method::GET, "/api/metrics/prometheus", &[("accept", accept)], Vec::new()).await;
        assert_eq!((answer.status, answer.text()), (200, text), "{accept}");
    }
    // Unless it is asked for the active server's, as through a Service, with whatever else is asked.
    for http in &pair.https {
        let answer = http.get("/api/metrics/prometheus?active=1&match[]=m").await.expect(200);
        assert_eq!(Exposition::checked(answer.text()).get("m", &[("component", "w")]), Some("1"));
        http.get("/api/metrics/prometheus?active=yes").await.problem(400, "invalid-parameter");
        // As it was packed by the active one, and not again.
        let gzip = [("accept-encoding", "gzip")];
        let path = "/api/metrics/prometheus?active=1";
        let answer = http.send(Method::GET, path, &gzip, Vec::new()).await.expect(200);
        assert_eq!(answer.header("content-encoding"), "gzip");
        let text = decompress(Encoding::Gzip, &answer.body, 1 << 20).unwrap();
        let text = std::str::from_utf8(&text).unwrap();
        assert_eq!(Exposition::checked(text).get("m", &[("component", "w")]), Some("1"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_or_doubled_when_another_server_takes_over() {
    let mut pair = Pair::start().await;
    let mut clients = pair.clients().await;
    let mut active = 0;
    for round in 0..6 {
        let go_on = AtomicBool::new(true);
        let disturb = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let began = Instant::now();
            match round % 3 {
                // Dies.
                0 => pair.servers[active].kill(),
                // Is told to stop, and gives the lease back.
                1 => pair.servers[active].terminate(),
                // Hangs, and goes on where it was once another one is active.
                _ => crate::harness::signal("STOP", pair.servers[active].pid()),
            }
            let patience = if round % 3 == 1 { Duration::from_secs(3) } else { LEASE + SOON };
            pair.becomes_active(1 - active, patience).await;
            assert!(round % 3 == 1 || began.elapsed() >= LEASE / 2, "it waited for the lease to end");
            if round % 3 == 2 {
                crate::harness::signal("CONT", pair.servers[active].pid());
            } else {
                pair.servers[active].ended(SOON).await;
                pair.start_again(active).await;
            }
            eventually("the former one forwards", SOON, async || {
                (is_active(&pair.https[active]).await == Some(false)).then_some(())
            })
            .await;
            is_ready(&pair.https[active]).await;
            active = 1 - active;
            tokio::time::sleep(Duration::from_millis(300)).await;
            go_on.store(false, Ordering::Relaxed);
        };
        tokio::join!(disturb, join_all(clients.iter_mut().map(|c| c.run(&go_on))));
        check_stored(&pair.database, &clients, &format!("round {round}")).await;
    }
}

#[tokio::test]
async fn a_server_that_hung_does_not_export_beside_the_one_that_took_over() {
    let pair = Pair::start().await;
    let body = json!({"name": "w", "component_type": "worker_pool"});
    pair.https[0].post("/api/worker/pool/register", &body).await.ok();
    let report = json!({"component_name": "w", "metrics": [gauge("m", 1.0)]});
    pair.https[0].post("/api/metrics/report", &report).await.ok();
    crate::harness::signal("STOP", pair.servers[0].pid());
    pair.becomes_active(1, LEASE + SOON).await;
    // They are answered the moment it goes on, before it had time to look at the lease.
    let scrapes: Vec<_> = (0..20)
        .map(|_| {
            let http = Http::new(pair.https[0].address);
            tokio::spawn(async move { http.get("/api/metrics/prometheus").await })
        })
        .collect();
    let looks: Vec<_> = (0..20)
        .map(|_| {
            let http = Http::new(pair.https[0].address);
            tokio::spawn(async move { is_active(&http).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    crate::harness::signal("CONT", pair.servers[0].pid());
    for look in join_all(looks).await {
        assert_ne!(look.unwrap(), Some(true), "it says that it is active");
    }
    for answer in join_all(scrapes).await {
        let answer = answer.unwrap();
        if answer.status == 503 {
            answer.problem(503, answer.json()["type"].as_str().unwrap().trim_start_matches("/problems/"));
        } else {
            assert_eq!((answer.status, answer.text()), (200, ""));
        }
    }
}

#[tokio::test]
async fn the_server_that_takes_over_exports_the_newest_exemplars() {
    let mut pair = Pair::start().await;
    let standby = &pair.https[1];
    let worker = json!({"name": "w", "component_type": "worker_pool"});
    standby.post("/api/worker/pool/register", &worker).await.ok();
    let metric = json!({"metric_name": "a_total", "metric_type": "counter", "metric_value": 1,
        "exemplars": [{"labels": {"trace_id": "t"}, "value": 0.5}]});
    let body = json!({"component_name": "w", "metrics": [metric]});
    standby.post("/api/metrics/report", &body).await.ok();
    let before = open_metrics(&pair.https[0]).await.exemplar("a_total", &[]);
    assert_eq!(before.as_ref().unwrap().1, "0.5");
    pair.servers[0].kill();
    pair.becomes_active(1, SOON * 2).await;
    assert_eq!(open_metrics(&pair.https[1]).await.exemplar("a_total", &[]), before);
    let found = pair.https[1].get("/api/metrics/exemplars?trace_id=t").await.ok();
    assert_eq!(found["count"], 1);
}

#[tokio::test]
async fn a_lease_that_is_a_server_s_own_is_not_waited_for() {
    let database = Cluster::shared().database().await;
    let listen = format!("127.0.0.1:{}", free_port());
    let flags =
        ["--advertise-url".into(), format!("http://{listen}"), "--lease-duration".into(), "1m".into()];
    let server = Server::start(&listen, &database.url, &flags).await;
    let http = Http::new(server.address);
    is_ready(&http).await;
    // As when what it sent before it gave up arrives afterwards.
    sqlx::raw_sql("update noetl_metrics.lease set epoch = epoch + 1, renewed_at = clock_timestamp()")
        .execute(&database.pool)
        .await
        .unwrap();
    eventually("it is active in an epoch of its own again", SOON * 2, async || {
        (database.column::<i64>("select epoch from noetl_metrics.lease").await == [3]).then_some(())
    })
    .await;
    is_ready(&http).await;
    assert_eq!(is_active(&http).await, Some(true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lease_does_not_move_with_the_clock_of_the_database() {
    let pair = Pair::start().await;
    let epoch = "select epoch from noetl_metrics.lease";
    let before: Vec<i64> = pair.database.column(epoch).await;
    // What is renewed looks an hour old at once, as where the clock is an hour ahead now.
    let sql = "create function shift() returns trigger language plpgsql as \
                 'begin new.renewed_at := new.renewed_at + tg_argv[0]::interval; return new; end'; \
               create trigger shift before update on noetl_metrics.lease for each row execute function shift('-1h')";
    sqlx::raw_sql(sql).execute(&pair.database.pool).await.unwrap();
    let renewals = "select renewals from noetl_metrics.lease";
    let seen: i64 = pair.database.column(renewals).await[0];
    eventually("it was renewed for two leases", SOON * 2, async || {
        (pair.database.column::<i64>(renewals).await[0] >= seen + 8).then_some(())
    })
    .await;
    assert_eq!(pair.database.column::<i64>(epoch).await, before, "nobody took it from one that renews it");
    assert_eq!(is_active(&pair.https[0]).await, Some(true));
    // An hour young, as where the clock was set back: nobody waits for an hour.
    let sql = "drop trigger shift on noetl_metrics.lease; \
               create trigger shift before update on noetl_metrics.lease for each row execute function shift('1h')";
    sqlx::raw_sql(sql).execute(&pair.database.pool).await.unwrap();
    eventually("it was renewed", SOON, async || {
        let young = "select renewed_at > clock_timestamp() from noetl_metrics.lease";
        (pair.database.column::<bool>(young).await == [true]).then_some(())
    })
    .await;
    let mut pair = pair;
    pair.servers[0].kill();
    pair.becomes_active(1, LEASE + SOON).await;
}

#[tokio::test]
async fn a_server_whose_lease_was_taken_stores_nothing_more() {
    let contract = Contract::start().await;
    contract.register("w").await;
    contract.report("w", json!([gauge("m", 1.0)])).await.ok();
    // As another server would that starts without --advertise-url.
    contract
        .run("update noetl_metrics.lease set epoch = epoch + 1, holder = 'another', renewed_at = clock_timestamp(), duration = '2 s'")
        .await;
    let refused = contract.report("w", json!([gauge("m", 2.0)])).await;
    refused.problem(503, "unavailable");
    let new = contract
        .post("/api/worker/pool/register", &json!({"name": "v", "component_type": "worker_pool"}))
        .await;
    assert_eq!(new.status, 503, "{}", new.text());
    assert_eq!(contract.value::<i64>("select count(*) from noetl.metrics where metric_name = 'm'").await, 1);
    // The other one is gone without giving it back.
    eventually("it is active again", SOON, async || {
        let answer = contract.report("w", json!([gauge("m", 3.0)])).await;
        (answer.status == 200).then_some(())
    })
    .await;
    assert_eq!(contract.value::<i64>("select epoch from noetl_metrics.lease").await, 3);
}

#[tokio::test]
async fn a_password_that_rotates_is_read_again() {
    let database = Cluster::shared().database().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("url");
    std::fs::write(&path, "postgres://nobody:wrong@127.0.0.1:1/none").unwrap();
    let flags = ["--database-url-file".to_owned(), path.to_string_lossy().into_owned()];
    let server = Server::start("127.0.0.1:0", "", &flags).await;
    let http = Http::new(server.address);
    eventually("it says what is wrong", SOON, async || {
        let answer = http.try_send(Method::GET, "/readyz", &[], Vec::new()).await.ok()?;
        (answer.status == 503 && answer.text().contains("unavailable")).then_some(())
    })
    .await;
    std::fs::write(&path, format!("{}\n", database.url)).unwrap();
    is_ready(&http).await;
}
