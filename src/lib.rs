//! NoETL Metrics: takes metrics from NoETL's workers, servers and nodes over HTTP, keeps them in
//! PostgreSQL, and exports them to Prometheus-compatible scrapers.
//!
//! One binary, several roles. The folders say what the program does:
//! [`model`] holds values and their rules, [`wire`] formats, [`store`] PostgreSQL, [`live`] the
//! newest values ready to be scraped, [`rules`] alert rules, [`server`] the HTTP API, [`host`] readings
//! of this machine, [`agent`] the reporter, [`tls`] certificates and keys, [`crd`] the resource that
//! installs all of it on Kubernetes, [`operator`] what does so, [`archive`] history for other stores,
//! [`check`] what works of an installation, [`top`] a live view of it, [`cli`] every flag.

pub mod agent;
pub mod archive;
pub mod check;
pub mod cli;
mod client;
pub mod crd;
#[cfg(feature = "demo")]
pub mod demo;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
#[path = "../fuzz/parsers.rs"]
pub mod fuzzing;
pub mod host;
pub mod live;
pub mod model;
pub mod operator;
pub mod rules;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod top;
pub mod wire;
