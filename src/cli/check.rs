//! Flags of `check`.

use std::path::PathBuf;

use clap::Args;

use super::admin::Output;
use super::server::DatabaseArgs;
use super::tls::ClientTlsArgs;
use crate::check::{CheckConfig, ClusterConfig, ServerConfig};
use crate::client::ServerUrl;

/// The server that is checked where nothing else is said.
const DEFAULT_URL: &str = "http://127.0.0.1:8082";

/// Flags of `check`.
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// The server: http://host:port. With --kubernetes none is checked unless it is said [default:
    /// http://127.0.0.1:8082]
    #[arg(long, env = "NOETL_METRICS_SERVER_URL", value_parser = ServerUrl::parse)]
    pub server_url: Option<ServerUrl>,
    /// TLS.
    #[command(flatten)]
    pub tls: ClientTlsArgs,
    /// File with the bearer token that is sent with writes, and with reads where these need one.
    #[arg(long, env = "NOETL_METRICS_AUTH_TOKEN_FILE")]
    pub auth_token_file: Option<PathBuf>,
    /// The database, to be looked at directly too.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// Check an installation on Kubernetes: the cluster of the kubeconfig, or the one that this runs in.
    #[arg(long)]
    pub kubernetes: bool,
    /// Namespace of the installation; without it, that of the kubeconfig's context.
    #[arg(short, long, requires = "kubernetes")]
    pub namespace: Option<String>,
    /// Name of the NoetlMetrics resource; without it, the only one of the namespace.
    #[arg(long, requires = "kubernetes")]
    pub resource: Option<String>,
    /// Format of the report.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

impl CheckArgs {
    /// What is checked.
    pub fn config(&self) -> Result<CheckConfig, String> {
        let url = match &self.server_url {
            None if self.kubernetes => None,
            None => Some(ServerUrl::parse(DEFAULT_URL)?),
            Some(url) => Some(url.clone()),
        };
        let server = |url: ServerUrl| {
            let tls = self.tls.clone().into_config(&url)?;
            Ok::<_, String>(ServerConfig { tls, url, token_file: self.auth_token_file.clone() })
        };
        let cluster = ClusterConfig { namespace: self.namespace.clone(), resource: self.resource.clone() };
        Ok(CheckConfig {
            database: self.database.is_told().then(|| self.database.source()).transpose()?,
            server: url.map(server).transpose()?,
            cluster: self.kubernetes.then_some(cluster),
        })
    }
}
