//! Reports with reqwest, in an asynchronous program.
#![allow(clippy::print_stdout)]

use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

/// Sends it, again where the server asks for that; with the same key it never counts twice.
async fn send(client: &Client, path: &str, body: &Value) -> Result<Value, Failure> {
    let api = std::env::var("NOETL_METRICS_SERVER_URL").unwrap_or_else(|_| "http://127.0.0.1:8082".into());
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed()?.as_nanos();
    let key = format!("indexer-{}-{now}", std::process::id());
    for attempt in 0..6 {
        let mut request = client
            .post(format!("{api}{path}"))
            .header("Content-Type", "application/json")
            .header("Idempotency-Key", &key)
            .body(body.to_string());
        if let Ok(file) = std::env::var("NOETL_METRICS_AUTH_TOKEN_FILE") {
            request = request.bearer_auth(std::fs::read_to_string(file)?.trim());
        }
        let mut wait = Duration::from_secs(1 << attempt);
        match request.send().await {
            Ok(answer) if answer.status().is_success() => {
                return Ok(serde_json::from_slice(&answer.bytes().await?)?);
            }
            Ok(answer)
                if [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE]
                    .contains(&answer.status()) =>
            {
                let after = answer.headers().get("Retry-After").and_then(|it| it.to_str().ok()?.parse().ok());
                wait = after.map_or(wait, Duration::from_secs);
            }
            // The reason, in a sentence.
            Ok(answer) => return Err(answer.text().await?.into()),
            Err(error) if attempt == 5 => return Err(error.into()),
            Err(_) => {}
        }
        tokio::time::sleep(wait).await;
    }
    Err("the server has too much to do".into())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    // reqwest's default features choose this by themselves.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder().timeout(Duration::from_secs(30)).build()?;
    let component = json!({"name": "indexer", "component_type": "application"});
    send(&client, "/api/worker/pool/register", &component).await?;
    let report = json!({
        "component_name": "indexer",
        "metrics": [{
            "metric_name": "documents_indexed_total", "metric_type": "counter", "metric_value": 4096,
            "labels": {"index": "titles"}, "help_text": "Documents that were indexed",
        }],
    });
    let taken = send(&client, "/api/metrics/report", &report).await?;
    println!("{} samples are stored", taken["metrics_inserted"]);
    Ok(())
}
