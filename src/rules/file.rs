//! The file of rules: YAML in, checked rules out, with errors that name the field.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Comparison, Condition, Labels, Matchers, Rule, Template};
use crate::cli::values::duration;
use crate::model::{is_label_name, is_metric_name};

/// Bytes of a file at most.
pub const MAX_BYTES: usize = 1 << 20;
/// Rules of a file at most.
pub const MAX_RULES: usize = 1000;
/// Bytes of a name.
const MAX_NAME: usize = 128;
/// Bytes of a text or of a label's value.
const MAX_TEXT: usize = 4096;
/// Labels that a rule may name.
const MAX_LABELS: usize = 20;

/// Why a file was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// It is too long.
    #[error("the file has more than {MAX_BYTES} bytes")]
    Bytes,
    /// It has too many rules.
    #[error("rules: {0} rules, at most {MAX_RULES} are allowed")]
    TooMany(usize),
    /// It is not YAML of this form; the text names the place.
    #[error("{0}")]
    Form(String),
    /// A field is wrong.
    #[error("rules[{rule}].{field}: {reason}")]
    Field {
        /// Which rule, from 0.
        rule: usize,
        /// The field.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    rules: Vec<Written>,
}

/// A rule as it is written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Written {
    /// Name of its alerts.
    pub name: String,
    /// Name of the metric.
    pub metric: String,
    /// Which series, by their labels; see [`Matchers`].
    #[serde(default)]
    pub labels: Labels,
    /// How values are compared.
    pub comparison: Comparison,
    /// With what.
    #[serde(default)]
    pub threshold: Option<f64>,
    /// For how long it has to hold.
    #[serde(default, rename = "for")]
    pub hold: Option<String>,
    /// For how long it goes on firing.
    #[serde(default)]
    pub keep_firing_for: Option<String>,
    /// Label of its alerts.
    #[serde(default)]
    pub severity: Option<String>,
    /// What is wrong, in a line.
    #[serde(default)]
    pub summary: Option<String>,
    /// The same with more words.
    #[serde(default)]
    pub description: Option<String>,
    /// What to do about it, or where that is said.
    #[serde(default)]
    pub runbook: Option<String>,
}

/// Reads a file.
pub fn parse(text: &str) -> Result<Vec<Rule>, RulesError> {
    if text.len() > MAX_BYTES {
        return Err(RulesError::Bytes);
    }
    let file: File = serde_yaml::from_str(text).map_err(|e| RulesError::Form(e.to_string()))?;
    check(file.rules)
}

/// Checks rules, however they were written.
pub fn check(written: Vec<Written>) -> Result<Vec<Rule>, RulesError> {
    if written.len() > MAX_RULES {
        return Err(RulesError::TooMany(written.len()));
    }
    let mut rules: Vec<Rule> = Vec::with_capacity(written.len());
    for (at, one) in written.into_iter().enumerate() {
        let field = |(field, reason): (String, String)| RulesError::Field { rule: at, field, reason };
        let rule = rule(one).map_err(field)?;
        if let Some(first) = rules.iter().position(|known| known.name == rule.name) {
            return Err(field(("name".into(), format!("{:?} is the name of rules[{first}] too", rule.name))));
        }
        rules.push(rule);
    }
    Ok(rules)
}

/// A field and what is wrong with it.
type Wrong = (String, String);

fn wrong(field: &str, reason: impl Into<String>) -> Wrong {
    (field.to_owned(), reason.into())
}

fn rule(written: Written) -> Result<Rule, Wrong> {
    let Written { name, metric, labels, comparison, threshold, .. } = written;
    if !is_label_name(&name) || name.len() > MAX_NAME {
        return Err(wrong("name", format!("must have letters, digits and '_', at most {MAX_NAME}")));
    }
    if !is_metric_name(&metric) || metric.len() > 255 {
        return Err(wrong("metric", format!("{metric:?} is not the name of a metric")));
    }
    let severity = written.severity.unwrap_or_else(|| "warning".into());
    if severity.is_empty() || severity.len() > MAX_NAME {
        return Err(wrong("severity", format!("must have 1 to {MAX_NAME} bytes")));
    }
    let texts =
        [("summary", written.summary), ("description", written.description), ("runbook", written.runbook)];
    Ok(Rule {
        matchers: matchers(&labels)?,
        condition: condition(comparison, threshold)?,
        hold_ms: milliseconds("for", written.hold.as_deref())?,
        keep_ms: milliseconds("keepFiringFor", written.keep_firing_for.as_deref())?,
        annotations: annotations(texts)?,
        name,
        metric,
        severity,
    })
}

fn matchers(labels: &Labels) -> Result<Matchers, Wrong> {
    if labels.len() > MAX_LABELS {
        return Err(wrong("labels", format!("{} labels, at most {MAX_LABELS} are allowed", labels.len())));
    }
    for (name, value) in labels {
        if !is_label_name(name) || name.starts_with("__") {
            return Err(wrong("labels", format!("{name:?} is not the name of a label")));
        }
        if value.len() > MAX_TEXT {
            return Err(wrong(&format!("labels.{name}"), format!("more than {MAX_TEXT} bytes")));
        }
    }
    Matchers::read(labels).map_err(|(name, reason)| (format!("labels.{name}"), reason))
}

fn condition(comparison: Comparison, threshold: Option<f64>) -> Result<Condition, Wrong> {
    match (comparison, threshold) {
        (Comparison::Absent, None) => Ok(Condition::Absent),
        (Comparison::Absent, Some(_)) => {
            Err(wrong("threshold", "has no meaning where the comparison is absent; leave it out"))
        }
        (_, None) => {
            Err(wrong("threshold", format!("is missing; what shall values be {}?", comparison.as_str())))
        }
        (_, Some(number)) if !number.is_finite() => Err(wrong("threshold", "must be a finite number")),
        (_, Some(number)) => Ok(Condition::Is(comparison, number)),
    }
}

fn milliseconds(field: &str, text: Option<&str>) -> Result<i64, Wrong> {
    let Some(text) = text else { return Ok(0) };
    let read = duration(text).map_err(|e| wrong(field, e))?;
    i64::try_from(read.as_millis()).map_err(|_| wrong(field, "is too long"))
}

fn annotations(
    texts: [(&'static str, Option<String>); 3],
) -> Result<BTreeMap<&'static str, Template>, Wrong> {
    let mut annotations = BTreeMap::new();
    for (field, text) in texts {
        let Some(text) = text else { continue };
        if text.len() > MAX_TEXT {
            return Err(wrong(field, format!("more than {MAX_TEXT} bytes")));
        }
        annotations.insert(field, Template::parse(&text).map_err(|e| wrong(field, e))?);
    }
    Ok(annotations)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULE: &str = "name: A, metric: m, comparison: '>', threshold: 1";

    fn error(rules: &str) -> String {
        parse(rules).unwrap_err().to_string()
    }

    #[test]
    fn a_rule_is_read() {
        let rules = parse(
            "rules:\n- name: Long\n  metric: noetl_worker_queue_size\n  labels: {pool: =~blue|red}\n  \
             comparison: '>='\n  threshold: 100\n  for: 5m\n  keepFiringFor: 90s\n  severity: critical\n  \
             summary: 'long'\n  description: '{{ $labels.component }}: {{ $value }}'\n",
        )
        .unwrap();
        let rule = &rules[0];
        assert_eq!(rule.promql(""), r#"noetl_worker_queue_size{pool=~"blue|red"} >= 100"#);
        assert_eq!(rule.promql(r#"job="a""#), r#"noetl_worker_queue_size{job="a",pool=~"blue|red"} >= 100"#);
        assert_eq!((rule.hold_ms, rule.keep_ms), (300_000, 90_000));
        assert_eq!(rule.severity, "critical");
        assert_eq!(rule.annotations.len(), 2);
    }

    #[test]
    fn errors_name_the_field() {
        for (more, expected) in [
            ("name: A B", "rules[0].name: "),
            ("metric: 9", "rules[0].metric: "),
            ("comparison: '~'", "rules[0].comparison: "),
            ("comparison: absent", "rules[0].threshold: "),
            ("threshold: high", "rules[0].threshold: "),
            ("threshold: .inf", "rules[0].threshold: "),
            ("threshold: null", "rules[0].threshold: "),
            ("for: soon", "rules[0].for: "),
            ("keepFiringFor: 0s", "rules[0].keepFiringFor: "),
            ("labels: {a-b: c}", "rules[0].labels: "),
            ("labels: {a: '=~['}", "rules[0].labels.a: "),
            ("summary: '{{ $x }}'", "rules[0].summary: "),
            ("severity: ''", "rules[0].severity: "),
            ("colour: red", "rules[0]: unknown field `colour`"),
        ] {
            let field = more.split(':').next().unwrap();
            let others: Vec<&str> =
                RULE.split(", ").filter(|part| !part.starts_with(&format!("{field}:"))).collect();
            let text = format!("rules: [{{{}, {more}}}]", others.join(", "));
            let error = error(&text);
            assert!(error.starts_with(expected), "{text}: {error}");
        }
        assert!(error("rules: [{metric: m}]").contains("rules[0]: missing field `name`"));
        assert!(error("rules: 5").starts_with("rules: "));
        assert!(error("").contains("rules"));
        assert!(
            error(&format!("rules: [{{{RULE}}}, {{{RULE}}}]"))
                .starts_with("rules[1].name: \"A\" is the name")
        );
    }

    #[test]
    fn a_file_is_bounded() {
        assert_eq!(parse(&" ".repeat(MAX_BYTES + 1)).unwrap_err(), RulesError::Bytes);
        let many: String = (0..=MAX_RULES).fold("rules:\n".into(), |text, n| {
            text + &format!("- {{name: A{n}, metric: m, comparison: absent}}\n")
        });
        assert_eq!(parse(&many).unwrap_err(), RulesError::TooMany(MAX_RULES + 1));
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(text in any::<String>(), rest in "[a-z:{} \n>'0-9\\[-]{0,60}") {
            let _ = parse(&text);
            let _ = parse(&format!("rules: [{{{RULE}, {rest}}}]"));
        }
    }
}
