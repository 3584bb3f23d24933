//! Row 5: scrapes while ingest runs at half its maximum, against scrapes of the same server at rest; and
//! what ingest loses by them.

use std::time::{Duration, Instant};

use super::Bench;
use crate::error::{Result, failed};
use crate::fleet::Fleet;
use crate::http::Connection;
use crate::load::{Pace, Until, paced, send};
use crate::server::Server;
use crate::stats::{median, seconds, short};
use crate::table::{Line, Row};

const DATABASE: &str = "bench_beside";
const REPORT: usize = 1000;
/// Between the begins of two scrapes; many times as often as scrapers do.
const EVERY: Duration = Duration::from_millis(100);

pub(crate) fn measure(bench: &Bench<'_>) -> Result<Row> {
    let sizes: &[usize] = if bench.quick { &[10_000] } else { &[10_000, 30_000, 100_000] };
    let mut row = Row { number: 5, title: "Scrapes beside ingest at half its maximum", ..Row::default() };
    for size in sizes {
        bench.progress(5, &format!("{size} series"));
        row.lines.extend(case(bench, *size)?);
    }
    row.notes.push(format!(
        "JSON reports of {REPORT} samples on 8 connections. First as many as the server takes, then half as many, each at its \
         moment, while the whole exposition is scraped as plain text every {} ms; before, between and after, scrapes with \
         nothing beside them. The generator, PostgreSQL and the scraper share the processors with the server: what a scrape \
         waits for is mostly a processor.",
        EVERY.as_millis()
    ));
    Ok(row)
}

fn case(bench: &Bench<'_>, size: usize) -> Result<[Line; 2]> {
    let (rounds, scrapes) = if bench.quick { (1, 20) } else { (3, 150) };
    let url = bench.cluster.fresh(DATABASE)?;
    let server = Server::start(&url, bench.directory)?;
    let mut fleet = Fleet::new(size, REPORT);
    server.introduce(&mut fleet)?;
    let most = send(server.address, &mut fleet, Until::Passed(Duration::from_secs(4)))?;
    let wanted = most.samples as f64 / REPORT as f64 / most.seconds / 2.0;
    let pace = Pace { reports_per_second: wanted, at_least: EVERY * scrapes };
    let (mut rests, mut busy, mut kept) = (vec![p99(&server, scrapes)?], Vec::new(), Vec::new());
    for _ in 0..rounds {
        let mut scraped = Ok(f64::NAN);
        let load = paced(server.address, &mut fleet, pace, || {
            scraped = p99(&server, scrapes);
            Ok(())
        })?;
        busy.push(scraped?);
        kept.push(load.reports_per_second / wanted);
        rests.push(p99(&server, scrapes)?);
    }
    drop(server);
    bench.cluster.drop_database(DATABASE)?;
    let (rest, busy, kept) = (median(&rests), median(&busy), median(&kept));
    let series = format!("{} series", short(size as f64));
    Ok([
        Line {
            case: format!("{series}, p99 of scrapes"),
            here: format!("{} beside {} samples/s", seconds(busy), short(wanted * REPORT as f64)),
            other: format!("at rest {}", seconds(rest)),
            ratio: format!("{:.2} ×", busy / rest),
            target: "at most 2 ×".into(),
            met: Some(busy <= 2.0 * rest),
        },
        Line {
            case: format!("{series}, ingest"),
            here: format!("{}/s", short(kept * wanted * REPORT as f64)),
            other: format!("asked for {}/s", short(wanted * REPORT as f64)),
            ratio: format!("{:.1} % lost", 100.0 * (1.0 - kept).max(0.0)),
            target: "under 5 % lost".into(),
            met: Some(kept > 0.95),
        },
    ])
}

/// The 99th percentile of the seconds that a scrape takes.
fn p99(server: &Server, scrapes: u32) -> Result<f64> {
    let mut connection = Connection::open(server.address)?;
    let mut took = Vec::new();
    let mut due = Instant::now();
    for _ in 0..scrapes {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let began = Instant::now();
        let answer = connection.get("/api/metrics/prometheus", false)?;
        if answer.status != 200 {
            return failed(format!("a scrape was answered {}", answer.status));
        }
        took.push(began.elapsed().as_secs_f64());
        due = began + EVERY;
    }
    took.sort_by(f64::total_cmp);
    Ok(took.get(took.len() * 99 / 100).copied().unwrap_or(f64::NAN))
}
