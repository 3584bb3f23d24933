//! The programs that others wrote, started as their documentation says.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::error::{BenchError, Context, Result, failed};
use crate::fleet::{COMPONENT_SERIES, Fleet};
use crate::http::Connection;
use crate::process::{Process, answers, free_address, tool};

/// A running peer.
pub(crate) struct Peer {
    /// Its process.
    pub(crate) process: Process,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Where it keeps its data, if it does.
    pub(crate) data: PathBuf,
}

/// Pushgateway. Its check of each push against all that it holds is off, since it has nothing to do
/// with what is measured and would take many minutes with 500,000 series.
pub(crate) fn pushgateway(directory: &Path) -> Result<Peer> {
    let address = free_address()?;
    let mut command = command("prometheus-pushgateway")?;
    command.args(["--push.disable-consistency-check", "--web.listen-address", &address.to_string()]);
    start("prometheus-pushgateway", &mut command, address, directory)
}

/// node_exporter with its default collectors.
pub(crate) fn node_exporter(directory: &Path) -> Result<Peer> {
    let address = free_address()?;
    let mut command = command("prometheus-node-exporter")?;
    command.args(["--web.listen-address", &address.to_string()]);
    start("prometheus-node-exporter", &mut command, address, directory)
}

/// vmagent that scrapes `target` and `workers` (addresses with paths) every 15 s and writes to
/// `remote`.
pub(crate) fn vmagent(
    target: SocketAddr,
    workers: &[String],
    remote: SocketAddr,
    directory: &Path,
) -> Result<Peer> {
    let address = free_address()?;
    let config = directory.join("vmagent.yaml");
    let text = format!(
        "global: {{scrape_interval: 15s}}\nscrape_configs:\n- job_name: node\n  static_configs: [{{targets: ['{target}']}}]\n"
    );
    let worker = |url: &String| {
        let (host, path) = url.split_once('/').unwrap_or((url, ""));
        let (path, number) = path.split_once("?i=").unwrap_or((path, "0"));
        format!(
            "- job_name: worker-{number}\n  metrics_path: /{path}\n  params: {{i: ['{number}']}}\n  static_configs: [{{targets: ['{host}']}}]\n"
        )
    };
    let text = text + &workers.iter().map(worker).collect::<String>();
    std::fs::write(&config, text).context(config.display().to_string())?;
    let mut command = command("vmagent")?;
    command.arg(format!("-promscrape.config={}", config.display()));
    command.arg(format!("-remoteWrite.url=http://{remote}/api/v1/write"));
    command.arg(format!("-remoteWrite.tmpDataPath={}", directory.join("vmagent-data").display()));
    command.arg(format!("-httpListenAddr={address}"));
    start("vmagent", &mut command, address, directory)
}

/// A single `VictoriaMetrics` without data.
pub(crate) fn victoria_metrics(directory: &Path) -> Result<Peer> {
    let data = directory.join("victoria-metrics-data");
    if data.exists() {
        std::fs::remove_dir_all(&data).context(data.display().to_string())?;
    }
    on(data, directory)
}

/// The same `VictoriaMetrics`, started again.
pub(crate) fn again(mut peer: Peer, directory: &Path) -> Result<Peer> {
    peer.process.stop()?;
    on(peer.data.clone(), directory)
}

fn on(data: PathBuf, directory: &Path) -> Result<Peer> {
    let address = free_address()?;
    let mut command = command("victoria-metrics")?;
    command.arg(format!("-storageDataPath={}", data.display())).arg("-retentionPeriod=10y");
    command.arg(format!("-httpListenAddr={address}"));
    Ok(Peer { data, ..start("victoria-metrics", &mut command, address, directory)? })
}

/// Bytes of all files in a folder.
pub(crate) fn folder_bytes(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder).context(folder.display().to_string())?.flatten() {
        // What is merged away meanwhile is not counted.
        let Ok(about) = entry.metadata() else { continue };
        bytes += if about.is_dir() { folder_bytes(&entry.path())? } else { about.len() };
    }
    Ok(bytes)
}

/// Name and version of a peer: what the program says, or its package where it says nothing.
pub(crate) fn version(program: &str, package: &str) -> Option<String> {
    let path = tool(program)?;
    let output = Command::new(path).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let own = text.lines().next().and_then(|line| line.split(" (branch").next()).filter(|t| !t.is_empty());
    let policy = Command::new("apt-cache").args(["policy", package]).output().ok()?;
    let policy = String::from_utf8_lossy(&policy.stdout).into_owned();
    let candidate = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: "));
    own.map(str::to_owned).or_else(|| candidate.map(|version| format!("{program} of {package} {version}")))
}

fn command(program: &str) -> Result<Command> {
    let missing = || BenchError::Failed(format!("{program} is not there; scripts/bench.sh fetches it"));
    Ok(Command::new(tool(program).ok_or_else(missing)?))
}

fn start(name: &str, command: &mut Command, address: SocketAddr, directory: &Path) -> Result<Peer> {
    let mut process = Process::start(name, command.current_dir(directory), directory)?;
    process.wait_until(Duration::from_millis(50), || answers(address, "/metrics"))?;
    Ok(Peer { process, address, data: PathBuf::new() })
}

/// Pushes the series of a fleet of this size into Pushgateway, a group for each component.
pub(crate) fn push(peer: &Peer, series: usize, tick: u64) -> Result<()> {
    let mut connection = Connection::open(peer.address)?;
    for first in (0..series).step_by(COMPONENT_SERIES) {
        let text = Fleet::exposition(first..(first + COMPONENT_SERIES).min(series), tick);
        let group = first / COMPONENT_SERIES;
        let head = format!(
            "PUT /metrics/job/bench-{group} HTTP/1.1\r\nhost: bench\r\ncontent-length: {}\r\n\r\n",
            text.len()
        );
        let answer = connection.send((head + &text).as_bytes())?;
        if answer.status >= 300 {
            return failed(format!(
                "Pushgateway answered {}: {}",
                answer.status,
                String::from_utf8_lossy(&answer.body)
            ));
        }
    }
    Ok(())
}
