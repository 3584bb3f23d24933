//! PostgreSQL away, slow or full: what clients are told, and that all heals.

use std::process::Stdio;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::harness::{Cluster, Contract, Http, Proxy, SOON, Server, eventually, free_port, gauge, now};

/// A server behind a proxy that is closed.
async fn behind_a_closed_door(flags: &[&str]) -> (Contract, Proxy) {
    let database = Cluster::shared().database().await;
    let proxy = Proxy::closed(&database);
    let through = crate::harness::Database { url: proxy.url(&database), ..database };
    (Contract::on(through, flags).await, proxy)
}

/// One answer, within a time that a client waits for.
async fn send(contract: &Contract, method: Method, path: &str, body: &Value) -> crate::harness::Answer {
    let body = if method == Method::GET { Vec::new() } else { body.to_string().into_bytes() };
    let sent = contract.send(method, path, &[("content-type", "application/json")], body);
    tokio::time::timeout(SOON, sent).await.unwrap_or_else(|_| panic!("{path}: no answer within {SOON:?}"))
}

const NEED_THE_DATABASE: &[(&str, &str)] = &[
    ("POST", "/api/metrics/report"),
    ("GET", "/api/metrics/query"),
    ("POST", "/api/metrics/self-report"),
    ("POST", "/api/metrics/cleanup"),
    ("POST", "/api/metrics/partitions/create"),
    ("POST", "/api/metrics/ttl/set?metric_name=m"),
    ("POST", "/api/worker/pool/register"),
    ("POST", "/heartbeat"),
    ("GET", "/api/worker/pools"),
];

async fn all_are_refused(contract: &Contract, slugs: &[&str]) {
    let body = json!({"name": "w", "component_name": "w", "metrics": [gauge("m", 1.0)]});
    let asked = NEED_THE_DATABASE.iter().map(async |(method, path)| {
        let answer = send(contract, method.parse().unwrap(), path, &body).await;
        let slug =
            answer.json()["type"].as_str().unwrap_or_default().trim_start_matches("/problems/").to_owned();
        assert!(slugs.contains(&&*slug), "{path}: {} {}", answer.status, answer.text());
        answer.problem(503, &slug);
    });
    join_all(asked).await;
}

async fn is_alive_but_not_ready(contract: &Contract, reason: &str) {
    contract.get("/livez").await.expect(200);
    contract.get("/metrics").await.expect(200);
    let ready = send(contract, Method::GET, "/readyz", &json!(null)).await.expect(503);
    assert!(ready.text().contains(reason), "{}", ready.text());
}

#[tokio::test]
async fn a_server_waits_for_a_database_that_is_away_at_its_start() {
    let (contract, proxy) = behind_a_closed_door(&[]).await;
    is_alive_but_not_ready(&contract, "[-]started failed").await;
    all_are_refused(&contract, &["starting"]).await;
    contract.get("/api/metrics/prometheus").await.problem(503, "starting");
    proxy.open().await;
    contract.ready().await;
    contract.register("w").await;
    contract.report("w", json!([gauge("m", 1.0)])).await.ok();
    assert_eq!(contract.query("metric_name=m").await.len(), 1);
}

#[tokio::test]
async fn a_database_that_goes_away_is_told_and_its_return_heals_all() {
    let (contract, proxy) = behind_a_closed_door(&["--stale-after", "3s"]).await;
    proxy.open().await;
    contract.ready().await;
    contract.register("w").await;
    let at = now() - 1000;
    let report = json!([crate::harness::gauge_at("m", 1.0, at)]);
    contract.report("w", report.clone()).await.ok();
    proxy.close().await;
    // Reports with series that are new wait for each other, but not one time-out each.
    let many = (0..12).map(async |i| {
        let body = json!({"component_name": "w", "metrics": [gauge(&format!("new_{i}"), 1.0)]});
        send(&contract, Method::POST, "/api/metrics/report", &body).await.problem(503, "unavailable");
    });
    tokio::join!(
        all_are_refused(&contract, &["unavailable"]),
        is_alive_but_not_ready(&contract, "[-]database failed"),
        join_all(many)
    );
    // What is in memory can be scraped, and the timer goes on.
    eventually("the silent component leaves", Duration::from_secs(10), async || {
        contract.export().await.of("w").is_empty().then_some(())
    })
    .await;
    proxy.open().await;
    contract.ready().await;
    contract.report("w", report).await.ok();
    assert_eq!(
        crate::report::values(&contract, "m").await,
        [1.0],
        "once, although it may have been sent often"
    );
    assert_eq!(contract.export().await.get("m", &[]), Some("1"));
}

#[tokio::test]
async fn a_table_that_is_locked_is_a_503_and_not_a_fault_of_the_server() {
    let contract = Contract::start().await;
    contract.register("w").await;
    contract.report("w", json!([gauge("m", 1.0)])).await.ok();
    let tables = "lock table noetl_metrics.sample, noetl_metrics.block, noetl_metrics.series, noetl.runtime in access exclusive mode";
    // The server's own report may be under way, and lock them in another order.
    let lock = eventually("the tables are locked", SOON, async || {
        let mut lock = contract.database.pool.begin().await.unwrap();
        sqlx::raw_sql(tables).execute(&mut *lock).await.ok().map(|_| lock)
    })
    .await;
    let body = |name: &str| json!({"component_name": "w", "metrics": [gauge(name, 2.0)]});
    let (known, new, registration, query) = (body("m"), body("new"), json!({"name": "v"}), Value::Null);
    let asked = [
        (Method::POST, "/api/metrics/report", &known),
        (Method::POST, "/api/metrics/report", &new),
        (Method::POST, "/api/worker/pool/register", &registration),
        (Method::GET, "/api/metrics/query?metric_name=m", &query),
    ];
    let asked = asked.map(async |(method, path, body)| {
        send(&contract, method, path, body).await.problem(503, "unavailable");
    });
    join_all(asked).await;
    lock.rollback().await.unwrap();
    contract.report("w", json!([gauge("m", 3.0), gauge("new", 1.0)])).await.ok();
}

#[tokio::test]
async fn slow_queries_do_not_keep_reports_waiting() {
    let contract = Contract::start().await;
    contract.register("w").await;
    contract.report("w", json!([gauge("m", 1.0)])).await.ok();
    // Queries describe their rows by this table; a report of a known series does not need it.
    let mut lock = contract.database.pool.begin().await.unwrap();
    sqlx::raw_sql("lock table noetl_metrics.metric_name in access exclusive mode")
        .execute(&mut *lock)
        .await
        .unwrap();
    let queries = join_all(
        (0..30).map(|_| send(&contract, Method::GET, "/api/metrics/query?metric_name=m", &Value::Null)),
    );
    let reports = async {
        let waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
        eventually("queries wait", SOON, async || (contract.value::<i64>(waiting).await > 1).then_some(()))
            .await;
        for _ in 0..10 {
            let began = Instant::now();
            contract.report("w", json!([gauge("m", 2.0)])).await.ok();
            assert!(began.elapsed() < Duration::from_secs(3), "a report took {:?}", began.elapsed());
        }
        lock.rollback().await.unwrap();
    };
    let (answers, ()) = tokio::join!(queries, reports);
    for answer in answers {
        if answer.status != 200 {
            answer.problem(503, "unavailable");
        }
    }
}

#[tokio::test]
async fn too_much_that_waits_is_a_429() {
    let contract = Contract::start().await;
    contract.register("w").await;
    contract.report("w", json!([gauge("m", 1.0)])).await.ok();
    let mut lock = contract.database.pool.begin().await.unwrap();
    sqlx::raw_sql("lock table noetl_metrics.sample, noetl_metrics.block in access exclusive mode")
        .execute(&mut *lock)
        .await
        .unwrap();
    let one = gauge("m", 1.0).to_string();
    let body = format!(r#"{{"component_name": "w", "metrics": [{}]}}"#, vec![one; 200_000].join(","));
    let packed = crate::report::pack("zstd", body.as_bytes());
    let headers = [("content-encoding", "zstd")];
    let sent = join_all(
        (0..6).map(|_| contract.send(Method::POST, "/api/metrics/report", &headers, packed.clone())),
    );
    let unlock = async {
        let refused = "noetl_metrics_reports_refused_total";
        eventually("a report is refused", Duration::from_mins(1), async || {
            (crate::export::own_metric(&contract, refused).await >= 1.0).then_some(())
        })
        .await;
        lock.rollback().await.unwrap();
    };
    let (answers, ()) = tokio::join!(sent, unlock);
    let mut refused = 0;
    for answer in answers {
        match answer.status {
            200 => {}
            429 => {
                refused += 1;
                answer.problem(429, "too-many-requests");
            }
            _ => drop(answer.problem(503, "unavailable")),
        }
    }
    assert!(refused >= 1);
    contract.report("w", json!([gauge("m", 2.0)])).await.ok();
}

#[tokio::test]
async fn an_old_schema_is_told_and_no_report_is_taken() {
    let database = Cluster::shared().empty_database().await;
    let contract = Contract::on(database, &["--no-migrate"]).await;
    eventually("the reason is told", SOON, async || {
        let ready = contract.get("/readyz?verbose").await.expect(503);
        ready.text().contains("run noetl-metrics migrate").then_some(())
    })
    .await;
    contract.report("w", json!([])).await.problem(503, "starting");
    let migrate = std::process::Command::new(env!("CARGO_BIN_EXE_noetl-metrics"))
        .args(["migrate", "--database-url", &contract.database.url])
        .output()
        .unwrap();
    assert!(migrate.status.success(), "{}", String::from_utf8_lossy(&migrate.stderr));
    contract.ready().await;
}

#[tokio::test]
async fn migrate_waits_for_a_database_where_it_is_told_to() {
    let database = Cluster::shared().empty_database().await;
    let proxy = Proxy::closed(&database);
    let migrate = |flags: &[&str]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_noetl-metrics"));
        command.args(["migrate", "--database-url", &proxy.url(&database)]).args(flags);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    };
    let refused = migrate(&[]).output().await.unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("the database is unavailable"), "{said}");

    let mut waiting = migrate(&["--wait", "60s"]).spawn().unwrap();
    let mut log = BufReader::new(waiting.stderr.take().unwrap()).lines();
    let line = log.next_line().await.unwrap().unwrap();
    assert!(line.contains("waits 60s at most for the database"), "{line}");
    proxy.open().await;
    let done = waiting.wait_with_output().await.unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success() && said.contains("applied [1, "), "{said}");
}

#[tokio::test]
async fn servers_that_start_at_once_bring_the_schema_forward_once() {
    let database = Cluster::shared().empty_database().await;
    let start = || async {
        let listen = format!("127.0.0.1:{}", free_port());
        let flags = ["--advertise-url".to_owned(), format!("http://{listen}")];
        Server::start(&listen, &database.url, &flags).await
    };
    let servers = join_all((0..4).map(|_| start())).await;
    let https: Vec<Http> = servers.iter().map(|s| Http::new(s.address)).collect();
    for http in &https {
        eventually("it is ready", Duration::from_mins(1), async || {
            let answer = http.try_send(Method::GET, "/readyz", &[], Vec::new()).await;
            answer.is_ok_and(|a| a.status == 200).then_some(())
        })
        .await;
    }
    https[0]
        .post("/api/worker/pool/register", &json!({"name": "w", "component_type": "worker_pool"}))
        .await
        .ok();
    https[1]
        .post("/api/metrics/report", &json!({"component_name": "w", "metrics": [gauge("m", 1.0)]}))
        .await
        .ok();
    let applied = "select count(*) - count(distinct version) from noetl_metrics.migration";
    assert_eq!(database.column::<i64>(applied).await, [0]);
    let epoch = "select epoch from noetl_metrics.lease";
    assert_eq!(database.column::<i64>(epoch).await, [1], "one of them became active");
    assert_eq!(https[2].get("/api/metrics/query?metric_name=m").await.ok()["count"], 1);
}
