//! `match[]` selectors, as Prometheus' federation takes them: `{job=~"a.*"}`, `noetl_up`.

use std::fmt;

use promql_parser::label::{MatchOp, Matcher};

use crate::model::{labels_of_line, selector};

/// Longest selector taken, in bytes.
const MAX_BYTES: usize = 4096;

/// Selects series by name and labels.
#[derive(Clone, Debug)]
pub struct Selector {
    name: Option<String>,
    matchers: Vec<Matcher>,
}

/// Why a selector was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// Not PromQL, or more than a selector.
    #[error("is not a series selector such as noetl_uptime_seconds or {{component=~\"worker-.*\"}}: {0}")]
    Invalid(String),
}

impl fmt::Display for Selector {
    /// As text, all of it in braces: `{__name__="up",job=~"a.*"}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.as_ref().map(|name| Matcher::new(MatchOp::Equal, "__name__", name));
        let all: Vec<String> = name.iter().chain(&self.matchers).map(Matcher::to_string).collect();
        write!(f, "{{{}}}", all.join(","))
    }
}

impl Selector {
    /// Reads a selector.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        if text.len() > MAX_BYTES {
            return Err(SelectorError::Invalid(format!("more than {MAX_BYTES} bytes")));
        }
        selector(text)
            .map(|read| Self { name: read.name, matchers: read.matchers.matchers })
            .map_err(|error| SelectorError::Invalid(error.chars().take(200).collect()))
    }

    /// Whether it selects the series of this line of the exposition.
    pub fn selects(&self, line: &[u8]) -> bool {
        let end = line.iter().position(|b| matches!(b, b'{' | b' ')).unwrap_or(line.len());
        let name = str::from_utf8(&line[..end]).unwrap_or_default();
        if self.name.as_deref().is_some_and(|n| n != name) {
            return false;
        }
        if self.matchers.is_empty() {
            return true;
        }
        let labels = labels_of_line(line);
        self.matchers.iter().all(|matcher| {
            let value = if matcher.name == "__name__" {
                name
            } else {
                labels.iter().find(|(k, _)| *k == matcher.name).map_or("", |(_, v)| v.as_str())
            };
            matcher.is_match(value)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_select() {
        let line = br#"up{component="w1",component_type="worker_pool",a="x\"y"} "#;
        for (selector, expected) in [
            ("up", true),
            ("down", false),
            (r#"{component="w1"}"#, true),
            (r#"{component=~"w.*",a!="z"}"#, true),
            (r#"{__name__=~"u."}"#, true),
            (r#"up{component="w"}"#, false),
            (r#"{a="x\"y"}"#, true),
            (r#"up{missing=""}"#, true),
        ] {
            assert_eq!(Selector::parse(selector).unwrap().selects(line), expected, "{selector}");
        }
    }

    #[test]
    fn a_selector_is_written_as_one_that_selects_the_same() {
        for (text, written) in [
            ("up", r#"{__name__="up"}"#),
            (r#"up{a!="x\"y\\",b=~"c|d.+"}"#, r#"{__name__="up",a!="x\"y\\",b=~"c|d.+"}"#),
            (r#"{__name__=~"u.",a!~"b"}"#, r#"{__name__=~"u.",a!~"b"}"#),
        ] {
            assert_eq!(Selector::parse(text).unwrap().to_string(), written);
            assert_eq!(Selector::parse(written).unwrap().to_string(), written);
        }
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        for text in ["", "rate(up[5m])", "up[5m]", "up offset 5m", "{", "1", &"a".repeat(5000)] {
            assert!(Selector::parse(text).is_err(), "{text}");
        }
    }
}
