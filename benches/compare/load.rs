//! The load generator: eight connections that send prepared reports and wait for each answer.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::error::{BenchError, Result, failed};
use crate::fleet::{Fleet, Report};
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
    let shares = shares(fleet);
    let (began, own_before) = (Instant::now(), own_cpu_seconds()?);
    let done = std::thread::scope(|scope| {
        let start = |share: Vec<_>| scope.spawn(move || send_share(address, share, begin, first_tick, until));
        let threads: Vec<_> = shares.into_iter().map(start).collect();
        threads.into_iter().map(joined).collect::<Result<Vec<(usize, u64)>>>()
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
        for report in &mut share {
            report.set(begin, tick);
            let answer = connection.send(&report.request)?;
            if !matches!(answer.status, 200 | 204) || contains(&answer.body, b"rejected") {
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

/// A load that leaves room.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) reports_per_second: f64,
    /// How long it goes on, also where what is done beside it is done.
    pub(crate) at_least: Duration,
}

/// What a load that leaves room did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    /// The 99th percentile of the seconds from the moment at which a report was due to its answer.
    pub(crate) p99: f64,
    /// Reports answered in a second.
    pub(crate) reports_per_second: f64,
}

/// Sends reports at their moments while something is done beside them.
pub(crate) fn paced(
    address: SocketAddr,
    fleet: &mut Fleet,
    pace: Pace,
    beside: impl FnOnce() -> Result<()>,
) -> Result<Kept> {
    let (begin, first_tick) = (fleet.begin(), fleet.tick);
    let shares = shares(fleet);
    let gap = Duration::from_secs_f64(shares.len() as f64 / pace.reports_per_second);
    let (began, done) = (Instant::now(), AtomicBool::new(false));
    let over = || done.load(Ordering::Relaxed) && began.elapsed() >= pace.at_least;
    let (mut taken, last_tick) = std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for (number, share) in shares.into_iter().enumerate() {
            let first = began + gap.mul_f64(number as f64 / CONNECTIONS as f64);
            let over = &over;
            threads.push(
                scope.spawn(move || paced_share(address, share, begin, first_tick, (first, gap), over)),
            );
        }
        let result = beside();
        done.store(true, Ordering::Relaxed);
        let (mut all, mut last) = (Vec::new(), first_tick);
        for thread in threads {
            let (taken, tick) = joined(thread)?;
            all.extend(taken);
            last = last.max(tick);
        }
        result.map(|()| (all, last))
    })?;
    let seconds = began.elapsed().as_secs_f64();
    fleet.tick = last_tick;
    taken.sort_by(f64::total_cmp);
    let p99 = taken.get(taken.len() * 99 / 100).copied().unwrap_or(f64::NAN);
    Ok(Kept { p99, reports_per_second: taken.len() as f64 / seconds })
}

/// One connection's part: the first report is due at a moment, each other one a gap later.
fn paced_share(
    address: SocketAddr,
    mut share: Vec<&mut Report>,
    begin: i64,
    first_tick: u64,
    (mut due, gap): (Instant, Duration),
    over: impl Fn() -> bool,
) -> Result<(Vec<f64>, u64)> {
    let mut connection = Connection::open(address)?;
    let (mut taken, mut tick) = (Vec::new(), first_tick);
    loop {
        for report in &mut share {
            if over() {
                return Ok((taken, tick + 1));
            }
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            report.set(begin, tick);
            let answer = connection.send(&report.request)?;
            if !matches!(answer.status, 200 | 204) {
                return failed(format!("a report was answered {}", answer.status));
            }
            taken.push(due.elapsed().as_secs_f64());
            due += gap;
        }
        tick += 1;
    }
}

/// The reports of each connection. A series stays with one, so its times only rise.
fn shares(fleet: &mut Fleet) -> Vec<Vec<&mut Report>> {
    let mut shares: Vec<Vec<&mut Report>> = (0..CONNECTIONS).map(|_| Vec::new()).collect();
    for (at, report) in fleet.reports.iter_mut().enumerate() {
        shares[at % CONNECTIONS].push(report);
    }
    shares.retain(|share| !share.is_empty());
    shares
}

fn joined<T>(thread: std::thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().map_err(|_| BenchError::Failed("a connection's thread ended early".into()))?
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|w| w == word)
}
