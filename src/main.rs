//! `noetl-metrics`: parse the command line, start the role, turn its result into an exit code.

fn main() {}
