//! PostgreSQL as a child process: the parent's side ([`Child`]) and the child's ([`serve`]).
//!
//! The child ends PostgreSQL when its standard input closes, which happens when the parent ends in
//! whatever way.

use std::fs::{File, TryLockError};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use postgresql_embedded::{PostgreSQL, Settings};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use super::{DemoError, install, make_dir};

/// PostgreSQL may recover for long after a crash.
const START_TIMEOUT: Duration = Duration::from_mins(2);
/// Name of the database.
const DATABASE: &str = "noetl";

/// A running PostgreSQL.
#[derive(Debug)]
pub struct Child {
    process: tokio::process::Child,
    url: String,
    /// The data directory, locked for as long as this is there: what another demo left running is ended,
    /// what runs is not.
    _locked: File,
}

impl Child {
    /// Starts it; the data directory is made where it is missing.
    pub async fn start(data_dir: &Path, pg_bin: Option<&Path>) -> Result<Self, DemoError> {
        make_dir(data_dir)?;
        let locked = lock(data_dir)?;
        let home = data_dir.join("postgres");
        make_dir(&home)?;
        let failed = |reason: String| DemoError::Postgres(reason);
        // The program itself may lie where the unprivileged user can't go; this path leads there.
        let mut command = Command::new("/proc/self/exe");
        command.arg("embedded-postgres").arg("--data-dir").arg(&home);
        if let Some(dir) = pg_bin {
            command.arg("--pg-bin").arg(dir);
        }
        if install::is_root() {
            let (uid, gid) = install::unprivileged_user().ok_or_else(|| {
                failed("it does not run as root, and there is no user postgres or nobody".into())
            })?;
            chown(&home, Some(uid), Some(gid)).map_err(|e| DemoError::DataDir(home.clone(), e))?;
            command.uid(uid).gid(gid);
        }
        command.current_dir(&home).stdin(Stdio::piped()).stdout(Stdio::piped()).env("HOME", &home);
        let mut process = command.spawn().map_err(|e| failed(e.to_string()))?;
        let stdout = process.stdout.take().ok_or_else(|| failed("it has no output".into()))?;
        let mut lines = BufReader::new(stdout).lines();
        let line = tokio::time::timeout(START_TIMEOUT, lines.next_line())
            .await
            .map_err(|_| failed("it took more than two minutes".into()))?
            .map_err(|e| failed(e.to_string()))?;
        let Some(url) = line else {
            let status = process.wait().await.map_err(|e| failed(e.to_string()))?;
            return Err(failed(format!(
                "{status}; the lines above and {}/data/start.log say why",
                home.display()
            )));
        };
        keep_url(data_dir, &url).map_err(|e| DemoError::DataDir(data_dir.to_owned(), e))?;
        Ok(Self { process, url, _locked: locked })
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops it and waits until it has.
    pub async fn stop(mut self) {
        drop(self.process.stdin.take());
        if let Err(error) = self.process.wait().await {
            tracing::warn!(%error, "PostgreSQL did not stop");
        }
    }
}

/// A lock that the operating system takes back from whoever is killed.
fn lock(data_dir: &Path) -> Result<File, DemoError> {
    let failed = |e| DemoError::DataDir(data_dir.to_owned(), e);
    let dir = File::open(data_dir).map_err(failed)?;
    match dir.try_lock() {
        Ok(()) => Ok(dir),
        Err(TryLockError::WouldBlock) => Err(DemoError::InUse(data_dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// The URL holds the password, so only the user may read it.
fn keep_url(data_dir: &Path, url: &str) -> std::io::Result<()> {
    let path = data_dir.join("database-url");
    std::fs::write(&path, "")?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    std::fs::write(&path, url)
}

/// The child: runs PostgreSQL, tells its URL to `announce`, and stops it when the standard input
/// closes.
pub async fn serve(home: PathBuf, pg_bin: Option<PathBuf>, announce: impl Fn(&str)) -> Result<(), String> {
    let settings = settings(&home, pg_bin.as_deref()).map_err(|e| format!("{}: {e}", home.display()))?;
    let leftover = settings.data_dir.join("postmaster.pid").exists();
    let mut postgres = PostgreSQL::new(settings);
    postgres.setup().await.map_err(|e| e.to_string())?;
    if leftover {
        // The last run was killed; what it left running would hold the directory.
        let _ = postgres.stop().await;
    }
    postgres.start().await.map_err(|e| e.to_string())?;
    let result = open(&postgres, announce).await;
    let stopped = postgres.stop().await.map_err(|e| e.to_string());
    result.and(stopped)
}

async fn open(postgres: &PostgreSQL, announce: impl Fn(&str)) -> Result<(), String> {
    let exists = postgres.database_exists(DATABASE).await.map_err(|e| e.to_string())?;
    if !exists {
        postgres.create_database(DATABASE).await.map_err(|e| e.to_string())?;
    }
    announce(&postgres.settings().url(DATABASE));
    // Ctrl-C on a terminal, or its end, reaches this process too; only the parent decides when to stop.
    let mut ignored = Vec::new();
    for kind in [SignalKind::interrupt(), SignalKind::hangup(), SignalKind::terminate()] {
        ignored.push(signal(kind).map_err(|e| e.to_string())?);
    }
    let mut rest = Vec::new();
    let closed = tokio::io::stdin().read_to_end(&mut rest).await;
    closed.map(|_| ()).map_err(|e| e.to_string())
}

fn settings(home: &Path, pg_bin: Option<&Path>) -> std::io::Result<Settings> {
    let password_file = home.join("password");
    let mut settings = Settings::new();
    // A database made by an earlier run keeps its password.
    if let Ok(known) = std::fs::read_to_string(&password_file) {
        settings.password = known;
    } else {
        std::fs::write(&password_file, "")?;
        std::fs::set_permissions(&password_file, std::fs::Permissions::from_mode(0o600))?;
        std::fs::write(&password_file, &settings.password)?;
    }
    settings.trust_installation_dir = pg_bin.is_some();
    settings.installation_dir = match pg_bin.and_then(Path::parent) {
        Some(dir) => dir.to_owned(),
        None => home.join("postgresql"),
    };
    settings.password_file = password_file;
    settings.data_dir = home.join("data");
    settings.host = "127.0.0.1".into();
    settings.temporary = false;
    settings.timeout = Some(START_TIMEOUT);
    let socket_dir = home.display().to_string();
    settings.configuration = [
        // The crate turns fsync off, which is not what a reply of success means.
        ("fsync", "on"),
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_directories", socket_dir.as_str()),
        ("shared_buffers", "128MB"),
    ]
    .map(|(k, v)| (k.to_owned(), v.to_owned()))
    .into();
    Ok(settings)
}
