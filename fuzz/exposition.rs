//! Text expositions, as a target or a file has them: within the limits, the same once written again, and
//! written so that a strict reader takes them. And which families of a target are kept.
#![allow(clippy::panic, reason = "a check fails by a panic")]

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::LazyLock;

use super::super::textfile::TextfileDir;
use super::body::{Body, PER_RUN};
use super::keep::Keep;
use crate::model::{MetricType, Reading, family_of, is_label_name, is_metric_name, is_reserved};
use crate::wire::exposition::{Sample, parse, samples};
use crate::wire::value;

#[path = "../tests/contract/harness/exposition.rs"]
#[allow(
    clippy::pedantic,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    dead_code,
    reason = "a file of the tests"
)]
mod strict;

/// Samples that a text may have here.
const MOST: usize = 50;

/// The first line is a list of patterns, what comes after it an exposition.
pub(crate) fn exposition(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').map_or(data.len(), |at| at + 1);
    let (patterns, bytes) = data.split_at(end);
    let whole = str::from_utf8(bytes).ok().and_then(|text| samples(text, MOST, "None.").ok());
    let readings: Option<Vec<Reading>> =
        whole.clone().map(|samples| samples.into_iter().map(Sample::into_reading).collect());
    from_a_file(bytes, readings.as_deref());
    let (Some(samples), Some(readings)) = (whole, readings) else { return };
    keeps_rules(&readings);
    comes_back(&readings);
    if let Ok(patterns) = str::from_utf8(patterns) {
        are_kept(patterns, samples, &readings);
    }
}

fn keeps_rules(readings: &[Reading]) {
    assert!(readings.len() <= MOST);
    for reading in readings {
        assert!(is_metric_name(&reading.name) && reading.labels.len() <= 64, "{reading:?}");
        for (place, (name, _)) in reading.labels.iter().enumerate() {
            assert!(is_label_name(name) && !reading.labels[..place].iter().any(|(other, _)| other == name));
        }
        assert!(reading.unit.is_none(), "a text has none");
    }
}

/// The family of a reading, as its text had it.
fn family(reading: &Reading) -> &str {
    let has_quantile = reading.labels.iter().any(|(name, _)| name == "quantile");
    if reading.kind == MetricType::Summary && has_quantile {
        &reading.name
    } else {
        family_of(&reading.name, reading.kind).name
    }
}

/// Of a sum or count with a label that is a part's, it can't be told here what it is of.
fn is_plain(reading: &Reading) -> bool {
    let is_part = reading.labels.iter().any(|(name, _)| name == "quantile" || name == "le");
    let is_whole = reading.name.ends_with("_sum") || reading.name.ends_with("_count");
    let is_of_parts = matches!(reading.kind, MetricType::Histogram | MetricType::Summary);
    let is_of_nobody = is_part && is_whole && is_of_parts;
    // Nor can help be written that ends as a line may.
    !(is_of_nobody || reading.help.ends_with('\r'))
}

fn comes_back(readings: &[Reading]) {
    if !readings.iter().all(is_plain) {
        return;
    }
    let mut families: Vec<(&str, Vec<&Reading>)> = Vec::new();
    let mut places = HashMap::new();
    for reading in readings {
        let place = *places.entry(family(reading)).or_insert_with(|| {
            families.push((family(reading), Vec::new()));
            families.len() - 1
        });
        families[place].1.push(reading);
    }
    let text = written(&families);
    let again = parse(&text, MOST, "another").unwrap_or_else(|error| panic!("{error} of {text}"));
    let read: Vec<String> = again.iter().map(said).collect();
    let given: Vec<String> = families.iter().flat_map(|(_, of)| of).map(|reading| said(reading)).collect();
    assert_eq!(read, given, "{text}");
    let exposition = strict::Exposition::checked(&text);
    assert_eq!(exposition.samples.len(), readings.len());
}

fn written(families: &[(&str, Vec<&Reading>)]) -> String {
    let mut lines = Vec::new();
    for (name, readings) in families {
        let help = readings.first().map_or("", |first| first.help.as_ref());
        lines.push(format!("# HELP {name} {}\n", help.replace('\\', "\\\\").replace('\n', "\\n")));
        let kind = readings.first().map_or(MetricType::Gauge, |first| first.kind);
        lines.push(format!("# TYPE {name} {kind}\n"));
        lines.extend(readings.iter().map(|reading| line(reading)));
    }
    lines.concat()
}

fn line(reading: &Reading) -> String {
    let label = |(name, value): &(_, String)| {
        let value = value.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"");
        format!("{name}=\"{value}\"")
    };
    let labels: Vec<String> = reading.labels.iter().map(label).collect();
    let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
    let mut number = Vec::new();
    value::write(&mut number, reading.value);
    let number = str::from_utf8(&number).expect("a number");
    let at = reading.timestamp_ms.map_or_else(String::new, |at| format!(" {at}"));
    format!("{}{labels} {number}{at}\n", reading.name)
}

/// What a reading says, in a form that is equal to itself.
fn said(reading: &Reading) -> String {
    let Reading { name, kind, value, labels, help, timestamp_ms, .. } = reading;
    let value = if value.is_nan() { 0 } else { value.to_bits() };
    format!("{name} {kind} {value:x} {labels:?} {help:?} {timestamp_ms:?}")
}

/// A folder of this process's own.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("noetl-metrics-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
});

/// A file of it gives the same, and is counted as bad where it is no exposition.
fn from_a_file(bytes: &[u8], whole: Option<&[Reading]>) {
    let file = FOLDER.join("some.prom");
    std::fs::write(&file, bytes).expect("a file");
    let mut readings = Vec::new();
    let mut folder = TextfileDir::new(FOLDER.clone());
    folder.collect(&mut readings);
    let end = readings.pop().expect("whether there was an error");
    assert_eq!((end.name.as_ref(), end.value), ("node_textfile_scrape_error", folder.errors() as f64));
    let Some(whole) = whole else { return };
    // What it says of the file comes last. A file may have more samples than a text here.
    assert_eq!(folder.errors(), 0);
    readings.pop();
    let plain = |readings: &[Reading]| -> Vec<String> {
        readings.iter().map(|reading| said(&Reading { help: "".into(), ..reading.clone() })).collect()
    };
    assert_eq!(plain(&readings), plain(whole));
}

/// Of what a target exposes each sample is kept or counted, as the patterns say.
fn are_kept(patterns: &str, samples: Vec<Sample<'_>>, all: &[Reading]) {
    let patterns: Vec<&str> = patterns.trim().split(',').collect();
    let Ok(keep) = Keep::parse(&patterns) else { return };
    let body = Body::sort_out(samples, &keep);
    assert_eq!(body.kept.len() + body.not_kept + body.per_run, all.len());
    let has_run = |reading: &Reading| reading.labels.iter().any(|(name, _)| PER_RUN.contains(&name.as_ref()));
    for reading in &body.kept {
        assert!(!has_run(reading) && !is_reserved(&reading.name) && reading.timestamp_ms.is_none());
    }
    let own: Vec<&str> = patterns.iter().map(|pattern| pattern.trim()).filter(|p| !p.is_empty()).collect();
    if own.is_empty() || own.contains(&"default") || own.iter().map(|p| p.len()).sum::<usize>() > 200 {
        return;
    }
    let is_kept = |reading: &&Reading| {
        let family = family_of(&reading.name, reading.kind).name;
        own.iter().any(|pattern| stands_for(pattern.as_bytes(), family.as_bytes()))
    };
    let kept = all.iter().filter(is_kept).filter(|r| !is_reserved(&r.name) && !has_run(r));
    assert_eq!(kept.count(), body.kept.len(), "{own:?}");
}

/// The same as patterns are, the slow way: every end that each star can have.
fn stands_for(pattern: &[u8], name: &[u8]) -> bool {
    let mut ends = vec![false; name.len() + 1];
    ends[0] = true;
    for byte in pattern {
        let mut next = vec![false; name.len() + 1];
        for at in 0..=name.len() {
            next[at] = match byte {
                b'*' => ends[at] || at > 0 && next[at - 1],
                other => at > 0 && ends[at - 1] && name[at - 1] == *other,
            };
        }
        ends = next;
    }
    ends[name.len()]
}
