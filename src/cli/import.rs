//! Flags of `import`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use reqwest::Url;

use super::admin::Output;
use super::archive::SpanArgs;
use super::tls::ClientTlsArgs;
use super::values::{duration, http_url};
use crate::archive::{ImportConfig, Source, SourceKind};
use crate::client::ServerUrl;
use crate::model::{Limits, is_component_kind};

/// Flags of `import`.
#[derive(Args, Clone, Debug)]
pub struct ImportArgs {
    /// Prometheus, or whatever else has its /api/v1/query: http://prometheus:9090, perhaps with a path
    /// before /api.
    #[arg(long, group = "source", value_parser = url, env = "NOETL_METRICS_IMPORT_PROMETHEUS_URL")]
    pub from_prometheus_url: Option<Url>,
    /// VictoriaMetrics, single or vmselect's .../select/0/prometheus: its /api/v1/export is read.
    #[arg(long, group = "source", value_parser = url, env = "NOETL_METRICS_IMPORT_VICTORIAMETRICS_URL")]
    pub from_victoriametrics_url: Option<Url>,
    /// File with the bearer token that is sent to it, read again for each request.
    #[arg(long, requires = "source", env = "NOETL_METRICS_IMPORT_SOURCE_TOKEN_FILE")]
    pub from_token_file: Option<PathBuf>,
    /// The server that takes it: http://host:port.
    #[arg(long, env = "NOETL_METRICS_SERVER_URL", default_value = "http://127.0.0.1:8082", value_parser = ServerUrl::parse)]
    pub server_url: ServerUrl,
    /// TLS.
    #[command(flatten)]
    pub tls: ClientTlsArgs,
    /// File with the bearer token that is sent to the server, read again for each request.
    #[arg(long, env = "NOETL_METRICS_AUTH_TOKEN_FILE")]
    pub auth_token_file: Option<PathBuf>,
    /// Which history.
    #[command(flatten)]
    pub span: SpanArgs,
    /// Component of series that have none of the labels component, component_name, instance and job;
    /// remote_write where not said.
    #[arg(long, value_parser = component, env = "NOETL_METRICS_IMPORT_COMPONENT")]
    pub component: Option<String>,
    /// Kind of this component, such as worker_pool; application where not said.
    #[arg(long, requires = "component", value_parser = component_type, env = "NOETL_METRICS_IMPORT_COMPONENT_TYPE")]
    pub component_type: Option<String>,
    /// How long it is tried again where either side is away or overloaded, in seconds or with a unit.
    #[arg(long, default_value = "5m", value_parser = duration, env = "NOETL_METRICS_IMPORT_RETRY_FOR")]
    pub retry_for: Duration,
    /// A file that remembers how far it is: the same command goes on there. Needs --end.
    #[arg(long, requires = "end", env = "NOETL_METRICS_IMPORT_STATE")]
    pub state: Option<PathBuf>,
    /// Format of the report.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

impl ImportArgs {
    /// What is imported, from where and to where.
    ///
    /// # Errors
    /// A sentence that names the flag and what is wrong with its value.
    pub fn into_config(self) -> Result<ImportConfig, String> {
        let (kind, url) = match (self.from_prometheus_url, self.from_victoriametrics_url) {
            (Some(url), _) => (SourceKind::Prometheus, url),
            (None, Some(url)) => (SourceKind::VictoriaMetrics, url),
            (None, None) => {
                let flags = "--from-prometheus-url or --from-victoriametrics-url";
                return Err(format!("{flags} must say where it comes from"));
            }
        };
        Ok(ImportConfig {
            span: self.span.span()?,
            source: Source { kind, url, token_file: self.from_token_file },
            tls: self.tls.into_config(&self.server_url)?,
            server_url: self.server_url,
            token_file: self.auth_token_file,
            component: self.component.map(|name| (name, self.component_type)),
            patience: self.retry_for,
            state: self.state,
        })
    }
}

fn url(text: &str) -> Result<Url, String> {
    http_url(text)?.parse().map_err(|e| format!("it is not a URL ({e})"))
}

fn component(text: &str) -> Result<String, String> {
    let most = Limits::default().name_bytes;
    if text.is_empty() || text.len() > most {
        return Err(format!("a component's name has 1 to {most} bytes"));
    }
    Ok(text.to_owned())
}

fn component_type(text: &str) -> Result<String, String> {
    if is_component_kind(text) {
        Ok(text.to_owned())
    } else {
        Err("it must have 1 to 255 letters, digits, _, - or .".into())
    }
}
