//! Formats in and out, bytes to model and back: no I/O.

pub mod report_out;
