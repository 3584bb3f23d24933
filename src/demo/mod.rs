//! The laptop: PostgreSQL, server and agent from one command.
//!
//! PostgreSQL runs as a child process of its own ([`postgres`]), under an unprivileged user where
//! this one is root, and ends when this process does, however it ends.

mod install;
pub mod postgres;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;

use crate::agent::{self, AgentConfig, ScrapeConfig};
use crate::client::ServerUrl;
use crate::model::Limits;
use crate::server::page::data::Flag;
use crate::server::{self, AuthConfig, ServerConfig, ServerEvent};
use crate::store::Retention;

/// How the demo runs.
#[derive(Clone, Debug)]
pub struct DemoConfig {
    /// Address to listen on; the next free port is taken where this one is not.
    pub listen: SocketAddr,
    /// Where the database is kept.
    pub data_dir: PathBuf,
    /// PostgreSQL's programs.
    pub pg_bin: Option<PathBuf>,
    /// How often this machine is measured.
    pub metrics_interval: Duration,
    /// Metrics in text files.
    pub textfile_dir: Option<PathBuf>,
    /// What is kept.
    pub retention: Retention,
    /// What is scraped beside that.
    pub scrape: ScrapeConfig,
    /// Flags that differ from their defaults, for the status page.
    pub changed_flags: Vec<Flag>,
}

/// Why the demo did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The data directory can't be used.
    #[error("--data-dir {0}: {1}")]
    DataDir(PathBuf, std::io::Error),
    /// Another demo has it.
    #[error("--data-dir {}: another demo runs with this data; end it, or name another folder", .0.display())]
    InUse(PathBuf),
    /// No port is free.
    #[error("--listen {0}: neither this port nor one of the next 100 is free")]
    NoPort(SocketAddr),
    /// PostgreSQL did not start.
    #[error("PostgreSQL did not start: {0}")]
    Postgres(String),
    /// The server failed.
    #[error(transparent)]
    Server(#[from] server::ServerError),
    /// The agent failed.
    #[error("the agent failed: {0}")]
    Agent(String),
}

/// Where the demo keeps its database unless told otherwise.
pub fn default_data_dir() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    if install::is_root() {
        return PathBuf::from("/var/lib/noetl-metrics");
    }
    let home = variable("HOME").map(|home| home.join(".local/share"));
    variable("XDG_DATA_HOME").or(home).unwrap_or_else(std::env::temp_dir).join("noetl-metrics")
}

/// Runs all of it until `shutdown`; `announce` is told each step for people to read.
pub async fn run(
    config: DemoConfig,
    announce: impl Fn(&str) + Send + Sync + 'static,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), DemoError> {
    let listen = free_port(config.listen)?;
    let pg_bin = config.pg_bin.clone().or_else(install::find_postgres);
    announce(&match &pg_bin {
        Some(dir) => {
            format!("Starting PostgreSQL of {} with its data in {}", dir.display(), config.data_dir.display())
        }
        None => "No PostgreSQL is installed; downloading one (or install it: apt-get install postgresql)"
            .to_owned(),
    });
    let database = postgres::Child::start(&config.data_dir, pg_bin.as_deref()).await?;
    let (stop, stopping) = watch::channel(false);
    let told = stop.clone();
    tokio::spawn(async move {
        shutdown.await;
        let _ = told.send(true);
    });
    let when = |mut stopping: watch::Receiver<bool>| async move {
        let _ = stopping.wait_for(|stop| *stop).await;
    };
    let url_file = config.data_dir.join("database-url");
    let (ready, is_ready) = watch::channel(false);
    let on_event = move |event| match event {
        ServerEvent::Listening(_) => {}
        ServerEvent::Ready => {
            announce(&format!("NoETL Metrics is running. Open http://{listen}/"));
            announce(&format!("  export for scrapers   curl http://{listen}/api/metrics/prometheus"));
            let psql = format!("psql \"$(cat {})\"", url_file.display());
            announce(&format!("  SQL                   {psql} -c 'select * from noetl.metrics limit 5'"));
            let program = std::env::args().next().unwrap_or_else(|| "noetl-metrics".into());
            announce(&format!("  live, in a terminal   {program} top --server-url http://{listen}"));
            announce(&format!("  what is wrong, if any {program} check --server-url http://{listen}"));
            announce("Ctrl-C stops all of it; the data stays for the next start.");
            let _ = ready.send(true);
        }
    };
    let server =
        server::run(server_config(&config, listen, database.url()), on_event, when(stopping.clone()));
    let agent_config = agent_config(&config, listen)?;
    let agent = async {
        when(is_ready).await;
        agent::run(agent_config, when(stopping.clone())).await
    };
    // Whichever ends first, for whatever reason, ends the other.
    let (stop_agent, stop_server) = (stop.clone(), stop);
    let (server_result, agent_result) = tokio::join!(
        async {
            let result = server.await;
            let _ = stop_agent.send(true);
            result
        },
        async {
            let result = agent.await;
            let _ = stop_server.send(true);
            result
        }
    );
    database.stop().await;
    server_result?;
    agent_result.map_err(|e| DemoError::Agent(e.to_string()))
}

fn server_config(config: &DemoConfig, listen: SocketAddr, database_url: &str) -> ServerConfig {
    ServerConfig {
        tls: None,
        peer_tls: None,
        listen,
        database: database_url.to_owned().into(),
        advertise_url: None,
        lease_duration: Duration::from_secs(6),
        max_connections: 8,
        auth: AuthConfig::default(),
        stale_after: Duration::from_mins(5),
        register_unknown: false,
        migrate: true,
        runtime: None,
        name: "noetl-server".into(),
        metrics_interval: config.metrics_interval,
        retention: config.retention,
        enforce_retention: true,
        limits: Limits::default(),
        trace_url: None,
        alerting: None,
        forward: Vec::new(),
        changed_flags: config.changed_flags.clone(),
    }
}

fn agent_config(config: &DemoConfig, listen: SocketAddr) -> Result<AgentConfig, DemoError> {
    let server_url =
        ServerUrl::parse(&format!("http://{listen}")).map_err(|e| DemoError::Agent(e.clone()))?;
    let (metrics_interval, textfile_dir) = (config.metrics_interval, config.textfile_dir.clone());
    let scrape = config.scrape.clone();
    Ok(AgentConfig { metrics_interval, textfile_dir, scrape, ..AgentConfig::new(server_url) })
}

/// The address, or one with the next free port.
fn free_port(listen: SocketAddr) -> Result<SocketAddr, DemoError> {
    if listen.port() == 0 {
        let any = TcpListener::bind(listen).and_then(|l| l.local_addr());
        return any.map_err(|_| DemoError::NoPort(listen));
    }
    let ports = listen.port()..=listen.port().saturating_add(100);
    let mut candidates = ports.map(|port| SocketAddr::new(listen.ip(), port));
    candidates.find(|address| TcpListener::bind(address).is_ok()).ok_or(DemoError::NoPort(listen))
}

fn make_dir(dir: &Path) -> Result<(), DemoError> {
    std::fs::create_dir_all(dir).map_err(|e| DemoError::DataDir(dir.to_owned(), e))
}
