//! Row 13: ninety days of history, made by the loader and sealed by the program, part by part: what they
//! take, what queries take as they grow, and what dropping half of them takes.

use std::time::Instant;

use super::Bench;
use super::query::{HOUR_MS, Question, ask, patiently, questions};
use crate::error::Result;
use crate::history::{Data, History, maintain, migrated};
use crate::server::Server;
use crate::stats::{median, seconds, short};
use crate::table::{Line, Row};

const DATABASE: &str = "bench_ninety_days";
const INTERVAL: i64 = 60;
const KEEP_ALL: &str = "3650d";

pub(crate) fn measure(bench: &Bench<'_>) -> Result<Row> {
    let series = if bench.quick { 300 } else { 10_000 };
    // Days at which queries are timed.
    let stages: &[i64] = if bench.quick { &[2, 6] } else { &[2, 30, 90] };
    let mut row =
        Row { number: 13, title: "Ninety days of history: stored, queried, dropped", ..Row::default() };
    let now = noetl_metrics::model::Millis::now().0;
    let end = now - now.rem_euclid(HOUR_MS) - 2 * HOUR_MS;
    let url = migrated(bench.cluster, DATABASE)?;
    let whole = History { data: Data::Mixed, series, interval: INTERVAL, hours: 0 };
    whole.declare(bench.cluster, DATABASE)?;
    let questions = questions(end);
    let mut medians: Vec<Vec<f64>> = Vec::new();
    let (mut days, mut loading, mut sealing) = (0, 0.0, 0.0);
    let mut report = serde_json::Value::Null;
    for stage in stages {
        while days < *stage {
            let more = (stage - days).min(4);
            bench.progress(13, &format!("{} of {} days", days + more, stages.last().unwrap_or(stage)));
            let part = History { hours: more * 24, ..whole };
            let begun = Instant::now();
            part.load_samples(bench.cluster, DATABASE, now - days * 24 * HOUR_MS, None)?;
            loading += begun.elapsed().as_secs_f64();
            let begun = Instant::now();
            report = maintain(&url, KEEP_ALL)?;
            sealing += begun.elapsed().as_secs_f64();
            for table in ["block", "rollup_hour"] {
                bench.cluster.execute(DATABASE, &format!("vacuum noetl_metrics.{table}"))?;
            }
            days += more;
        }
        bench.cluster.execute(DATABASE, "analyze")?;
        medians.push(ask_all(bench, &url, &questions)?);
    }
    let bytes = &report["store"]["bytes"];
    let samples = (series as i64 * days * 86_400 / INTERVAL) as f64;
    let of = |kinds: &[&str]| kinds.iter().filter_map(|kind| bytes[*kind].as_f64()).sum::<f64>() / samples;
    let sealed = of(&["chunks"]);
    row.lines.push(Line {
        case: format!("{} samples, chunks with their indexes", short(samples)),
        here: format!("{sealed:.2} B a sample; roll-ups {:.2}", of(&["rollups"])),
        other: "–".into(),
        target: "under 2 B".into(),
        met: Some(sealed < 2.0),
        ..Line::default()
    });
    if let (Some(first), Some(last)) = (medians.first(), medians.last()) {
        for (i, question) in questions.iter().enumerate() {
            let all: Vec<String> = medians.iter().map(|times| seconds(times[i])).collect();
            let growth = last[i] / first[i];
            row.lines.push(Line {
                case: format!("{}, {} to {days} days", question.name, stages[0]),
                here: all.join(", "),
                other: "–".into(),
                ratio: format!("{growth:.2} ×"),
                target: "under 1.2 ×".into(),
                met: Some(growth < 1.2),
            });
        }
    }
    row.lines.push(retention(bench, &url, days)?);
    bench.cluster.drop_database(DATABASE)?;
    row.notes.push(format!(
        "{} series at {INTERVAL} s, mixed as in row 6, loaded as blocks ({}) and sealed by `noetl-metrics maintenance` ({}), \
         four days at a time; the system's own work on this history is all there is. Queries are those of row 7, warm, medians \
         of 40, at {stages:?} days; minutes lie between them, so what else the machine does is in their ratio too.",
        short(series as f64),
        seconds(loading),
        seconds(sealing),
    ));
    Ok(row)
}

/// The median of each question's answers.
fn ask_all(bench: &Bench<'_>, url: &str, questions: &[Question]) -> Result<Vec<f64>> {
    let server = Server::start(url, bench.directory)?;
    let mut connection = patiently(&server)?;
    let rounds = if bench.quick { 5 } else { 41 };
    let mut medians = Vec::new();
    for question in questions {
        let times: Vec<f64> = (0..rounds)
            .map(|_| ask(&mut connection, &question.here, question.rows))
            .collect::<Result<_>>()?;
        medians.push(median(&times[1..]));
    }
    Ok(medians)
}

/// Half of the days go.
fn retention(bench: &Bench<'_>, url: &str, days: i64) -> Result<Line> {
    bench.progress(13, "retention");
    let timed = |retention: &str| {
        let begun = Instant::now();
        let report = maintain(url, retention)?;
        let dropped = report["dropped_partitions"].as_array().map_or(0, Vec::len);
        Ok::<_, crate::error::BenchError>((begun.elapsed().as_secs_f64(), dropped))
    };
    let (idle, _) = timed(KEEP_ALL)?;
    let (took, dropped) = timed(&format!("{}d", days / 2))?;
    let each = (took - idle).max(0.0) / dropped.max(1) as f64;
    Ok(Line {
        case: format!("retention of half of them: {dropped} days go"),
        here: format!("{} a day ({}, with nothing to do {})", seconds(each), seconds(took), seconds(idle)),
        other: "–".into(),
        ratio: String::new(),
        target: "milliseconds".into(),
        met: Some(dropped > 0 && each < 0.1),
    })
}
