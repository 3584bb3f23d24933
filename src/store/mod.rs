//! PostgreSQL and nothing else: components, series, samples, queries, maintenance.
//!
//! No statement is prepared under a name, and locks are those of a transaction, so that a PgBouncer in
//! transaction mode may stand between.

mod adoption;
mod alerts;
mod arrays;
mod blocks;
mod components;
mod db;
mod described;
mod ended;
mod exemplars;
mod feed;
mod inserted;
mod lease;
mod load;
mod loose;
mod maintenance;
mod migrate;
mod names;
mod newest;
mod news;
mod pages;
mod partitions;
mod past;
mod points;
mod query;
mod sealed;
mod series;
mod source;
mod stats;
mod steps;
mod writer;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use sealed::fuzz;

pub use adoption::{Adoption, adopt, adoption};
pub use alerts::{KeptAlert, load_alerts, save_alerts};
pub use components::{Components, Lookup, Registration, RuntimeRow};
pub use db::{Database, StoreError, Tenure, Transaction};
pub use described::Described;
pub use ended::{ended_series, store_ended};
pub use exemplars::{ExemplarQuery, Exemplars, FoundExemplar};
pub use feed::{FEED_SAMPLES, Fed, Feed};
pub use inserted::Inserted;
pub use lease::{Claim, Claimed, Renewed, Watch, held as lease_held};
pub use maintenance::{MaintenanceReport, MaintenanceRun, Retention};
pub(crate) use maintenance::{extend_component_ttl, runs as maintenance_runs, set_metric_ttl};
pub use migrate::{
    Migration, MigrationState, RuntimeOwner, all as migrations, migrate, missing_rights,
    state as migration_state,
};
pub use names::Declared;
pub use news::{KeptPlace, Kind as NewsKind, Look, News, Place, begin_place, hours_with_news, keep_place};
pub use partitions::Partitions;
pub use past::{Past, first_hour, past};
pub use points::{Points, points};
pub use query::{Aggregate, Page, Query, Row};
pub use series::{KnownSeries, NewSample, Refused, Resolved, SeriesIndex, WrittenSeries};
pub use source::{DatabaseSource, percent_encode};
pub use stats::{PartitionSize, Sizes, TableSize};
pub(crate) use writer::kept_reply;
pub use writer::{IdempotentReply, WriteError, Writer, WriterStats};
