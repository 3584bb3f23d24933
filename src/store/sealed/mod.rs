//! Sealed storage: the form of hours that are over.
//!
//! Series that were sampled at the same times share a chunk: the times once, and of each series few
//! bits for each of its values. Any value can be decoded by itself, here or in SQL
//! (`noetl_metrics.sealed`), and comes back bit by bit.

mod backfill;
mod bits;
mod bucket;
mod chunk;
mod code;
#[cfg(any(test, feature = "fuzzing"))]
#[path = "../../../fuzz/sealed.rs"]
pub(crate) mod fuzz;
mod ids;
mod newest;
mod read;
mod rollup;
mod samples;
mod seal;
mod table;

pub(super) use backfill::{pack_days, roll_up, unrolled};
pub(super) use bucket::{Bucket, rise};
pub(super) use ids::Ids;
pub(super) use newest::newest;
pub(super) use read::read;
pub(super) use rollup::read as read_rollups;
pub(super) use seal::{HOUR_MS, count, delete, forget_dropped, lock, merge_late, remove, seal};
