//! Values and their rules: no I/O, no async.

mod reading;

pub use reading::{MetricType, Reading};
