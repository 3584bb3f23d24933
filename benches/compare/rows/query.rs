//! Row 7: queries through the HTTP API, over little and over long history.

use std::time::{Duration, Instant};

use sqlx::Row as _;

use super::Bench;
use crate::error::{Result, failed};
use crate::history::{Data, History, maintain, migrated, seal};
use crate::http::Connection;
use crate::peers;
use crate::postgres::Cluster;
use crate::server::Server;
use crate::stats::{median, seconds, short};
use crate::table::{Line, Row};

const DATABASE: &str = "bench_query";
const SERIES: usize = 300;
const INTERVAL: i64 = 60;
pub(super) const HOUR_MS: i64 = 3_600_000;

/// A question, as each of the two is asked it, and how many rows or points its answer has.
pub(super) struct Question {
    pub(super) name: &'static str,
    pub(super) here: String,
    there: String,
    pub(super) rows: usize,
}

/// Seconds that the answers to one question took.
#[derive(Default)]
struct Times {
    cold: (Vec<f64>, Vec<f64>),
    warm: (Vec<f64>, Vec<f64>),
}

pub(crate) fn measure(bench: &Bench<'_>) -> Result<Row> {
    let mut row = Row { number: 7, title: "Queries through the HTTP API", ..Row::default() };
    let all_days: &[i64] = if bench.quick { &[2] } else { &[2, 30, 90] };
    // It is started again and again.
    let directory = bench.directory.join("query");
    std::fs::create_dir_all(&directory).map_err(|e| crate::error::BenchError::Failed(e.to_string()))?;
    let mut cluster = Cluster::start(&directory)?;
    let mut medians: Vec<Vec<f64>> = Vec::new();
    for days in all_days {
        bench.progress(7, &format!("{days} days"));
        let (lines, warm) = case(bench, &mut cluster, *days)?;
        row.lines.extend(lines);
        medians.push(warm);
    }
    if let (Some(first), Some(last), true) = (medians.first(), medians.last(), medians.len() > 1) {
        for ((question, short), long) in questions(0).iter().zip(first).zip(last) {
            row.lines.push(Line {
                case: format!("{}, warm, 2 to 90 days", question.name),
                here: format!("{} to {}", seconds(*short), seconds(*long)),
                other: "–".into(),
                ratio: format!("{:.2} ×", long / short),
                target: "under 1.2 ×".into(),
                met: Some(long / short < 1.2),
            });
        }
    }
    row.notes.push(format!(
        "{SERIES} series at {INTERVAL} s, mixed as in row 6, sealed, the same samples in VictoriaMetrics; both are asked over \
         one connection that is kept, in turn, medians. Samples are asked for as they are (VictoriaMetrics: query_range with a step \
         of their interval), steps of 5 minutes with avg (avg_over_time), of an hour over all days with max (max_over_time); newest of all is a page of as many \
         samples as there are series (an instant query). The last hour of history ended two hours before."
    ));
    row.notes.push(
        "Cold: the first answer after PostgreSQL, or VictoriaMetrics, was started again; the system's cache of files stays warm. \
         The server goes on, and makes its connections anew."
            .into(),
    );
    Ok(row)
}

pub(super) fn questions(end: i64) -> Vec<Question> {
    let time = |ms: i64| noetl_metrics::model::Millis(ms).rfc3339();
    let range = |hours: i64| format!("start_time={}&end_time={}", time(end - hours * HOUR_MS), time(end - 1));
    let there = |query: &str, hours: i64, step: i64| {
        let (from, to) = (end / 1000 - hours * 3600 + step, end / 1000);
        format!("/api/v1/query_range?query={query}&start={from}&end={to}&step={step}&nocache=1")
    };
    let samples = |hours: i64| Question {
        name: if hours == 1 { "one series, 1 h" } else { "one series, 24 h" },
        here: format!("/api/metrics/query?metric_name=bench&label.series=142&{}&limit=10000", range(hours)),
        there: there("bench%7Bseries%3D%22142%22%7D", hours, INTERVAL),
        rows: usize::try_from(hours * 3600 / INTERVAL).unwrap_or(0),
    };
    vec![
        samples(1),
        samples(24),
        Question {
            name: "100 series, 6 h in steps of 5 min",
            here: format!(
                "/api/metrics/query?metric_name=bench&component_name=worker-1&{}&step=5m&limit=10000",
                range(6)
            ),
            there: there("avg_over_time(bench%7Bcomponent%3D%22worker-1%22%7D%5B5m%5D)", 6, 300),
            rows: 7200,
        },
        Question {
            name: "100 series, 36 h in steps of 1 h",
            here: format!(
                "/api/metrics/query?metric_name=bench&component_name=worker-1&{}&step=1h&agg=max&limit=10000",
                range(36)
            ),
            there: there("max_over_time(bench%7Bcomponent%3D%22worker-1%22%7D%5B1h%5D)", 36, 3600),
            rows: 3600,
        },
        Question {
            name: "newest of all",
            here: format!("/api/metrics/query?metric_name=bench&end_time={}&limit={SERIES}", time(end - 1)),
            there: format!("/api/v1/query?query=bench&time={}&nocache=1", end / 1000),
            rows: SERIES,
        },
    ]
}

fn case(bench: &Bench<'_>, cluster: &mut Cluster, days: i64) -> Result<(Vec<Line>, Vec<f64>)> {
    let now = noetl_metrics::model::Millis::now().0;
    let end = now - now.rem_euclid(HOUR_MS) - 2 * HOUR_MS;
    let history = History { data: Data::Mixed, series: SERIES, interval: INTERVAL, hours: days * 24 };
    let url = migrated(cluster, DATABASE)?;
    let mut peer = peers::victoria_metrics(bench.directory)?;
    history.load(cluster, DATABASE, now, Some(&peer))?;
    seal(cluster, &url)?;
    maintain(&url, "3650d")?;
    cluster.execute(DATABASE, "vacuum analyze")?;
    let bucket = bytes_of_a_bucket(cluster)?;
    for path in ["/internal/force_flush", "/internal/force_merge"] {
        Connection::open(peer.address)?.get(path, false)?;
    }
    let server = Server::start(&url, bench.directory)?;
    let rounds = if bench.quick { (1, 5) } else { (3, 41) };
    let questions = questions(end);
    let mut times: Vec<Times> = questions.iter().map(|_| Times::default()).collect();
    for _ in 0..rounds.0 {
        for (question, times) in questions.iter().zip(&mut times) {
            cluster.restart()?;
            peer = peers::again(peer, bench.directory)?;
            times.cold.0.push(ask(&mut patiently(&server)?, &question.here, question.rows)?);
            times.cold.1.push(ask(&mut Connection::open(peer.address)?, &question.there, question.rows)?);
        }
    }
    let (mut here, mut there) = (patiently(&server)?, Connection::open(peer.address)?);
    for (question, times) in questions.iter().zip(&mut times) {
        for round in 0..rounds.1 {
            let ours = ask(&mut here, &question.here, question.rows)?;
            let others = ask(&mut there, &question.there, question.rows)?;
            if round > 0 {
                times.warm.0.push(ours);
                times.warm.1.push(others);
            }
        }
    }
    drop(server);
    cluster.drop_database(DATABASE)?;
    let mut lines = vec![Line {
        case: format!("a roll-up of a packed day, {days} days"),
        here: format!("{bucket:.2} B"),
        other: "–".into(),
        target: "under 12 B".into(),
        met: Some(bucket < 12.0),
        ..Line::default()
    }];
    for (question, times) in questions.iter().zip(&times) {
        for (kind, (ours, others)) in [("cold", &times.cold), ("warm", &times.warm)] {
            let (ours, others) = (median(ours), median(others));
            lines.push(Line {
                case: format!("{}, {kind}, {} days of {} series", question.name, days, short(SERIES as f64)),
                here: seconds(ours),
                other: format!("VictoriaMetrics {}", seconds(others)),
                ratio: format!("{:.2} ×", ours / others),
                target: "at most 2 ×".into(),
                met: Some(ours <= 2.0 * others),
            });
        }
    }
    Ok((lines, times.iter().map(|times| median(&times.warm.0)).collect()))
}

/// Bytes that a roll-up takes whose day is packed, with indexes.
fn bytes_of_a_bucket(cluster: &Cluster) -> Result<f64> {
    let sql = "select (select sum(pg_total_relation_size(to_regclass('noetl_metrics.' || name))) from noetl_metrics.month)::double precision \
               / (select sum(cardinality(series_ids) * times) from noetl_metrics.rollup_day)";
    let mut connection = cluster.connect(DATABASE)?;
    cluster.wait(async { Ok(sqlx::query(sql).fetch_one(&mut connection).await?.try_get(0)?) })
}

/// A connection to the server once it is ready again.
pub(super) fn patiently(server: &Server) -> Result<Connection> {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !crate::process::answers(server.address, "/readyz") {
        if Instant::now() > deadline {
            return failed("the server does not become ready again");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Connection::open(server.address)
}

/// Seconds that an answer takes; it has about so many rows or points.
pub(super) fn ask(connection: &mut Connection, path: &str, rows: usize) -> Result<f64> {
    let began = Instant::now();
    let answer = connection.get(path, false)?;
    let took = began.elapsed().as_secs_f64();
    let text = String::from_utf8_lossy(&answer.body);
    // A row of ours names its metric_id; there a point of a range is a pair, and each series has one value
    // at a moment.
    let count = |mark: &str| text.matches(mark).count();
    let found = count("\"metric_id\"").max(count("],[") + 1).max(count("\"value\":["));
    if answer.status != 200 || found * 100 < rows * 90 || found > rows * 2 {
        let said: String = text.chars().take(200).collect();
        return failed(format!("{path}: {} with {found} of {rows} rows: {said}", answer.status));
    }
    Ok(took)
}
