//! `noetl-metrics check`: what works of a server, seen as a client sees it, and what to do about what
//! does not. Reports one sample of a component of its own and reads it back.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::agent::ServerUrl;
use crate::model::Millis;
use crate::tls::{ClientTls, ClientTlsConfig};

/// The component that the sample belongs to, and its metric.
const COMPONENT: &str = "noetl-metrics-check";
const METRIC: &str = "noetl_metrics_check_time_seconds";
const TIMEOUT: Duration = Duration::from_secs(15);

/// Which server is checked, and how.
#[derive(Clone, Debug)]
pub struct CheckConfig {
    /// The server.
    pub server_url: ServerUrl,
    /// How it is spoken to by TLS; `None` for plain HTTP.
    pub tls: Option<ClientTlsConfig>,
    /// File with the bearer token that is sent with writes.
    pub token_file: Option<PathBuf>,
}

/// One thing that was tried.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Step {
    /// What should be so.
    pub name: &'static str,
    /// Whether it is.
    pub ok: bool,
    /// What was seen.
    pub detail: String,
    /// What to do, where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<&'static str>,
}

/// Tries one thing after the other until one fails; `tell` hears of each.
pub async fn run(config: &CheckConfig, tell: impl Fn(&Step)) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut note = |name, hint, seen: Result<String, String>| {
        let ok = seen.is_ok();
        let detail = seen.unwrap_or_else(|why| why);
        let step = Step { name, ok, detail, hint: (!ok).then_some(hint) };
        tell(&step);
        steps.push(step);
        ok
    };
    let caller = match Caller::new(config) {
        Ok(caller) => caller,
        Err(why) => {
            note("what it needs can be read", "the detail names the flag whose file is wrong", Err(why));
            return steps;
        }
    };
    let now = Millis::now();
    let value = now.0 / 1000;
    let component = json!({"name": COMPONENT, "component_type": "check"});
    let sample = json!({"metric_name": METRIC, "metric_type": "gauge", "metric_value": value,
        "timestamp": now.rfc3339(), "unit": "seconds", "help_text": "When noetl-metrics check ran last."});
    let report = json!({"component_name": COMPONENT, "component_type": "check", "metrics": [sample]});
    let query = format!("/api/metrics/query?component_name={COMPONENT}&metric_name={METRIC}&limit=1");
    let _ = note(
        "the server answers",
        "is --server-url right, and may this network reach it?",
        caller.call(Method::GET, "/livez", None).await,
    ) && note(
        "it can do its work",
        "the lines that begin with [-] say what it waits for; mostly the database",
        caller.call(Method::GET, "/readyz?verbose", None).await,
    ) && note(
        "a component registers",
        "401 and 403: send a token that may write (--token-file)",
        caller.call(Method::POST, "/api/worker/pool/register", Some(&component)).await,
    ) && note(
        "a sample is stored",
        "the detail says why not; the server's log has more",
        caller.call(Method::POST, "/api/metrics/report", Some(&report)).await,
    ) && note(
        "it is read back",
        "the server stored it and does not find it: look at its log",
        caller.call(Method::GET, &query, None).await.and_then(|text| found(&text, value)),
    ) && note(
        "the component leaves",
        "the detail says why not",
        caller.call(Method::POST, "/api/worker/pool/deregister", Some(&component)).await,
    );
    steps
}

/// Whether a query's answer has the value.
fn found(text: &str, value: i64) -> Result<String, String> {
    let answer: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
    match answer["metrics"][0]["metric_value"].as_f64() {
        Some(seen) if seen == value as f64 => Ok(format!("{METRIC} = {seen}")),
        Some(seen) => Err(format!("{METRIC} is {seen}, not {value}")),
        None => Err("there is no such sample".into()),
    }
}

struct Caller {
    client: Client,
    server: ServerUrl,
    token: Option<String>,
}

impl Caller {
    fn new(config: &CheckConfig) -> Result<Self, String> {
        crate::client::install_crypto();
        let client = Client::builder().timeout(TIMEOUT).user_agent("noetl-metrics-check");
        let tls = config.tls.clone().map(ClientTls::open).transpose()?;
        let mut client = crate::client::with_tls(client, tls.as_ref())?;
        if config.server_url.is_loopback() {
            client = client.no_proxy();
        }
        let token = config.token_file.as_ref().map(|path| {
            let text =
                std::fs::read_to_string(path).map_err(|e| format!("--token-file {}: {e}", path.display()))?;
            let token = text.lines().map(str::trim).find(|l| !l.is_empty() && !l.starts_with('#'));
            token.map(str::to_owned).ok_or_else(|| format!("--token-file {}: holds no token", path.display()))
        });
        let client = client.build().map_err(|e| crate::client::causes(&e))?;
        Ok(Self { client, server: config.server_url.clone(), token: token.transpose()? })
    }

    /// The body of an answer of success; anything else is a sentence.
    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<String, String> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let mut url = self.server.endpoint(path);
        url.set_query(Some(query).filter(|q| !q.is_empty()));
        let mut request = self.client.request(method, url);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        if let (Some(token), Some(_)) = (&self.token, body) {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.map_err(|e| crate::client::causes(&e))?;
        let status = answer.status();
        let text = answer.text().await.map_err(|e| crate::client::causes(&e))?;
        if status == StatusCode::OK { Ok(text) } else { Err(format!("{status}: {}", text.trim())) }
    }
}
