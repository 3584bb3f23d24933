//! The load generator: eight connections that send prepared reports and wait for each answer.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::error::{BenchError, Result, failed};
use crate::fleet::{Fleet, Report, time_of};
use crate::http::Connection;
use crate::usage::own_cpu_seconds;

/// Connections, each with one request under way.
pub(crate) const CONNECTIONS: usize = 8;

/// When a load ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// Each series got this many samples.
    Ticks(u64),
    /// This much time is over.
    Passed(Duration),
}

/// What a load did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    /// Samples that were acknowledged.
    pub(crate) samples: usize,
    /// Seconds from the first request to the last answer.
    pub(crate) seconds: f64,
    /// CPU seconds of the generator itself.
    pub(crate) own_cpu: f64,
}

/// Sends the fleet's reports to `address`. A report that is not taken whole ends the load.
pub(crate) fn send(address: SocketAddr, fleet: &mut Fleet, until: Until) -> Result<Sent> {
    let (begin, first_tick) = (fleet.begin(), fleet.tick);
    let mut shares: Vec<Vec<&mut Report>> = (0..CONNECTIONS).map(|_| Vec::new()).collect();
    // A series stays with one connection, so its times only rise.
    for (at, report) in fleet.reports.iter_mut().enumerate() {
        shares[at % CONNECTIONS].push(report);
    }
    let (began, own_before) = (Instant::now(), own_cpu_seconds()?);
    let done = std::thread::scope(|scope| {
        let start = |share: Vec<_>| scope.spawn(move || send_share(address, share, begin, first_tick, until));
        let threads: Vec<_> = shares.into_iter().filter(|s| !s.is_empty()).map(start).collect();
        let ended = |t: std::thread::ScopedJoinHandle<'_, Result<_>>| {
            t.join().map_err(|_| BenchError::Failed("a connection's thread ended early".into()))?
        };
        threads.into_iter().map(ended).collect::<Result<Vec<(usize, u64)>>>()
    })?;
    fleet.tick = done.iter().map(|(_, tick)| *tick).max().unwrap_or(first_tick);
    Ok(Sent {
        samples: done.iter().map(|(samples, _)| samples).sum(),
        seconds: began.elapsed().as_secs_f64(),
        own_cpu: own_cpu_seconds()? - own_before,
    })
}

/// One connection's part; returns the samples acknowledged and the next tick.
fn send_share(
    address: SocketAddr,
    mut share: Vec<&mut Report>,
    begin: i64,
    first_tick: u64,
    until: Until,
) -> Result<(usize, u64)> {
    let mut connection = Connection::open(address)?;
    let (mut samples, mut tick, began) = (0, first_tick, Instant::now());
    loop {
        let at = time_of(begin, tick);
        for report in &mut share {
            report.set(&at, tick);
            let answer = connection.send(&report.request)?;
            if answer.status != 200 || contains(&answer.body, b"rejected") {
                let body = String::from_utf8_lossy(&answer.body).chars().take(500).collect::<String>();
                return failed(format!("a report was answered {}: {body}", answer.status));
            }
            samples += report.samples();
            if matches!(until, Until::Passed(time) if began.elapsed() >= time) {
                return Ok((samples, tick + 1));
            }
        }
        tick += 1;
        if matches!(until, Until::Ticks(ticks) if tick - first_tick == ticks) {
            return Ok((samples, tick));
        }
    }
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|w| w == word)
}
