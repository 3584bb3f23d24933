//! The server as the agent sees it: one POST at a time, its answer sorted by what follows from it.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};

use super::AgentError;
use super::config::AgentConfig;
use crate::client::ServerUrl;
use crate::client::backoff::retry_after;
use crate::client::token;
use crate::model::Millis;
use crate::tls::ClientTls;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// As much of an answer as is read.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// The server.
#[derive(Debug)]
pub(super) struct Api {
    client: Client,
    tls: Option<ClientTls>,
    server: ServerUrl,
    token_file: Option<PathBuf>,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    /// HTTP status.
    pub(super) status: u16,
    /// What the server asks to be waited for.
    pub(super) retry_after: Option<Duration>,
    /// The body, or as much of it as is read.
    pub(super) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    #[error("{}", crate::client::causes(.0))]
    Http(#[from] reqwest::Error),
    #[error("{0}")]
    Token(String),
}

impl Api {
    /// A client for the server that `config` names.
    pub(super) fn new(config: &AgentConfig) -> Result<Self, AgentError> {
        crate::client::install_crypto();
        let tls = config.tls.clone().map(ClientTls::open).transpose().map_err(AgentError::Tls)?;
        let client = Client::builder()
            .user_agent(concat!("noetl-metrics-agent/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .redirect(Policy::none());
        let client = crate::client::of_server(client, &config.server_url, tls.as_ref());
        let client = client.map_err(AgentError::Tls)?;
        Ok(Self {
            client: client.build().map_err(AgentError::Client)?,
            tls,
            server: config.server_url.clone(),
            token_file: config.auth_token_file.clone(),
        })
    }

    /// Where the server is, for the log.
    pub(super) fn server(&self) -> &ServerUrl {
        &self.server
    }

    /// How it speaks TLS, where it does.
    pub(super) fn tls(&self) -> Option<&ClientTls> {
        self.tls.as_ref()
    }

    /// Sends a JSON body and waits for the answer, whatever it is.
    pub(super) async fn post(&self, path: &str, body: Bytes, zstd: bool) -> Result<Answer, NoAnswer> {
        let mut request = self.client.post(self.server.endpoint(path));
        request = request.header(CONTENT_TYPE, "application/json");
        if zstd {
            request = request.header(CONTENT_ENCODING, "zstd");
        }
        if let Some(token) = self.token().await? {
            request = request.header(AUTHORIZATION, token);
        }
        let mut response = request.body(body).send().await?;
        let retry_after = asked_wait(&response);
        let mut answer = Answer { status: response.status().as_u16(), retry_after, body: Vec::new() };
        while let Some(chunk) = response.chunk().await? {
            let room = MAX_ANSWER_BYTES - answer.body.len();
            answer.body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                break;
            }
        }
        Ok(answer)
    }

    // Read each time: a mounted token is replaced while the agent runs.
    async fn token(&self) -> Result<Option<HeaderValue>, NoAnswer> {
        let Some(path) = &self.token_file else { return Ok(None) };
        let header = token::of_file("--auth-token-file", path, tokio::fs::read_to_string(path).await);
        header.map(Some).map_err(NoAnswer::Token)
    }
}

fn asked_wait(response: &Response) -> Option<Duration> {
    let header = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    retry_after(header, Millis::now().0)
}
