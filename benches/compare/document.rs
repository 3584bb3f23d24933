//! `docs/benchmarks.md`: one section for each row, replaced with its picture when that row is measured
//! again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use noetl_metrics::model::Millis;

use crate::error::{Context, Result};
use crate::peers;
use crate::picture::{self, Figure};
use crate::postgres::{Cluster, SETTINGS};
use crate::table::{Row, markdown};

const HEAD: &str = "# Benchmarks

Written by `make bench`; `make bench ROW=4` measures one row again. Every figure compares two sides in one run on one
machine, taken in turn, medians of several rounds. CPU seconds stand beside times, since the load generator and
PostgreSQL share the processors with what is measured. A row that misses its target stays here.

Pictures have logarithmic scales; what a cost grows with is told as a power of the size n: n to the power of 1 is growth
in proportion. [Where the time goes](performance.md) has profiles of some rows.
";

/// The folder of the pictures, beside the document.
const PICTURES: &str = "benchmarks";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}

/// Draws the pictures of all rows once more, of the figures that are kept.
pub(crate) fn redraw() -> Result<()> {
    picture::redraw(&folder().join(PICTURES))
}

/// Puts the rows into the document and returns its path.
pub(crate) fn write(rows: &[Row], cluster: &Cluster) -> Result<PathBuf> {
    let path = folder().join("benchmarks.md");
    let old = fs::read_to_string(&path).unwrap_or_default();
    let made = format!("{} on {}", &Millis::now().rfc3339()[..10], machine(cluster));
    let mut sections: Vec<(u32, String)> = sections(&old);
    for row in rows {
        sections.retain(|(number, _)| *number != row.number);
        let figure = Figure { title: row.title.to_owned(), panels: row.panels.clone() };
        let drawn = picture::write(&folder().join(PICTURES), row.number, &figure)?;
        let drawn = drawn.map(|name| format!("{PICTURES}/{name}"));
        sections.push((row.number, markdown(row, drawn.as_deref(), &made)));
    }
    sections.sort_by_key(|(number, _)| *number);
    let body: String = sections.into_iter().map(|(_, text)| format!("\n{}\n", text.trim())).collect();
    fs::create_dir_all(folder()).context(folder().display().to_string())?;
    fs::write(&path, format!("{HEAD}{body}")).context(path.display().to_string())?;
    Ok(path)
}

/// The sections that a document has, by the number of their row.
fn sections(document: &str) -> Vec<(u32, String)> {
    let parts = document.split("\n## ").skip(1);
    let number = |part: &str| part.split_once('.').and_then(|(number, _)| number.parse().ok());
    parts.filter_map(|part| Some((number(part)?, format!("## {part}")))).collect()
}

/// Hardware and versions in one sentence.
pub(crate) fn machine(cluster: &Cluster) -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown processor");
    let model = model.trim_start_matches([' ', '\t', ':']).to_owned();
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kilobytes: u64 = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse().ok())
        .unwrap_or(0);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let settings: Vec<String> = SETTINGS.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let peers = [
        ("prometheus-pushgateway", "prometheus-pushgateway"),
        ("prometheus-node-exporter", "prometheus-node-exporter"),
        ("vmagent", "victoria-metrics"),
        ("victoria-metrics", "victoria-metrics"),
    ];
    let peers: Vec<String> =
        peers.iter().filter_map(|(program, package)| peers::version(program, package)).collect();
    format!(
        "{processors} processors ({model}), {} GiB, Linux {}; noetl-metrics {} ({}); PostgreSQL {} with {}; {}",
        kilobytes >> 20,
        kernel.trim(),
        env!("CARGO_PKG_VERSION"),
        commit(),
        cluster.version,
        settings.join(", "),
        peers.join("; ")
    )
}

/// The commit that was measured.
fn commit() -> String {
    let output = Command::new("git").args(["describe", "--always", "--dirty"]).output();
    let text = output.ok().map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned());
    text.filter(|t| !t.is_empty()).unwrap_or_else(|| "no git".into())
}
