//! docs/limits.md names flags, metrics and tests that are there.

use std::fs;
use std::path::Path;

/// All text of the files below a folder that end so.
fn text_of(folder: &Path, ending: &str) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.push_str(&text_of(&path, ending));
        } else if path.extension().is_some_and(|e| e == ending) {
            all.push_str(&fs::read_to_string(&path).expect("a text"));
        }
    }
    all
}

/// What stands between backticks in a cell.
fn named(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[test]
fn every_limit_is_seen_set_and_tested_as_its_page_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/limits.md")).unwrap();
    let flags = fs::read_to_string(root.join("docs/cli.md")).unwrap();
    let (source, tests) = (text_of(&root.join("src"), "rs"), text_of(&root.join("tests"), "rs"));
    let mut rows = 0;
    for line in page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| bound")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [_, _, set_by, _, seen_in, shown_by] = cells[..] else { panic!("six cells: {line}") };
        for flag in named(set_by) {
            assert!(
                flags.contains(&format!("{flag} <")) || source.contains(&format!("\"{flag}\"")),
                "{flag}: {line}"
            );
        }
        for metric in named(seen_in) {
            let name = metric.split('{').next().unwrap();
            // The agent puts its prefix before them.
            let known = source.contains(name) || source.contains(name.trim_start_matches("noetl_agent_"));
            assert!(known, "{metric}: {line}");
        }
        assert!(named(shown_by).count() > 0, "no test: {line}");
        for test in named(shown_by) {
            let function = format!("fn {test}(");
            assert!(tests.contains(&function) || source.contains(&function), "{test}: {line}");
        }
        rows += 1;
    }
    assert!(rows > 15, "{rows} rows");
}
