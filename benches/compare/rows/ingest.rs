//! Row 1: JSON reports, durable when acknowledged, against `COPY BINARY` of the same samples into a
//! table without an index. CPU seconds of server and PostgreSQL together; the generator's are apart.

use std::time::{Duration, Instant};

use sqlx::PgConnection;

use super::Bench;
use crate::error::Result;
use crate::fleet::{Fleet, Series, millis_of};
use crate::load::{CONNECTIONS, Sent, Until, send};
use crate::picture::Panel;
use crate::server::Server;
use crate::stats::{exponent, median, short};
use crate::stubs;
use crate::table::{Line, Row};
use crate::usage::cpu_seconds;

/// Rows of one COPY, which is one transaction.
const COPY_ROWS: usize = 100_000;
/// Time for what PostgreSQL does after an answer, such as writing hint bits and WAL.
const SETTLE: Duration = Duration::from_millis(300);
/// PostgreSQL counts microseconds from 2000-01-01.
const EPOCH_2000_MS: i64 = 946_684_800_000;

/// One round of one side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    pub(super) samples: f64,
    pub(super) seconds: f64,
    /// CPU seconds of our server, 0 for PostgreSQL alone.
    pub(super) server_cpu: f64,
    pub(super) postgres_cpu: f64,
    pub(super) generator_cpu: f64,
}

impl Round {
    pub(super) fn per_cpu_second(&self) -> f64 {
        self.samples / (self.server_cpu + self.postgres_cpu)
    }

    pub(super) fn per_second(&self) -> f64 {
        self.samples / self.seconds
    }
}

pub(crate) fn measure(bench: &Bench<'_>) -> Result<Row> {
    let sizes: &[usize] = if bench.quick { &[10_000] } else { &[10_000, 30_000, 100_000] };
    let ceiling = ceiling(bench)?;
    let mut row = Row {
        number: 1,
        title: "Ingest of JSON reports, 8 connections, against COPY BINARY",
        ..Row::default()
    };
    for report in [100, 1000] {
        let (mut costs, mut limits) = (Vec::new(), Vec::new());
        for size in sizes {
            bench.progress(1, &format!("{size} series in reports of {report} samples"));
            let (ours, limit) = rounds(bench, *size, report)?;
            costs.push((*size as f64, 1.0 / pick(&ours, Round::per_cpu_second)));
            limits.push((*size as f64, 1.0 / pick(&limit, Round::per_cpu_second)));
            row.lines.push(line(*size, report, &ours, &limit));
        }
        let cost = format!("CPU a sample, {report} a report");
        row.panels.push(Panel::new(&cost, "s", "series").curve("here", &costs).curve("COPY BINARY", &limits));
        if let Some(exponent) = exponent(&costs) {
            row.notes.push(format!(
                "Reports of {report}: CPU a sample grows with the number of series to the power of {exponent:.2}."
            ));
        }
    }
    row.notes.push(format!(
        "Samples per CPU second of server and PostgreSQL together, medians of rounds taken in turn. The generator \
         overwrites times and values in prepared bodies of the documented form (about 280 bytes a sample, with \
         labels, help and unit); against a server that only reads, it reaches {} samples/s.",
        short(ceiling)
    ));
    row.notes.push(
        "The limit is COPY BINARY of prepared (series id, time, value) rows, 100,000 a transaction, into a table \
         without any index. Ours go into blocks. Sealing the hour, some minutes after its end, is not part of this \
         row: row 8."
            .into(),
    );
    Ok(row)
}

fn line(size: usize, report: usize, ours: &[Round], limit: &[Round]) -> Line {
    let (here, there) = (pick(ours, Round::per_cpu_second), pick(limit, Round::per_cpu_second));
    let micros = |f: fn(&Round) -> f64| pick(ours, f) * 1e6;
    Line {
        case: format!("{} series, {report} a report", short(size as f64)),
        here: format!(
            "{}/CPU s ({}/s; µs a sample: server {:.2}, PostgreSQL {:.2}, generator {:.2})",
            short(here),
            short(pick(ours, Round::per_second)),
            micros(|r| r.server_cpu / r.samples),
            micros(|r| r.postgres_cpu / r.samples),
            micros(|r| r.generator_cpu / r.samples),
        ),
        other: format!("COPY {}/CPU s ({}/s)", short(there), short(pick(limit, Round::per_second))),
        ratio: format!("{:.1} %", 100.0 * here / there),
        target: "at least 25 %".into(),
        met: Some(here / there >= 0.25),
    }
}

pub(super) fn pick(rounds: &[Round], f: impl Fn(&Round) -> f64) -> f64 {
    median(&rounds.iter().map(f).collect::<Vec<_>>())
}

/// Both sides in turn.
fn rounds(bench: &Bench<'_>, size: usize, report: usize) -> Result<(Vec<Round>, Vec<Round>)> {
    let (count, time) = if bench.quick { (2, 2) } else { (5, 4) };
    let url = bench.cluster.fresh("bench_ingest")?;
    bench.cluster.fresh("bench_copy")?;
    bench.cluster.execute(
        "bench_copy",
        // Vacuuming it would take place beside either side.
        "create table sample (series_id integer not null, \"timestamp\" timestamptz not null, value double precision not null) \
         with (autovacuum_enabled = off)",
    )?;
    let server = Server::start(&url, bench.directory)?;
    let mut fleet = Fleet::new(size, 1000);
    server.introduce(&mut fleet)?;
    let mut fleet = fleet.in_reports_of(report);
    let mut copy = Copy::new(bench, size, fleet.begin())?;
    let (mut ours, mut limit) = (Vec::new(), Vec::new());
    for _ in 0..count {
        ours.push(reports(bench, &server, &mut fleet, Duration::from_secs(time))?);
        limit.push(copy.round(bench, Duration::from_secs(time.div_ceil(2)))?);
    }
    drop(server);
    drop(copy);
    bench.cluster.drop_database("bench_copy")?;
    bench.cluster.drop_database("bench_ingest")?;
    Ok((ours, limit))
}

/// One round of reports.
pub(super) fn reports(
    bench: &Bench<'_>,
    server: &Server,
    fleet: &mut Fleet,
    time: Duration,
) -> Result<Round> {
    let cpu =
        || Ok::<_, crate::error::BenchError>((cpu_seconds(server.id())?, cpu_seconds(bench.cluster.id())?));
    let before = cpu()?;
    let Sent { samples, seconds, own_cpu } = send(server.address, fleet, Until::Passed(time))?;
    std::thread::sleep(SETTLE);
    let after = cpu()?;
    Ok(Round {
        samples: samples as f64,
        seconds,
        server_cpu: after.0 - before.0,
        postgres_cpu: after.1 - before.1,
        generator_cpu: own_cpu,
    })
}

/// The limit: PostgreSQL takes prepared rows.
struct Copy {
    connection: PgConnection,
    bytes: Vec<u8>,
    begin: i64,
    sent: usize,
    series: usize,
}

const COPY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const COPY_ROW: usize = 2 + (4 + 4) + (4 + 8) + (4 + 8);

impl Copy {
    fn new(bench: &Bench<'_>, series: usize, begin: i64) -> Result<Self> {
        let mut bytes = Vec::with_capacity(COPY_HEADER.len() + COPY_ROWS * COPY_ROW + 2);
        bytes.extend_from_slice(COPY_HEADER);
        for _ in 0..COPY_ROWS {
            let row = [
                &3_i16.to_be_bytes()[..],
                &4_i32.to_be_bytes(),
                &[0; 4],
                &8_i32.to_be_bytes(),
                &[0; 8],
                &8_i32.to_be_bytes(),
                &[0; 8],
            ];
            bytes.extend(row.concat());
        }
        bytes.extend((-1_i16).to_be_bytes());
        Ok(Self { connection: bench.cluster.connect("bench_copy")?, bytes, begin, sent: 0, series })
    }

    /// Puts the next rows in: tick by tick, each series once a tick, as reports come.
    fn prepare(&mut self) {
        for row in 0..COPY_ROWS {
            let (number, tick) = ((self.sent + row) % self.series, ((self.sent + row) / self.series) as u64);
            let at = COPY_HEADER.len() + row * COPY_ROW;
            let id = i32::try_from(number).unwrap_or(i32::MAX) + 1;
            let micros = (millis_of(self.begin, tick) - EPOCH_2000_MS) * 1000;
            self.bytes[at + 6..at + 10].copy_from_slice(&id.to_be_bytes());
            self.bytes[at + 14..at + 22].copy_from_slice(&micros.to_be_bytes());
            self.bytes[at + 26..at + 34].copy_from_slice(&Series(number).value(tick).to_be_bytes());
        }
        self.sent += COPY_ROWS;
    }

    fn round(&mut self, bench: &Bench<'_>, time: Duration) -> Result<Round> {
        let (before, mut seconds, mut samples) = (cpu_seconds(bench.cluster.id())?, 0.0, 0.0);
        while seconds < time.as_secs_f64() {
            self.prepare();
            let began = Instant::now();
            bench.cluster.wait(async {
                let statement =
                    "copy sample (series_id, \"timestamp\", value) from stdin with (format binary)";
                let mut copy = self.connection.copy_in_raw(statement).await?;
                copy.send(self.bytes.as_slice()).await?;
                copy.finish().await?;
                Ok(())
            })?;
            seconds += began.elapsed().as_secs_f64();
            samples += COPY_ROWS as f64;
        }
        std::thread::sleep(SETTLE);
        let postgres_cpu = cpu_seconds(bench.cluster.id())? - before;
        Ok(Round { samples, seconds, server_cpu: 0.0, postgres_cpu, generator_cpu: 0.0 })
    }
}

/// Samples a second that the generator sends to a server that only reads.
fn ceiling(bench: &Bench<'_>) -> Result<f64> {
    let (_sink, address) = stubs::start("sink", None, bench.directory)?;
    let mut fleet = Fleet::new(10_000, 1000);
    let sent = send(address, &mut fleet, Until::Passed(Duration::from_secs(2)))?;
    Ok(sent.samples as f64 / sent.seconds)
}

const _: () = assert!(CONNECTIONS == 8, "the title says so");
