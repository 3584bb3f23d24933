//! Row 2: remote write, against VictoriaMetrics. Both get the same bodies; ours are durable when
//! acknowledged.

use std::hint::black_box;
use std::time::{Duration, Instant};

use noetl_metrics::model::Limits;
use noetl_metrics::wire::remote_write::{Message, read};
use prost::Message as _;

use super::Bench;
use super::ingest::{Round, pick, reports};
use crate::error::{Result, failed};
use crate::fleet::Fleet;
use crate::load::{Until, send};
use crate::peers::{Peer, victoria_metrics};
use crate::server::Server;
use crate::stats::{exponent, median, short};
use crate::table::{Line, Row};
use crate::usage::cpu_seconds;
use crate::{remote, sender};

const DATABASE: &str = "bench_remote_write";
/// Samples of one request: what Prometheus sends at most, unless told otherwise.
const REQUEST: usize = 2000;
/// Time for what a side does after an answer.
const SETTLE: Duration = Duration::from_millis(300);

pub(crate) fn measure(bench: &Bench<'_>) -> Result<Row> {
    let sizes: &[usize] = if bench.quick { &[10_000] } else { &[10_000, 30_000, 100_000] };
    let mut row = Row {
        number: 2,
        title: "Ingest by remote write 1.0, 8 connections, 2000 samples a request, against VictoriaMetrics",
        ..Row::default()
    };
    let mut costs = Vec::new();
    for size in sizes {
        bench.progress(2, &format!("{size} series"));
        let (ours, theirs) = rounds(bench, *size)?;
        costs.push((*size as f64, 1.0 / pick(&ours, Round::per_cpu_second)));
        row.lines.push(line(*size, &ours, &theirs));
    }
    if let Some(exponent) = exponent(&costs) {
        row.notes
            .push(format!("CPU a sample grows with the number of series to the power of {exponent:.2}."));
    }
    row.notes.push(
        "Samples per CPU second, medians of rounds taken in turn, the same bodies of seven labels compressed by snappy. Ours are \
         committed when acknowledged, and the CPU of server and PostgreSQL counts; sealing the hour later is not part of it: \
         row 8. VictoriaMetrics holds what it acknowledged in memory for some seconds, and merges its parts while it is \
         measured and later."
            .into(),
    );
    let (here, general) = decoding()?;
    row.notes.push(format!(
        "To find the samples of a body and where its labels are takes {here:.0} ns a sample in place, {general:.0} ns with \
         messages that own their strings."
    ));
    Ok(row)
}

fn line(size: usize, ours: &[Round], theirs: &[Round]) -> Line {
    let (here, there) = (pick(ours, Round::per_cpu_second), pick(theirs, Round::per_cpu_second));
    let micros = |f: fn(&Round) -> f64| pick(ours, f) * 1e6;
    Line {
        case: format!("{} series", short(size as f64)),
        here: format!(
            "{}/CPU s ({}/s; µs a sample: server {:.2}, PostgreSQL {:.2}, generator {:.2})",
            short(here),
            short(pick(ours, Round::per_second)),
            micros(|r| r.server_cpu / r.samples),
            micros(|r| r.postgres_cpu / r.samples),
            micros(|r| r.generator_cpu / r.samples),
        ),
        other: format!(
            "VictoriaMetrics {}/CPU s ({}/s)",
            short(there),
            short(pick(theirs, Round::per_second))
        ),
        ratio: format!("{:.2} ×", here / there),
        target: "at least 1 ×".into(),
        met: Some(here >= there),
    }
}

/// Both sides in turn.
fn rounds(bench: &Bench<'_>, size: usize) -> Result<(Vec<Round>, Vec<Round>)> {
    let (count, time) = if bench.quick { (2, 2) } else { (5, 4) };
    let time = Duration::from_secs(time);
    let url = bench.cluster.fresh(DATABASE)?;
    let server = Server::start(&url, bench.directory)?;
    let peer = victoria_metrics(bench.directory)?;
    let (mut fleet, mut their_fleet) = (Fleet::written(size, REQUEST), Fleet::written(size, REQUEST));
    server.introduce(&mut fleet)?;
    send(peer.address, &mut their_fleet, Until::Ticks(2))?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..count {
        ours.push(reports(bench, &server, &mut fleet, time)?);
        theirs.push(their_round(&peer, &mut their_fleet, time)?);
    }
    drop((server, peer));
    bench.cluster.drop_database(DATABASE)?;
    Ok((ours, theirs))
}

fn their_round(peer: &Peer, fleet: &mut Fleet, time: Duration) -> Result<Round> {
    let before = cpu_seconds(peer.process.id())?;
    let sent = send(peer.address, fleet, Until::Passed(time))?;
    std::thread::sleep(SETTLE);
    Ok(Round {
        samples: sent.samples as f64,
        seconds: sent.seconds,
        server_cpu: cpu_seconds(peer.process.id())? - before,
        postgres_cpu: 0.0,
        generator_cpu: sent.own_cpu,
    })
}

/// Nanoseconds a sample that reading a body takes, in place and by the general way.
fn decoding() -> Result<(f64, f64)> {
    let body = remote::body(0..REQUEST).bytes;
    let limits = Limits::default();
    let timed = |read: &dyn Fn() -> usize| {
        let mut took = Vec::new();
        for _ in 0..50 {
            let began = Instant::now();
            if black_box(read()) != REQUEST {
                return failed("a body was not read whole");
            }
            took.push(began.elapsed().as_nanos() as f64 / REQUEST as f64);
        }
        Ok(median(&took))
    };
    let here = timed(&|| read(Message::V1, &body, &limits).map_or(0, |write| write.series.len()))?;
    let general = timed(&|| {
        sender::v1::WriteRequest::decode(body.as_slice()).map_or(0, |write| write.timeseries.len())
    })?;
    Ok((here, general))
}
