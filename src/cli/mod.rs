//! The command line: every role, flag and environment variable.
//!
//! A flag wins over its environment variable, which wins over the default.

mod admin;
pub mod agent;
#[cfg(feature = "demo")]
mod demo;
mod server;
pub mod values;

#[cfg(test)]
use clap::CommandFactory;
use clap::parser::ValueSource;
use clap::{ArgMatches, Parser, Subcommand};

pub use admin::{MaintenanceArgs, MigrateArgs, Output};
pub use agent::AgentArgs;
#[cfg(feature = "demo")]
pub use demo::{DemoArgs, PostgresArgs};
pub use server::{DatabaseArgs, ServerArgs};

/// Metrics for NoETL: takes reports over HTTP, keeps them in PostgreSQL, exports them to
/// Prometheus-compatible scrapers.
#[derive(Debug, Parser)]
#[command(name = "noetl-metrics", version, max_term_width = 100)]
pub struct Cli {
    /// How logs are written: text for people, json for machines; text on a terminal where not said.
    #[arg(long, global = true, env = "NOETL_METRICS_LOG_FORMAT", value_enum)]
    pub log_format: Option<LogFormat>,
    /// What is logged: error, warn, info, debug, trace, or a filter such as noetl_metrics=debug.
    #[arg(long, global = true, env = "NOETL_METRICS_LOG", default_value = "info")]
    pub log: String,
    /// What to do.
    #[command(subcommand)]
    pub role: Role,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What the program does.
#[derive(Debug, Subcommand)]
pub enum Role {
    /// Run the HTTP API: take reports, store them, answer queries, export to scrapers.
    Server(Box<ServerArgs>),
    /// Report this host's metrics to a server.
    Agent(Box<AgentArgs>),
    /// Run PostgreSQL, server and agent on this machine, to try it out.
    #[cfg(feature = "demo")]
    Demo(Box<DemoArgs>),
    /// Bring the database's schema forward.
    Migrate(MigrateArgs),
    /// Enforce retention once.
    Maintenance(MaintenanceArgs),
    /// Print the API's description (OpenAPI, JSON).
    Openapi,
    /// Run PostgreSQL until the standard input closes.
    #[cfg(feature = "demo")]
    #[command(hide = true)]
    EmbeddedPostgres(Box<PostgresArgs>),
}

/// Flags of the chosen role that were set by flag or variable, with their values; secrets are masked.
pub fn changed_flags(matches: &ArgMatches) -> Vec<(String, String)> {
    let Some((_, role)) = matches.subcommand() else { return Vec::new() };
    let changed = |id: &str| !matches!(role.value_source(id), None | Some(ValueSource::DefaultValue));
    let mut flags = Vec::new();
    for id in role.ids().map(clap::Id::as_str).filter(|id| changed(id)) {
        let Ok(Some(values)) = role.try_get_raw(id) else { continue };
        let values: Vec<_> = values.map(|v| v.to_string_lossy().into_owned()).collect();
        let value = if id == "database_url" { masked(&values.join(",")) } else { values.join(",") };
        flags.push((id.replace('_', "-"), value));
    }
    flags.sort();
    flags
}

/// A URL without its password.
fn masked(url: &str) -> String {
    let secret = url.split_once("://").and_then(|(_, rest)| rest.split_once('@')).map(|(user, _)| user);
    match secret.and_then(|user| user.split_once(':')) {
        Some((_, password)) => url.replacen(&format!(":{password}@"), ":***@", 1),
        None => url.split('?').next().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_password_is_masked() {
        assert_eq!(masked("postgres://u:secret@h:1/d"), "postgres://u:***@h:1/d");
        assert_eq!(masked("postgres://h/d?password=secret"), "postgres://h/d");
    }

    #[test]
    fn changed_flags_are_listed() {
        let matches = Cli::command().get_matches_from([
            "noetl-metrics",
            "server",
            "--database-url",
            "postgres://u:secret@h/d",
            "--stale-after",
            "9s",
        ]);
        let flags = changed_flags(&matches);
        assert!(flags.contains(&("stale-after".into(), "9s".into())), "{flags:?}");
        assert!(flags.contains(&("database-url".into(), "postgres://u:***@h/d".into())), "{flags:?}");
    }
}
