//! Real processes and kill -9: of the server, of PostgreSQL, of both, of maintenance, at any moment of a
//! stream of random reports.
//!
//! `KILLS=100..120` runs other seeds than `make test` does.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use http::Method;
use proptest::strategy::{Strategy, ValueTree as _};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use sqlx::Row as _;

use crate::agree::same;
use crate::busy::TURNS;
use crate::harness::{Cluster, Contract, Http, now, spawn};
use crate::histories::{range, rng};
use crate::history::{COMPONENTS, report};
use crate::reference::{Key, Reference, Rows, Sample, component_name, samples_of, time};

/// A component that reports until it is told to stop, and sends again what was not acknowledged.
struct Client {
    number: u8,
    http: Http,
    /// What was acknowledged.
    reference: Reference,
    /// Requests that had no answer, or an error.
    retries: u64,
}

impl Client {
    async fn run(&mut self, runner: &mut TestRunner, go_on: &AtomicBool) {
        while go_on.load(Ordering::Relaxed) {
            let mut next = report().new_tree(runner).expect("a report").current();
            // A gauge may be anything.
            (next.component, next.metric) = (self.number, next.metric & !1);
            // Many small ones: a kill comes between two, and in one.
            (next.series, next.times) = (next.series.min(100), next.times.min(20));
            let mut samples = samples_of(&next, now());
            for sample in samples.iter_mut().filter(|sample| sample.value().is_nan()) {
                // JSON has one word for all of them.
                sample.bits = f64::NAN.to_bits();
            }
            let body = json!({
                "component_name": component_name(self.number),
                "metrics": samples.iter().map(written).collect::<Value>(),
            });
            self.send(&body.to_string()).await;
            self.reference.write(&samples);
        }
    }

    async fn send(&mut self, body: &str) {
        let headers = [("content-type", "application/json")];
        loop {
            let body = body.as_bytes().to_vec();
            match self.http.try_send(Method::POST, "/api/metrics/report", &headers, body).await {
                Ok(answer) if answer.status == 200 => {
                    assert_eq!(answer.json().get("rejected"), None, "{}", answer.text());
                    return;
                }
                Ok(answer) => assert_eq!(answer.status, 503, "{}", answer.text()),
                Err(_) => {}
            }
            self.retries += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn written(sample: &Sample) -> Value {
    let value = match sample.value() {
        v if v.is_nan() => json!("NaN"),
        f64::INFINITY => json!("+Inf"),
        f64::NEG_INFINITY => json!("-Inf"),
        v => json!(v),
    };
    json!({
        "metric_name": sample.key.metric_name(),
        "metric_type": sample.key.kind().as_str(),
        "metric_value": value,
        "timestamp": time(sample.at),
        "labels": {"i": sample.key.label.to_string()},
    })
}

/// What is stored of the clients' samples.
async fn stored(contract: &Contract) -> Rows {
    let sql = "select r.name, m.metric_name, m.labels->>'i', (extract(epoch from m.timestamp) * 1000)::bigint, \
                 m.metric_value from noetl.metrics m join noetl.runtime r using (runtime_id) where r.name ~ '^c[0-9]$'";
    let mut rows = Rows::new();
    for row in sqlx::query(sql).fetch_all(&contract.database.pool).await.unwrap() {
        let key = Key::of(row.get(0), row.get(1), row.get(2)).expect("a client's series");
        let (at, value): (i64, f64) = (row.get(3), row.get(4));
        let twice = rows.entry(key).or_default().insert(at, value.to_bits());
        assert_eq!(twice, None, "{key:?} at {} is there twice", time(at));
    }
    rows
}

/// `noetl-metrics maintenance`, which seals and merges.
fn maintenance(contract: &Contract) -> std::process::Child {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--", env!("CARGO_BIN_EXE_noetl-metrics"), "maintenance"])
        .args(["--database-url", &contract.database.url, "--retention-raw", "90d"])
        .env_clear()
        .envs(crate::harness::clock())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    spawn(command)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_or_doubled_by_kill_9() {
    let cluster = Arc::new(Cluster::durable());
    let mut contract = Contract::on(cluster.database().await, &[]).await;
    contract.ready().await;
    let mut clients: Vec<Client> = Vec::new();
    for number in 0..COMPONENTS {
        contract.register(&component_name(number)).await;
        let http = Http::new(contract.server.address);
        clients.push(Client { number, http, reference: Reference::default(), retries: 0 });
    }
    for seed in range("KILLS", "0..10") {
        let _turn = TURNS.read().await;
        let mut runner = rng(seed);
        let mut pick =
            |strategy: std::ops::Range<u64>| strategy.new_tree(&mut runner).expect("a number").current();
        let (before, after, sealing) = (pick(20..900), pick(20..500), pick(0..600));
        let (server_dies, postgres_dies) = [(true, false), (false, true), (true, true)][pick(0..3) as usize];
        let mut runners: Vec<TestRunner> =
            (0..u64::from(COMPONENTS)).map(|number| rng(seed << 8 | number)).collect();
        let go_on = AtomicBool::new(true);
        let disturb = async {
            let seals = async {
                tokio::time::sleep(Duration::from_millis(sealing)).await;
                maintenance(&contract)
            };
            let (mut seals, ()) = tokio::join!(seals, tokio::time::sleep(Duration::from_millis(before)));
            if postgres_dies {
                cluster.kill();
            }
            let _ = seals.kill();
            let _ = seals.wait();
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
            tokio::time::sleep(Duration::from_millis(after)).await;
            go_on.store(false, Ordering::Relaxed);
        };
        let report = clients.iter_mut().zip(&mut runners).map(|(client, runner)| client.run(runner, &go_on));
        tokio::join!(disturb, join_all(report));
        let acknowledged: Rows = clients.iter().flat_map(|client| client.reference.rows.clone()).collect();
        if let Err(why) = same(&stored(&contract).await, &acknowledged, "noetl.metrics") {
            panic!("KILLS={seed}..{}: {why}", seed + 1);
        }
    }
    let retries: u64 = clients.iter().map(|client| client.retries).sum();
    assert!(retries > 0, "kills came while reports were under way");
}
