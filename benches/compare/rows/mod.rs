//! One module for each row of the table.

pub(crate) mod agent;
pub(crate) mod beside;
pub(crate) mod ingest;
pub(crate) mod insert;
pub(crate) mod memory;
pub(crate) mod ninety_days;
pub(crate) mod operator;
pub(crate) mod query;
pub(crate) mod remote_write;
pub(crate) mod scrape;
pub(crate) mod seal;
pub(crate) mod start;
pub(crate) mod storage;

use std::path::Path;

use crate::error::Result;
use crate::postgres::Cluster;
use crate::table::Row;

/// What every row gets.
pub(crate) struct Bench<'a> {
    /// The cluster, for as long as the row needs it to be as it was.
    pub(crate) cluster: &'a Cluster,
    /// For logs and files.
    pub(crate) directory: &'a Path,
    /// Fewer rounds and smaller sizes: shows that it works, not how fast.
    pub(crate) quick: bool,
}

impl Bench<'_> {
    /// Says what goes on.
    #[allow(clippy::unused_self, reason = "reads as what the benchmark does")]
    pub(crate) fn progress(&self, row: u32, what: &str) {
        eprintln!("row {row}: {what}");
    }
}

/// A measurement.
pub(crate) type Measure = fn(&Bench<'_>) -> Result<Row>;

/// All rows that are measured so far, by their number.
pub(crate) const ALL: [(u32, Measure); 13] = [
    (1, ingest::measure),
    (2, remote_write::measure),
    (3, insert::measure),
    (4, scrape::measure),
    (5, beside::measure),
    (6, storage::measure),
    (7, query::measure),
    (8, seal::measure),
    (9, agent::measure),
    (10, memory::measure),
    (11, operator::measure),
    (12, start::measure),
    (13, ninety_days::measure),
];
