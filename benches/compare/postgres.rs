//! A PostgreSQL cluster of the benchmark's own: fsync on, settings of a small production machine.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sqlx::{Connection, Executor, PgConnection};
use tokio::runtime::Runtime;

use crate::error::{BenchError, Context, Result, failed};
use crate::process::{Process, free_address};

/// Settings that differ from PostgreSQL's defaults.
pub(crate) const SETTINGS: &[(&str, &str)] = &[
    ("fsync", "on"),
    ("synchronous_commit", "on"),
    ("full_page_writes", "on"),
    ("shared_buffers", "512MB"),
    ("max_wal_size", "4GB"),
    ("checkpoint_timeout", "15min"),
];

/// A running cluster.
pub(crate) struct Cluster {
    process: Process,
    bin: PathBuf,
    directory: PathBuf,
    user: Option<(u32, u32)>,
    port: u16,
    runtime: Runtime,
    /// `postgres --version`.
    pub(crate) version: String,
}

impl Cluster {
    /// Makes and starts a cluster in `directory`; as an unprivileged user where this one is root.
    pub(crate) fn start(directory: &Path) -> Result<Self> {
        let bin = programs()?;
        let user = if is_root() { Some(unprivileged_user()?) } else { None };
        let data = directory.join("postgres");
        std::fs::create_dir_all(&data).context(data.display().to_string())?;
        if let Some((uid, gid)) = user {
            chown(&data, Some(uid), Some(gid)).context(data.display().to_string())?;
        }
        let mut init = command(&bin, "initdb", &data, user);
        init.args(["--auth=trust", "--username=bench", "--encoding=UTF8", "--no-sync", "-D"]).arg(&data);
        let made = init.output().context("initdb")?;
        if !made.status.success() {
            return failed(format!("initdb: {}", String::from_utf8_lossy(&made.stderr).trim()));
        }
        let port = free_address()?.port();
        let process = launch(&bin, directory, user, port)?;
        let version =
            command(&bin, "postgres", &data, user).arg("--version").output().context("postgres --version")?;
        let version = String::from_utf8_lossy(&version.stdout).trim().replace("postgres (PostgreSQL) ", "");
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().context("runtime")?;
        let directory = directory.to_owned();
        let mut cluster = Self { process, bin, directory, user, port, runtime, version };
        cluster.wait_until_ready()?;
        Ok(cluster)
    }

    /// Ends it and starts it again: its own cache is cold.
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.process.stop()?;
        self.process = launch(&self.bin, &self.directory, self.user, self.port)?;
        self.wait_until_ready()
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let probe = self.url("postgres");
        let Self { process, runtime, .. } = self;
        process
            .wait_until(Duration::from_millis(50), || runtime.block_on(PgConnection::connect(&probe)).is_ok())
    }

    /// Id of the postmaster; all of PostgreSQL is below it.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// How to reach a database.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://bench@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// An empty database of this name, on a cluster that has nothing left to write down.
    pub(crate) fn fresh(&self, database: &str) -> Result<String> {
        self.drop_database(database)?;
        self.execute("postgres", &format!("create database {database}"))?;
        self.execute("postgres", "checkpoint")?;
        Ok(self.url(database))
    }

    /// Removes a database, whoever is connected to it.
    pub(crate) fn drop_database(&self, database: &str) -> Result<()> {
        self.execute("postgres", &format!("drop database if exists {database} with (force)"))
    }

    /// Runs statements, each by itself.
    pub(crate) fn execute(&self, database: &str, sql: &str) -> Result<()> {
        let sql = sqlx::AssertSqlSafe(sql.to_owned());
        self.wait(async {
            let mut connection = PgConnection::connect(&self.url(database)).await?;
            connection.execute(sqlx::raw_sql(sql)).await?;
            Ok(connection.close().await?)
        })
    }

    /// A connection to a database.
    pub(crate) fn connect(&self, database: &str) -> Result<PgConnection> {
        self.wait(async { Ok(PgConnection::connect(&self.url(database)).await?) })
    }

    /// Runs work that waits for PostgreSQL.
    pub(crate) fn wait<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.runtime.block_on(work)
    }
}

fn command(bin: &Path, program: &str, data: &Path, user: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(bin.join(program));
    command.current_dir(data).env("LC_ALL", "C.UTF-8");
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    command
}

fn launch(bin: &Path, directory: &Path, user: Option<(u32, u32)>, port: u16) -> Result<Process> {
    let data = directory.join("postgres");
    let mut command = command(bin, "postgres", &data, user);
    command.arg("-D").arg(&data).args(["-p", &port.to_string(), "-k", "", "-h", "127.0.0.1"]);
    for (name, value) in SETTINGS {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    // SIGINT: at once, whoever is connected.
    Ok(Process::start("postgres-cluster", &mut command, directory)?.ends_by("-INT"))
}

/// Folder of PostgreSQL's programs: `PG_BIN`, or the newest that the distribution installed.
fn programs() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("PG_BIN") {
        return Ok(folder.into());
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .map(|entry| entry.path().join("bin"))
        .filter(|bin| bin.join("postgres").exists())
        .max_by_key(|bin| bin.parent()?.file_name()?.to_str()?.parse::<u32>().ok());
    newest.ok_or_else(|| {
        BenchError::Failed("PostgreSQL is not installed; or name its folder: PG_BIN=…/bin".into())
    })
}

fn is_root() -> bool {
    procfs::process::Process::myself().and_then(|p| p.uid()).is_ok_and(|uid| uid == 0)
}

/// User and group of `postgres`, or of `nobody`.
fn unprivileged_user() -> Result<(u32, u32)> {
    let users = std::fs::read_to_string("/etc/passwd").context("/etc/passwd")?;
    let ids = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2).map(str::parse);
        Some((fields.next()?.ok()?, fields.next()?.ok()?))
    };
    let user = ids("postgres").or_else(|| ids("nobody"));
    user.ok_or_else(|| {
        BenchError::Failed("PostgreSQL needs a user postgres or nobody, root may not run it".into())
    })
}
