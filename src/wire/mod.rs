//! Formats in and out: bytes to model and back. No I/O, no database.

pub mod encoding;
pub mod exposition;
mod json;
pub mod otlp;
mod protobuf;
pub mod remote_write;
pub mod remote_write_out;
pub mod report;
pub mod report_out;
pub mod value;
