//! Targets that mean ill, or are broken: each is named, and hurts no other.

use std::fmt::Write as _;

use super::scraped::{QUICK, once};
use super::shapes::worker;
use crate::harness::{Agent, Contract, Reply, SOON, Target, eventually};
use crate::report::component;

fn million_series() -> String {
    let mut text = String::new();
    for i in 0..100_000 {
        let _ = writeln!(text, "noetl_up{{a=\"{i}\"}} 1");
    }
    text
}

fn raw(status: u16, headers: &str, body: &str) -> Reply {
    Reply::Raw(status, headers.to_owned(), body.as_bytes().to_vec())
}

#[tokio::test]
async fn a_hostile_target_is_named_and_hurts_no_other() {
    let contract = Contract::start().await;
    let good = Target::text(&worker(3, 0)).await;
    let elsewhere = Target::text("noetl_worker_ready 1\n").await;
    let location = format!("location: {}\r\n", elsewhere.url());
    let hostile = [
        ("too_large", Reply::Endless),
        ("timeout", Reply::Slow),
        ("too_many_samples", Reply::Text(million_series())),
        ("bad_text", Reply::Text("noetl_up 1\nnoetl_up one\n".into())),
        ("bad_text", Reply::Text("# TYPE noetl_up gauge\nnoetl_up 1\n# TYPE noetl_up counter\n".into())),
        ("bad_text", raw(200, "content-type: text/plain\r\ncontent-encoding: gzip\r\n", "no gzip")),
        ("content_type", raw(200, "content-type: text/html\r\n", "<html></html>")),
        ("status", raw(302, &location, "")),
    ];
    let mut targets = Vec::new();
    for (reason, reply) in hostile {
        targets.push((reason, Target::start(reply).await));
    }
    let urls: Vec<String> = targets.iter().map(|(_, target)| target.url()).collect();
    let all = format!("{},{};name=good", urls.join(","), good.url());
    let flags = [&QUICK[..], &["--scrape", &all]].concat();
    let mut agent = Agent::start(contract.server.address, &flags);
    for ((reason, _), url) in targets.iter().zip(&urls) {
        eventually(&format!("{url} fails with {reason}"), SOON, async || {
            let errors = [("target", url.as_str()), ("reason", reason)];
            let export = contract.export().await;
            let count = export.get("noetl_agent_scrape_errors_total", &errors)?;
            let up = export.get("noetl_agent_scrape_up", &[("target", url)]);
            (count != "0" && up == Some("0")).then_some(())
        })
        .await;
    }
    // Meanwhile the good one is scraped on time, and what it says is taken.
    let asked = good.asked("/metrics");
    good.answer("/metrics", Reply::Text(worker(9, 0)));
    once(&contract, "noetl_worker_active_tasks", ("component", "good"), "9").await;
    eventually("the good one is scraped again and again", SOON, async || {
        (good.asked("/metrics") >= asked + 3).then_some(())
    })
    .await;
    // The page names them too.
    let status = contract.get("/status?format=json").await.ok();
    let shown = status["targets"].as_array().unwrap();
    assert_eq!(shown.len(), urls.len() + 1);
    for ((reason, _), url) in targets.iter().zip(&urls) {
        let target = shown.iter().find(|target| target["target"] == url.as_str()).unwrap();
        assert_eq!(target["up"], false, "{target}");
        let errors = target["errors"].as_array().unwrap();
        assert!(errors.iter().any(|error| error[0] == *reason), "{target}");
    }
    assert_eq!(elsewhere.asked("/metrics"), 0, "redirects are not followed");
    assert!(agent.runs());
    let resident = agent.resident_bytes() >> 20;
    assert!(resident < 100, "{resident} MiB");
}

#[tokio::test]
async fn a_name_of_another_type_is_refused_and_named() {
    let contract = Contract::start().await;
    let good = Target::text("# TYPE noetl_worker_ready gauge\nnoetl_worker_ready 1\n").await;
    let clash = Target::text("").await;
    let (good_spec, clash_spec) =
        (format!("{};name=good", good.url()), format!("{};name=clash", clash.url()));
    let flags = [&QUICK[..], &["--scrape", &good_spec, "--scrape", &clash_spec]].concat();
    let _agent = Agent::start(contract.server.address, &flags);
    once(&contract, "noetl_worker_ready", ("component", "good"), "1").await;
    let text = "# TYPE noetl_worker_ready counter\nnoetl_worker_ready 5\n# TYPE noetl_worker_up gauge\nnoetl_worker_up 1\n";
    clash.answer("/metrics", Reply::Text(text.into()));
    once(&contract, "noetl_worker_up", ("component", "clash"), "1").await;
    let url = clash.url();
    eventually("the refused sample is counted", SOON, async || {
        let export = contract.export().await;
        let count = export.get("noetl_agent_scrape_samples_rejected_total", &[("target", &url)])?;
        (count != "0").then_some(())
    })
    .await;
    let reason = component(&contract, "clash").await["last_rejection"].to_string();
    assert!(reason.contains("noetl_worker_ready"), "{reason}");
    let export = contract.export().await;
    assert_eq!(export.get("noetl_worker_ready", &[("component", "good")]), Some("1"));
}

#[tokio::test]
async fn many_targets_that_hang_do_not_make_the_others_late() {
    let contract = Contract::start().await;
    let mut hanging = Vec::new();
    for _ in 0..40 {
        hanging.push(Target::start(Reply::Slow).await);
    }
    let good = Target::text(&worker(1, 0)).await;
    let mut urls: Vec<String> = hanging.iter().map(Target::url).collect();
    urls.push(format!("{};name=good", good.url()));
    let all = urls.join(",");
    let flags = [&QUICK[..], &["--scrape", &all]].concat();
    let _agent = Agent::start(contract.server.address, &flags);
    eventually("all that hang failed once", SOON, async || {
        let export = contract.export().await;
        (export.count("noetl_agent_scrape_up") == urls.len()).then_some(())
    })
    .await;
    let asked = good.asked("/metrics");
    let begun = std::time::Instant::now();
    eventually("the good one is scraped five times", SOON, async || {
        (good.asked("/metrics") >= asked + 5).then_some(())
    })
    .await;
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
}
