//! Measures the server, the agent and the operator side by side with their peers, on a PostgreSQL cluster of its
//! own, prints one table and writes it to `docs/benchmarks.md`.
//!
//! `compare [--quick] [ROW…]`: rows by number, all where none is named; the environment's `ROW` and
//! `QUICK=1` say the same. A quick run shows that everything works; its figures are not written.
//! `compare pictures` measures nothing and draws the document's pictures once more.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is a program for a terminal")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "the numbers are the benchmark's own, and small"
)]
#![allow(
    clippy::format_push_string,
    clippy::format_collect,
    reason = "texts are made beside what is measured"
)]

mod audit;
mod document;
mod error;
mod fleet;
mod history;
mod http;
mod kubernetes;
mod load;
mod noetl;
mod operators;
mod peers;
mod picture;
mod postgres;
mod process;
mod remote;
mod rows;
#[path = "../../tests/contract/harness/remote_write.rs"]
mod sender;
mod server;
mod stand_in;
mod stats;
mod stubs;
mod table;
mod usage;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use error::{BenchError, Context, Result, failed};
use postgres::Cluster;
use rows::{ALL, Bench, Measure};

/// What the command line asks for.
struct Wanted {
    rows: Vec<(u32, Measure)>,
    quick: bool,
}

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let texts: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match texts.as_slice() {
        ["static-file", at, file] => return stubs::serve_file(address(at)?, PathBuf::from(file)),
        ["sink", at] => return stubs::sink(address(at)?),
        ["pictures"] | ["pictures", "--bench"] => return document::redraw(),
        _ => {}
    }
    let wanted = wanted(&texts)?;
    let directory = WorkDir::make()?;
    let cluster = Cluster::start(&directory.0)?;
    eprintln!("{}", document::machine(&cluster));
    let bench = Bench { cluster: &cluster, directory: &directory.0, quick: wanted.quick };
    let mut rows = Vec::new();
    for (_, measure) in wanted.rows {
        let row = measure(&bench)?;
        eprint!("{}", table::text(std::slice::from_ref(&row)));
        // Each as it is done: the next may fail.
        if !wanted.quick {
            eprintln!("Written to {}", document::write(std::slice::from_ref(&row), &cluster)?.display());
        }
        rows.push(row);
    }
    println!("{}", table::text(&rows));
    if wanted.quick {
        println!("A quick run: fewer rounds and sizes, docs/benchmarks.md stays as it was.");
    }
    Ok(())
}

fn address(text: &str) -> Result<std::net::SocketAddr> {
    text.parse().map_err(|_| BenchError::Failed(format!("{text} is no address")))
}

/// Rows and form, from the command line or the environment.
fn wanted(arguments: &[&str]) -> Result<Wanted> {
    let set = |name| std::env::var(name).unwrap_or_default();
    let quick = arguments.contains(&"--quick") || !matches!(set("QUICK").as_str(), "" | "0");
    let from_environment = set("ROW");
    // `cargo bench` adds --bench.
    let named = arguments.iter().copied().filter(|a| !a.starts_with("--"));
    let named: Vec<&str> =
        named.chain(from_environment.split([',', ' '])).filter(|t| !t.is_empty()).collect();
    let mut rows = Vec::new();
    for name in &named {
        match ALL.into_iter().find(|(number, _)| number.to_string() == *name) {
            Some(row) => rows.push(row),
            None => {
                return failed(format!(
                    "there is no row {name}; there are {:?}",
                    ALL.map(|(number, _)| number)
                ));
            }
        }
    }
    Ok(Wanted { rows: if rows.is_empty() { ALL.to_vec() } else { rows }, quick })
}

/// A folder on a real disk, removed at the end: `/tmp` may be memory, where fsync costs nothing.
struct WorkDir(PathBuf);

impl WorkDir {
    fn make() -> Result<Self> {
        let base = std::env::var_os("BENCH_DIR").map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from);
        let path = base.join(format!("noetl-metrics-bench-{}", std::process::id()));
        std::fs::create_dir_all(&path).context(path.display().to_string())?;
        // PostgreSQL's own user has to pass through.
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755))
            .context(path.display().to_string())?;
        Ok(Self(path))
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_dir_all(path) {
        eprintln!("{}: {error}", path.display());
    }
}
