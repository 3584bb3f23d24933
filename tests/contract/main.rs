//! The contract: what clients, scrapers, SQL and operators may rely on, against the real program
//! and a real PostgreSQL.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test fails by a panic")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "the numbers are the tests' own"
)]
#![allow(unreachable_pub, reason = "there is no crate around")]

mod adoption;
mod aggregates;
mod alerting;
mod architecture;
mod auth;
mod auth_components;
mod auth_kubernetes;
mod bad_input;
mod blocks;
mod check;
mod durability;
mod export;
mod forwarding;
mod harness;
mod idempotency;
mod limits;
mod limits_page;
mod maintenance;
mod noetl;
mod otlp;
mod outage;
mod output;
mod paces;
mod plans;
mod query;
mod registration;
mod remote_write;
mod replicas;
mod report;
mod restore;
mod rollups;
mod sealed;
mod shared;
mod spool;
mod sql;
mod tls;
mod top;
mod traces;
mod transactions;
