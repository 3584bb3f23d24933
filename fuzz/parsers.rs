//! What each parser of input has to keep, whatever it is given. A check panics where that does not hold;
//! `make fuzz` gives them what libFuzzer makes up, `cargo test` what lies in `fuzz/seeds`.
//!
//! They are mounted into the modules whose insides they look at; they are no part of any program.

use crate::agent::fuzz::{exposition, spool};
use crate::archive::fuzz::history;
use crate::server::fuzz::{tokens, words};
use crate::store::fuzz::sealed;
use crate::wire::report::fuzz::report;

#[path = "encoding.rs"]
mod encoding;
#[path = "remote_write.rs"]
pub(crate) mod remote_write;

/// Gives a parser some bytes, and panics where it does not keep what it has to.
pub type Check = fn(&[u8]);

/// The parsers, by the names of their seeds.
pub const PARSERS: &[(&str, Check)] = &[
    ("report", report),
    ("exposition", exposition),
    ("remote_write", remote_write::remote_write),
    ("encoding", encoding::encoding),
    ("words", words),
    ("tokens", tokens),
    ("spool", spool),
    ("sealed", sealed),
    ("history", history),
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_parser_keeps_its_rules_with_its_seeds() {
        for (name, check) in PARSERS {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(name);
            let seeds: Vec<_> =
                std::fs::read_dir(&folder).unwrap().map(|seed| seed.unwrap().path()).collect();
            assert!(!seeds.is_empty(), "{name} has no seeds");
            for seed in seeds {
                println!("{}", seed.display());
                check(&std::fs::read(seed).unwrap());
            }
        }
    }
}
