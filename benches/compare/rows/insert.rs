//! Row 3: JSON reports against single-row INSERT into the table that the documentation describes,
//! with its primary key and foreign key, each row its own transaction, on one connection.

use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};

use super::Bench;
use super::ingest::{Round, pick, reports};
use crate::error::Result;
use crate::fleet::{COMPONENT_SERIES, Fleet, KIND, Series, millis_of};
use crate::picture::Panel;
use crate::server::Server;
use crate::stats::{exponent, short};
use crate::table::{Line, Row};
use crate::usage::{cpu_seconds, own_cpu_seconds};

const DATABASE: &str = "bench_documented";

/// The documented table, and the registry that it refers to.
const DOCUMENTED: &str = "
    create schema noetl;
    create table noetl.runtime (
      runtime_id bigint primary key, name text not null, kind text not null, status text not null);
    create table noetl.metrics (
      metric_id bigint primary key,
      runtime_id bigint references noetl.runtime(runtime_id),
      metric_name varchar(255) not null,
      metric_type varchar(50) not null,
      metric_value double precision not null,
      labels jsonb,
      help_text text,
      unit varchar(50),
      \"timestamp\" timestamptz not null,
      created_at timestamptz default now());";

const INSERT: &str = "insert into noetl.metrics (metric_id, runtime_id, metric_name, metric_type, metric_value, labels, \
    help_text, unit, \"timestamp\") values ($1, $2, $3, $4, $5, $6::jsonb, $7, $8, timestamptz 'epoch' + $9 * interval '1 ms')";

pub(crate) fn measure(bench: &Bench<'_>) -> Result<Row> {
    let sizes: &[usize] = if bench.quick { &[10_000] } else { &[10_000, 30_000, 100_000] };
    let mut row = Row {
        number: 3,
        title: "Ingest of JSON reports of 1000 samples against single-row INSERT into the documented table",
        ..Row::default()
    };
    let (mut here, mut there) = (Vec::new(), Vec::new());
    for size in sizes {
        bench.progress(3, &format!("{size} series"));
        let (ours, inserts) = rounds(bench, *size)?;
        here.push((*size as f64, 1.0 / pick(&ours, Round::per_second)));
        there.push((*size as f64, 1.0 / pick(&inserts, Round::per_second)));
        row.lines.push(line(*size, &ours, &inserts));
    }
    row.panels.push(
        Panel::new("time a sample", "s", "series")
            .curve("here, 8 connections", &here)
            .curve("INSERT", &there),
    );
    if let (Some(here), Some(there)) = (exponent(&here), exponent(&there)) {
        row.notes.push(format!(
            "Time a sample grows with the number of series to the power of {here:.2} here, {there:.2} with INSERT."
        ));
    }
    row.notes.push(
        "Samples a second, both durable when acknowledged: here over 8 connections, on cores shared with PostgreSQL \
         and the generator; there a prepared INSERT, autocommit, on one connection."
            .into(),
    );
    Ok(row)
}

fn line(size: usize, ours: &[Round], inserts: &[Round]) -> Line {
    let (here, there) = (pick(ours, Round::per_second), pick(inserts, Round::per_second));
    let (here_cpu, there_cpu) = (pick(ours, Round::per_cpu_second), pick(inserts, Round::per_cpu_second));
    Line {
        case: format!("{} series", short(size as f64)),
        here: format!("{}/s ({}/CPU s)", short(here), short(here_cpu)),
        other: format!("INSERT {}/s ({}/CPU s)", short(there), short(there_cpu)),
        ratio: format!("{:.0} × (by CPU {:.0} ×)", here / there, here_cpu / there_cpu),
        target: "100 ×".into(),
        met: Some(here / there >= 100.0),
    }
}

fn rounds(bench: &Bench<'_>, size: usize) -> Result<(Vec<Round>, Vec<Round>)> {
    let (count, time) = if bench.quick { (2, 2) } else { (5, 4) };
    let url = bench.cluster.fresh("bench_ingest")?;
    bench.cluster.fresh(DATABASE)?;
    bench.cluster.execute(DATABASE, DOCUMENTED)?;
    bench.cluster.execute(
        DATABASE,
        &format!(
            "insert into noetl.runtime select i, 'worker-' || i, '{KIND}', 'ready' from generate_series(0, {}) i",
            size / COMPONENT_SERIES
        ),
    )?;
    let server = Server::start(&url, bench.directory)?;
    let mut fleet = Fleet::new(size, 1000);
    server.introduce(&mut fleet)?;
    let mut connection = bench.cluster.connect(DATABASE)?;
    let (mut next, mut ours, mut inserts) = (0, Vec::new(), Vec::new());
    for _ in 0..count {
        ours.push(reports(bench, &server, &mut fleet, Duration::from_secs(time))?);
        inserts.push(insert(bench, &mut connection, &mut next, &fleet, Duration::from_secs(time))?);
    }
    bench.cluster.wait(async { Ok(connection.close().await?) })?;
    drop(server);
    bench.cluster.drop_database("bench_ingest")?;
    bench.cluster.drop_database(DATABASE)?;
    Ok((ours, inserts))
}

/// One round of INSERTs; `next` counts the rows of all rounds.
fn insert(
    bench: &Bench<'_>,
    connection: &mut PgConnection,
    next: &mut usize,
    fleet: &Fleet,
    time: Duration,
) -> Result<Round> {
    let (before, own_before) = (cpu_seconds(bench.cluster.id())?, own_cpu_seconds()?);
    let (began, first) = (Instant::now(), *next);
    bench.cluster.wait(async {
        while began.elapsed() < time {
            insert_one(connection, *next, fleet).await?;
            *next += 1;
        }
        Ok(())
    })?;
    let seconds = began.elapsed().as_secs_f64();
    std::thread::sleep(Duration::from_millis(300));
    Ok(Round {
        samples: (*next - first) as f64,
        seconds,
        server_cpu: 0.0,
        postgres_cpu: cpu_seconds(bench.cluster.id())? - before,
        generator_cpu: own_cpu_seconds()? - own_before,
    })
}

async fn insert_one(connection: &mut PgConnection, row: usize, fleet: &Fleet) -> Result<()> {
    let (series, tick) = (Series(row % fleet.series), (row / fleet.series) as u64);
    sqlx::query(INSERT)
        .bind(i64::try_from(row).unwrap_or(i64::MAX))
        .bind(i64::try_from(series.0 / COMPONENT_SERIES).unwrap_or(i64::MAX))
        .bind(series.name())
        .bind(series.kind())
        .bind(series.value(tick))
        .bind(series.labels_json())
        .bind(series.help())
        .bind(series.unit())
        .bind(millis_of(fleet.begin(), tick))
        .execute(connection)
        .await?;
    Ok(())
}
