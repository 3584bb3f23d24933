//! Every flag and environment variable, in one place.

pub mod agent;
pub mod values;
