//! A run: reporters, a scraper, and one fault after the other until the time is up.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::board::Board;
use crate::pulse::Pulse;
use crate::reporters::Reporter;
use crate::schedule::{Kind, schedule};
use crate::scraper;
use crate::summary::Summary;
use crate::system::System;

const REPORTERS: u16 = 8;
/// What is stored is compared after so many faults.
const COMPARED_EVERY: usize = 5;

fn number(variable: &str, default: u64) -> u64 {
    let text = std::env::var(variable).unwrap_or_default();
    if text.is_empty() { default } else { text.parse().unwrap_or_else(|_| panic!("{variable}={text}")) }
}

/// Those that `FAULTS_ONLY` names, or all.
fn kinds() -> Vec<Kind> {
    let only = std::env::var("FAULTS_ONLY").unwrap_or_default();
    let named = |name: &str| {
        let found = Kind::ALL.into_iter().find(|kind| kind.name() == name);
        found.unwrap_or_else(|| panic!("FAULTS_ONLY: there is no {name}"))
    };
    if only.is_empty() { Kind::ALL.to_vec() } else { only.split(',').map(named).collect() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn nothing_acknowledged_is_lost_and_no_series_breaks_whatever_fails() {
    let (seed, seconds) = (number("FAULTS_SEED", 1), number("FAULTS_SECONDS", 60));
    let board = Arc::new(Board::new());
    board.say(format_args!("FAULTS_SEED={seed} FAULTS_SECONDS={seconds}"));
    Pulse::start(&board);
    let kinds = kinds();
    let mut system = System::start(&board, kinds.iter().any(|kind| kind.sets_clocks())).await;
    let mut summary = Summary::new(seed);
    let mut tasks = vec![tokio::spawn({
        let board = Arc::clone(&board);
        async move { board.watch_memory().await }
    })];
    let addresses = system.addresses();
    for (server, address) in addresses.iter().enumerate() {
        tasks.push(tokio::spawn(scraper::run(server, *address, Arc::clone(&board))));
    }
    system.recovers(Instant::now(), "the start").await;
    for number in 0..REPORTERS {
        tasks.push(tokio::spawn(Reporter::new(number, &addresses, &board).run()));
    }
    let until = Instant::now() + Duration::from_secs(seconds);
    for (done, fault) in schedule(seed, &kinds).enumerate() {
        tokio::time::sleep(fault.pause).await;
        if Instant::now() >= until {
            break;
        }
        let (began, failed) = (Instant::now(), board.failed());
        let name = fault.kind.name();
        match system.suffer(&fault).await {
            Err(why) => summary.left_out(fault.kind, &why.0),
            Ok(suffered) => {
                let recovered = system.recovers(suffered.ended, name).await;
                let failed = board.failed() - failed;
                summary.add(fault.kind, recovered, suffered.handed_over, failed);
                board.say(format_args!(
                    "{name} from {:.1} s to {:.1} s, well again after {:.1} s{}, {failed} reports failed",
                    board.at(began),
                    board.at(suffered.ended),
                    recovered.as_secs_f64(),
                    suffered.handed_over.map(|t| format!(", handed over in {t:.1?}")).unwrap_or_default(),
                ));
            }
        }
        if (done + 1).is_multiple_of(COMPARED_EVERY) {
            system.compare(&format!("after {} faults", done + 1)).await;
        }
    }
    board.go_on.store(false, Ordering::Relaxed);
    for done in join_all(tasks).await {
        done.expect("no reporter failed");
    }
    let compared = system.compare("at the end").await;
    let by_agent = system.agent_delivers().await;
    summary.finish(&board, compared, by_agent);
    let wrong = board.violations();
    let logs = system.end();
    if wrong.is_empty() {
        let _ = std::fs::remove_dir_all(logs);
        return;
    }
    panic!(
        "{} things are wrong; again: FAULTS_SEED={seed} FAULTS_SECONDS={seconds} \
         cargo test --locked --test faults -- --nocapture; logs are in {}\n{}",
        wrong.len(),
        logs.display(),
        wrong.join("\n")
    );
}
