//! Row 9: memory and CPU of the agent at a 15 s interval, against node_exporter scraped every 15 s
//! by vmagent, on the same machine at the same time.

use std::process::Command;
use std::time::{Duration, Instant};

use super::Bench;
use crate::error::Result;
use crate::http::Connection;
use crate::peers;
use crate::process::Process;
use crate::server::{Server, program};
use crate::stats::mebibytes;
use crate::stubs;
use crate::table::{Line, Row};
use crate::usage::{cpu_seconds, rss_bytes};

/// Reports and scrapes come this often.
const INTERVAL: Duration = Duration::from_secs(15);
/// Memory that the agent may take.
const MEMORY_TARGET: f64 = 20.0 * 1024.0 * 1024.0;

/// What a side used.
#[derive(Clone, Copy, Debug, Default)]
struct Used {
    /// Most resident memory seen, in bytes.
    memory: f64,
    /// CPU seconds.
    cpu: f64,
}

pub(crate) fn measure(bench: &Bench<'_>) -> Result<Row> {
    let mut row = Row {
        number: 9,
        title: "The agent at a 15 s interval against node_exporter and vmagent",
        ..Row::default()
    };
    let url = bench.cluster.fresh("bench_agent")?;
    let server = Server::start(&url, bench.directory)?;
    let mut command = Command::new(program());
    command.args(["agent", "--server-url", &format!("http://{}", server.address)]);
    command.args(["--pool-name", "bench", "--worker-id", "bench-agent"]);
    command.args(["--metrics-interval", "15s", "--heartbeat-interval", "15s"]);
    let mut agent = Process::start("agent", &mut command, bench.directory)?;
    let reports = || server.scrape(false).is_ok_and(|text| count(&text, b"component=\"bench-agent\"") > 5);
    if let Err(error) = agent.wait_until(Duration::from_millis(200), reports) {
        row.notes.push(format!("Not measured: {error}."));
        return Ok(row);
    }
    let (_sink, sink) = stubs::start("sink", None, bench.directory)?;
    let exporter = peers::node_exporter(bench.directory)?;
    let vmagent = peers::vmagent(exporter.address, sink, bench.directory)?;
    let ids = [agent.id(), exporter.process.id(), vmagent.process.id()];
    let used = watch(bench, ids)?;
    let ours = count(&server.scrape(false)?, b"component=\"bench-agent\"");
    let exporter_text = Connection::open(exporter.address)?.get("/metrics", false)?.body;
    row.lines = lines(used);
    row.notes = vec![
        format!(
            "{} intervals, after two to warm up. The agent reports {ours} series to the server; node_exporter has {}, \
             which vmagent sends on to a server that takes anything.",
            intervals(bench),
            exporter_text.split(|b| *b == b'\n').filter(|line| !line.is_empty() && line[0] != b'#').count()
        ),
        "Neither side scrapes anything else; the scraping of NoETL's own targets is not there yet.".into(),
    ];
    drop((agent, server));
    bench.cluster.drop_database("bench_agent")?;
    Ok(row)
}

fn intervals(bench: &Bench<'_>) -> u32 {
    if bench.quick { 2 } else { 16 }
}

/// Watches processes for the intervals.
fn watch(bench: &Bench<'_>, ids: [u32; 3]) -> Result<[Used; 3]> {
    bench.progress(9, "warming up");
    std::thread::sleep(INTERVAL * 2);
    bench.progress(9, &format!("watching for {} s", (INTERVAL * intervals(bench)).as_secs()));
    let mut used = [Used::default(); 3];
    for (side, id) in used.iter_mut().zip(ids) {
        side.cpu = -cpu_seconds(id)?;
    }
    let began = Instant::now();
    while began.elapsed() < INTERVAL * intervals(bench) {
        for (side, id) in used.iter_mut().zip(ids) {
            side.memory = side.memory.max(rss_bytes(id)? as f64);
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    for (side, id) in used.iter_mut().zip(ids) {
        side.cpu += cpu_seconds(id)?;
    }
    Ok(used)
}

fn lines([agent, exporter, vmagent]: [Used; 3]) -> Vec<Line> {
    let memory = exporter.memory + vmagent.memory;
    let cpu = exporter.cpu + vmagent.cpu;
    let line = |case: &str, here: String, other: String, ratio: f64, target: &str, met: bool| Line {
        case: case.into(),
        here,
        other,
        ratio: format!("{ratio:.2} ×"),
        target: target.into(),
        met: Some(met),
    };
    vec![
        line(
            "memory",
            mebibytes(agent.memory),
            format!("node_exporter {} + vmagent {}", mebibytes(exporter.memory), mebibytes(vmagent.memory)),
            agent.memory / memory,
            "under 1 ×, under 20 MiB",
            agent.memory < memory.min(MEMORY_TARGET),
        ),
        line(
            "CPU",
            format!("{:.2} s", agent.cpu),
            format!("node_exporter {:.2} s + vmagent {:.2} s", exporter.cpu, vmagent.cpu),
            agent.cpu / cpu,
            "under 1 ×",
            agent.cpu < cpu,
        ),
    ]
}

fn count(text: &[u8], word: &[u8]) -> usize {
    text.split(|b| *b == b'\n').filter(|line| line.windows(word.len()).any(|w| w == word)).count()
}
