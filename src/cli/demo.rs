//! Flags of `demo`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::admin::RetentionArgs;
use super::scrape::ScrapeArgs;
use super::values::duration;
use crate::demo::{DemoConfig, default_data_dir};
use crate::server::page::data::Flag;

/// Flags of `demo`.
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// Address and port to listen on. Where the port is taken, the next free one is used.
    #[arg(long, env = "NOETL_METRICS_LISTEN", default_value = "127.0.0.1:8082")]
    pub listen: SocketAddr,
    /// Directory for the database; it survives a restart. By default
    /// $XDG_DATA_HOME/noetl-metrics, ~/.local/share/noetl-metrics, or as root
    /// /var/lib/noetl-metrics.
    #[arg(long, env = "NOETL_METRICS_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Directory of PostgreSQL's programs; by default the newest found on this machine.
    #[arg(long, env = "NOETL_METRICS_PG_BIN")]
    pub pg_bin: Option<PathBuf>,
    /// How often this machine is measured.
    #[arg(long, env = "NOETL_WORKER_METRICS_INTERVAL", default_value = "5s", value_parser = duration)]
    pub metrics_interval: Duration,
    /// Directory with metrics in text files (*.prom), to be reported too.
    #[arg(long, env = "NOETL_METRICS_TEXTFILE_DIR")]
    pub textfile_dir: Option<PathBuf>,
    /// How long samples are kept.
    #[arg(long, env = "NOETL_METRICS_RETENTION_RAW", default_value = "7d", value_parser = duration)]
    pub retention_raw: Duration,
    /// What else is kept.
    #[command(flatten)]
    pub retention: RetentionArgs,
    /// What is scraped.
    #[command(flatten)]
    pub scrape: ScrapeArgs,
}

impl DemoArgs {
    /// The configuration.
    ///
    /// # Errors
    /// A sentence that names the flag and what is wrong with its value.
    pub fn into_config(self, changed_flags: Vec<Flag>) -> Result<DemoConfig, String> {
        Ok(DemoConfig {
            listen: self.listen,
            data_dir: self.data_dir.unwrap_or_else(default_data_dir),
            pg_bin: self.pg_bin,
            metrics_interval: self.metrics_interval,
            textfile_dir: self.textfile_dir,
            retention: self.retention.with_raw(self.retention_raw)?,
            scrape: self.scrape.into_config()?,
            changed_flags,
        })
    }
}

/// Flags of the process that runs PostgreSQL for `demo`.
#[derive(Args, Clone, Debug)]
pub struct PostgresArgs {
    /// Directory of the database.
    #[arg(long)]
    pub data_dir: PathBuf,
    /// Directory of PostgreSQL's programs; downloaded where it is missing.
    #[arg(long)]
    pub pg_bin: Option<PathBuf>,
}
