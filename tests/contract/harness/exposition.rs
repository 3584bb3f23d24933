//! A strict reader of the text exposition: what a scraper would stumble over fails the test.

use std::collections::{BTreeMap, BTreeSet};

/// An exposition that keeps all rules.
#[derive(Debug, Default)]
pub struct Exposition {
    pub samples: Vec<Sample>,
    /// Type of each family.
    pub types: BTreeMap<String, String>,
    /// Help text of each family, as it was written.
    pub help: BTreeMap<String, String>,
    /// Unit of each family that says one.
    pub units: BTreeMap<String, String>,
}

/// One line with a value.
#[derive(Clone, Debug)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: String,
    pub timestamp: Option<String>,
    /// Labels and value of its exemplar.
    pub exemplar: Option<Exemplar>,
}

/// Labels and value.
pub type Exemplar = (BTreeMap<String, String>, String);

impl Exposition {
    /// Reads either text format; panics where a rule is broken.
    #[track_caller]
    pub fn checked(text: &str) -> Self {
        assert!(text.is_empty() || text.ends_with('\n'), "ends with a line feed");
        let open_metrics = text.ends_with("# EOF\n");
        let mut read = Self::default();
        let mut seen = BTreeSet::new();
        let mut family = String::new();
        let body = if open_metrics { text.strip_suffix("# EOF\n").unwrap_or_default() } else { text };
        for line in body.lines() {
            if let Some(comment) = line.strip_prefix("# ") {
                let mut words = comment.splitn(3, ' ');
                let [word, name, rest] = [(); 3].map(|()| words.next().unwrap_or_default());
                let kept = match word {
                    "HELP" => read.help.insert(name.into(), rest.into()),
                    "TYPE" => read.types.insert(name.into(), rest.into()),
                    "UNIT" if open_metrics => read.units.insert(name.into(), rest.into()),
                    _ => panic!("unknown comment: {line}"),
                };
                assert!(kept.is_none(), "a second {word} for {name}");
                let used = read.samples.iter().any(|s| s.name == name);
                assert!(!used || name == family, "{word} of {name} after its samples");
                family = name.into();
                continue;
            }
            let sample = Sample::read(line);
            assert!(sample.exemplar.is_none() || open_metrics, "an exemplar in 0.0.4: {line}");
            let kind = read.types.get(&family).unwrap_or_else(|| panic!("no TYPE before {line}"));
            let suffixes = suffixes(kind, open_metrics);
            let suffix = sample.name.strip_prefix(&*family);
            assert!(suffix.is_some_and(|s| suffixes.contains(&s)), "{line} is not of {kind} {family}");
            check_bounds(&sample, kind, suffix.unwrap_or_default());
            check_exemplar(&sample, kind, suffix.unwrap_or_default());
            assert!(seen.insert((sample.name.clone(), sample.labels.clone())), "twice: {line}");
            read.samples.push(sample);
        }
        read
    }

    /// The value of the one series of this name with these labels among its own.
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<&str> {
        self.one(name, labels).map(|sample| &*sample.value)
    }

    fn one(&self, name: &str, labels: &[(&str, &str)]) -> Option<&Sample> {
        let has = |s: &&Sample| labels.iter().all(|(k, v)| s.labels.get(*k).is_some_and(|found| found == v));
        let mut found = self.samples.iter().filter(|s| s.name == name).filter(has);
        let first = found.next()?;
        assert!(found.next().is_none(), "{name} with {labels:?} is several series");
        Some(first)
    }

    /// The exemplar of the one series of this name with these labels among its own.
    pub fn exemplar(&self, name: &str, labels: &[(&str, &str)]) -> Option<Exemplar> {
        let sample = self.one(name, labels).unwrap_or_else(|| panic!("no {name} with {labels:?}"));
        sample.exemplar.clone()
    }

    /// Series that have an exemplar.
    pub fn with_exemplars(&self) -> usize {
        self.samples.iter().filter(|s| s.exemplar.is_some()).count()
    }

    /// Series of this name.
    pub fn count(&self, name: &str) -> usize {
        self.samples.iter().filter(|s| s.name == name).count()
    }

    /// Series of this component.
    pub fn of(&self, component: &str) -> Vec<&Sample> {
        let is_it = |s: &&Sample| s.labels.get("component").is_some_and(|c| c == component);
        // What the server says of the component is not what the component says.
        self.samples.iter().filter(is_it).filter(|s| !s.name.starts_with("noetl_component_")).collect()
    }
}

fn suffixes(kind: &str, open_metrics: bool) -> &'static [&'static str] {
    match (kind, open_metrics) {
        ("histogram", _) => &["_bucket", "_sum", "_count"],
        ("summary", _) => &["", "_sum", "_count"],
        ("counter", true) => &["_total"],
        ("gauge" | "unknown", true) | ("gauge" | "counter" | "untyped", false) => &[""],
        _ => panic!("{kind} is no type here"),
    }
}

fn check_bounds(sample: &Sample, kind: &str, suffix: &str) {
    let has = |label: &str| sample.labels.contains_key(label);
    match (kind, suffix) {
        ("histogram", "_bucket") => assert!(has("le"), "a bucket without le: {sample:?}"),
        ("summary", "") => assert!(has("quantile"), "a quantile without a bound: {sample:?}"),
        ("histogram" | "summary", _) => assert!(!has("le") && !has("quantile"), "{sample:?}"),
        _ => {}
    }
}

/// OpenMetrics allows them for counters and buckets, with 128 characters of labels, and a bucket counts
/// what is not greater than its bound.
fn check_exemplar(sample: &Sample, kind: &str, suffix: &str) {
    let Some((labels, value)) = &sample.exemplar else { return };
    assert!(matches!((kind, suffix), ("counter", "_total") | ("histogram", "_bucket")), "{sample:?}");
    let chars: usize = labels.iter().map(|(k, v)| k.chars().count() + v.chars().count()).sum();
    assert!(chars <= 128, "{chars} characters: {sample:?}");
    let number = |text: &str| text.parse::<f64>().unwrap_or(f64::NAN);
    let bound = sample.labels.get("le").map_or(f64::INFINITY, |le| number(le));
    assert!(bound.is_infinite() || number(value) <= bound, "{sample:?}");
}

impl Sample {
    fn read(line: &str) -> Self {
        let at = line.find(['{', ' ']).unwrap_or_else(|| panic!("no value: {line}"));
        let (name, rest) = line.split_at(at);
        let valid = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        assert!(name.chars().all(valid) && !name.starts_with(|c: char| c.is_ascii_digit()), "{line}");
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => read_labels(rest),
            None => (BTreeMap::new(), rest),
        };
        let (rest, exemplar) = match rest.split_once(" # {") {
            Some((rest, exemplar)) => (rest, Some(read_exemplar(exemplar, line))),
            None => (rest, None),
        };
        let mut words = rest.strip_prefix(' ').unwrap_or_else(|| panic!("no space: {line}")).split(' ');
        let value = words.next().unwrap_or_default().to_owned();
        assert!(matches!(&*value, "NaN" | "+Inf" | "-Inf") || is_number(&value), "{line}");
        let timestamp = words.next().map(str::to_owned);
        assert!(words.next().is_none(), "more than a timestamp: {line}");
        Self { name: name.into(), labels, value, timestamp, exemplar }
    }
}

/// What follows ` # {`: labels, value and time.
fn read_exemplar(text: &str, line: &str) -> Exemplar {
    let (labels, rest) = read_labels(text);
    let words: Vec<&str> = rest.trim_start().split(' ').collect();
    let [value, at] = words[..] else { panic!("no value and time of an exemplar: {line}") };
    assert!(matches!(value, "NaN" | "+Inf" | "-Inf") || is_number(value), "{line}");
    assert!(is_number(at) && at.contains('.'), "{line}");
    (labels, value.to_owned())
}

fn is_number(text: &str) -> bool {
    text.parse::<f64>().is_ok_and(f64::is_finite)
}

/// Labels up to the closing brace, and what follows it.
fn read_labels(mut rest: &str) -> (BTreeMap<String, String>, &str) {
    let mut labels = BTreeMap::new();
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            return (labels, after);
        }
        if !labels.is_empty() {
            rest = rest.strip_prefix(',').expect("a comma between labels");
        }
        let (name, after) = rest.split_once("=\"").expect("name=\"value\"");
        let valid = |c: char| c.is_ascii_alphanumeric() || c == '_';
        assert!(!name.is_empty() && name.chars().all(valid), "label name {name:?}");
        let mut value = String::new();
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next().expect("a closing quote") {
                (at, '"') => break at,
                (_, '\\') => value.push(match chars.next().expect("an escaped character").1 {
                    'n' => '\n',
                    same @ ('"' | '\\') => same,
                    other => panic!("\\{other} is no escape"),
                }),
                (_, other) => value.push(other),
            }
        };
        assert!(labels.insert(name.to_owned(), value).is_none(), "label {name} twice");
        rest = &after[end + 1..];
    }
}
