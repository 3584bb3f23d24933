//! The command line: every role, flag and environment variable.
//!
//! A flag wins over its environment variable, which wins over the default.

mod admin;
mod adopt;
pub mod agent;
mod alerting;
mod archive;
mod auth;
mod check;
#[cfg(feature = "demo")]
mod demo;
mod forward;
mod import;
mod operator;
mod progress;
mod rules;
mod scrape;
mod server;
mod tls;
mod top;
pub mod values;
mod written;

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, Parser, Subcommand};

use crate::server::page::data::{Flag, FlagSource};

pub use admin::{MaintenanceArgs, MigrateArgs, Output};
pub use adopt::adopt;
pub use agent::{AgentArgs, PrepareSpoolArgs};
pub use archive::{ExportArgs, VerifyArgs, shown};
pub use check::CheckArgs;
#[cfg(feature = "demo")]
pub use demo::{DemoArgs, PostgresArgs};
pub use import::ImportArgs;
pub use operator::OperatorArgs;
pub use rules::{RulesAction, RulesArgs};
pub use scrape::ScrapeArgs;
pub use server::{DatabaseArgs, ServerArgs};
pub use top::TopArgs;
pub use written::{CompletionsArgs, ManArgs};

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
    /// Let a group write in a directory, for the --spool-dir of an agent that is not root.
    ///
    /// The operator's agents do it at their start. It has to run as the directory's owner, with that
    /// group, and needs no capability. What it cannot do it says, and ends well all the same: an agent
    /// goes on without a spool.
    PrepareSpool(PrepareSpoolArgs),
    /// Run PostgreSQL, server and agent on this machine, to try it out.
    #[cfg(feature = "demo")]
    Demo(Box<DemoArgs>),
    /// Look after the NoetlMetrics resources of a Kubernetes cluster.
    Operator(OperatorArgs),
    /// Bring the database's schema forward.
    Migrate(MigrateArgs),
    /// Enforce retention once.
    Maintenance(MaintenanceArgs),
    /// Write history to VictoriaMetrics or whatever else takes remote write, or to a file.
    ///
    /// Hour by hour, and by --state going on where it was ended. What arrives twice is the same sample.
    /// Series have the labels of the export for scrapers. NaN is left out where the form has none for it:
    /// only Parquet has.
    Export(Box<ExportArgs>),
    /// Compare history with what VictoriaMetrics has, sample by sample; ends with 1 where it differs.
    Verify(Box<VerifyArgs>),
    /// Bring history of Prometheus or VictoriaMetrics into a running server, by remote write.
    ///
    /// Hour by hour, and by --state going on where it was ended. What arrives twice is the same sample. Labels
    /// name components as they do for all remote write. It ends with 1 where the server refused some samples,
    /// and says why.
    Import(Box<ImportArgs>),
    /// Say what works of an installation, and what to do about the rest; ends with 1 where something
    /// fails.
    ///
    /// Of a server, as a client sees it: its name, its certificate, its database, its components, and a
    /// sample that is reported and read back. With --kubernetes also what is in the cluster, from the
    /// definition of the resource to the scraper. Each line has passed, failed, is worth a look, or was
    /// left out; what is wrong has the next step and a page of docs. docs/troubleshooting.md has them all.
    Check(Box<CheckArgs>),
    /// Show a running server and its components, live in a terminal.
    ///
    /// Each component with its status, when it was heard, CPU, memory, tasks, queue, series and samples a
    /// second; above them all together, and the alerts that fire. Keys move, order and filter, Enter has
    /// the newest values of one component, ? explains all. It needs the right to read, where reading needs
    /// one. Without a terminal, and with --once, it prints a table and ends; with 1 where the server can't
    /// be read.
    Top(Box<TopArgs>),
    /// Check a file of alert rules, or run it over history.
    Rules(RulesArgs),
    /// Print what a shell needs to complete commands and flags.
    Completions(CompletionsArgs),
    /// Write manual pages into a folder.
    Man(ManArgs),
    /// Print the API's description (OpenAPI, JSON).
    Openapi,
    /// Print the definition of the resource NoetlMetrics (YAML), for kubectl apply.
    Crd,
    /// Run PostgreSQL until the standard input closes.
    #[cfg(feature = "demo")]
    #[command(hide = true)]
    EmbeddedPostgres(Box<PostgresArgs>),
}

/// Flags of the chosen role that were set by flag or variable; secrets are masked.
pub fn changed_flags(matches: &ArgMatches) -> Vec<Flag> {
    let Some((name, role)) = matches.subcommand() else { return Vec::new() };
    let command = Cli::command();
    let Some(described) = command.find_subcommand(name) else { return Vec::new() };
    let mut flags: Vec<Flag> = described
        .get_arguments()
        .filter_map(|arg| {
            let id = arg.get_id().as_str();
            let source = match role.value_source(id)? {
                ValueSource::CommandLine => FlagSource::Flag,
                ValueSource::EnvVariable => FlagSource::Environment,
                _ => return None,
            };
            let words = |values: &mut dyn Iterator<Item = &std::ffi::OsStr>| {
                values.map(|v| v.to_string_lossy().into_owned()).collect::<Vec<_>>().join(",")
            };
            let value = words(&mut role.try_get_raw(id).ok()??);
            let default = words(&mut arg.get_default_values().iter().map(clap::builder::OsStr::as_os_str));
            Some(Flag::new(format!("--{}", arg.get_long()?), &value, default, source))
        })
        .collect();
    flags.sort_by(|a, b| a.name.cmp(&b.name));
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_consistent() {
        Cli::command().debug_assert();
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
        let shown: Vec<_> = flags.iter().map(|f| (f.name.as_str(), f.value(), f.default.as_str())).collect();
        assert!(shown.contains(&("--stale-after", "9s", "5m")), "{shown:?}");
        assert!(shown.iter().all(|(_, value, _)| !value.contains("secret")), "{shown:?}");
    }
}
