//! The server as a process of its own: the real binary, on a port of its own.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use super::{SOON, eventually};

/// A running server; it is killed when the value goes, or when the test binary does.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    log: Log,
}

type Log = Arc<Mutex<Vec<String>>>;

impl Server {
    /// Starts one and waits until it listens; it may not be ready yet.
    pub async fn start(listen: &str, database_url: &str, flags: &[String]) -> Self {
        Self::start_in(&[], listen, database_url, flags).await
    }

    /// The same, with these variables in its environment.
    pub async fn start_in(
        variables: &[(&str, String)],
        listen: &str,
        database_url: &str,
        flags: &[String],
    ) -> Self {
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--", env!("CARGO_BIN_EXE_noetl-metrics"), "server"])
            .args(["--listen", listen])
            .args(["--database-url", database_url].iter().take(if database_url.is_empty() { 0 } else { 2 }))
            .args(flags)
            .env_clear()
            .envs(super::clock())
            .env("NOETL_METRICS_LOG", "noetl_metrics=debug,warn")
            .env("RUST_BACKTRACE", "1")
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = spawn(command);
        let log = Log::default();
        drain(&mut child, &log);
        let mut server = Self { child, address: SocketAddr::from(([0, 0, 0, 0], 0)), log };
        server.address = eventually("the server listens", Duration::from_secs(30), async || {
            let ended = server.child.try_wait().expect("the process can be asked");
            assert!(ended.is_none(), "the server ended: {ended:?}\n{}", server.log_tail());
            server.logged_address()
        })
        .await;
        server
    }

    fn logged_address(&self) -> Option<SocketAddr> {
        let log = self.log.lock().unwrap();
        log.iter().find_map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            (line["message"] == "listening").then(|| line["address"].as_str()?.parse().ok())?
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it with kill -9.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to stop.
    pub fn terminate(&self) {
        super::signal("TERM", self.child.id());
    }

    /// How it ended, once it has.
    pub async fn ended(&mut self, within: Duration) -> ExitStatus {
        eventually("the server ends", within, async || self.child.try_wait().expect("it can be asked")).await
    }

    /// Bytes of memory that it holds.
    pub fn resident_bytes(&self) -> u64 {
        resident_bytes(self.pid())
    }

    /// Waits for a line of its log with all of these: what it writes may be read later than what it
    /// answers.
    pub async fn says(&self, parts: &[&str]) {
        let what = format!("a line of its log has {parts:?}");
        eventually(&what, SOON, async || self.logged(parts).then_some(())).await;
    }

    /// Whether a line of its log holds all of these by now.
    pub fn logged(&self, parts: &[&str]) -> bool {
        self.log.lock().unwrap().iter().any(|line| parts.iter().all(|part| line.contains(part)))
    }

    /// All that it said.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the server's last words:\n{}", self.log_tail());
        }
        self.kill();
    }
}

/// Bytes of memory that a process held at most.
pub fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap_or_default();
    let kib: u64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or_default();
    kib * 1024
}

/// Keeps what the server says, and keeps it from waiting for a reader.
fn drain(child: &mut Child, log: &Log) {
    let stderr = child.stderr.take().expect("a pipe");
    let log = Arc::clone(log);
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            log.lock().unwrap().push(line);
        }
    });
}

/// Starts a process from a thread that lives as long as the test binary: the signal that ends the
/// process with its parent is sent when the thread that started it ends.
pub fn spawn(command: Command) -> Child {
    type Order = (Command, Sender<std::io::Result<Child>>);
    static SPAWNER: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, incoming) = channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, reply) in incoming {
                let _ = reply.send(command.spawn());
            }
        });
        Mutex::new(orders)
    });
    let (reply, child) = channel();
    spawner.lock().unwrap().send((command, reply)).expect("the spawning thread lives");
    child.recv().expect("the spawning thread lives").expect("setpriv (util-linux) and the binary are there")
}
