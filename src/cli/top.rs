//! Flags of `top`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::admin::Output;
use super::tls::ClientTlsArgs;
use super::values::duration;
use crate::client::ServerUrl;
use crate::top::{Column, Form, TopConfig, has_terminal};

/// More often would measure this program rather than the server.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(500);

/// Flags of `top`.
#[derive(Args, Clone, Debug)]
pub struct TopArgs {
    /// The server: http://host:port
    #[arg(long, env = "NOETL_METRICS_SERVER_URL", value_name = "URL", default_value = "http://127.0.0.1:8082",
        value_parser = ServerUrl::parse)]
    pub server_url: ServerUrl,
    /// TLS.
    #[command(flatten)]
    pub tls: ClientTlsArgs,
    /// File with the bearer token to send, which needs the right to read; read again for each request
    #[arg(long, env = "NOETL_METRICS_AUTH_TOKEN_FILE", value_name = "FILE")]
    pub auth_token_file: Option<PathBuf>,
    /// Time between looks: seconds, or with a unit (2s, 500ms), 500ms at least
    #[arg(long, env = "NOETL_METRICS_TOP_INTERVAL", value_name = "DURATION", default_value = "2s",
        value_parser = interval)]
    pub interval: Duration,
    /// The column that orders the components: words from A to Z, numbers from the greatest
    #[arg(long, env = "NOETL_METRICS_TOP_SORT_BY", value_name = "COLUMN", value_enum, default_value_t)]
    pub sort_by: Column,
    /// Print a table once and end; so it is too where there is no terminal
    #[arg(long)]
    pub once: bool,
    /// Format of what is printed once; json prints once
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

impl TopArgs {
    /// In which form it is shown.
    pub fn form(&self) -> Form {
        match self.output {
            Output::Json => Form::Json,
            Output::Text if self.once || !has_terminal() => Form::Table,
            Output::Text => Form::Live,
        }
    }

    /// What is looked at.
    ///
    /// # Errors
    /// A sentence that names the flag and what is wrong with its value.
    pub fn into_config(self) -> Result<TopConfig, String> {
        Ok(TopConfig {
            tls: self.tls.into_config(&self.server_url)?,
            server_url: self.server_url,
            // A variable that is set to nothing counts as not set.
            auth_token_file: self.auth_token_file.filter(|path| !path.as_os_str().is_empty()),
            interval: self.interval,
            sort_by: self.sort_by,
        })
    }
}

fn interval(s: &str) -> Result<Duration, String> {
    match duration(s)? {
        short if short < SHORTEST_INTERVAL => Err("it must be 500ms at least".into()),
        interval => Ok(interval),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        top: TopArgs,
    }

    fn parsed(flags: &str) -> Result<TopArgs, String> {
        let cli = Cli::try_parse_from(["top"].into_iter().chain(flags.split_whitespace()));
        cli.map(|cli| cli.top).map_err(|e| e.to_string())
    }

    #[test]
    fn json_and_once_need_no_terminal() {
        assert_eq!(parsed("-o json").unwrap().form(), Form::Json);
        assert_eq!(parsed("--once").unwrap().form(), Form::Table);
        assert_eq!(parsed("--sort-by cpu").unwrap().into_config().unwrap().sort_by, Column::Cpu);
    }

    #[test]
    fn bad_values_are_named() {
        for (flags, said) in [
            ("--interval 100ms", "--interval <DURATION>': it must be 500ms at least"),
            ("--interval soon", "is not a duration"),
            ("--sort-by price", "--sort-by"),
            ("--server-url h:1", "http://127.0.0.1:8082"),
        ] {
            let error = parsed(flags).unwrap_err();
            assert!(error.contains(said), "{flags}: {error}");
        }
        let plain = parsed("--tls-ca-file a").unwrap().into_config().unwrap_err();
        assert!(plain.contains("https://"), "{plain}");
    }
}
