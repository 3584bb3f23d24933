//! Flags of `check`.

use std::path::PathBuf;

use clap::Args;

use super::admin::Output;
use super::tls::ClientTlsArgs;
use crate::agent::ServerUrl;
use crate::check::CheckConfig;

/// Flags of `check`.
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// The server: http://host:port.
    #[arg(long, env = "NOETL_METRICS_SERVER_URL", default_value = "http://127.0.0.1:8082", value_parser = ServerUrl::parse)]
    pub server_url: ServerUrl,
    /// TLS.
    #[command(flatten)]
    pub tls: ClientTlsArgs,
    /// File with the bearer token that is sent with writes.
    #[arg(long, env = "NOETL_METRICS_AGENT_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    /// Format of the report.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

impl CheckArgs {
    /// Which server is checked, and how.
    pub fn config(&self) -> Result<CheckConfig, String> {
        Ok(CheckConfig {
            tls: self.tls.clone().into_config(&self.server_url)?,
            server_url: self.server_url.clone(),
            token_file: self.token_file.clone(),
        })
    }
}
