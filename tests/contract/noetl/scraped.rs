//! What is scraped becomes components with the guide's metrics.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use super::shapes::{SERVER, STATUS, pools, worker};
use crate::harness::{Agent, Contract, Exposition, Reply, SOON, Target, eventually};
use crate::report::component;

/// Flags of an agent that is quick.
pub const QUICK: [&str; 4] = ["--scrape-interval", "1s", "--metrics-interval", "1s"];

/// The exposition, once the series of this name and label has this value.
pub async fn once(contract: &Contract, name: &str, label: (&str, &str), value: &str) -> Exposition {
    once_with(contract, name, &[label], value).await
}

/// The same for several labels.
async fn once_with(contract: &Contract, name: &str, labels: &[(&str, &str)], value: &str) -> Exposition {
    eventually(&format!("{name} of {labels:?} is {value}"), SOON, async || {
        let export = contract.export().await;
        (export.get(name, labels) == Some(value)).then_some(export)
    })
    .await
}

#[tokio::test]
async fn an_unmodified_noetl_has_every_metric_of_the_guide() {
    let contract = Contract::with(&["--stale-after", "4s"]).await;
    let (first, second) = (Target::text(&worker(3, 4)).await, Target::text(&worker(1, 4)).await);
    let noetl = Target::text(SERVER).await;
    noetl.answer("/api/status", Reply::Json(STATUS.into()));
    let rows = pools(&[("w-1", "cpu", 5), ("w-2", "gpu", 20), ("w-3", "gpu", 500)]);
    noetl.answer("/api/worker/pools", Reply::Json(rows));
    let targets = format!("{};name=w-1,{};name=w-2", first.url(), second.url());
    let server_url = format!("http://{}", noetl.address);
    let flags = [&QUICK[..], &["--scrape", &targets, "--noetl-server-url", &server_url]].concat();
    let _agent = Agent::start(contract.server.address, &flags);

    once(&contract, "noetl_worker_active_tasks", ("component", "w-1"), "3").await;
    once(&contract, "noetl_worker_active_tasks", ("component", "w-2"), "1").await;
    let server = noetl.address.to_string();
    let of_server = ("component", server.as_str());
    let export = once(&contract, "noetl_server_queue_size", of_server, "4").await;
    assert_eq!(export.get("noetl_server_active_workers", &[of_server]), Some("2"));
    assert_eq!(export.get("noetl_system_cpu_usage_percent", &[of_server]), Some("12.5"));
    assert_eq!(export.get("noetl_process_memory_rss_bytes", &[of_server]), Some("67108864"));
    assert_eq!(export.get("noetl_uptime_seconds", &[of_server]), Some("3600"));
    assert_eq!(export.count("noetl_worker_queue_size"), 1, "the consumer is shared, and counts once");
    assert_eq!(export.get("noetl_worker_queue_size", &[("consumer", "worker-pool")]), Some("4"));
    for (name, pool) in [("w-1", "cpu"), ("w-2", "gpu")] {
        once_pool(&contract, name, pool).await;
    }
    // Families of its own go along; what is not kept does not.
    assert_eq!(export.get("noetl_worker_pulls_total", &[("component", "w-1")]), Some("19"));
    let bucket = [("component", "w-1"), ("tool_kind", "python"), ("le", "+Inf")];
    assert_eq!(export.get("noetl_worker_dispatch_duration_seconds_bucket", &bucket), Some("9"));
    assert_eq!(export.count("noetl_worker_state_materializer_open_shards"), 0);
    // Absent is not zero, and why is said.
    let url = first.url();
    let absent = [("metric", "noetl_uptime_seconds"), ("reason", "no_process"), ("target", &url)];
    let export = once_with(&contract, "noetl_agent_scrape_absent", &absent, "1").await;
    assert!(export.get("noetl_uptime_seconds", &[("component", "w-1")]).is_none());

    // They follow what NoETL does.
    first.answer("/metrics", Reply::Text(worker(0, 7)));
    second.answer("/metrics", Reply::Text(worker(4, 7)));
    once(&contract, "noetl_worker_active_tasks", ("component", "w-1"), "0").await;
    once(&contract, "noetl_worker_active_tasks", ("component", "w-2"), "4").await;
    once(&contract, "noetl_server_queue_size", of_server, "7").await;

    // A worker that is gone is marked, its series leave, and the others stay.
    drop(first);
    once(&contract, "noetl_agent_scrape_up", ("target", &url), "0").await;
    eventually("its series have left", SOON, async || {
        contract.export().await.of("w-1").is_empty().then_some(())
    })
    .await;
    eventually("it is marked", SOON, async || {
        (component(&contract, "w-1").await["status"] == "silent").then_some(())
    })
    .await;
    assert_eq!(component(&contract, "w-2").await["status"], "up");
    // The other worker of the consumer carries its queue now.
    once(&contract, "noetl_worker_queue_size", ("component", "w-2"), "7").await;
}

/// Waits until samples of a component have this pool: it comes with NoETL's list of workers.
async fn once_pool(contract: &Contract, name: &str, pool: &str) {
    eventually(&format!("{name} is of {pool}"), SOON, async || {
        let export = contract.export().await;
        let of_pool = [("component", name), ("pool_name", pool)];
        export.get("noetl_worker_active_tasks", &of_pool).is_some().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_component_that_registered_itself_is_left_as_it_is() {
    let contract = Contract::start().await;
    let runtime = json!({"kind": "rust", "worker_public_key": "a2V5"});
    let body = json!({"name": "w-1", "component_type": "worker_pool", "runtime": runtime, "status": "ready"});
    contract.post("/api/worker/pool/register", &body).await.ok();
    let (known, unknown) = (Target::text(&worker(1, 0)).await, Target::text(&worker(2, 0)).await);
    let targets = format!("{};name=w-1,{}", known.url(), unknown.url());
    let flags = [&QUICK[..], &["--scrape", &targets]].concat();
    let _agent = Agent::start(contract.server.address, &flags);
    once(&contract, "noetl_worker_active_tasks", ("component", "w-1"), "1").await;
    let address = unknown.address.to_string();
    once(&contract, "noetl_worker_active_tasks", ("component", &address), "2").await;
    let key = "select runtime->>'worker_public_key' from noetl.runtime where name = 'w-1'";
    assert_eq!(contract.value::<String>(key).await, "a2V5");
    let uri = format!("select kind || ' ' || uri from noetl.runtime where name = '{address}'");
    assert_eq!(contract.value::<String>(uri).await, format!("worker_pool {}", unknown.url()));
}

#[tokio::test]
async fn a_server_that_was_just_started_is_up_and_empty() {
    let contract = Contract::start().await;
    let noetl = Target::text("").await;
    let server_url = format!("http://{}/api", noetl.address);
    let flags = [&QUICK[..], &["--noetl-server-url", &server_url]].concat();
    let _agent = Agent::start(contract.server.address, &flags);
    let url = noetl.url();
    once(&contract, "noetl_agent_scrape_up", ("target", &url), "1").await;
    let workers = [("metric", "noetl_server_active_workers"), ("reason", "no_answer")];
    once_with(&contract, "noetl_agent_scrape_absent", &workers, "1").await;
    noetl.answer("/metrics", Reply::Text(SERVER.into()));
    let server = noetl.address.to_string();
    let of_server = ("component", server.as_str());
    let export = once(&contract, "noetl_events_ingested_total", of_server, "19").await;
    let kind = [of_server, ("component_type", "server_api")];
    assert_eq!(export.get("noetl_events_ingested_total", &kind), Some("19"));
}

#[tokio::test]
async fn what_is_kept_is_said_by_flag_and_runs_never_become_labels() {
    let contract = Contract::start().await;
    let text = "app_jobs 1\napp_jobs{execution_id=\"7\"} 2\nother 3\nnoetl_up 1\n";
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    let headers = "content-type: text/plain\r\ncontent-encoding: gzip\r\n".to_owned();
    let target = Target::start(Reply::Raw(200, headers, gzip.finish().unwrap())).await;
    let spec = format!("{};name=billing;kind=application", target.url());
    let flags = [&QUICK[..], &["--scrape", &spec, "--scrape-keep", "app_*,noetl_up"]].concat();
    let _agent = Agent::start(contract.server.address, &flags);
    let export = once(&contract, "app_jobs", ("component", "billing"), "1").await;
    assert_eq!(export.get("noetl_up", &[("component_type", "application")]), Some("1"));
    assert_eq!((export.count("app_jobs"), export.count("other")), (1, 0));
    for reason in ["not_kept", "per_run"] {
        once(&contract, "noetl_agent_scrape_samples_dropped", ("reason", reason), "1").await;
    }
}

#[tokio::test]
async fn series_that_a_target_has_no_longer_leave_with_the_next_scrape() {
    let contract = Contract::start().await;
    let target = Target::text("noetl_worker_ready 1\nnoetl_worker_up{slot=\"1\"} 1\n").await;
    let spec = format!("{};name=w", target.url());
    let flags = [&QUICK[..], &["--scrape", &spec]].concat();
    let _agent = Agent::start(contract.server.address, &flags);
    once(&contract, "noetl_worker_up", ("slot", "1"), "1").await;
    target.answer("/metrics", Reply::Text("noetl_worker_ready 2\nnoetl_worker_up{slot=\"2\"} 1\n".into()));
    // The new one comes with the commit of the report, and what has ended leaves right after it.
    eventually("the new series alone", SOON, async || {
        let export = contract.export().await;
        let alone = export.count("noetl_worker_up") == 1;
        (alone && export.get("noetl_worker_up", &[("slot", "2")]) == Some("1")).then_some(())
    })
    .await;
    target.answer("/metrics", Reply::Raw(503, String::new(), Vec::new()));
    eventually("none is left", SOON, async || contract.export().await.of("w").is_empty().then_some(())).await;
    // Its history stays, and has no value for the end.
    assert!(
        contract.query("metric_name=noetl_worker_ready").await.iter().all(|m| m["metric_value"].is_number())
    );
    target.answer("/metrics", Reply::Text("noetl_worker_ready 3\n".into()));
    once(&contract, "noetl_worker_ready", ("component", "w"), "3").await;
}

#[tokio::test]
async fn a_process_on_this_machine_gives_cpu_memory_and_uptime() {
    let contract = Contract::start().await;
    // A program of this name on this machine, as NoETL's own would be.
    let spec = format!("http://{}/metrics;name=noetl-1;kind=server_api", contract.server.address);
    let flags = [&QUICK[..], &["--scrape", &spec]].concat();
    let _agent = Agent::start(contract.server.address, &flags);
    let of_it = [("component", "noetl-1")];
    let export = eventually("it takes two looks", SOON, async || {
        let export = contract.export().await;
        export.get("noetl_process_cpu_percent", &of_it).is_some().then_some(export)
    })
    .await;
    let value = |name: &str| export.get(name, &of_it).map(|value| value.parse::<f64>().unwrap());
    let resident = value("noetl_process_memory_rss_bytes").unwrap();
    assert!((1e6..1e10).contains(&resident), "{resident}");
    assert!((0.0..600.0).contains(&value("noetl_uptime_seconds").unwrap()));
    assert!((0.0..=100.0).contains(&value("noetl_system_cpu_usage_percent").unwrap()));
    assert!((0.0..=100.0).contains(&value("noetl_system_memory_usage_percent").unwrap()));
    let workers = [("metric", "noetl_server_active_workers"), ("reason", "not_asked")];
    once_with(&contract, "noetl_agent_scrape_absent", &workers, "1").await;
}

#[tokio::test]
async fn a_target_that_comes_back_is_scraped_again() {
    let contract = Contract::start().await;
    let target = Target::start(Reply::Raw(503, String::new(), Vec::new())).await;
    let url = target.url();
    let flags = [&QUICK[..], &["--scrape", &url]].concat();
    let agent = Agent::start(contract.server.address, &flags);
    once(&contract, "noetl_agent_scrape_up", ("target", &url), "0").await;
    target.answer("/metrics", Reply::Text(worker(5, 0)));
    let address = target.address.to_string();
    once(&contract, "noetl_worker_active_tasks", ("component", &address), "5").await;
    once(&contract, "noetl_agent_scrape_up", ("target", &url), "1").await;
    agent.says(&["not scraped", "503"]).await;
    agent.says(&["scraped again"]).await;
}
