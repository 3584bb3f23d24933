//! The file of rules, read again where it changed. One that is wrong leaves the rules as they were.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Metrics;
use crate::rules::{MAX_BYTES, RuleSet, parse};

/// A file, and the rules that it had when it was right last.
pub(super) struct RulesFile {
    path: PathBuf,
    /// What it said last, or why it could not be read.
    said: Result<String, String>,
    pub(super) set: Arc<RuleSet>,
}

impl RulesFile {
    pub(super) fn open(path: &Path, metrics: &Metrics) -> Result<Self, String> {
        let text = read(path)?;
        let set = parse(&text).map_err(|e| e.to_string())?;
        metrics.rules_read(true);
        Ok(Self { path: path.to_owned(), said: Ok(text), set: Arc::new(set) })
    }

    /// Takes what it says now.
    pub(super) fn look(&mut self, metrics: &Metrics) {
        let said = read(&self.path);
        if said == self.said {
            return;
        }
        let set = said.as_ref().map_err(Clone::clone).and_then(|text| parse(text).map_err(|e| e.to_string()));
        metrics.rules_read(set.is_ok());
        match set {
            Ok(set) => {
                let (rules, aggregates) = (set.rules.len(), set.aggregates.len());
                tracing::info!(rules, aggregates, "the rules file changed");
                self.set = Arc::new(set);
            }
            Err(error) => {
                tracing::warn!(file = %self.path.display(), error, "the rules file is wrong; the rules stay as they were");
            }
        }
        self.said = said;
    }
}

fn read(path: &Path) -> Result<String, String> {
    use std::io::Read as _;
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|e| e.to_string())?;
    // Whatever stands there, no more of it than the parser refuses.
    file.take(MAX_BYTES as u64 + 1).read_to_string(&mut text).map_err(|e| e.to_string())?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_wrong_keeps_the_rules() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rules.yaml");
        let metrics = Metrics::new(&prometheus::Registry::new());
        assert!(RulesFile::open(&path, &metrics).is_err());
        let rule = |name: &str| format!("rules: [{{name: {name}, metric: m, comparison: absent}}]");
        std::fs::write(&path, rule("A")).unwrap();
        let mut file = RulesFile::open(&path, &metrics).unwrap();
        for (text, expected, right) in [
            (rule("B"), "B", true),
            ("rules: [{}]".to_owned(), "B", false),
            ("x".repeat(MAX_BYTES + 1), "B", false),
            (rule("C"), "C", true),
        ] {
            std::fs::write(&path, text).unwrap();
            file.look(&metrics);
            assert_eq!(file.set.rules[0].name, expected);
            assert_eq!(metrics.rules_are_right(), right);
        }
        std::fs::remove_file(&path).unwrap();
        file.look(&metrics);
        assert_eq!((file.set.rules[0].name.as_str(), metrics.rules_are_right()), ("C", false));
    }
}
