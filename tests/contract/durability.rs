//! What was acknowledged is stored, once, whatever dies: the server, PostgreSQL, or both.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};

use crate::harness::{Cluster, Contract, Database, Http, SOON, eventually, now, time};

const CLIENTS: usize = 8;
const ROUNDS: usize = 10;
const LOAD: Duration = Duration::from_millis(1200);

/// A client that reports until it is told to stop, and sends again what was not acknowledged.
pub struct Client {
    pub name: String,
    http: Http,
    /// Another server, which is tried after each failure.
    other: Option<Http>,
    /// The next value; no two samples of a client have the same.
    next: u64,
    /// Time of the newest sample.
    at: i64,
    /// Values that got a 200.
    acknowledged: Vec<u64>,
    /// Reports that got no answer, or an error, before their 200.
    retries: u64,
}

impl Client {
    fn new(number: usize, http: Http) -> Self {
        let base = u64::try_from(number).unwrap() * 1_000_000_000;
        Self {
            name: format!("client-{number}"),
            http,
            other: None,
            next: base,
            at: 0,
            acknowledged: Vec::new(),
            retries: 0,
        }
    }

    /// One that knows two servers.
    pub fn of_two(number: usize, http: Http, other: Http) -> Self {
        Self { other: Some(other), ..Self::new(number, http) }
    }

    /// Half of the clients have so many series that their samples are stored in blocks.
    fn series(&self) -> &'static [&'static str] {
        let all = &["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
        if self.name.ends_with(['4', '5', '6', '7']) { all } else { &all[..3] }
    }

    /// A report with new samples, and its values. Half of the clients send times, the others a key.
    fn report(&mut self) -> (Value, Option<String>, Vec<u64>) {
        let with_key = self.name.ends_with(['1', '3', '5', '7']);
        // Without times a report has each series once, and needs a millisecond of its own.
        let rows = if with_key { 1 } else { 3 };
        let mut values = Vec::new();
        let mut metrics = Vec::new();
        for row in 0..rows {
            self.at = now().max(self.at + 1);
            for series in self.series() {
                self.next += 1;
                values.push(self.next);
                let mut one = json!({"metric_name": "load", "metric_type": "gauge", "metric_value": self.next, "labels": {"s": series}});
                if !with_key {
                    // Some arrive out of order: an hour ago, each at its own time.
                    let late = row == 2 && self.next.is_multiple_of(4);
                    one["timestamp"] = json!(time(if late { self.at - 3_600_000 } else { self.at }));
                }
                metrics.push(one);
            }
        }
        let key = with_key.then(|| self.next.to_string());
        (json!({"component_name": self.name, "metrics": metrics}), key, values)
    }

    pub async fn run(&mut self, go_on: &AtomicBool) {
        while go_on.load(Ordering::Relaxed) {
            let (body, key, values) = self.report();
            let body = body.to_string().into_bytes();
            let mut headers = vec![("content-type", "application/json")];
            headers.extend(key.as_deref().map(|k| ("idempotency-key", k)));
            loop {
                let sent =
                    self.http.try_send(Method::POST, "/api/metrics/report", &headers, body.clone()).await;
                match sent {
                    Ok(answer) if answer.status == 200 => break,
                    Ok(answer) => {
                        assert!(
                            matches!(answer.status, 409 | 429 | 503),
                            "{}: {}",
                            answer.status,
                            answer.text()
                        );
                        answer.problem(
                            answer.status,
                            answer.json()["type"].as_str().unwrap().trim_start_matches("/problems/"),
                        );
                    }
                    Err(_) => {}
                }
                self.retries += 1;
                if let Some(other) = &mut self.other {
                    std::mem::swap(&mut self.http, other);
                }
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
            self.acknowledged.extend(values);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

async fn check(contract: &Contract, clients: &[Client], round: &str) {
    check_stored(&contract.database, clients, round).await;
}

/// Compares what is stored with what was acknowledged; each client waits for its last 200 before it
/// stops, so the two are equal.
pub async fn check_stored(database: &Database, clients: &[Client], round: &str) {
    let mut stored: BTreeMap<u64, u32> = BTreeMap::new();
    for value in
        database.column::<f64>("select metric_value from noetl.metrics where metric_name = 'load'").await
    {
        *stored.entry(value as u64).or_default() += 1;
    }
    let twice: Vec<_> = stored.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "{round}: stored twice: {twice:?}");
    let missing: Vec<u64> =
        clients.iter().flat_map(|c| &c.acknowledged).filter(|v| !stored.contains_key(v)).copied().collect();
    assert!(missing.is_empty(), "{round}: acknowledged and lost: {} {missing:?}", missing.len());
    let acknowledged: usize = clients.iter().map(|c| c.acknowledged.len()).sum();
    assert_eq!(stored.len(), acknowledged, "{round}");
    let ids = "select count(*) - count(distinct metric_id) from noetl.metrics";
    assert_eq!(database.column::<i64>(ids).await, [0], "{round}: metric_id is unique");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_or_doubled_by_kill_9() {
    let cluster = Arc::new(Cluster::durable());
    let database = cluster.database().await;
    let mut contract = Contract::on(database, &[]).await;
    contract.ready().await;
    let mut clients: Vec<Client> =
        (0..CLIENTS).map(|i| Client::new(i, Http::new(contract.server.address))).collect();
    for client in &clients {
        contract.register(&client.name).await;
    }
    let mut retries = 0;
    for round in 0..ROUNDS {
        let go_on = AtomicBool::new(true);
        let (server_dies, postgres_dies) = [(true, false), (false, true), (true, true)][round % 3];
        let disturb = async {
            tokio::time::sleep(LOAD / 2).await;
            if postgres_dies {
                cluster.kill();
            }
            if server_dies {
                contract.server.kill();
            }
            if postgres_dies {
                let cluster = Arc::clone(&cluster);
                tokio::task::spawn_blocking(move || cluster.start()).await.unwrap();
            }
            if server_dies {
                contract.start_again().await;
            }
            tokio::time::sleep(LOAD / 2).await;
            go_on.store(false, Ordering::Relaxed);
        };
        let ((), _) = tokio::join!(disturb, join_all(clients.iter_mut().map(|c| c.run(&go_on))));
        check(&contract, &clients, &format!("round {round}")).await;
        let now: u64 = clients.iter().map(|c| c.retries).sum();
        // A server can bridge a short absence of PostgreSQL, its own it can't.
        assert!(now > retries || !server_dies, "round {round}: the kill came while reports were under way");
        retries = now;
    }
    // The server's own picture is right too: the newest value of each series is what it exports.
    let read = contract.export().await;
    for client in &clients {
        for series in ["a", "b", "c"] {
            let sql = format!(
                "select m.metric_value from noetl.metrics m join noetl.runtime r using (runtime_id) where r.name = '{}' \
                 and metric_name = 'load' and m.labels->>'s' = '{series}' order by timestamp desc limit 1",
                client.name
            );
            let newest = contract.value::<f64>(sql).await;
            let shown = read.get("load", &[("component", &client.name), ("s", series)]).unwrap();
            assert_eq!(shown.parse::<f64>().unwrap(), newest, "{} {series}", client.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_told_to_stop_has_stored_every_200() {
    let mut contract = Contract::start().await;
    let mut clients: Vec<Client> =
        (0..CLIENTS).map(|i| Client::new(i, Http::new(contract.server.address))).collect();
    for client in &clients {
        contract.register(&client.name).await;
    }
    for round in 0..3 {
        let go_on = AtomicBool::new(true);
        let stop = async {
            tokio::time::sleep(Duration::from_millis(400)).await;
            contract.server.terminate();
            let status = contract.server.ended(SOON).await;
            assert_eq!(status.code(), Some(0), "{status}");
            contract.start_again().await;
            go_on.store(false, Ordering::Relaxed);
        };
        tokio::join!(stop, join_all(clients.iter_mut().map(|c| c.run(&go_on))));
        check(&contract, &clients, &format!("stop {round}")).await;
    }
}

#[tokio::test]
async fn clients_that_hang_do_not_keep_a_server_from_stopping() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut contract = Contract::start().await;
    contract.register("w").await;
    let mut hanging = Vec::new();
    for bytes in [
        &b""[..],
        b"POST /api/metrics/report HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{",
        b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n",
    ] {
        let mut stream = tokio::net::TcpStream::connect(contract.server.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        hanging.push(stream);
    }
    // The last one got its answer, and keeps its connection.
    let read = hanging.last_mut().unwrap().read(&mut [0; 1024]).await.unwrap();
    assert!(read > 0);
    contract.server.terminate();
    let status = contract.server.ended(Duration::from_secs(15)).await;
    assert_eq!(status.code(), Some(0), "{status}");
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_a_whole_report_or_none() {
    let contract = Contract::start().await;
    contract.register("w").await;
    let contract = Arc::new(contract);
    let at = now() - 100_000;
    for i in 0..30_i64 {
        let metrics: Vec<Value> = (0..20)
            .map(|k| json!({"metric_name": "m", "metric_type": "gauge", "metric_value": i, "timestamp": time(at + i), "labels": {"k": k.to_string()}}))
            .collect();
        let sender = Arc::clone(&contract);
        let task = tokio::spawn(async move { sender.report("w", metrics.into()).await });
        tokio::time::sleep(Duration::from_micros(u64::try_from(i).unwrap() * 300)).await;
        task.abort();
    }
    contract.report("w", json!([crate::harness::gauge("last", 1.0)])).await.ok();
    eventually("all that is under way is done", SOON, async || {
        (crate::export::own_metric(&contract, "noetl_metrics_write_queue_samples").await == 0.0).then_some(())
    })
    .await;
    let parts =
        "select count(*) from noetl.metrics where metric_name = 'm' group by timestamp having count(*) <> 20";
    assert_eq!(contract.column::<i64>(parts).await, [0; 0]);
}
