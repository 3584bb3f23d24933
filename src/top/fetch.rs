//! The server's HTTP API, asked for what `top` shows.

use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, DATE, HeaderValue, RETRY_AFTER};
use reqwest::{Client, StatusCode, redirect};
use serde::de::DeserializeOwned;

use super::TopConfig;
use super::rates::{Rates, Totals};
use super::reading::{self, Components, FAMILIES, Overview, Page};
use super::snapshot::{Detail, Snapshot};
use crate::client::answer::said;
use crate::client::backoff::retry_after;
use crate::client::token;
use crate::model::{Millis, Reading};
use crate::tls::ClientTls;
use crate::wire::exposition;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(15);
/// As much of an answer as is read.
const MAX_ANSWER_BYTES: usize = 32 << 20;
/// Samples that are read of one exposition, at most.
const MOST_SAMPLES: usize = 500_000;

/// How often the active server is looked for, at each look.
const MOST_CONNECTIONS: usize = 4;

/// Why there is nothing to show.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Away {
    /// In a sentence.
    pub(super) why: String,
    /// How long the server asks to be left alone.
    pub(super) asked: Option<Duration>,
}

/// A server, and what was seen of it before.
pub(super) struct Server {
    client: Client,
    tls: Option<ClientTls>,
    config: TopConfig,
    began: Instant,
    rates: Rates,
}

struct Answer {
    body: Vec<u8>,
    /// The server's clock.
    date: Option<Millis>,
}

impl Server {
    /// A client of the server; nothing is asked yet.
    ///
    /// # Errors
    /// A sentence, where a file of TLS can't be used.
    pub(super) fn new(config: TopConfig) -> Result<Self, String> {
        crate::client::install_crypto();
        let tls = config.tls.clone().map(ClientTls::open).transpose()?;
        let client = client(&config, tls.as_ref())?;
        Ok(Self { client, tls, config, began: Instant::now(), rates: Rates::default() })
    }

    /// Looks at the server. Components have to be known; what else can't be read is a notice. One
    /// request after the other, so that all are of one connection, and of one server.
    pub(super) async fn look(&mut self) -> Result<Snapshot, Away> {
        let own = self.own().await;
        let listed = self.get("/api/metrics/components", "").await?;
        let now = listed.date.unwrap_or_else(Millis::now);
        let components: Components = self.parsed("/api/metrics/components", &listed.body)?;
        let families: Vec<String> = FAMILIES.iter().map(|family| format!("match[]={family}")).collect();
        let query = format!("active=1&{}", families.join("&"));
        let exported = self.readings("/api/metrics/prometheus", &query).await;
        // The mean of the last minute, until there is one of ours.
        let overview: Option<Overview> =
            if self.rates.is_fresh() { self.json("/", "format=json").await.ok() } else { None };
        let mut notices = Vec::new();
        let mut known = |readings: Result<Vec<Reading>, Away>| {
            readings.unwrap_or_else(|away| {
                notices.push(away.why);
                Vec::new()
            })
        };
        let (own, exported) = (known(own), known(exported));
        if reading::is_standby(&own) {
            notices.push("this server is not the active one: only that one has alerts".to_owned());
        }
        if let Some(refused) = reading::refused(&own).filter(|refused| *refused > 0.0) {
            notices.push(format!("{refused:.0} samples were refused over the last quarter of an hour"));
        }
        let totals = Totals { at: self.began.elapsed(), ..reading::totals(&components, &own) };
        let rated = self.rates.take(totals);
        let components = components.rows(&exported, now, &rated);
        Ok(Snapshot {
            server: self.config.server_url.to_string(),
            time: now,
            total: reading::total(&components, &own, &rated, overview.and_then(|o| o.samples_per_second)),
            alerts: reading::alerts(&own),
            notices,
            components,
        })
    }

    /// The server's own metrics. Behind a Service the next connection may be to the active server,
    /// which alone has alerts; once it is found, its connection is kept.
    async fn own(&mut self) -> Result<Vec<Reading>, Away> {
        let mut own = self.readings("/metrics", "").await?;
        for _ in 0..MOST_CONNECTIONS {
            if !reading::is_standby(&own) {
                break;
            }
            self.client = client(&self.config, self.tls.as_ref()).map_err(|why| self.away(&why))?;
            own = self.readings("/metrics", "").await?;
        }
        Ok(own)
    }

    /// The newest values of a component that have all of these words.
    pub(super) async fn detail(&self, runtime_id: i64, words: &str) -> Result<Detail, Away> {
        let query: String =
            form_urlencoded::Serializer::new("format=json".to_owned()).append_pair("q", words).finish();
        Ok(self.json::<Page>(&format!("/components/{runtime_id}"), &query).await?.into())
    }

    async fn json<T: DeserializeOwned>(&self, path: &str, query: &str) -> Result<T, Away> {
        self.parsed(path, &self.get(path, query).await?.body)
    }

    fn parsed<T: DeserializeOwned>(&self, path: &str, body: &[u8]) -> Result<T, Away> {
        let said = |e| self.away(&format!("{path} is not as this program knows it ({e})"));
        serde_json::from_slice(body).map_err(said)
    }

    async fn readings(&self, path: &str, query: &str) -> Result<Vec<Reading>, Away> {
        let body = String::from_utf8(self.get(path, query).await?.body);
        let text = body.map_err(|_| self.away(&format!("{path} is no text")))?;
        exposition::parse(&text, MOST_SAMPLES, "").map_err(|e| self.away(&format!("{path}: {e}")))
    }

    async fn get(&self, path: &str, query: &str) -> Result<Answer, Away> {
        let mut url = self.config.server_url.endpoint(path);
        url.set_query(Some(query).filter(|query| !query.is_empty()));
        let mut request = self.client.get(url);
        if let Some(token) = self.token().await? {
            request = request.header(AUTHORIZATION, token);
        }
        let failed = |e: reqwest::Error| self.away(&crate::client::causes(&e));
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status();
        let header = |name| response.headers().get(name).and_then(|v: &HeaderValue| v.to_str().ok());
        let date = header(DATE).and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
        let date = date.map(|date| Millis(date.timestamp().as_millisecond()));
        let asked = header(RETRY_AFTER).and_then(|asked| retry_after(asked, Millis::now().0));
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(self.away(&format!("{path} has more than {} MiB", MAX_ANSWER_BYTES >> 20)));
            }
            body.extend_from_slice(&chunk);
        }
        if status == StatusCode::OK {
            return Ok(Answer { body, date });
        }
        Err(Away { asked, ..self.away(&format!("{path} answers {status}: {}", said(&body))) })
    }

    // Read each time: a mounted token is replaced while this runs.
    async fn token(&self) -> Result<Option<HeaderValue>, Away> {
        let Some(path) = &self.config.auth_token_file else { return Ok(None) };
        let header = token::of_file("--auth-token-file", path, tokio::fs::read_to_string(path).await);
        header.map(Some).map_err(|why| Away { why, asked: None })
    }

    fn away(&self, why: &str) -> Away {
        Away { why: format!("{}: {why}", self.config.server_url), asked: None }
    }
}

/// A client without connections.
fn client(config: &TopConfig, tls: Option<&ClientTls>) -> Result<Client, String> {
    let client = Client::builder()
        .user_agent(concat!("noetl-metrics-top/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT)
        .redirect(redirect::Policy::none());
    let client = crate::client::of_server(client, &config.server_url, tls)?;
    client.build().map_err(|e| crate::client::causes(&e))
}
