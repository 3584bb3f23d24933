//! Row 9: memory and CPU of the agent at a 15 s interval, against node_exporter scraped every 15 s
//! by vmagent, on the same machine at the same time; alone, and with NoETL workers that both
//! scrape.

use std::process::Command;
use std::time::{Duration, Instant};

use super::Bench;
use crate::error::{Context, Result};
use crate::noetl;
use crate::peers;
use crate::process::Process;
use crate::server::{Server, program, shipped};
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

/// How many NoETL workers are scraped beside the machine.
const TARGETS: [usize; 3] = [0, 30, 200];

pub(crate) fn measure(bench: &Bench<'_>) -> Result<Row> {
    let mut row = Row {
        number: 9,
        title: "The agent at a 15 s interval against node_exporter and vmagent, with NoETL workers scraped",
        ..Row::default()
    };
    row.notes.push(format!(
        "{} intervals, after two to warm up. Workers answer with about 280 series each; the agent keeps what it \
         keeps unless told otherwise, vmagent all of it, and sends it on to a server that takes anything.",
        intervals(bench)
    ));
    if shipped() != program() {
        row.notes.push("The agent is the image's program: linked statically, without the demo.".into());
    }
    for targets in TARGETS {
        let (lines, note) = case(bench, targets)?;
        row.lines.extend(lines);
        row.notes.push(note);
    }
    Ok(row)
}

/// One number of targets: its lines, and what else there is to say.
fn case(bench: &Bench<'_>, targets: usize) -> Result<(Vec<Line>, String)> {
    let name = format!("bench_agent_{targets}");
    let url = bench.cluster.fresh(&name)?;
    let server = Server::start(&url, bench.directory)?;
    let body = bench.directory.join("worker.txt");
    std::fs::write(&body, noetl::worker()).context(body.display().to_string())?;
    let (_workers, at) = stubs::start("static-file", Some(&body), bench.directory)?;
    let urls: Vec<String> = (0..targets).map(|i| format!("{at}/memory?i={i}")).collect();
    let mut command = Command::new(shipped());
    command.args(["agent", "--server-url", &format!("http://{}", server.address)]);
    command.args(["--pool-name", "bench", "--worker-id", "bench-agent"]);
    command.args(["--metrics-interval", "15s", "--heartbeat-interval", "15s"]);
    for (i, url) in urls.iter().enumerate() {
        command.args(["--scrape", &format!("http://{url};name=worker-{i}")]);
    }
    let mut agent = Process::start("agent", &mut command, bench.directory)?;
    let last = targets.checked_sub(1).map_or("bench-agent".to_owned(), |i| format!("worker-{i}"));
    let label = format!("component=\"{last}\"");
    let reports = || server.scrape(false).is_ok_and(|text| count(&text, label.as_bytes()) > 5);
    agent.wait_until(Duration::from_millis(200), reports)?;
    let (_sink, sink) = stubs::start("sink", None, bench.directory)?;
    // Without the peers the agent's own figures are worth something too.
    let others = peers::node_exporter(bench.directory).and_then(|exporter| {
        let vmagent = peers::vmagent(exporter.address, &urls, sink, bench.directory)?;
        Ok((exporter, vmagent))
    });
    let mut ids = vec![agent.id(), server.id()];
    if let Ok((exporter, vmagent)) = &others {
        ids.extend([exporter.process.id(), vmagent.process.id()]);
    }
    let used = watch(bench, &ids)?;
    let ours = count(&server.scrape(false)?, b"component=");
    let mut note =
        format!("{targets} targets: {ours} series in the server, which used {:.2} s of CPU.", used[1].cpu);
    if let Err(error) = &others {
        note.push_str(&format!(" Not compared: {error}."));
    }
    let lines = lines(targets, &used);
    drop((agent, server));
    bench.cluster.drop_database(&name)?;
    Ok((lines, note))
}

fn intervals(bench: &Bench<'_>) -> u32 {
    if bench.quick { 2 } else { 16 }
}

/// Watches processes for the intervals.
fn watch(bench: &Bench<'_>, ids: &[u32]) -> Result<Vec<Used>> {
    bench.progress(9, "warming up");
    std::thread::sleep(INTERVAL * 2);
    bench.progress(9, &format!("watching for {} s", (INTERVAL * intervals(bench)).as_secs()));
    let mut used = vec![Used::default(); ids.len()];
    for (side, id) in used.iter_mut().zip(ids.iter().copied()) {
        side.cpu = -cpu_seconds(id)?;
    }
    let began = Instant::now();
    while began.elapsed() < INTERVAL * intervals(bench) {
        for (side, id) in used.iter_mut().zip(ids.iter().copied()) {
            side.memory = side.memory.max(rss_bytes(id)? as f64);
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    for (side, id) in used.iter_mut().zip(ids.iter().copied()) {
        side.cpu += cpu_seconds(id)?;
    }
    Ok(used)
}

/// `used` is of agent, server and, where they are there, `node_exporter` and vmagent.
fn lines(targets: usize, used: &[Used]) -> Vec<Line> {
    let agent = used[0];
    // Past 30 targets the memory may grow in proportion.
    let most = MEMORY_TARGET * (targets.max(30) as f64 / 30.0);
    let target = format!("under 1 ×, under {}", mebibytes(most));
    let case = |what: &str| format!("{what}, {targets} targets");
    let [exporter, vmagent] = used[2..] else {
        let line = |what: &str, here: String, target: &str, met: Option<bool>| Line {
            case: case(what),
            here,
            target: target.into(),
            met,
            ..Line::default()
        };
        return vec![
            line("memory", mebibytes(agent.memory), &target, Some(agent.memory < most)),
            line("CPU", format!("{:.2} s", agent.cpu), "under 1 ×", None),
        ];
    };
    let memory = exporter.memory + vmagent.memory;
    let cpu = exporter.cpu + vmagent.cpu;
    let line = |what: &str, here: String, other: String, ratio: f64, target: &str, met: bool| Line {
        case: case(what),
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
            &target,
            agent.memory < memory.min(most),
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
