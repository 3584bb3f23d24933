//! The contract: what clients, scrapers, SQL and operators may rely on, against the real program
//! and a real PostgreSQL.

mod architecture;
mod auth;
mod bad_input;
mod durability;
mod export;
mod harness;
mod idempotency;
mod limits;
mod maintenance;
mod outage;
mod query;
mod registration;
mod report;
mod sql;
