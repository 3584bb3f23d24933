//! Row 6: bytes of a sample at rest, everything counted.

use sqlx::Row as _;

use super::Bench;
use crate::error::{BenchError, Result};
use crate::history::{Data, History, captured, migrated, seal};
use crate::peers::{self, Peer};
use crate::postgres::Cluster;
use crate::stats::short;
use crate::table::{Line, Row};

const DATABASE: &str = "bench_storage";
const HOURS: i64 = 6;

/// The documented table, with its primary key.
const DOCUMENTED: &str = "create table documented (
    metric_id bigint primary key, runtime_id bigint, metric_name varchar(255) not null, metric_type varchar(50) not null,
    metric_value double precision not null, labels jsonb, help_text text, unit varchar(50),
    \"timestamp\" timestamptz not null, created_at timestamptz default now());
    insert into documented select * from (select * from noetl.metrics limit 200000) m order by metric_id";

pub(crate) fn measure(bench: &Bench<'_>) -> Result<Row> {
    let mut row = Row { number: 6, title: "Bytes a sample at rest", ..Row::default() };
    let sizes: &[usize] = if bench.quick { &[1_000] } else { &[1_000, 3_000, 10_000] };
    let mut cases = Vec::new();
    for interval in [15, 60] {
        cases.extend(sizes.iter().map(|series| History {
            data: Data::Mixed,
            series: *series,
            interval,
            hours: HOURS,
        }));
    }
    let hosts = if bench.quick { 1 } else { 10 };
    let host = |interval| {
        Ok::<_, BenchError>(History {
            data: Data::Host,
            series: captured()?.len() * hosts,
            interval,
            hours: 1,
        })
    };
    cases.extend([host(15)?, host(60)?]);
    cases.push(History { data: Data::Full, series: 1_000, interval: 60, hours: HOURS });
    for case in cases {
        row.lines.extend(lines(bench, case)?);
    }
    row.notes.push(format!(
        "{HOURS} hours, sealed by `noetl-metrics maintenance` from blocks that a loader made. Of each 100 series of a \
         component, which have their times in common, 30 are constant, 35 are gauges of two decimals that wander by up \
         to 0.5, 35 are counters that grow by up to 5000. Here: the partitions of chunks with indexes, to the page. \
         VictoriaMetrics: its folder `data` after a forced flush and merge. Neither counts what it keeps of the series \
         themselves. The documented table: 200,000 of the samples, each with labels of {{component, hostname, series}}, a help \
         text and a unit, and its primary key."
    ));
    row.notes.push(format!(
        "Host: an hour of what node_exporter said of a machine that builds and tests, every 15 seconds, as {hosts} hosts."
    ));
    row.notes.push(
        "Full: gauges with all digits of a double, which we keep bit by bit and VictoriaMetrics rounds to some 15.".into(),
    );
    Ok(row)
}

fn lines(bench: &Bench<'_>, history: History) -> Result<Vec<Line>> {
    let kind = match history.data {
        Data::Mixed => "",
        Data::Full => ", full",
        Data::Host => ", host",
    };
    let case = format!("{} series at {} s{kind}", short(history.series as f64), history.interval);
    bench.progress(6, &case);
    let now = noetl_metrics::model::Millis::now().0;
    let url = migrated(bench.cluster, DATABASE)?;
    let peer = peers::victoria_metrics(bench.directory)?;
    history.load(bench.cluster, DATABASE, now, Some(&peer))?;
    let sealed = seal(bench.cluster, &url)?;
    if sealed.samples.total_cmp(&(history.samples() as f64)).is_ne() {
        return crate::error::failed(format!(
            "{} of {} samples were sealed",
            sealed.samples,
            history.samples()
        ));
    }
    let here = number(
        bench.cluster,
        "select sum(pg_total_relation_size(to_regclass('noetl_metrics.' || name)))::double precision from noetl_metrics.day",
    )? / sealed.samples;
    let there = at_rest(&peer)? / sealed.samples;
    bench.cluster.execute(DATABASE, DOCUMENTED)?;
    let documented = number(
        bench.cluster,
        "select pg_total_relation_size('documented')::double precision / (select count(*) from documented)",
    )?;
    bench.cluster.drop_database(DATABASE)?;
    let mut lines = vec![Line {
        case: case.clone(),
        here: format!("{here:.2} B"),
        other: format!("VictoriaMetrics {there:.2} B"),
        ratio: format!("{:.2} ×", here / there),
        target: "under 2 B, at most 2 ×".into(),
        met: (history.data != Data::Full).then_some(here < 2.0 && here <= 2.0 * there),
    }];
    if history.data == Data::Mixed {
        lines.push(Line {
            case,
            here: format!("{here:.2} B"),
            other: format!("documented table {documented:.0} B"),
            ratio: format!("{:.0} × less", documented / here),
            target: "at least 100 × less".into(),
            met: Some(documented / here >= 100.0),
        });
    }
    Ok(lines)
}

fn number(cluster: &Cluster, sql: &'static str) -> Result<f64> {
    let mut connection = cluster.connect(DATABASE)?;
    cluster.wait(async { Ok(sqlx::query(sql).fetch_one(&mut connection).await?.try_get(0)?) })
}

/// Bytes that the peer keeps of samples, once it has written and merged all.
fn at_rest(peer: &Peer) -> Result<f64> {
    for path in ["/internal/force_flush", "/internal/force_merge"] {
        crate::http::Connection::open(peer.address)?.get(path, false)?;
    }
    let mut before = 0;
    loop {
        std::thread::sleep(std::time::Duration::from_secs(3));
        let now = peers::folder_bytes(&peer.data.join("data"))?;
        if now > 0 && now == before {
            return Ok(now as f64);
        }
        before = now;
    }
}
