//! `noetl-metrics check`: what works of a server, and what does not.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::harness::Contract;
use crate::replicas::Pair;

pub async fn check(url: &str, flags: &[&str]) -> (Output, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_noetl-metrics"));
    command
        .args(["check", "-o", "json", "--server-url", url])
        .args(flags)
        .env_clear()
        .envs(crate::harness::clock());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let steps = serde_json::from_slice(&output.stdout).unwrap();
    (output, steps)
}

/// The line of one check.
pub fn line<'a>(steps: &'a Value, id: &str) -> &'a Value {
    let found = steps.as_array().unwrap().iter().find(|step| step["id"] == id);
    found.unwrap_or_else(|| panic!("{id} is not in {steps}"))
}

/// Asserts that a check failed, for this reason, and says what to do.
pub fn fails(steps: &Value, id: &str, said: &str) {
    let line = line(steps, id);
    assert_eq!((&line["ok"], &line["status"]), (&Value::Bool(false), &Value::from("failed")), "{steps}");
    assert!(line["detail"].as_str().unwrap().contains(said), "{line}");
    assert!(!line["hint"].as_str().unwrap().is_empty() && line["docs"].is_string(), "{line}");
}

#[tokio::test]
async fn it_reports_a_sample_and_reads_it_back() {
    let contract = Contract::start().await;
    let (output, steps) = check(&format!("http://{}", contract.server.address), &[]).await;
    assert!(output.status.success(), "{steps}");
    for id in ["answers", "ready", "registers", "stored", "read-back", "exported", "leaves"] {
        assert_eq!(line(&steps, id)["status"], "passed", "{steps}");
    }
    let stored = "select count(*) from noetl.metrics where metric_name = 'noetl_metrics_check_time_seconds'";
    assert_eq!(contract.value::<i64>(stored).await, 1);
}

#[tokio::test]
async fn a_server_that_waits_for_its_turn_is_well() {
    let pair = Pair::with(&[]).await;
    let (output, steps) = check(&format!("http://{}", pair.servers[1].address), &[]).await;
    assert!(output.status.success(), "{steps}");
    for id in ["ready", "stored", "exported"] {
        assert_eq!(line(&steps, id)["status"], "passed", "{steps}");
    }
}

#[tokio::test]
async fn it_says_what_is_wrong_and_what_to_do() {
    let (output, steps) = check("http://127.0.0.1:1", &[]).await;
    assert!(!output.status.success());
    fails(&steps, "connects", "refused");
    assert!(line(&steps, "connects")["hint"].as_str().unwrap().contains("--server-url"), "{steps}");
    assert_eq!(line(&steps, "stored")["status"], "left-out");

    let dir = tempfile::tempdir().unwrap();
    let tokens = dir.path().join("tokens");
    std::fs::write(&tokens, "secret\n").unwrap();
    let tokens = tokens.to_str().unwrap();
    let contract = Contract::with(&["--auth-token-file", tokens]).await;
    let url = format!("http://{}", contract.server.address);
    let (output, steps) = check(&url, &[]).await;
    assert!(!output.status.success());
    fails(&steps, "token", "401");
    assert!(line(&steps, "token")["hint"].as_str().unwrap().contains("--auth-token-file"), "{steps}");
    let (output, steps) = check(&url, &["--auth-token-file", tokens]).await;
    assert!(output.status.success() && !steps.to_string().contains("secret"), "{steps}");
}
