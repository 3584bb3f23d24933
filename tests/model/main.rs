//! The store against a model of it: the same random history, from a seed, goes to plain rows in memory
//! and to the real thing, and every query agrees, bit by bit.
//!
//! `SEED=7` runs one history again; `SEEDS=1000..1200` runs others than `make test` does.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test fails by a panic")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "the numbers are the tests' own"
)]
#![allow(unreachable_pub, reason = "there is no crate around")]

mod agree;
mod busy;
#[allow(dead_code, unused_imports, reason = "the contract's tests use the rest of it")]
#[path = "../contract/harness/mod.rs"]
mod harness;
mod histories;
mod history;
mod kills;
mod questions;
mod reference;
mod system;
