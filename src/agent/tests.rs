//! The whole agent against a server that answers as it is told.

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::stub::{Recorded, Stub};
use super::{AgentConfig, AgentError, ServerUrl, run};

const REGISTER: &str = "/api/worker/pool/register";
const HEARTBEAT: &str = "/api/worker/pool/heartbeat";
const DEREGISTER: &str = "/api/worker/pool/deregister";
const REPORT: &str = "/api/metrics/report";

/// An agent that runs until it is stopped.
struct Running {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), AgentError>>,
}

impl Running {
    fn start(config: AgentConfig) -> Self {
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(run(config, async {
            let _ = stopped.await;
        }));
        Self { stop: Some(stop), task }
    }

    /// As `kill -9` would: nothing of it runs any more.
    async fn kill(mut self) {
        self.task.abort();
        assert!((&mut self.task).await.unwrap_err().is_cancelled());
    }

    async fn stop(mut self) -> Duration {
        let begun = Instant::now();
        self.stop.take().unwrap().send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(20), &mut self.task).await.unwrap().unwrap().unwrap();
        begun.elapsed()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn config(url: &str) -> AgentConfig {
    AgentConfig {
        metrics_interval: Duration::from_millis(200),
        heartbeat_interval: Duration::from_millis(100),
        worker_id: Some("w-1".into()),
        pool_name: Some("worker-cpu".into()),
        ..AgentConfig::new(ServerUrl::parse(url).unwrap())
    }
}

fn problem(slug: &str, detail: &str) -> String {
    json!({"type": format!("/problems/{slug}"), "detail": detail}).to_string()
}

/// Values of a report, by name and the labels that tell series apart.
fn values(report: &Recorded) -> HashMap<String, f64> {
    let metrics = report.body["metrics"].as_array().unwrap();
    metrics.iter().map(|m| (series(m), m["metric_value"].as_f64().unwrap_or(f64::NAN))).collect()
}

fn series(metric: &Value) -> String {
    let name = metric["metric_name"].as_str().unwrap();
    let own = |(k, _): &(&String, &Value)| !matches!(k.as_str(), "hostname" | "pool_name");
    let mut labels: Vec<_> =
        metric["labels"].as_object().unwrap().iter().filter(own).map(|(k, v)| format!("{k}={v}")).collect();
    labels.sort();
    if labels.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", labels.join(",")) }
}

fn time_of(report: &Recorded) -> String {
    report.body["metrics"][0]["timestamp"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn it_registers_and_reports_at_once() {
    let stub = Stub::start().await;
    let begun = Instant::now();
    let config = AgentConfig { metrics_interval: Duration::from_mins(1), ..config(&stub.url()) };
    let agent = Running::start(config);
    let report = stub.wait_for(REPORT, 1).await.remove(0);
    let took = report.at - begun;
    assert!(took < Duration::from_millis(1500), "the first report came after {took:?}");

    let registered = &stub.requests(REGISTER)[0].body;
    assert_eq!(registered["name"], "w-1");
    assert_eq!(registered["component_type"], "worker_pool");
    assert_eq!(registered["labels"]["pool_name"], "worker-cpu");

    assert_eq!(report.body["component_name"], "w-1");
    assert_eq!(report.body["component_type"], "worker_pool");
    assert!(report.head.contains("content-encoding: zstd"), "{}", report.head);
    let metrics = report.body["metrics"].as_array().unwrap();
    assert!(metrics.len() > 100, "only {} samples", metrics.len());
    for metric in metrics {
        assert_eq!(metric["labels"]["pool_name"], "worker-cpu", "{metric}");
        assert!(metric["labels"]["hostname"].is_string(), "{metric}");
        assert!(metric["timestamp"].as_str().unwrap().ends_with('Z'), "{metric}");
    }
    let values = values(&report);
    for name in [
        "noetl_system_cpu_usage_percent",
        "noetl_system_memory_usage_percent",
        "noetl_process_memory_rss_bytes",
        "noetl_uptime_seconds",
        "node_load1",
        "noetl_agent_reports_sent_total",
        "noetl_agent_queue_bytes",
        r#"noetl_agent_collector_success{collector="cpu"}"#,
    ] {
        assert!(values.contains_key(name), "{name} is missing");
    }
    agent.stop().await;
}

#[tokio::test]
async fn reports_held_while_the_server_is_away_arrive_in_order_behind_fresh_ones() {
    // An address where nobody listens.
    let addr = Stub::start().await.addr;
    let agent = Running::start(AgentConfig { drain_rate: 10_000, ..unhurried(&format!("http://{addr}")) });
    tokio::time::sleep(LONG_OUTAGE).await;
    let back = crate::model::Millis::now().rfc3339();
    let stub = Stub::start_at(addr).await;
    let history = wait_for_history(&stub, &back, 3).await;
    assert!(history.is_sorted(), "{history:?}");
    let reports = stub.requests(REPORT);
    let times: Vec<_> = reports.iter().map(time_of).collect();
    assert!(times[0] > history[0], "the newest values come first: {times:?}");
    assert_eq!(times.len(), times.iter().collect::<std::collections::HashSet<_>>().len(), "each once");
    let dropped = values(&reports[0])[r#"noetl_agent_reports_dropped_total{reason="queue_full"}"#];
    assert!(dropped < 1.0, "{dropped}");
    agent.stop().await;
}

/// Waits for so many reports of before the server was `back` that came behind a newer one; their times.
async fn wait_for_history(stub: &Stub, back: &str, count: usize) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let times: Vec<_> = stub.requests(REPORT).iter().map(time_of).collect();
        let mut newest = String::new();
        let mut history = Vec::new();
        for time in times {
            // On a busy machine it may get history of its own after that.
            if time < newest && time.as_str() < back {
                history.push(time);
            } else {
                newest = newest.max(time);
            }
        }
        if history.len() >= count {
            return history;
        }
        assert!(Instant::now() < deadline, "only {history:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Long enough for twice the reports that are waited for afterwards.
const LONG_OUTAGE: Duration = Duration::from_secs(7);

/// With an interval in which a busy machine too has time to send more than the newest values.
fn unhurried(url: &str) -> AgentConfig {
    AgentConfig { metrics_interval: Duration::from_secs(1), ..config(url) }
}

/// Waits until so many reports are on disk.
async fn wait_for_records(dir: &std::path::Path, count: usize) {
    let deadline = Instant::now() + Duration::from_mins(1);
    let records = || -> usize {
        let files = fs::read_dir(dir.join("spool")).into_iter().flatten().flatten();
        let bytes = files.filter_map(|file| fs::read(file.path()).ok());
        bytes.map(|bytes| memchr::memmem::find_iter(&bytes, &super::spool::RECORD_MAGIC).count()).sum()
    };
    while records() < count {
        assert!(Instant::now() < deadline, "{} of {count} records", records());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The lock of the spool, once an agent that was killed within a write has let go of it: its thread ends
/// the write, as the system does for a process.
async fn free(dir: &std::path::Path) -> fs::File {
    let lock = fs::File::open(dir.join("spool/lock")).unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    while lock.try_lock().is_err() {
        assert!(Instant::now() < deadline, "the spool is still held");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    lock
}

fn with_spool(dir: &std::path::Path, url: &str) -> AgentConfig {
    let spool = Some(super::SpoolConfig { dir: dir.join("spool"), max_bytes: 1 << 20 });
    AgentConfig { spool, drain_rate: 100_000, ..unhurried(url) }
}

#[tokio::test]
async fn reports_of_an_outage_are_on_disk_and_sent_by_the_next_agent() {
    let dir = tempfile::tempdir().unwrap();
    let addr = Stub::start().await.addr;
    let config = with_spool(dir.path(), &format!("http://{addr}"));
    let agent = Running::start(config.clone());
    wait_for_records(dir.path(), 3).await;
    agent.kill().await;
    drop(free(dir.path()).await);
    let ended = crate::model::Millis::now().rfc3339();
    let stub = Stub::start_at(addr).await;
    let agent = Running::start(config);
    let history = wait_for_history(&stub, &ended, 3).await;
    assert!(history.is_sorted(), "{history:?}");
    let report = stub.requests(REPORT).pop().unwrap();
    let values = values(&report);
    assert!((values["noetl_agent_spool_up"] - 1.0).abs() < 1e-9);
    for name in ["spool_bytes", "spool_samples", "spool_oldest_age_seconds", "spool_faults_total"] {
        assert!(values.contains_key(&format!("noetl_agent_{name}")), "{name}");
    }
    agent.stop().await;
}

#[tokio::test]
async fn a_spool_that_another_still_holds_at_the_start_is_sent_once_it_is_free() {
    let dir = tempfile::tempdir().unwrap();
    let addr = Stub::start().await.addr;
    let config = with_spool(dir.path(), &format!("http://{addr}"));
    let agent = Running::start(config.clone());
    wait_for_records(dir.path(), 1).await;
    agent.kill().await;
    let lock = free(dir.path()).await;
    let ended = crate::model::Millis::now().rfc3339();
    let stub = Stub::start_at(addr).await;
    let agent = Running::start(config);
    let report = stub.wait_for(REPORT, 1).await.remove(0);
    assert!(values(&report)["noetl_agent_spool_up"] < 1.0);
    drop(lock);
    wait_for_history(&stub, &ended, 1).await;
    agent.stop().await;
}

#[tokio::test]
async fn what_cannot_be_sent_at_the_end_is_kept_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let addr = Stub::start().await.addr;
    let config = with_spool(dir.path(), &format!("http://{addr}"));
    let agent = Running::start(config.clone());
    tokio::time::sleep(Duration::from_secs(3)).await;
    agent.stop().await;
    let ended = crate::model::Millis::now().rfc3339();
    let stub = Stub::start_at(addr).await;
    let agent = Running::start(config);
    assert!(wait_for_history(&stub, &ended, 1).await.is_sorted());
    agent.stop().await;
}

#[tokio::test]
async fn while_the_server_answers_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let stub = Stub::start().await;
    let agent = Running::start(with_spool(dir.path(), &stub.url()));
    stub.wait_for(REPORT, 5).await;
    agent.stop().await;
    let mut names: Vec<_> =
        fs::read_dir(dir.path().join("spool")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["cursor", "lock"]);
    assert_eq!(fs::metadata(dir.path().join("spool/cursor")).unwrap().len(), 0);
}

#[tokio::test]
async fn a_spool_that_cannot_be_used_leaves_reports_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("spool"), "no directory").unwrap();
    let addr = Stub::start().await.addr;
    let agent = Running::start(with_spool(dir.path(), &format!("http://{addr}")));
    tokio::time::sleep(LONG_OUTAGE).await;
    let back = crate::model::Millis::now().rfc3339();
    let stub = Stub::start_at(addr).await;
    assert!(wait_for_history(&stub, &back, 2).await.is_sorted());
    let values = values(&stub.requests(REPORT).pop().unwrap());
    assert!(values["noetl_agent_spool_up"] < 1.0);
    assert!(values["noetl_agent_spool_faults_total"] >= 1.0);
    agent.stop().await;
}

#[tokio::test]
async fn an_unknown_component_registers_and_sends_the_same_again() {
    let stub = Stub::start().await;
    stub.reply(REPORT, [(404, "", problem("unknown-component", "Component 'w-1' not found"))]);
    let agent = Running::start(config(&stub.url()));
    let reports = stub.wait_for(REPORT, 2).await;
    assert_eq!(reports[0].body, reports[1].body);
    assert!(stub.requests(REGISTER).len() >= 2);
    agent.stop().await;
}

#[tokio::test]
async fn a_forgotten_heartbeat_registers_again() {
    let stub = Stub::start().await;
    stub.reply(HEARTBEAT, [(404, "", problem("unknown-component", "unknown"))]);
    let config = AgentConfig { metrics_interval: Duration::from_mins(1), ..config(&stub.url()) };
    let agent = Running::start(config);
    stub.wait_for(REGISTER, 2).await;
    let beats = stub.wait_for(HEARTBEAT, 3).await;
    assert_eq!(beats[0].body, json!({"name": "w-1", "component_type": "worker_pool"}));
    agent.stop().await;
}

#[tokio::test]
async fn a_server_without_registration_still_gets_reports() {
    let stub = Stub::start().await;
    stub.reply(REGISTER, (0..1000).map(|_| (404, "", "nothing here".to_owned())));
    stub.reply(HEARTBEAT, (0..1000).map(|_| (404, "", "nothing here".to_owned())));
    let agent = Running::start(config(&stub.url()));
    stub.wait_for(REPORT, 3).await;
    assert_eq!(stub.requests(REGISTER).len(), 1);
    agent.stop().await;
    assert!(stub.requests(DEREGISTER).is_empty());
}

#[tokio::test]
async fn a_refused_report_is_dropped_and_counted() {
    let stub = Stub::start().await;
    stub.reply(REPORT, [(422, "", problem("invalid", "metrics: bad"))]);
    let agent = Running::start(config(&stub.url()));
    let reports = stub.wait_for(REPORT, 3).await;
    assert_ne!(time_of(&reports[0]), time_of(&reports[1]));
    let values = values(&reports[2]);
    assert!((values[r#"noetl_agent_reports_dropped_total{reason="refused"}"#] - 1.0).abs() < 1e-9);
    assert!((values["noetl_agent_reports_sent_total"] - 1.0).abs() < 1e-9);
    agent.stop().await;
}

#[tokio::test]
async fn rejected_samples_of_a_taken_report_are_counted() {
    let stub = Stub::start().await;
    let rejected = json!([{"index": 0, "field": "labels", "reason": "x"}, {"index": 3}]);
    stub.reply(REPORT, [(200, "", json!({"status": "ok", "rejected": rejected}).to_string())]);
    let agent = Running::start(config(&stub.url()));
    let reports = stub.wait_for(REPORT, 2).await;
    assert!((values(&reports[1])["noetl_agent_samples_rejected_total"] - 2.0).abs() < 1e-9);
    agent.stop().await;
}

#[tokio::test]
async fn an_overloaded_server_is_given_the_time_it_asks_for() {
    let stub = Stub::start().await;
    stub.reply(REPORT, [(429, "retry-after: 1\r\n", problem("busy", "too much waits"))]);
    // The next report would be fresher, and go first.
    let config = AgentConfig { metrics_interval: Duration::from_mins(1), ..config(&stub.url()) };
    let agent = Running::start(config);
    let reports = stub.wait_for(REPORT, 2).await;
    assert_eq!(reports[0].body, reports[1].body);
    let waited = reports[1].at - reports[0].at;
    assert!(waited >= Duration::from_secs(1), "only {waited:?}");
    assert!(stub.requests(HEARTBEAT).len() > 3, "heartbeats go on meanwhile");
    agent.stop().await;
}

#[tokio::test]
async fn server_errors_and_redirects_are_tried_again() {
    let stub = Stub::start().await;
    let replies =
        [(500, "", String::new()), (401, "", String::new()), (302, "location: /x\r\n", String::new())];
    stub.reply(REPORT, replies);
    // The next report would be fresher, and go first.
    let config = AgentConfig { metrics_interval: Duration::from_mins(1), ..config(&stub.url()) };
    let agent = Running::start(config);
    let reports = stub.wait_for(REPORT, 4).await;
    assert!(reports[..4].windows(2).all(|pair| pair[0].body == pair[1].body));
    assert!(stub.requests("/x").is_empty());
    agent.stop().await;
}

#[tokio::test]
async fn a_full_queue_drops_the_oldest_and_says_so() {
    let addr = Stub::start().await.addr;
    let config = AgentConfig {
        // Room for a few reports.
        buffer_bytes: 30_000,
        metrics_interval: Duration::from_millis(50),
        ..config(&format!("http://{addr}"))
    };
    let agent = Running::start(config);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let stub = Stub::start_at(addr).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let reports = stub.wait_for(REPORT, 1).await;
        let dropped =
            values(reports.last().unwrap())[r#"noetl_agent_reports_dropped_total{reason="queue_full"}"#];
        if dropped >= 1.0 {
            break;
        }
        assert!(Instant::now() < deadline, "nothing was dropped");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    agent.stop().await;
}

#[tokio::test]
async fn stopping_sends_what_is_left_and_signs_off() {
    let stub = Stub::start().await;
    stub.reply(REPORT, [(503, "retry-after: 60\r\n", String::new())]);
    let config = AgentConfig { metrics_interval: Duration::from_mins(1), ..config(&stub.url()) };
    let agent = Running::start(config);
    stub.wait_for(REPORT, 1).await;
    let took = agent.stop().await;
    assert!(took < Duration::from_secs(4), "{took:?}");
    assert_eq!(stub.requests(REPORT).len(), 2);
    assert_eq!(stub.requests(DEREGISTER)[0].body["name"], "w-1");
}

#[tokio::test]
async fn stopping_without_a_server_ends_all_the_same() {
    let addr = Stub::start().await.addr;
    let agent = Running::start(config(&format!("http://{addr}")));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let took = agent.stop().await;
    assert!(took < Duration::from_secs(8), "{took:?}");
}

#[tokio::test]
async fn text_files_are_handed_over_and_the_token_is_read_each_time() {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    fs::write(&token, "first\n").unwrap();
    let text = "# TYPE noetl_worker_active_tasks gauge\nnoetl_worker_active_tasks 3\n";
    fs::write(dir.path().join("worker.prom"), text).unwrap();
    let stub = Stub::start().await;
    let config = AgentConfig {
        textfile_dir: Some(dir.path().to_owned()),
        auth_token_file: Some(token.clone()),
        ..config(&stub.url())
    };
    let agent = Running::start(config);
    let report = stub.wait_for(REPORT, 1).await.remove(0);
    assert!(report.head.contains("authorization: bearer first"), "{}", report.head);
    let values = values(&report);
    assert!((values["noetl_worker_active_tasks"] - 3.0).abs() < 1e-9);
    assert!(!values.contains_key("noetl_worker_queue_size"), "absent, for nobody hands it over");
    assert!(values["noetl_agent_textfile_errors_total"].abs() < 1e-9);

    fs::write(&token, "second\n").unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !stub.requests(REPORT).iter().any(|r| r.head.contains("authorization: bearer second")) {
        assert!(Instant::now() < deadline, "the new token was not sent");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    agent.stop().await;
}
