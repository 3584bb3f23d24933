//! `noetl-metrics top` without a terminal: a table or JSON, once, of what the server says.

use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use crate::alerting::Rules;
use crate::harness::{Contract, Reply, SOON, Target, eventually, free_port, gauge};
use crate::replicas::Pair;

pub async fn top(url: &str, flags: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_noetl-metrics"));
    command.args(["top", "--server-url", url]).args(flags).env_clear().envs(crate::harness::clock());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

async fn seen(url: &str, flags: &[&str]) -> Value {
    let output = top(url, &[&["--once", "-o", "json"], flags].concat()).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn component<'a>(seen: &'a Value, name: &str) -> &'a Value {
    let found = seen["components"].as_array().unwrap().iter().find(|c| c["name"] == name);
    found.unwrap_or_else(|| panic!("{name} is not in {seen}"))
}

fn url(contract: &Contract) -> String {
    format!("http://{}", contract.server.address)
}

#[tokio::test]
async fn it_shows_what_components_report() {
    let contract = Contract::start().await;
    let id = contract.register("worker-1").await;
    contract.register_as("node-1", "node_agent").await;
    let values = json!([
        gauge("noetl_process_cpu_percent", 12.5),
        gauge("noetl_system_cpu_usage_percent", 90.0),
        gauge("noetl_process_memory_rss_bytes", 1_572_864.0),
        gauge("noetl_worker_active_tasks", 3.0),
        gauge("noetl_worker_queue_size", 0.0),
    ]);
    contract.report("worker-1", values.clone()).await.ok();
    contract.report("node-1", values).await.ok();
    let seen = seen(&url(&contract), &[]).await;
    let worker = component(&seen, "worker-1");
    assert_eq!(worker["runtime_id"], id, "{seen}");
    for (field, value) in [
        ("type", json!("worker_pool")),
        ("status", json!("up")),
        ("cpu_percent", json!(12.5)),
        ("memory_bytes", json!(1_572_864.0)),
        ("active_tasks", json!(3.0)),
        ("queue_size", json!(0.0)),
        ("series", json!(5)),
        ("samples_per_second", Value::Null),
    ] {
        assert_eq!(worker[field], value, "{field}: {seen}");
    }
    assert!(worker["report_age_seconds"].as_i64().unwrap() <= SOON.as_secs() as i64, "{seen}");
    let node = component(&seen, "node-1");
    assert_eq!((&node["cpu_percent"], &node["memory_bytes"]), (&json!(90.0), &Value::Null), "{seen}");
    let total = &seen["total"];
    assert_eq!(
        (&total["active_workers"], &total["silent"], &seen["alerts"]),
        (&json!(1), &json!(0), &Value::Null)
    );
    assert!(total["report_p99_seconds"].as_f64().unwrap() > 0.0, "{seen}");
    assert_eq!(seen["notices"], json!([]));
}

#[tokio::test]
async fn without_a_terminal_it_prints_a_table_once() {
    let contract = Contract::start().await;
    contract.register("worker-of-a-very-long-name-that-is-not-cut-0001").await;
    contract.register("b").await;
    contract.report("b", json!([gauge("noetl_worker_active_tasks", 7.0)])).await.ok();
    for flags in [&["--sort-by", "tasks"][..], &["--once", "--sort-by", "tasks"]] {
        let output = top(&url(&contract), flags).await;
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{text}");
        let lines: Vec<&str> = text.lines().collect();
        let titles: Vec<&str> = lines[0].split_whitespace().collect();
        assert_eq!(
            titles,
            ["NAME", "TYPE", "STATUS", "HEARD", "CPU%", "MEM", "TASKS", "QUEUE", "SERIES", "SAMP/S"]
        );
        let first: Vec<&str> = lines[1].split_whitespace().collect();
        assert_eq!((first[0], first[1], first[2], first[6]), ("b", "worker_pool", "up", "7"), "{text}");
        assert!(
            text.contains("\nworker-of-a-very-long-name-that-is-not-cut-0001  worker_pool  up "),
            "{text}"
        );
        assert!(text.contains("workers 2") && !text.contains('\u{1b}'), "{text}");
    }
}

#[tokio::test]
async fn what_fell_silent_is_first_and_has_no_values() {
    let contract = Contract::with(&["--stale-after", "1s"]).await;
    contract.register("a-gone").await;
    contract.report("a-gone", json!([gauge("noetl_worker_active_tasks", 1.0)])).await.ok();
    eventually("it is silent, and the first", SOON, async || {
        let seen = seen(&url(&contract), &[]).await;
        let first = &seen["components"][0];
        (first["name"] == "a-gone" && first["status"] == "silent" && first["active_tasks"].is_null())
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn alerts_that_fire_are_shown() {
    let rule =
        "{name: TooMany, metric: noetl_worker_active_tasks, comparison: '>', threshold: 5, summary: s}";
    let rules = Rules::new(&format!("rules: [{rule}]"));
    let contract = Contract::with(&[&rules.flag(), "--rules-interval=1s"]).await;
    contract.register("w").await;
    contract.report("w", json!([gauge("noetl_worker_active_tasks", 7.0)])).await.ok();
    let alert = json!({"name": "TooMany", "state": "firing", "count": 1});
    eventually("the alert fires", SOON, async || {
        (seen(&url(&contract), &[]).await["alerts"] == json!([alert])).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_not_the_active_one_says_so() {
    let pair = Pair::with(&[]).await;
    let body = json!({"name": "w", "component_type": "worker_pool"});
    pair.https[0].post("/api/worker/pool/register", &body).await.ok();
    let body = json!({"component_name": "w", "metrics": [gauge("noetl_worker_active_tasks", 7.0)]});
    pair.https[0].post("/api/metrics/report", &body).await.ok();
    let seen = seen(&format!("http://{}", pair.servers[1].address), &[]).await;
    assert!(seen["notices"].to_string().contains("not the active one"), "{seen}");
    assert_eq!(component(&seen, "w")["active_tasks"], 7.0, "values are the active server's: {seen}");
}

#[tokio::test]
async fn behind_a_service_the_active_server_is_found() {
    let pair = Pair::with(&[]).await;
    let body = json!({"name": "w", "component_type": "worker_pool"});
    pair.https[0].post("/api/worker/pool/register", &body).await.ok();
    let body = json!({"component_name": "w", "metrics": [gauge("noetl_worker_active_tasks", 7.0)]});
    pair.https[0].post("/api/metrics/report", &body).await.ok();
    // Each connection goes to the next server.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let service = format!("http://{}", listener.local_addr().unwrap());
    let servers = [1, 0].map(|at| pair.servers[at].address);
    tokio::spawn(async move {
        for server in servers.into_iter().cycle() {
            let (mut client, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut server = TcpStream::connect(server).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    for _ in 0..3 {
        let seen = seen(&service, &[]).await;
        assert_eq!(
            (&component(&seen, "w")["active_tasks"], &seen["notices"]),
            (&json!(7.0), &json!([])),
            "{seen}"
        );
    }
}

#[tokio::test]
async fn a_server_that_is_away_or_closed_is_an_error_in_a_sentence() {
    let away = format!("http://127.0.0.1:{}", free_port());
    for flags in [&["--once"][..], &["-o", "json"]] {
        let output = top(&away, flags).await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.starts_with(&format!("noetl-metrics: {away}: ")) && said.contains("refused"), "{said}");
        assert!(output.stdout.is_empty());
    }
    let dir = tempfile::tempdir().unwrap();
    let tokens = dir.path().join("tokens");
    std::fs::write(&tokens, "# who reads\nsecret rights=read\n").unwrap();
    let tokens = tokens.to_str().unwrap();
    let contract = Contract::with(&["--auth-token-file", tokens, "--auth-read", "required"]).await;
    let output = top(&url(&contract), &[]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("401"), "{output:?}");
    let seen = seen(&url(&contract), &["--auth-token-file", tokens]).await;
    assert_eq!(seen["notices"], json!([]));
    assert!(!seen.to_string().contains("secret"));
    let output = top(&url(&contract), &["--auth-token-file", "/nowhere/token"]).await;
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("--auth-token-file /nowhere/token"),
        "{output:?}"
    );
}

#[tokio::test]
async fn what_another_program_answers_is_bounded_and_an_error() {
    let target = Target::text("").await;
    let url = format!("http://{}", target.address);
    for (reply, said) in [
        (Reply::Endless, "/api/metrics/components has more than 32 MiB"),
        (Reply::Json("[]".into()), "/api/metrics/components is not as this program knows it"),
        (Reply::Raw(404, String::new(), b"nothing".to_vec()), "/api/metrics/components answers 404"),
    ] {
        target.answer("/api/metrics/components", reply);
        let output = top(&url, &[]).await;
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && error.contains(said), "{error}");
    }
}
