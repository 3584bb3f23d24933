//! Modules depend on each other one way only.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What each module may use; a module that is not listed may use all.
const ALLOWED: &[(&str, &[&str])] = &[
    ("model", &[]),
    // Of `fuzzing` only its tests use something, the messages that senders would send.
    ("wire", &["fuzzing", "model"]),
    ("store", &["model", "wire"]),
    ("live", &["model", "wire"]),
    ("host", &["model"]),
    ("tls", &[]),
    ("client", &["tls"]),
    ("agent", &["client", "fuzzing", "host", "model", "tls", "wire"]),
    ("check", &["cli::values", "client", "crd", "model", "operator", "store", "tls", "wire"]),
    ("crd", &["rules::Comparison", "rules::Function"]),
    ("rules", &["cli::values", "model"]),
    ("archive", &["client", "live", "model", "store", "tls", "wire"]),
    ("operator", &["crd", "rules"]),
    ("top", &["client", "model", "server::page", "tls", "wire"]),
    ("server", &["cli::values", "client", "host", "live", "model", "rules", "store", "tls", "wire"]),
];

#[test]
fn dependencies_point_one_way() {
    let mut used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    read(&source, &mut used);
    for (module, allowed) in ALLOWED {
        let found = used.get(*module).cloned().unwrap_or_default();
        let is_allowed = |path: &String| {
            path.split("::").next() == Some(*module)
                || allowed.iter().any(|a| path == a || path.starts_with(&format!("{a}::")))
        };
        let wrong: Vec<_> = found.into_iter().filter(|path| !is_allowed(path)).collect();
        assert!(wrong.is_empty(), "src/{module} may use {allowed:?}, but uses {wrong:?}");
    }
    // The list is worth something only while it finds what is there.
    assert!(used["server"].contains("store::StoreError"), "{:?}", used["server"]);
    assert!(used["operator"].contains("crd::NoetlMetrics"), "{:?}", used["operator"]);
    assert!(used["store"].contains("model::Component"), "{:?}", used["store"]);
}

/// Collects what the files below `source` use of the crate, by top module.
fn read(source: &Path, used: &mut BTreeMap<String, BTreeSet<String>>) {
    of_each_file(source, &mut |path, text| {
        let place = path.strip_prefix(source).expect("below src").with_extension("");
        let module = place.components().next().expect("a name").as_os_str().to_string_lossy().into_owned();
        used.entry(module).or_default().extend(crate_paths(text));
    });
}

/// Hands over each source file below `dir`, and what it holds.
fn of_each_file(dir: &Path, take: &mut impl FnMut(&Path, &str)) {
    for entry in std::fs::read_dir(dir).expect("src").flatten() {
        let path = entry.path();
        if path.is_dir() {
            of_each_file(&path, take);
        } else if path.extension().is_some_and(|e| e == "rs") {
            take(&path, &std::fs::read_to_string(&path).expect("a source file"));
        }
    }
}

/// Every `crate::a::b` of a file, groups in braces taken apart.
fn crate_paths(text: &str) -> Vec<String> {
    let code: String =
        text.lines().map(|l| l.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join(" ");
    let mut paths = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let boundary = code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$');
        if !boundary {
            expand("", &code[at + "crate::".len()..], &mut paths);
        }
    }
    paths
}

/// Reads one path, or a group of them, behind `prefix`.
fn expand(prefix: &str, text: &str, paths: &mut Vec<String>) {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(text.len());
    let path = format!("{prefix}{}", &text[..end]);
    if !text[end..].starts_with('{') {
        paths.push(path.trim_end_matches(':').to_owned());
        return;
    }
    let (mut depth, mut start) = (0, end + 1);
    for (at, c) in text[end..].char_indices().map(|(at, c)| (at + end, c)) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if (c == ',' && depth == 1) || depth == 0 {
            let part = text[start..at].trim();
            if !part.is_empty() {
                expand(&path, part, paths);
            }
            start = at + 1;
        }
        if depth == 0 {
            return;
        }
    }
}

/// A name that the server gives and others read is written once. The operator's rules are texts for others.
#[test]
fn what_the_server_makes_itself_is_named_in_one_place() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for name in ["noetl_component_up", "noetl_component_last_report_age_seconds"] {
        let mut places = Vec::new();
        of_each_file(&source, &mut |path, text| {
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let place = path.strip_prefix(&source).expect("below src").to_string_lossy().into_owned();
            if code.contains(&format!("\"{name}\"")) && !place.starts_with("operator/") {
                places.push(place);
            }
        });
        assert_eq!(places, ["model/names.rs"], "{name}");
    }
}

/// The stages of a pass that are pure say so by what they do not use.
#[test]
fn building_and_checking_know_no_client() {
    let operator = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/operator");
    let mut pure = vec![operator.join("validate.rs"), operator.join("same.rs"), operator.join("names.rs")];
    pure.extend(std::fs::read_dir(operator.join("build")).expect("build").flatten().map(|e| e.path()));
    pure.retain(|path| path.extension().is_some_and(|e| e == "rs"));
    assert!(pure.len() > 10, "{pure:?}");
    for path in pure {
        let text = std::fs::read_to_string(&path).expect("a source file");
        for word in ["Client", "Api<", "async ", "Timestamp::now", "Instant"] {
            assert!(!text.contains(word), "{} uses {word}", path.display());
        }
    }
}

#[test]
fn paths_are_found_in_groups() {
    let text = "use crate::model::{Component, labels::{Label, check}}; // crate::server\nlet a = crate::wire::value::write(1);";
    let found = crate_paths(text);
    let expected = ["model::Component", "model::labels::Label", "model::labels::check", "wire::value::write"];
    assert_eq!(found, expected);
}
