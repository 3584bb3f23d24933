//! Row 10: the server's resident memory for each live series, against Pushgateway's.

use std::time::Duration;

use super::Bench;
use crate::error::Result;
use crate::fleet::Fleet;
use crate::http::Connection;
use crate::peers;
use crate::picture::Panel;
use crate::server::Server;
use crate::stats::{exponent, mebibytes, short};
use crate::table::{Line, Row};
use crate::usage::rss_bytes;

/// Pushgateway is not asked to hold more.
const PEER_SERIES: usize = 100_000;

pub(crate) fn measure(bench: &Bench<'_>) -> Result<Row> {
    let sizes: &[usize] = if bench.quick { &[10_000] } else { &[10_000, 100_000, 1_000_000] };
    let mut row = Row { number: 10, title: "Resident memory for each live series", ..Row::default() };
    let (mut points, mut peers) = (Vec::new(), Vec::new());
    for size in sizes {
        bench.progress(10, &format!("{size} series"));
        let (empty, full) = server(bench, *size)?;
        let each = (full - empty) / *size as f64;
        points.push((*size as f64, full - empty));
        let peer = if *size <= PEER_SERIES { Some(pushgateway(bench, *size)?) } else { None };
        peers.extend(peer.map(|(empty, full)| (*size as f64, full - empty)));
        let (other, ratio) = match peer {
            Some((empty, full)) => {
                let there = (full - empty) / *size as f64;
                (
                    format!("Pushgateway {there:.0} B ({})", mebibytes(full)),
                    format!("{:.1} × less", there / each),
                )
            }
            None => ("Pushgateway not run".into(), String::new()),
        };
        row.lines.push(Line {
            case: format!("{} series", short(*size as f64)),
            here: format!("{each:.0} B ({}, empty {})", mebibytes(full), mebibytes(empty)),
            other,
            ratio,
            target: "under 400 B".into(),
            met: Some(each < 400.0),
        });
    }
    row.panels.push(
        Panel::new("memory of all series", "B", "series").curve("here", &points).curve("Pushgateway", &peers),
    );
    if let Some(exponent) = exponent(&points) {
        row.notes.push(format!("Memory grows with the number of series to the power of {exponent:.2}."));
    }
    row.notes.push(
        "Resident memory after every series was reported twice and all were scraped once, at rest for 20 s, less that \
         of the same server with an empty database. The text of a series, of which one copy is held, takes about 130 \
         of the bytes."
            .into(),
    );
    Ok(row)
}

/// Resident bytes of an empty server, and with the series.
fn server(bench: &Bench<'_>, size: usize) -> Result<(f64, f64)> {
    let url = bench.cluster.fresh("bench_memory")?;
    let server = Server::start(&url, bench.directory)?;
    rest(bench);
    let empty = rss_bytes(server.id())? as f64;
    let mut fleet = Fleet::new(size, 1000);
    server.introduce(&mut fleet)?;
    server.scrape(false)?;
    rest(bench);
    let full = rss_bytes(server.id())? as f64;
    drop(server);
    bench.cluster.drop_database("bench_memory")?;
    Ok((empty, full))
}

fn pushgateway(bench: &Bench<'_>, size: usize) -> Result<(f64, f64)> {
    let peer = peers::pushgateway(bench.directory)?;
    rest(bench);
    let empty = rss_bytes(peer.process.id())? as f64;
    for tick in 0..2 {
        peers::push(&peer, size, tick)?;
    }
    Connection::open(peer.address)?.get("/metrics", false)?;
    rest(bench);
    Ok((empty, rss_bytes(peer.process.id())? as f64))
}

/// One sweep of the server is within it, and threads that were only needed for a moment end.
fn rest(bench: &Bench<'_>) {
    std::thread::sleep(Duration::from_secs(if bench.quick { 3 } else { 20 }));
}
