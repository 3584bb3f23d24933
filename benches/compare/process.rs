//! Child processes: started with their output in a file, stopped whatever happens.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::error::{Context, Result, failed};
use crate::http::Connection;

/// How long a process may take to be there, or to end: an API server needs more than half a minute of
/// CPU to start.
const PATIENCE: Duration = Duration::from_mins(3);

/// A running program; it is stopped when dropped.
pub(crate) struct Process {
    child: Child,
    name: String,
    log: PathBuf,
    signal: &'static str,
}

impl Process {
    /// Starts a program; what it says goes to `<directory>/<name>.log`.
    pub(crate) fn start(name: &str, command: &mut Command, directory: &Path) -> Result<Self> {
        let log = directory.join(format!("{name}.log"));
        let out = File::create(&log).context(log.display().to_string())?;
        let err = out.try_clone().context(log.display().to_string())?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .context(format!("start {}", command.get_program().to_string_lossy()))?;
        Ok(Self { child, name: name.to_owned(), log, signal: "-TERM" })
    }

    /// Says by which signal it is asked to end; SIGTERM where nothing is said.
    pub(crate) fn ends_by(mut self, signal: &'static str) -> Self {
        self.signal = signal;
        self
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `ready` says so; fails when the process ends or takes too long.
    pub(crate) fn wait_until(&mut self, every: Duration, mut ready: impl FnMut() -> bool) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !ready() {
            let ended = self.child.try_wait().context(self.name.clone())?;
            if ended.is_some() || Instant::now() > deadline {
                let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                let tail: Vec<&str> = log.lines().rev().take(5).collect();
                let tail: Vec<&str> = tail.into_iter().rev().collect();
                return failed(format!("{} did not start: {}", self.name, tail.join("\n")));
            }
            std::thread::sleep(every);
        }
        Ok(())
    }

    /// Asks it to end and waits until it has; a process that does not is killed.
    pub(crate) fn stop(&mut self) -> Result<()> {
        if self.child.try_wait().context(self.name.clone())?.is_some() {
            return Ok(());
        }
        let kill = Command::new("kill").arg(self.signal).arg(self.id().to_string()).status();
        kill.context("run kill")?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.child.try_wait().context(self.name.clone())?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.child.kill().context(self.name.clone())?;
        self.child.wait().context(self.name.clone())?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("{}: {error}", self.name);
        }
    }
}

/// An address on this machine that nothing listens on.
pub(crate) fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port")?;
    listener.local_addr().context("find a free port")
}

/// Whether `GET path` is answered with a status below 300.
pub(crate) fn answers(address: SocketAddr, path: &str) -> bool {
    let response = Connection::open(address).and_then(|mut c| c.get(path, false));
    response.is_ok_and(|r| r.status < 300)
}

/// The program `name` of a peer: `$BENCH_TOOLS/<name>`, or found in `PATH`.
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> = std::env::var_os("BENCH_TOOLS").map(PathBuf::from).into_iter().collect();
    folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    folders.into_iter().map(|dir| dir.join(name)).find(|path| path.is_file())
}
