//! Which series a rule means: by the values of labels, with PromQL's operators.

use promql_parser::label::{MatchOp, Matcher};

use super::Labels;
use crate::model::selector;

/// Matchers of labels, read from `label: value`, where the value may begin with an operator: `=~`,
/// `!~`, `!=` or `=`. As in PromQL a regular expression has to match all of a value, and a label that
/// is not there is an empty one.
#[derive(Clone, Debug, Default)]
pub struct Matchers {
    matchers: Vec<Matcher>,
    /// The same as PromQL.
    text: String,
}

impl Matchers {
    /// Reads them; the error names the label.
    pub fn read(labels: &Labels) -> Result<Self, (String, String)> {
        let mut read = Self::default();
        for (name, value) in labels {
            let one = format!("{name}{}", written(value));
            let found = selector(&format!("a{{{one}}}")).map_err(|e| (name.clone(), first_line(&e)))?;
            read.matchers.extend(found.matchers.matchers);
            if !read.text.is_empty() {
                read.text.push(',');
            }
            read.text.push_str(&one);
        }
        Ok(read)
    }

    /// Whether a series with these labels is meant.
    pub fn select(&self, labels: &Labels) -> bool {
        let value = |name: &str| labels.get(name).map_or("", String::as_str);
        self.matchers.iter().all(|matcher| matcher.is_match(value(&matcher.name)))
    }

    /// The labels whose values they say: all that is known of a series that is not there.
    pub(super) fn equalities(&self) -> Labels {
        let is_said = |m: &&Matcher| m.op == MatchOp::Equal && !m.value.is_empty();
        self.matchers.iter().filter(is_said).map(|m| (m.name.clone(), m.value.clone())).collect()
    }

    /// The selector of a metric's series, with further matchers.
    pub(super) fn selector(&self, metric: &str, more: &str) -> String {
        let all: Vec<&str> = [more, &self.text].into_iter().filter(|part| !part.is_empty()).collect();
        if all.is_empty() { metric.to_owned() } else { format!("{metric}{{{}}}", all.join(",")) }
    }
}

/// Operator and quoted value.
fn written(value: &str) -> String {
    let (operator, value) = ["=~", "!~", "!=", "="]
        .into_iter()
        .find_map(|operator| Some((operator, value.strip_prefix(operator)?)))
        .unwrap_or(("=", value));
    let mut quoted = String::with_capacity(value.len() + 4);
    quoted.push_str(operator);
    quoted.push('"');
    for c in value.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

fn first_line(error: &str) -> String {
    let line: String = error.lines().next_back().unwrap_or_default().trim().chars().take(200).collect();
    format!("is not a regular expression: {line}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn values_are_compared_as_promql_does() {
        let series = labels(&[("pool", "blue"), ("odd", "a\"b\\c\nd")]);
        for (label, value, selects) in [
            ("pool", "blue", true),
            ("pool", "=blue", true),
            ("pool", "blu", false),
            ("pool", "=~blu", false),
            ("pool", "=~bl.*", true),
            ("pool", "!=blue", false),
            ("pool", "!~red|green", true),
            ("none", "", true),
            ("none", "!=", false),
            ("odd", "a\"b\\c\nd", true),
            ("odd", "=~a.b\\\\c\\nd", true),
        ] {
            let matchers = Matchers::read(&labels(&[(label, value)])).unwrap();
            assert_eq!(matchers.select(&series), selects, "{label}: {value:?}");
        }
    }

    #[test]
    fn a_bad_expression_names_its_label() {
        let (label, why) = Matchers::read(&labels(&[("a", "x"), ("pool", "=~(")])).unwrap_err();
        assert_eq!(label, "pool");
        assert!(why.starts_with("is not a regular expression"), "{why}");
    }

    #[test]
    fn what_is_absent_is_known_by_what_it_was_asked_for() {
        let matchers = labels(&[("a", "1"), ("b", "=~2"), ("c", "!=3"), ("d", "")]);
        assert_eq!(Matchers::read(&matchers).unwrap().equalities(), labels(&[("a", "1")]));
    }
}
