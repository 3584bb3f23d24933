//! `noetl-metrics check`: what works of an installation, from the definition in the cluster to the
//! last sample, and what to do about what does not.
//!
//! Contract: reads only, but for one sample of a component of its own, which is reported and read
//! back. Each check is a line, whether it passed or not. [`catalogue`] has them all; a module for each
//! family makes them.

pub mod catalogue;
mod cluster;
mod database;
mod report;
mod server;

use std::path::PathBuf;

use crate::client::ServerUrl;
use crate::store::DatabaseSource;
use crate::tls::ClientTlsConfig;

pub use self::report::{Status, Step};

/// What is checked.
#[derive(Clone, Debug, Default)]
pub struct CheckConfig {
    /// A database that is looked at directly.
    pub database: Option<DatabaseSource>,
    /// A server.
    pub server: Option<ServerConfig>,
    /// An installation in a cluster.
    pub cluster: Option<ClusterConfig>,
}

/// Which server is checked, and how.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The server.
    pub url: ServerUrl,
    /// How it is spoken to by TLS; `None` for plain HTTP.
    pub tls: Option<ClientTlsConfig>,
    /// File with the bearer token that is sent with writes, and with reads where these need it.
    pub token_file: Option<PathBuf>,
}

/// Which installation in a cluster is checked.
#[derive(Clone, Debug, Default)]
pub struct ClusterConfig {
    /// Its namespace; by default that of the current context.
    pub namespace: Option<String>,
    /// Its name; by default the only one that there is.
    pub resource: Option<String>,
}

/// Checks all that was asked for; `tell` hears of each line.
pub async fn run(config: &CheckConfig, tell: impl Fn(&Step) + Sync) -> Vec<Step> {
    crate::client::install_crypto();
    let mut report = report::Report::new(&tell);
    if let Some(cluster) = &config.cluster {
        cluster::run(cluster, &mut report).await;
    }
    if let Some(source) = &config.database {
        database::run(source, &mut report).await;
    }
    if let Some(server) = &config.server {
        server::run(server, &mut report).await;
    }
    report.steps
}
