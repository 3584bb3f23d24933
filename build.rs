//! Tells the program which compiler built it, for the status page.

use std::process::Command;

fn main() {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().ok();
    let version = version.and_then(|out| String::from_utf8(out.stdout).ok()).unwrap_or_default();
    println!("cargo::rustc-env=NOETL_METRICS_RUSTC={}", version.trim());
    println!("cargo::rerun-if-changed=build.rs");
    // They are part of the program.
    println!("cargo::rerun-if-changed=migrations");
}
