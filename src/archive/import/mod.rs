//! History of other stores: `noetl-metrics import` reads it and writes it to a server.
//!
//! It goes the way of all remote write, so that whatever holds there holds for it: rights, limits, which
//! component the labels name, and that it is stored once it was acknowledged. An hour is read, sent and
//! then noted as done; one that broke off is read again, and what arrives twice is the same sample.

#[cfg(any(test, feature = "fuzzing"))]
#[path = "../../../fuzz/history.rs"]
pub(crate) mod fuzz;
mod prometheus;
mod sender;
#[cfg(test)]
mod tests;
mod victoriametrics;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Client, Url};

use super::http::{Failure, bearer, patient_client, persist, send, success};
use super::state::State;
use super::{ArchiveError, Progress, Span, hours};
use crate::client::ServerUrl;
use crate::model::Millis;
use crate::tls::ClientTlsConfig;
use crate::wire::remote_write::names_component;
use sender::{Sender, Sent, Server};

/// Where history comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Which interface it has.
    pub kind: SourceKind,
    /// Its address, perhaps with a path before that of its interface.
    pub url: Url,
    /// File with the bearer token that is sent to it.
    pub token_file: Option<PathBuf>,
}

/// The interfaces that history is read by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// Prometheus' HTTP API, which others have too.
    Prometheus,
    /// VictoriaMetrics' `/api/v1/export`.
    VictoriaMetrics,
}

impl SourceKind {
    /// How messages call it.
    const fn name(self) -> &'static str {
        match self {
            Self::Prometheus => "Prometheus",
            Self::VictoriaMetrics => "VictoriaMetrics",
        }
    }
}

impl fmt::Display for Source {
    /// Without what a URL may carry of credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.name(), place(&self.url))
    }
}

/// Host, port and path of a URL.
fn place(url: &Url) -> String {
    let port = url.port_or_known_default().unwrap_or_default();
    format!("{}:{port}{}", url.host_str().unwrap_or_default(), url.path())
}

/// What is imported, from where and to where.
#[derive(Clone, Debug)]
pub struct ImportConfig {
    /// Which history.
    pub span: Span,
    /// Where it comes from.
    pub source: Source,
    /// The server that takes it.
    pub server_url: ServerUrl,
    /// How TLS is spoken to it; nothing for plain HTTP.
    pub tls: Option<ClientTlsConfig>,
    /// File with the bearer token that is sent to it.
    pub token_file: Option<PathBuf>,
    /// Component of series of which no label names one, and its kind.
    pub component: Option<(String, Option<String>)>,
    /// How long failures of either side are borne.
    pub patience: Duration,
    /// Where is noted how far it is.
    pub state: Option<PathBuf>,
}

impl ImportConfig {
    /// Where the server takes remote write.
    fn write_url(&self) -> Url {
        self.server_url.endpoint("/api/v1/write")
    }
}

/// What an import came to.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Imported {
    /// Hours and samples; those that are left out have no form here: native histograms, or NaN that
    /// VictoriaMetrics tells as nothing.
    #[serde(flatten)]
    pub progress: Progress,
    /// Samples that the server refused.
    pub refused: u64,
    /// The first reasons, in its words.
    pub reasons: Vec<String>,
}

/// A series as another store has it, with samples of some time.
#[derive(Debug, Default, PartialEq)]
struct Found {
    /// All labels, the name among them.
    labels: BTreeMap<String, String>,
    /// Times, in milliseconds since 1970, and values.
    samples: Vec<(i64, f64)>,
    /// Samples that have no form here.
    left_out: u64,
}

/// Imports hour by hour; `tell` hears of each.
pub async fn import(config: &ImportConfig, mut tell: impl FnMut(Progress)) -> Result<Imported, ArchiveError> {
    let ImportConfig { span, source, component, patience, .. } = config;
    let asked = format!("{span:?} from {source} to {} as {component:?}", place(&config.write_url()));
    let mut state = State::open(config.state.clone(), &asked, span.start)?;
    let source = Reader { source, client: patient_client()? };
    let server = Server::open(config)?;
    let mut done = Imported::default();
    done.progress.all_hours = hours(span.start, span.end).count() as u64;
    for (from, to) in hours(span.start, span.end) {
        if to > state.done_until() {
            let hour = persist(*patience, async || hour(config, &source, &server, from, to).await).await?;
            done.add(hour, from);
            state.done(to, 0)?;
        }
        done.progress.hours += 1;
        tell(done.progress);
    }
    Ok(done)
}

/// Reads and sends an hour, or a part of one.
async fn hour(
    config: &ImportConfig,
    source: &Reader<'_>,
    server: &Server,
    from: Millis,
    to: Millis,
) -> Result<Sent, Failure> {
    let mut sender = Sender::new(server);
    let take = async |mut found: Found| {
        // Sources are asked for a little more, as they count the ends of a time each in its own way.
        found.samples.retain(|(at, _)| (from.0..to.0).contains(at));
        found.labels.extend(config.span.labels.iter().cloned());
        name_component(&mut found.labels, config.component.as_ref());
        sender.add(found).await
    };
    match source.source.kind {
        SourceKind::Prometheus => prometheus::read(source, &config.span.selectors, from, to, take).await?,
        SourceKind::VictoriaMetrics => {
            victoriametrics::read(source, &config.span.selectors, from, to, take).await?;
        }
    }
    Ok(sender.end().await?)
}

/// Adds labels that name the component, where none does.
fn name_component(labels: &mut BTreeMap<String, String>, component: Option<&(String, Option<String>)>) {
    let Some((name, kind)) = component else { return };
    if names_component(labels.iter().map(|(name, value)| (name.as_str(), value.as_str()))) {
        return;
    }
    labels.insert("component".into(), name.clone());
    if let Some(kind) = kind {
        labels.insert("component_type".into(), kind.clone());
    }
}

impl Imported {
    fn add(&mut self, hour: Sent, from: Millis) {
        let Sent { samples, left_out, refused, reasons } = hour;
        if let Some(first) = reasons.first() {
            tracing::warn!("of the hour of {}, {refused} samples were refused: {first}", from.rfc3339());
        }
        self.progress.samples += samples;
        self.progress.left_out += left_out;
        self.refused += refused;
        for reason in reasons {
            sender::note(&mut self.reasons, reason);
        }
    }
}

/// A source, and what it is asked by.
struct Reader<'a> {
    source: &'a Source,
    client: Client,
}

impl Reader<'_> {
    fn who(&self) -> &'static str {
        self.source.kind.name()
    }

    /// Its answer at once, whatever it says.
    async fn ask(&self, url: Url) -> Result<reqwest::Response, Failure> {
        let headers = bearer("--from-token-file", self.source.token_file.as_deref())?;
        send(self.who(), self.client.get(url).headers(headers)).await
    }

    /// Its answer, if it is one of success.
    async fn succeeds(&self, answer: reqwest::Response) -> Result<reqwest::Response, Failure> {
        success(self.who(), answer).await
    }

    /// What is to be said of an answer that can't be read.
    fn unreadable(&self, what: &str, beginning: &[u8]) -> Failure {
        let text: String = String::from_utf8_lossy(beginning).chars().take(200).collect();
        ArchiveError::Target(format!("{}: {what} can't be read: {}", self.who(), text.trim())).into()
    }
}

/// What is selected, as the text of selectors: all where there is none.
fn texts(selectors: &[crate::live::Selector]) -> Vec<String> {
    if selectors.is_empty() {
        return vec!["{__name__!=\"\"}".to_owned()];
    }
    selectors.iter().map(ToString::to_string).collect()
}
