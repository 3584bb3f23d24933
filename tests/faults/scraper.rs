//! Scrapes all servers, each by itself, as a scraper does that finds them as targets.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use http::Method;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::board::Board;
use crate::harness::{Answer, Exposition, Http};
use crate::ledger::COUNTER;
use crate::sight::{INTERVAL, Observation, PATIENCE, Scraped, State};

/// Scrapes one server until the run is over.
pub async fn run(server: usize, address: SocketAddr, board: Arc<Board>) {
    let http = Http::new(address);
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while board.go_on.load(Ordering::Relaxed) {
        ticks.tick().await;
        let start = Instant::now();
        let sent = http.try_send(Method::GET, "/api/metrics/prometheus", &[], Vec::new());
        let answer = timeout(PATIENCE, sent).await.ok().and_then(Result::ok);
        let end = Instant::now();
        let (state, samples) = answer.map_or((State::Failed, Vec::new()), |answer| read(&board, &answer));
        let wrong = board.sight.lock().add(Observation { server, start, end, state }, samples);
        for one in wrong {
            board.violation(format_args!("scrape of server {server}: {one}"));
        }
    }
}

/// The reporters' counters.
fn read(board: &Board, answer: &Answer) -> (State, Vec<Scraped>) {
    if answer.status == 503 {
        answer_is_a_problem(board, answer);
        return (State::Failed, Vec::new());
    }
    let text = String::from_utf8_lossy(&answer.body);
    let checked = catch_unwind(AssertUnwindSafe(|| Exposition::checked(&text)));
    let Ok(exposition) = checked.map_err(|_| board.violation("the exposition breaks a rule")) else {
        return (State::Failed, Vec::new());
    };
    if answer.status != 200 {
        board.violation(format_args!("a scrape got {}", answer.status));
    }
    let counters = exposition.samples.into_iter().filter(|sample| sample.name == COUNTER);
    let samples: Vec<Scraped> = counters
        .map(|sample| {
            let label = |name: &str| sample.labels.get(name).map_or("", String::as_str);
            let id = format!("{} {}", label("component"), label("s"));
            let value = sample.value.parse().unwrap_or(f64::NAN);
            Scraped { id, value, labels: sample.labels }
        })
        .collect();
    (if samples.is_empty() { State::Empty } else { State::Full }, samples)
}

fn answer_is_a_problem(board: &Board, answer: &Answer) {
    let says_when = answer.header("retry-after").parse::<u32>().is_ok();
    if !says_when || answer.header("content-type") != "application/problem+json" {
        board.violation(format_args!("a scrape got 503 with {:?}", answer.headers));
    }
}
