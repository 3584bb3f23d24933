//! The server under test, started with its default settings but for what a measurement needs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::error::Result;
use crate::fleet::Fleet;
use crate::http::Connection;
use crate::load::{Until, send};
use crate::process::{Process, answers, free_address};

/// The program under test: the one built with the benchmark, or `BENCH_PROGRAM`.
pub(crate) fn program() -> PathBuf {
    let other = std::env::var_os("BENCH_PROGRAM").map(PathBuf::from);
    other.unwrap_or_else(|| env!("CARGO_BIN_EXE_noetl-metrics").into())
}

/// The image's program, which an agent on a node is: linked statically, without the demo. Where no
/// image was built, the program under test.
pub(crate) fn shipped() -> PathBuf {
    std::env::var_os("BENCH_IMAGE_PROGRAM").map_or_else(program, PathBuf::from)
}

/// A running server.
pub(crate) struct Server {
    /// Its process.
    pub(crate) process: Process,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts a server on a database and waits until it is ready.
    pub(crate) fn start(url: &str, directory: &Path) -> Result<Self> {
        let address = free_address()?;
        let mut process = Process::start("server", &mut command(url, address), directory)?;
        process.wait_until(Duration::from_millis(20), || answers(address, "/readyz"))?;
        Ok(Self { process, address })
    }

    /// Has every series of the fleet made, and one more sample of each taken.
    pub(crate) fn introduce(&self, fleet: &mut Fleet) -> Result<()> {
        send(self.address, fleet, Until::Ticks(2))?;
        Ok(())
    }

    /// Scrapes it.
    pub(crate) fn scrape(&self, gzip: bool) -> Result<Vec<u8>> {
        Ok(Connection::open(self.address)?.get("/api/metrics/prometheus", gzip)?.body)
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }
}

/// The command that starts a server.
pub(crate) fn command(url: &str, address: SocketAddr) -> Command {
    let mut command = Command::new(program());
    command.args([
        "server",
        "--unknown-components",
        "register",
        "--max-series",
        "2000000",
        "--max-component-samples",
        "0",
        "--max-component-bytes",
        "0",
    ]);
    command.args(["--listen", &address.to_string()]).env("DATABASE_URL", url);
    command
}
