//! Series on their way to a server, by remote write: a request at a time, each until it is acknowledged.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Client, Response, StatusCode, Url};
use serde::Deserialize;

use super::super::ArchiveError;
use super::super::http::{bearer, persist, send, server_client, success};
use super::{Found, ImportConfig};
use crate::client::remote_write;
use crate::tls::ClientTls;
use crate::wire::encoding::{Encoding, compress};
use crate::wire::remote_write::SAMPLES_WRITTEN;
use crate::wire::remote_write_out::{TimeSeries, encode};

/// Samples of a request at most.
const MOST_SAMPLES: usize = 10_000;
/// Bytes of labels in a request, about.
const MOST_LABEL_BYTES: usize = 2 << 20;
/// Reasons that are told.
const TOLD: usize = 20;
/// How messages call it.
const SERVER: &str = "the server";

/// The server that takes it.
pub(super) struct Server {
    client: Client,
    url: Url,
    token_file: Option<PathBuf>,
    patience: Duration,
}

impl Server {
    pub(super) fn open(config: &ImportConfig) -> Result<Self, ArchiveError> {
        let tls = config.tls.clone().map(ClientTls::open).transpose().map_err(ArchiveError::Target)?;
        Ok(Self {
            client: server_client(&config.server_url, tls.as_ref())?,
            url: config.write_url(),
            token_file: config.token_file.clone(),
            patience: config.patience,
        })
    }

    /// Sends a request; returns its answer once it is stored, or partly refused.
    async fn post(&self, body: &bytes::Bytes) -> Result<Response, ArchiveError> {
        persist(self.patience, async || {
            let headers = bearer("--auth-token-file", self.token_file.as_deref())?;
            let request = remote_write(&self.client, &self.url, body.clone()).headers(headers);
            let answer = send(SERVER, request).await?;
            let is_partly = answer.status() == StatusCode::BAD_REQUEST && written(&answer).is_some();
            if is_partly { Ok(answer) } else { success(SERVER, answer).await }
        })
        .await
    }
}

/// Samples that the server has written of a request, where it says so.
fn written(answer: &Response) -> Option<u64> {
    answer.headers().get(SAMPLES_WRITTEN)?.to_str().ok()?.parse().ok()
}

/// What became of an hour.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// Samples that are stored.
    pub(super) samples: u64,
    /// Samples that have no form here.
    pub(super) left_out: u64,
    /// Samples that were refused.
    pub(super) refused: u64,
    /// The first reasons.
    pub(super) reasons: Vec<String>,
}

/// What waits to be sent to a server.
pub(super) struct Sender<'a> {
    server: &'a Server,
    series: Vec<TimeSeries>,
    samples: usize,
    label_bytes: usize,
    sent: Sent,
}

impl<'a> Sender<'a> {
    pub(super) fn new(server: &'a Server) -> Self {
        Self { server, series: Vec::new(), samples: 0, label_bytes: 0, sent: Sent::default() }
    }

    /// Takes a series, and sends what is enough for a request.
    pub(super) async fn add(&mut self, found: Found) -> Result<(), ArchiveError> {
        let Found { labels, samples, left_out } = found;
        self.sent.left_out += left_out;
        let label_bytes: usize = labels.iter().map(|(name, value)| name.len() + value.len()).sum();
        for part in samples.chunks(MOST_SAMPLES) {
            let is_full = self.samples + part.len() > MOST_SAMPLES;
            if is_full || self.label_bytes + label_bytes > MOST_LABEL_BYTES {
                self.flush().await?;
            }
            let mut series =
                TimeSeries::new(labels.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            for (at, value) in part {
                series.push(*at, *value);
            }
            self.series.push(series);
            self.samples += part.len();
            self.label_bytes += label_bytes;
        }
        Ok(())
    }

    /// Sends the rest; what became of all of it.
    pub(super) async fn end(mut self) -> Result<Sent, ArchiveError> {
        self.flush().await?;
        Ok(self.sent)
    }

    async fn flush(&mut self) -> Result<(), ArchiveError> {
        if self.series.is_empty() {
            return Ok(());
        }
        let (series, samples) = (std::mem::take(&mut self.series), std::mem::take(&mut self.samples) as u64);
        self.label_bytes = 0;
        let body = compress(Encoding::Snappy, &encode(series))
            .ok_or_else(|| ArchiveError::Target("a request could not be compressed".into()))?;
        let answer = self.server.post(&body.into()).await?;
        if answer.status().is_success() {
            self.sent.samples += samples;
            return Ok(());
        }
        let written = written(&answer).unwrap_or_default().min(samples);
        self.sent.samples += written;
        self.sent.refused += samples - written;
        let problem = answer.bytes().await.unwrap_or_default();
        for reason in reasons(&problem) {
            note(&mut self.sent.reasons, reason);
        }
        Ok(())
    }
}

/// Notes a reason, unless it is noted already or there are enough.
pub(super) fn note(reasons: &mut Vec<String>, reason: String) {
    if reasons.len() < TOLD && !reasons.contains(&reason) {
        reasons.push(reason);
    }
}

/// Why series were refused, as a problem document has it.
fn reasons(problem: &[u8]) -> Vec<String> {
    #[derive(Default, Deserialize)]
    struct Problem {
        #[serde(default)]
        errors: Vec<Error>,
    }
    #[derive(Deserialize)]
    struct Error {
        field: String,
        reason: String,
    }
    let problem: Problem = serde_json::from_slice(problem).unwrap_or_default();
    problem.errors.into_iter().map(|Error { field, reason }| format!("{field}: {reason}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_told_once_and_not_without_end() {
        let problem = br#"{"title":"t","errors":[{"index":1,"field":"labels","reason":"m{}: too many"},
            {"index":2,"field":"labels","reason":"m{}: too many"}]}"#;
        let mut told = Vec::new();
        for reason in reasons(problem) {
            note(&mut told, reason);
        }
        assert_eq!(told, ["labels: m{}: too many"]);
        (0..100).for_each(|number| note(&mut told, number.to_string()));
        assert_eq!(told.len(), TOLD);
        assert!(reasons(b"<html>").is_empty());
    }
}
