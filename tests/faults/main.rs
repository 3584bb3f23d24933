//! Faults from a seed: servers, PostgreSQL and what is between them are killed, stopped, starved and cut
//! off, and their clocks are set, while components report and a scraper looks on. What was acknowledged is there, once; what is
//! scraped has no overlap, no gap that no fault explains, no counter that falls; and all heals by itself.
//!
//! `FAULTS_SEED=7` makes another schedule, `FAULTS_SECONDS=300` a longer run, `FAULTS_ONLY=fail-over,…`
//! one of these kinds alone. A run that fails says how it is repeated.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what happens is told as it happens")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "the numbers are the tests' own"
)]
#![allow(unreachable_pub, reason = "there is no crate around")]

mod board;
mod clock;
mod faults;
#[allow(dead_code, unused_imports, reason = "the contract's tests use the rest of it")]
#[path = "../contract/harness/mod.rs"]
mod harness;
mod ledger;
mod postgres;
mod proxy;
mod pulse;
mod reporters;
mod run;
mod schedule;
mod scraper;
mod sight;
mod steps;
mod summary;
mod system;
