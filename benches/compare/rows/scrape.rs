//! Row 4: CPU of a scrape against a static file of the same bytes through the same HTTP server, and
//! against Pushgateway with the same series.

use std::net::SocketAddr;
use std::time::Duration;

use super::Bench;
use crate::error::{Context, Result, failed};
use crate::fleet::{Fleet, Series};
use crate::http::Connection;
use crate::load::{Until, send};
use crate::peers;
use crate::picture::Panel;
use crate::server::Server;
use crate::stats::{exponent, median, seconds, short};
use crate::stubs;
use crate::table::{Line, Row};
use crate::usage::FineClock;

/// A process counts as at rest this long after an answer.
const SETTLE: Duration = Duration::from_millis(100);

/// CPU seconds a scrape of each side.
#[derive(Debug, Default)]
struct Costs {
    here: Vec<f64>,
    file: Vec<f64>,
    memory: Vec<f64>,
    pushgateway: Vec<f64>,
}

pub(crate) fn measure(bench: &Bench<'_>) -> Result<Row> {
    let sizes: &[(usize, usize)] =
        if bench.quick { &[(100_000, 5)] } else { &[(10_000, 15), (100_000, 9), (500_000, 5)] };
    let mut row =
        Row { number: 4, title: "CPU of a scrape, every value changed since the last one", ..Row::default() };
    let mut points = [Vec::new(), Vec::new()];
    let (mut files, mut peers) = (points.clone(), points.clone());
    let mut memory = Vec::new();
    for (size, rounds) in sizes {
        let (bytes, costs) = one_size(bench, *size, *rounds)?;
        for (gzip, cost) in costs.iter().enumerate() {
            points[gzip].push((*size as f64, median(&cost.here)));
            files[gzip].push((*size as f64, median(&cost.file)));
            peers[gzip].push((*size as f64, median(&cost.pushgateway)));
            row.lines.extend(lines(*size, bytes, gzip == 1, cost));
        }
        memory.push(format!(
            "{:.2} × at {}",
            median(&costs[0].here) / median(&costs[0].memory),
            short(*size as f64)
        ));
    }
    for (gzip, encoding) in ["plain", "gzip"].into_iter().enumerate() {
        let panel = Panel::new(&format!("CPU of a scrape, {encoding}"), "s", "series");
        let panel = panel.curve("here", &points[gzip]).curve("static file", &files[gzip]);
        row.panels.push(panel.curve("Pushgateway", &peers[gzip]));
    }
    if let (Some(plain), Some(gzip)) = (exponent(&points[0]), exponent(&points[1])) {
        row.notes.push(format!(
            "CPU grows with the number of series to the power of {plain:.2} plain, {gzip:.2} with gzip."
        ));
    }
    row.notes.push(format!(
        "Every series gets a new value before each scrape. CPU of the scrape is all that the server's threads use from \
         just before the request until they rest again; ingest is over by then, and only stores values. Plain text \
         against a reply of bytes held ready in memory, the least that a server can do: {}.",
        memory.join(", ")
    ));
    row.notes.push(
        "The static file goes through warp's own file reply; with gzip it is read and compressed for each request by \
         the code that packs our other replies. The exposition has its own, which looks for what a line shares with \
         the one before it. Pushgateway holds the same series, a group for each component."
            .into(),
    );
    Ok(row)
}

fn lines(size: usize, bytes: usize, gzip: bool, cost: &Costs) -> [Line; 2] {
    let encoding = if gzip { "gzip" } else { "plain" };
    let case = format!("{} series, {encoding}, {:.1} MB of text", short(size as f64), bytes as f64 / 1e6);
    let (here, file, push) = (median(&cost.here), median(&cost.file), median(&cost.pushgateway));
    let line = |other: String, ratio: f64, target: &str, met: bool| Line {
        case: case.clone(),
        here: format!("{} CPU", seconds(here)),
        other,
        ratio: format!("{ratio:.2} ×"),
        target: target.into(),
        met: Some(met),
    };
    [
        line(format!("static file {} CPU", seconds(file)), here / file, "at most 1.5 ×", here / file <= 1.5),
        line(
            format!("Pushgateway {} CPU", seconds(push)),
            push / here,
            "at least 20 × less",
            push / here >= 20.0,
        ),
    ]
}

/// Plain and gzip at one size, and the bytes of the plain exposition.
fn one_size(bench: &Bench<'_>, size: usize, rounds: usize) -> Result<(usize, [Costs; 2])> {
    bench.progress(4, &format!("{size} series: filling server and Pushgateway"));
    let url = bench.cluster.fresh("bench_scrape")?;
    let server = Server::start(&url, bench.directory)?;
    let mut fleet = Fleet::new(size, 1000);
    server.introduce(&mut fleet)?;
    let text = server.scrape(false)?;
    let file_path = bench.directory.join("exposition.txt");
    std::fs::write(&file_path, &text).context(file_path.display().to_string())?;
    let (limit, limit_address) = stubs::start("static-file", Some(&file_path), bench.directory)?;
    let pushgateway = peers::pushgateway(bench.directory)?;
    peers::push(&pushgateway, size, fleet.tick)?;
    let mut costs = [Costs::default(), Costs::default()];
    let (mut here, mut file, mut push) = (FineClock::default(), FineClock::default(), FineClock::default());
    for round in 0..rounds {
        bench.progress(4, &format!("{size} series: round {} of {rounds}", round + 1));
        for (gzip, cost) in [false, true].into_iter().zip(&mut costs) {
            send(server.address, &mut fleet, Until::Ticks(1))?;
            let (used, body) =
                scrape(&mut here, server.id(), server.address, "/api/metrics/prometheus", gzip)?;
            if !gzip {
                check(&body, &fleet)?;
                // The values of a later round are longer, and cost more to compress.
                std::fs::write(&file_path, &body).context(file_path.display().to_string())?;
            }
            cost.here.push(used);
            let path = if gzip { "/gzip" } else { "/plain" };
            cost.file.push(scrape(&mut file, limit.id(), limit_address, path, gzip)?.0);
            if !gzip {
                cost.memory.push(scrape(&mut file, limit.id(), limit_address, "/memory", gzip)?.0);
            }
            let (used, _) =
                scrape(&mut push, pushgateway.process.id(), pushgateway.address, "/metrics", gzip)?;
            cost.pushgateway.push(used);
        }
    }
    drop(server);
    bench.cluster.drop_database("bench_scrape")?;
    Ok((text.len(), costs))
}

/// One scrape: CPU seconds of the process, and the body.
fn scrape(
    clock: &mut FineClock,
    pid: u32,
    address: SocketAddr,
    path: &str,
    gzip: bool,
) -> Result<(f64, Vec<u8>)> {
    let mut connection = Connection::open(address)?;
    std::thread::sleep(SETTLE);
    let before = clock.read(pid)?;
    let answer = connection.get(path, gzip)?;
    std::thread::sleep(SETTLE);
    let used = clock.read(pid)? - before;
    if answer.status != 200 {
        return failed(format!("{path} was answered {}", answer.status));
    }
    Ok((used, answer.body))
}

/// The exposition shows the values of the newest tick.
fn check(body: &[u8], fleet: &Fleet) -> Result<()> {
    let text = String::from_utf8_lossy(body);
    for series in [Series(0), Series(fleet.series / 2), Series(fleet.series - 1)] {
        let wanted = series.value(fleet.tick - 1);
        let line = series.line();
        let found = text.lines().find_map(|l| l.strip_prefix(line.as_str()));
        if found.and_then(|v| v.trim().parse().ok()) != Some(wanted) {
            return failed(format!("{line} should be {wanted}, the exposition says {found:?}"));
        }
    }
    Ok(())
}
