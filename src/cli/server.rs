//! Flags of `server`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::values::duration;
use crate::model::Limits;
use crate::server::ServerConfig;
use crate::server::page::data::Flag;

/// How to reach PostgreSQL.
#[derive(Args, Clone, Debug)]
pub struct DatabaseArgs {
    /// URL of the database: postgres://user:password@host:port/name. Where it is missing, NoETL's
    /// POSTGRES_HOST, POSTGRES_PORT, POSTGRES_USER, POSTGRES_PASSWORD (or POSTGRES_PASSWORD_FILE)
    /// and POSTGRES_DATABASE are used.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
}

impl DatabaseArgs {
    /// The URL, from the flag or from NoETL's variables.
    pub fn url(&self) -> Result<String, String> {
        if let Some(url) = self.database_url.as_ref().filter(|u| !u.is_empty()) {
            return Ok(url.clone());
        }
        from_noetl_variables(|name| std::env::var(name).ok().filter(|v| !v.is_empty()))
    }
}

fn from_noetl_variables(get: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let host = get("POSTGRES_HOST").ok_or("--database-url (or DATABASE_URL, or POSTGRES_HOST) is missing")?;
    let password = match (get("POSTGRES_PASSWORD"), get("POSTGRES_PASSWORD_FILE")) {
        (Some(password), _) => Some(password),
        (None, Some(path)) => {
            let text =
                std::fs::read_to_string(&path).map_err(|e| format!("POSTGRES_PASSWORD_FILE {path}: {e}"))?;
            Some(text.trim_end_matches(['\r', '\n']).to_owned())
        }
        (None, None) => None,
    };
    let encode =
        |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20");
    let user = encode(&get("POSTGRES_USER").unwrap_or_else(|| "noetl".into()));
    let secret = password.map(|p| format!(":{}", encode(&p))).unwrap_or_default();
    let port = get("POSTGRES_PORT").unwrap_or_else(|| "5432".into());
    let name =
        encode(&get("POSTGRES_DATABASE").or_else(|| get("POSTGRES_DB")).unwrap_or_else(|| "noetl".into()));
    Ok(format!("postgres://{user}{secret}@{host}:{port}/{name}"))
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
    /// Connections to PostgreSQL at most.
    #[arg(long, env = "NOETL_METRICS_DATABASE_CONNECTIONS", default_value_t = 8, value_parser = clap::value_parser!(u32).range(2..=100))]
    pub database_connections: u32,
    /// Do not bring the schema forward at start; `noetl-metrics migrate` has to have done it.
    #[arg(long, env = "NOETL_METRICS_NO_MIGRATE", value_parser = clap::builder::FalseyValueParser::new())]
    pub no_migrate: bool,
    /// File with tokens, one a line: writes then need Authorization: Bearer <token>. Read again when
    /// it changes. Without it everyone may write.
    #[arg(long, env = "NOETL_METRICS_AUTH_TOKEN_FILE")]
    pub auth_token_file: Option<PathBuf>,
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
    /// Live series of all components.
    #[arg(long, env = "NOETL_METRICS_MAX_SERIES", default_value_t = Limits::default().total_series)]
    pub max_series: usize,
    /// How far ahead of the server's clock a sample may be.
    #[arg(long, env = "NOETL_METRICS_MAX_FUTURE", default_value = "10m", value_parser = duration)]
    pub max_future: Duration,
}

impl ServerArgs {
    /// The configuration, checked.
    pub fn into_config(self, changed_flags: Vec<Flag>) -> Result<ServerConfig, String> {
        let name_bytes = Limits::default().name_bytes;
        if self.server_name.is_empty() || self.server_name.len() > name_bytes {
            return Err(format!("--server-name must have 1 to {name_bytes} bytes"));
        }
        Ok(ServerConfig {
            listen: self.listen,
            database_url: self.database.url()?,
            max_connections: self.database_connections,
            auth_token_file: self.auth_token_file,
            stale_after: self.stale_after,
            register_unknown: self.unknown_components == UnknownComponents::Register,
            migrate: !self.no_migrate,
            name: self.server_name,
            metrics_interval: self.metrics_interval,
            retention_raw: self.retention_raw,
            limits: Limits {
                body_bytes: self.max_body_bytes,
                labels: self.max_labels,
                label_value_bytes: self.max_label_value_bytes,
                component_series: self.max_component_series,
                total_series: self.max_series,
                future_ms: i64::try_from(self.max_future.as_millis()).unwrap_or(i64::MAX),
                ..Limits::default()
            },
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
        assert_eq!(from_noetl_variables(get).unwrap(), "postgres://noetl:p%40ss%20w%2Frd@db:5432/noetl");
        assert!(from_noetl_variables(|_| None).unwrap_err().contains("--database-url"));
    }
}
