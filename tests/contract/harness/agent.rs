//! The agent as a process of its own: the real binary.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use super::{SOON, eventually, spawn};

/// A running agent; it is killed when the value goes, or when the test binary does.
pub struct Agent {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
}

impl Agent {
    /// Starts one that reports to the server at `address`.
    pub fn start(address: std::net::SocketAddr, flags: &[&str]) -> Self {
        Self::start_under(&[], address, flags)
    }

    /// The same by TLS.
    pub fn start_by_tls(address: std::net::SocketAddr, flags: &[&str]) -> Self {
        Self::start_at(&[], &format!("https://{address}"), flags)
    }

    /// The same, by another command that runs it.
    pub fn start_under(under: &[&str], address: std::net::SocketAddr, flags: &[&str]) -> Self {
        Self::start_at(under, &format!("http://{address}"), flags)
    }

    fn start_at(under: &[&str], url: &str, flags: &[&str]) -> Self {
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .args(under)
            .args([env!("CARGO_BIN_EXE_noetl-metrics"), "agent"])
            .args(["--server-url", url])
            .args(flags)
            .env_clear()
            .envs(super::clock())
            .env("NOETL_METRICS_LOG", "noetl_metrics=debug,warn")
            .env("NOETL_METRICS_LOG_FORMAT", "json")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = spawn(command);
        let log = Arc::new(Mutex::new(Vec::new()));
        let stderr = child.stderr.take().expect("a pipe");
        let lines = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                lines.lock().unwrap().push(line);
            }
        });
        Self { child, log }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("it can be asked").is_none()
    }

    /// Ends it with kill -9.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Bytes of memory that it held at most.
    pub fn resident_bytes(&self) -> u64 {
        super::server::resident_bytes(self.pid())
    }

    /// All that it said.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
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
}

impl Drop for Agent {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("the agent's last words:\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
