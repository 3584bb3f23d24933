//! Flags of `server`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::admin::RetentionArgs;
use super::alerting::AlertingArgs;
use super::auth::AuthArgs;
use super::forward::ForwardArgs;
use super::tls::ServerTlsArgs;
use super::values::{base_url, duration};
use crate::model::Limits;
use crate::server::page::data::Flag;
use crate::server::{ServerConfig, TraceUrl};
use crate::store::{Database, DatabaseSource, RuntimeOwner, percent_encode};

/// For so long a command tries to reach PostgreSQL.
const PATIENCE: Duration = Duration::from_secs(5);

/// How to reach PostgreSQL.
#[derive(Args, Clone, Debug)]
pub struct DatabaseArgs {
    /// URL of the database: postgres://user:password@host:port/name. Where it is missing, NoETL's
    /// POSTGRES_HOST, POSTGRES_PORT, POSTGRES_USER, POSTGRES_PASSWORD (or POSTGRES_PASSWORD_FILE)
    /// and POSTGRES_DATABASE are used.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// File that holds the URL instead, read again for new connections, so that a password may
    /// change.
    #[arg(long, env = "NOETL_METRICS_DATABASE_URL_FILE")]
    pub database_url_file: Option<PathBuf>,
}

impl DatabaseArgs {
    /// Whether flags or variables say where it is.
    pub(super) fn is_told(&self) -> bool {
        let url = self.database_url.as_ref().is_some_and(|url| !url.is_empty());
        let host = std::env::var("POSTGRES_HOST").is_ok_and(|host| !host.is_empty());
        url || self.database_url_file.is_some() || host
    }

    /// Where the database is, from the flags or from NoETL's variables.
    pub fn source(&self) -> Result<DatabaseSource, String> {
        match (self.database_url.as_ref().filter(|u| !u.is_empty()), &self.database_url_file) {
            (Some(_), Some(_)) => {
                Err("--database-url (or DATABASE_URL) and --database-url-file exclude each other".into())
            }
            (Some(url), None) => Ok(DatabaseSource::Url(url.clone())),
            (None, Some(path)) => {
                let source = DatabaseSource::File(path.clone());
                source.url().map_err(|e| format!("--database-url-file {e}"))?;
                Ok(source)
            }
            (None, None) => from_noetl_variables(|name| std::env::var(name).ok().filter(|v| !v.is_empty())),
        }
    }

    /// The database, once it can be reached.
    ///
    /// # Errors
    /// A sentence that says why it can't.
    pub async fn connect(&self) -> Result<Database, String> {
        let database = Database::new(self.source()?, 2).map_err(|e| e.to_string())?;
        database.wait(PATIENCE).await.map_err(|e| e.to_string())?;
        Ok(database)
    }
}

fn from_noetl_variables(get: impl Fn(&str) -> Option<String>) -> Result<DatabaseSource, String> {
    let missing = "--database-url (or DATABASE_URL, --database-url-file, or POSTGRES_HOST) is missing";
    let host = get("POSTGRES_HOST").ok_or(missing)?;
    let user = percent_encode(&get("POSTGRES_USER").unwrap_or_else(|| "noetl".into()));
    let port = get("POSTGRES_PORT").unwrap_or_else(|| "5432".into());
    let name = get("POSTGRES_DATABASE").or_else(|| get("POSTGRES_DB")).unwrap_or_else(|| "noetl".into());
    let (before, after) = (format!("postgres://{user}"), format!("{host}:{port}/{}", percent_encode(&name)));
    match (get("POSTGRES_PASSWORD"), get("POSTGRES_PASSWORD_FILE")) {
        (Some(secret), _) => Ok(format!("{before}:{}@{after}", percent_encode(&secret)).into()),
        (None, Some(path)) => {
            let source = DatabaseSource::Parts { before, password: path.into(), after };
            source.url().map_err(|e| format!("POSTGRES_PASSWORD_FILE {e}"))?;
            Ok(source)
        }
        (None, None) => Ok(format!("{before}@{after}").into()),
    }
}

/// What becomes of reports of components that are not registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum UnknownComponents {
    /// 404.
    Reject,
    /// They are registered.
    Register,
}

/// Flags of `server`.
#[derive(Args, Clone, Debug)]
pub struct ServerArgs {
    /// Address and port to listen on.
    #[arg(long, env = "NOETL_METRICS_LISTEN", default_value = "127.0.0.1:8082")]
    pub listen: SocketAddr,
    /// Database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// URL at which other servers on the same database reach this one, as http://10.0.0.7:8082. With
    /// it there may be several: one is active, the others forward to it and take over when it is
    /// gone. Without it this one is the only one, and takes over from any other at its start.
    #[arg(long, env = "NOETL_METRICS_ADVERTISE_URL", value_parser = base_url)]
    pub advertise_url: Option<String>,
    /// For how long a server stays active without being heard; others wait that long before they take
    /// over from one that died.
    #[arg(long, env = "NOETL_METRICS_LEASE_DURATION", default_value = "6s", value_parser = duration)]
    pub lease_duration: Duration,
    /// Connections to PostgreSQL at most.
    #[arg(long, env = "NOETL_METRICS_DATABASE_CONNECTIONS", default_value_t = 8, value_parser = clap::value_parser!(u32).range(2..=100))]
    pub database_connections: u32,
    /// Do not bring the schema forward at start; `noetl-metrics migrate` has to have done it.
    #[arg(long, env = "NOETL_METRICS_NO_MIGRATE", value_parser = clap::builder::FalseyValueParser::new())]
    pub no_migrate: bool,
    /// Who keeps the table noetl.runtime, in which components are registered; without it, whoever
    /// made it. NoETL's is read and never written.
    #[arg(long, env = "NOETL_METRICS_RUNTIME", value_enum)]
    pub runtime: Option<RuntimeOwner>,
    /// TLS.
    #[command(flatten)]
    pub tls: ServerTlsArgs,
    /// Who may do what.
    #[command(flatten)]
    pub auth: AuthArgs,
    /// A component that is silent for longer leaves the exposition.
    #[arg(long, env = "NOETL_METRICS_STALE_AFTER", default_value = "5m", value_parser = duration)]
    pub stale_after: Duration,
    /// What becomes of reports of components that are not registered.
    #[arg(long, env = "NOETL_METRICS_UNKNOWN_COMPONENTS", value_enum, default_value_t = UnknownComponents::Reject)]
    pub unknown_components: UnknownComponents,
    /// Name under which the server reports on itself.
    #[arg(long, env = "NOETL_SERVER_NAME", default_value = "noetl-server")]
    pub server_name: String,
    /// How often the server reports on itself.
    #[arg(long, env = "NOETL_SERVER_METRICS_INTERVAL", default_value = "60s", value_parser = duration)]
    pub metrics_interval: Duration,
    /// Enforce this retention hourly. Without it, `noetl-metrics maintenance` or
    /// POST /api/metrics/cleanup has to (with 7d).
    #[arg(long, env = "NOETL_METRICS_RETENTION_RAW", value_parser = duration)]
    pub retention_raw: Option<Duration>,
    /// What else is kept where retention is enforced.
    #[command(flatten)]
    pub retention: RetentionArgs,
    /// Bytes of a request's body, as sent and after decompression.
    #[arg(long, env = "NOETL_METRICS_MAX_BODY_BYTES", default_value_t = Limits::default().body_bytes)]
    pub max_body_bytes: usize,
    /// Labels of a sample.
    #[arg(long, env = "NOETL_METRICS_MAX_LABELS", default_value_t = Limits::default().labels)]
    pub max_labels: usize,
    /// Bytes of a label's value.
    #[arg(long, env = "NOETL_METRICS_MAX_LABEL_VALUE_BYTES", default_value_t = Limits::default().label_value_bytes)]
    pub max_label_value_bytes: usize,
    /// Live series of one component.
    #[arg(long, env = "NOETL_METRICS_MAX_COMPONENT_SERIES", default_value_t = Limits::default().component_series)]
    pub max_component_series: usize,
    /// Samples that one component may report a second; what it did not use of the last minute may come
    /// at once. 0 is no limit. What is too much gets 429 with Retry-After.
    #[arg(long, env = "NOETL_METRICS_MAX_COMPONENT_SAMPLES", default_value_t = Limits::default().component_samples)]
    pub max_component_samples: u64,
    /// Bytes of reports, unpacked, that one component may send a second; likewise.
    #[arg(long, env = "NOETL_METRICS_MAX_COMPONENT_BYTES", default_value_t = Limits::default().component_bytes)]
    pub max_component_bytes: u64,
    /// Live series of all components.
    #[arg(long, env = "NOETL_METRICS_MAX_SERIES", default_value_t = Limits::default().total_series)]
    pub max_series: usize,
    /// Exemplars that are stored in all; past it the oldest go.
    #[arg(long, env = "NOETL_METRICS_MAX_EXEMPLARS", default_value_t = Limits::default().exemplars)]
    pub max_exemplars: usize,
    /// How far ahead of the server's clock a sample may be.
    #[arg(long, env = "NOETL_METRICS_MAX_FUTURE", default_value = "10m", value_parser = duration)]
    pub max_future: Duration,
    /// Where traces can be looked at, such as https://tempo.example/trace/{trace_id}: pages and answers
    /// then have links to those that exemplars name.
    #[arg(long, env = "NOETL_METRICS_TRACE_URL")]
    pub trace_url: Option<TraceUrl>,
    /// Rules.
    #[command(flatten)]
    pub alerting: AlertingArgs,
    /// Where samples are sent on to.
    #[command(flatten)]
    pub forward: ForwardArgs,
}

/// Samples are kept for this long where clean-up is asked for and nothing else was said.
const DEFAULT_RAW: Duration = Duration::from_hours(7 * 24);

impl ServerArgs {
    /// The configuration, checked.
    pub fn into_config(self, changed_flags: Vec<Flag>) -> Result<ServerConfig, String> {
        let name_bytes = Limits::default().name_bytes;
        if self.server_name.is_empty() || self.server_name.len() > name_bytes {
            return Err(format!("--server-name must have 1 to {name_bytes} bytes"));
        }
        if self.lease_duration < Duration::from_secs(1) {
            return Err("--lease-duration must be at least 1s".into());
        }
        let forward = self.forward.into_config()?;
        let (tls, peer_tls) = self.tls.into_configs(self.advertise_url.as_deref())?;
        Ok(ServerConfig {
            tls,
            peer_tls,
            listen: self.listen,
            database: self.database.source()?,
            advertise_url: self.advertise_url,
            lease_duration: self.lease_duration,
            max_connections: self.database_connections,
            auth: self.auth.into_config()?,
            stale_after: self.stale_after,
            register_unknown: self.unknown_components == UnknownComponents::Register,
            migrate: !self.no_migrate,
            runtime: self.runtime,
            name: self.server_name,
            metrics_interval: self.metrics_interval,
            retention: self.retention.with_raw(self.retention_raw.unwrap_or(DEFAULT_RAW))?,
            enforce_retention: self.retention_raw.is_some(),
            limits: Limits {
                body_bytes: self.max_body_bytes,
                labels: self.max_labels,
                label_value_bytes: self.max_label_value_bytes,
                component_series: self.max_component_series,
                component_samples: self.max_component_samples,
                component_bytes: self.max_component_bytes,
                total_series: self.max_series,
                exemplars: self.max_exemplars,
                future_ms: i64::try_from(self.max_future.as_millis()).unwrap_or(i64::MAX),
                ..Limits::default()
            },
            trace_url: self.trace_url,
            alerting: self.alerting.into_config()?,
            forward,
            changed_flags,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noetls_variables_make_a_url() {
        let get = |name: &str| match name {
            "POSTGRES_HOST" => Some("db".into()),
            "POSTGRES_PASSWORD" => Some("p@ss w/rd".into()),
            _ => None,
        };
        assert_eq!(
            from_noetl_variables(get).unwrap().url().unwrap(),
            "postgres://noetl:p%40ss%20w%2Frd@db:5432/noetl"
        );
        assert!(from_noetl_variables(|_| None).unwrap_err().contains("--database-url"));
    }
}
