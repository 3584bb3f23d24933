//! Requests to the server, and what its answers say.

use std::time::Duration;

use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

use super::super::ServerConfig;
use crate::client::ServerUrl;
use crate::client::answer::said;
use crate::model::Millis;
use crate::tls::ClientTls;

const TIMEOUT: Duration = Duration::from_secs(15);

/// A client of the server.
pub(super) struct Caller {
    client: Client,
    tls: Option<ClientTls>,
    server: ServerUrl,
    token: Option<String>,
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    text: String,
    /// The server's clock, and ours at the same moment.
    date: Option<(Millis, Millis)>,
}

impl Answer {
    /// The body of an answer of success; anything else is a sentence.
    pub(super) fn body(self) -> Result<String, String> {
        if self.status == StatusCode::OK { Ok(self.text) } else { Err(self.said()) }
    }

    /// The status, and the detail of a problem.
    pub(super) fn said(&self) -> String {
        format!("{}: {}", self.status, said(self.text.as_bytes()))
    }

    /// Whether the caller lacks a right.
    pub(super) fn is_denied(&self) -> bool {
        matches!(self.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
    }

    /// Seconds that the server's clock is ahead of ours.
    pub(super) fn clock(&self) -> Option<i64> {
        // The header has whole seconds, cut off.
        self.date.map(|(theirs, ours)| (theirs.0 - (ours.0 - 500)) / 1000)
    }
}

impl Caller {
    pub(super) fn new(config: &ServerConfig) -> Result<Self, String> {
        // A new connection for each request: behind a Service the next one may reach another server.
        let client =
            Client::builder().timeout(TIMEOUT).pool_max_idle_per_host(0).user_agent("noetl-metrics-check");
        let tls = config.tls.clone().map(ClientTls::open).transpose()?;
        let client = crate::client::of_server(client, &config.url, tls.as_ref())?;
        let token = config.token_file.as_ref().map(|path| {
            let text = std::fs::read_to_string(path)
                .map_err(|e| format!("--auth-token-file {}: {e}", path.display()))?;
            crate::client::token::first(&text)
                .map(str::to_owned)
                .ok_or_else(|| format!("--auth-token-file {}: holds no token", path.display()))
        });
        let client = client.build().map_err(|e| crate::client::causes(&e))?;
        Ok(Self { client, tls, server: config.url.clone(), token: token.transpose()? })
    }

    pub(super) fn tls(&self) -> Option<&ClientTls> {
        self.tls.as_ref()
    }

    pub(super) fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    pub(super) fn is_loopback(&self) -> bool {
        self.server.is_loopback()
    }

    /// Reads, with the token only where it does not go without.
    pub(super) async fn get(&self, path: &str) -> Result<Answer, String> {
        let answer = self.call(Method::GET, path, None, None).await?;
        match self.token() {
            Some(token) if answer.is_denied() => self.call(Method::GET, path, None, Some(token)).await,
            _ => Ok(answer),
        }
    }

    /// Reads JSON.
    pub(super) async fn json(&self, path: &str) -> Result<Value, String> {
        let text = self.get(path).await?.body().map_err(|why| format!("{path}: {why}"))?;
        serde_json::from_str(&text).map_err(|e| format!("{path} is no JSON: {e}"))
    }

    /// Writes.
    pub(super) async fn post(&self, path: &str, body: &Value, token: Option<&str>) -> Result<Answer, String> {
        self.call(Method::POST, path, Some(body), token).await
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        token: Option<&str>,
    ) -> Result<Answer, String> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let mut url = self.server.endpoint(path);
        url.set_query(Some(query).filter(|q| !q.is_empty()));
        let mut request = self.client.request(method, url);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.map_err(|e| crate::client::causes(&e))?;
        let status = answer.status();
        let date = answer.headers().get("date").and_then(|d| d.to_str().ok()).and_then(date_of);
        let date = date.map(|theirs| (theirs, Millis::now()));
        let text = answer.text().await.map_err(|e| crate::client::causes(&e))?;
        Ok(Answer { status, text, date })
    }
}

/// The time that a header `Date` says.
fn date_of(text: &str) -> Option<Millis> {
    let time = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(Millis(time.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_of_an_answer_is_compared() {
        assert_eq!(date_of("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Millis(784_111_777_000)));
        assert_eq!(date_of("yesterday"), None);
        let at = |ours| Answer {
            status: StatusCode::OK,
            text: String::new(),
            date: Some((Millis(10_000), Millis(ours))),
        };
        assert_eq!(
            [at(10_400).clock(), at(4_400).clock(), at(70_400).clock()],
            [Some(0), Some(6), Some(-59)]
        );
    }

    #[test]
    fn a_problem_says_its_detail() {
        let answer = |text: &str| Answer { status: StatusCode::NOT_FOUND, text: text.into(), date: None };
        assert_eq!(answer(r#"{"detail": "nothing is at /x"}"#).said(), "404 Not Found: nothing is at /x");
        assert_eq!(answer("no JSON\n").said(), "404 Not Found: no JSON");
    }
}
