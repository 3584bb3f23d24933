//! Row 12: from exec to ready, with series in the database whose components reported just now.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::Bench;
use crate::error::{Context, Result};
use crate::fleet::Fleet;
use crate::picture::Panel;
use crate::process::{Process, answers, free_address};
use crate::server::{Server, command};
use crate::stats::{exponent, median, short};
use crate::table::{Line, Row};

pub(crate) fn measure(bench: &Bench<'_>) -> Result<Row> {
    let sizes: &[usize] = if bench.quick { &[1_000] } else { &[1_000, 10_000, 100_000] };
    let mut row = Row { number: 12, title: "Start of the server, from exec to /readyz", ..Row::default() };
    let mut points = Vec::new();
    for size in sizes {
        bench.progress(12, &format!("{size} series"));
        let times = starts(bench, *size)?;
        let middle = median(&times);
        points.push((*size as f64, middle));
        let worst = times.iter().copied().fold(0.0, f64::max);
        row.lines.push(Line {
            case: format!("{} series", short(*size as f64)),
            here: format!("{middle:.3} s (longest of {}: {worst:.3} s)", times.len()),
            other: "–".into(),
            ratio: String::new(),
            target: "under 1 s".into(),
            met: Some(middle < 1.0),
        });
    }
    row.lines.extend(image()?);
    row.panels.push(Panel::new("time to be ready", "s", "series").curve("here", &points));
    if let Some(exponent) = exponent(&points) {
        row.notes.push(format!("Time grows with the number of series to the power of {exponent:.2}."));
    }
    row.notes.push(
        "Time from starting the process to the first 200 of /readyz, asked every millisecond; every series is read \
         back with its newest value and is in the exposition by then. PostgreSQL runs, its cache is warm."
            .into(),
    );
    Ok(row)
}

/// The size of the container image, where it was built: its layers are compressed.
fn image() -> Result<Option<Line>> {
    let Some(archive) = std::env::var_os("BENCH_IMAGE").map(PathBuf::from) else { return Ok(None) };
    let bytes = std::fs::metadata(&archive).context(archive.display().to_string())?.len() as f64;
    Ok(Some(Line {
        case: "container image".into(),
        here: format!("{:.1} MB", bytes / 1e6),
        other: "–".into(),
        ratio: String::new(),
        target: "under 25 MB".into(),
        met: Some(bytes < 25e6),
    }))
}

fn starts(bench: &Bench<'_>, size: usize) -> Result<Vec<f64>> {
    let url = bench.cluster.fresh("bench_start")?;
    let server = Server::start(&url, bench.directory)?;
    let mut fleet = Fleet::new(size, 1000);
    server.introduce(&mut fleet)?;
    // The server writes down who reported last within this time.
    std::thread::sleep(Duration::from_secs(17));
    drop(server);
    let mut times = Vec::new();
    for _ in 0..if bench.quick { 2 } else { 7 } {
        let address = free_address()?;
        let began = Instant::now();
        let mut process = Process::start("server", &mut command(&url, address), bench.directory)?;
        process.wait_until(Duration::from_millis(1), || answers(address, "/readyz"))?;
        times.push(began.elapsed().as_secs_f64());
        let live = Server { process, address }.scrape(false)?;
        let series = live.split(|b| *b == b'\n').filter(|line| line.starts_with(b"bench_")).count();
        if series != size {
            return crate::error::failed(format!("{series} of {size} series are there after a start"));
        }
    }
    bench.cluster.drop_database("bench_start")?;
    Ok(times)
}
