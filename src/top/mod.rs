//! `noetl-metrics top`: a running server and its components, live in a terminal, or once as text.
//!
//! Contract: it reads the server's HTTP API and nothing else. [`fetch`] asks, [`reading`] makes a
//! [`snapshot`] of the answers, [`state`] has what is chosen, [`keys`] says which key does what,
//! [`draw`] draws it; only [`live`] knows the terminal.

mod column;
mod draw;
mod fetch;
#[cfg(test)]
mod fixture;
mod keys;
mod live;
mod plain;
mod rates;
mod reading;
mod short;
mod snapshot;
mod state;

use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

pub use self::column::Column;
use crate::client::ServerUrl;
use crate::tls::ClientTlsConfig;

/// What is looked at, and how.
#[derive(Clone, Debug)]
pub struct TopConfig {
    /// The server.
    pub server_url: ServerUrl,
    /// How it is spoken to by TLS; `None` for plain HTTP.
    pub tls: Option<ClientTlsConfig>,
    /// File with the bearer token that is sent.
    pub auth_token_file: Option<PathBuf>,
    /// Time between looks.
    pub interval: Duration,
    /// The column that orders the components.
    pub sort_by: Column,
}

/// In which form it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// In the terminal, until a key ends it.
    Live,
    /// Once, as a table.
    Table,
    /// Once, as JSON.
    Json,
}

/// Whether there is a terminal to show it in, and to read keys from.
pub fn has_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// Shows a server; a live view ends by a key or by `stop`.
///
/// # Errors
/// A sentence: the server can't be read, where it is read once, or the terminal can't be used.
pub async fn run(config: TopConfig, form: Form, stop: impl Future<Output = ()>) -> Result<(), String> {
    if form == Form::Live {
        return live::run(config, stop).await;
    }
    let sort_by = config.sort_by;
    let look = async { fetch::Server::new(config)?.look().await.map_err(|away| away.why) };
    let mut snapshot = tokio::select! {
        snapshot = look => snapshot?,
        () = stop => return Ok(()),
    };
    snapshot.components.sort_by(|a, b| sort_by.order(a, b, false));
    let text = match form {
        Form::Json => serde_json::to_string_pretty(&snapshot).map_err(|e| e.to_string())? + "\n",
        _ => plain::table(&snapshot),
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        // Who reads it has had enough.
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
        done => done.map_err(|e| format!("the standard output can't be written to: {e}")),
    }
}

/// Compares a text with a file of `golden/`, or writes it.
#[cfg(test)]
fn golden(file: &str, text: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/top/golden").join(file);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "{} is another one: UPDATE_GOLDEN=1 writes it anew", path.display());
}
