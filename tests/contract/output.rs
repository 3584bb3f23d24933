//! What commands do whose output can't be written.

use std::fs::File;
use std::process::{Command, Output};

use crate::harness::clock;

fn into(file: File, flags: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_noetl-metrics"));
    command.args(flags).env_clear().envs(clock()).stdout(file).output().expect("it ends")
}

#[test]
fn an_output_that_can_t_be_written_is_said_and_no_panic() {
    for flags in [
        &["openapi"][..],
        &["crd"],
        &["completions", "bash"],
        &["check", "--server-url", "http://127.0.0.1:1"],
    ] {
        let full = File::options().write(true).open("/dev/full").expect("/dev/full");
        let (reader, pipe) = std::io::pipe().expect("a pipe");
        drop(reader);
        for (file, said) in
            [(full, "No space left"), (File::from(std::os::fd::OwnedFd::from(pipe)), "Broken pipe")]
        {
            let output = into(file, flags);
            let text = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{flags:?}: {text}");
            // A check that fails says that instead.
            assert!(text.contains(said) || text.contains("the check failed"), "{flags:?}: {text}");
            assert!(!text.contains("panicked"), "{flags:?}: {text}");
        }
    }
}
