//! Gives what libFuzzer makes up to the parser that `FUZZ_PARSER` names.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use noetl_metrics::fuzzing::{self, Check};

static CHECK: LazyLock<Check> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_PARSER").unwrap_or_default();
    let known = fuzzing::PARSERS.iter().find(|(parser, _)| *parser == name);
    known.map_or_else(|| panic!("FUZZ_PARSER is {name:?}"), |(_, check)| *check)
});

fuzz_target!(|data: &[u8]| CHECK(data));
