//! How fast one component may report: who is faster is told and named, and nobody else feels it.

use serde_json::{Value, json};

use crate::harness::remote_write::Series;
use crate::harness::{Contract, SOON, eventually, gauge, gauge_at, now};
use crate::remote_write::write;

fn batch(len: usize) -> Value {
    let at = now();
    (0..len).map(|i| gauge_at(&format!("m_{i}"), 1.0, at)).collect()
}

async fn limited(contract: &Contract, limit: &str) -> f64 {
    let text = contract.get("/metrics").await.expect(200).text().to_owned();
    let line = format!("noetl_metrics_reports_limited_total{{limit=\"{limit}\"}} ");
    text.lines().find_map(|l| l.strip_prefix(&line)).expect("the metric is there").parse().unwrap()
}

#[tokio::test]
async fn a_component_that_reports_too_much_is_told_when_to_come_back_and_the_others_go_on() {
    let contract = Contract::with(&["--max-component-samples", "2"]).await;
    contract.register("noisy").await;
    contract.register("calm").await;
    // A minute's worth is there at the start, and whoever is within it may take more: it is paid for later.
    contract.report("noisy", batch(119)).await.ok();
    contract.report("noisy", batch(7)).await.ok();
    let answer = contract.report("noisy", batch(1)).await;
    let problem = answer.problem(429, "component-limit");
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("noisy sends more than 2 samples a second")
            && detail.contains("--max-component-samples"),
        "{detail}"
    );
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=4).contains(&wait), "{wait}");
    contract.report("calm", batch(100)).await.ok();
    // It is alive all the same, and it is named.
    contract.post("/api/worker/pool/heartbeat", &json!({"name": "noisy"})).await.ok();
    let status = crate::report::component(&contract, "noisy").await;
    assert_eq!(status["rejected_samples"], 1);
    assert!(status.to_string().contains("noisy sends more than 2 samples"), "{status}");
    assert_eq!((limited(&contract, "samples").await, limited(&contract, "bytes").await), (1.0, 0.0));
    eventually("it may report again", SOON, async || {
        (contract.report("noisy", json!([gauge("m_0", 2.0)])).await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_bytes_that_a_component_sends_are_limited_too_and_so_is_remote_write() {
    let contract = Contract::with(&["--max-component-bytes", "20", "--max-component-samples", "1"]).await;
    contract.register("w").await;
    let long = json!([{"metric_name": "m", "metric_type": "gauge", "metric_value": 1, "help_text": "x".repeat(1500)}]);
    contract.report("w", long.clone()).await.ok();
    contract.report("w", long).await.problem(429, "component-limit");
    assert_eq!(limited(&contract, "bytes").await, 1.0);
    // Senders of remote write take 429 for the last word, and are asked to try again in another way.
    let send = async || {
        let at = now();
        let one = |i| Series::new(&format!("r_{i}"), &[("instance", "other")]).at(at, 1.0);
        write(&contract, &(0..70).map(one).collect::<Vec<_>>()).await
    };
    assert_eq!(send().await.status, 204);
    let answer = send().await;
    let problem = answer.problem(503, "overloaded");
    assert!(problem["detail"].as_str().unwrap().contains("other sends more than 1 samples"), "{problem}");
    assert!(answer.header("retry-after").parse::<u64>().unwrap() > 1, "{}", answer.header("retry-after"));
    assert_eq!(limited(&contract, "samples").await, 1.0);
}
