//! The file of rules and aggregates: YAML in, checked ones out, with errors that name the field.

mod aggregate;

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Aggregate, Comparison, Condition, Labels, Matchers, Rule, Template};
use crate::cli::values::duration;
use crate::model::{is_label_name, is_metric_name};

/// Bytes of a file at most.
pub const MAX_BYTES: usize = 1 << 20;
/// Rules of a file at most.
pub const MAX_RULES: usize = 1000;
/// Aggregates of a file at most.
pub const MAX_AGGREGATES: usize = 200;
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
    /// It has too many of a kind.
    #[error("{0}: {1} {0}, at most {2} are allowed")]
    TooMany(&'static str, usize, usize),
    /// It is not YAML of this form; the text names the place.
    #[error("{0}")]
    Form(String),
    /// A field is wrong.
    #[error("{list}[{place}].{field}: {reason}")]
    Field {
        /// `rules` or `aggregates`.
        list: &'static str,
        /// Which of them, from 0.
        place: usize,
        /// The field.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// What a file says.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    /// Its aggregates; one may be made of those before it.
    pub aggregates: Vec<Aggregate>,
    /// Its rules.
    pub rules: Vec<Rule>,
}

/// The file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    aggregates: Option<Vec<aggregate::Written>>,
    rules: Option<Vec<WrittenRule>>,
}

/// A rule as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WrittenRule {
    /// Name of its alerts.
    name: String,
    /// Name of the metric.
    metric: String,
    /// Which series, by their labels; see [`Matchers`].
    #[serde(default)]
    labels: Labels,
    /// How values are compared.
    comparison: Comparison,
    /// With what.
    #[serde(default)]
    threshold: Option<f64>,
    /// For how long it has to hold.
    #[serde(default, rename = "for")]
    hold: Option<String>,
    /// For how long it goes on firing.
    #[serde(default)]
    keep_firing_for: Option<String>,
    /// Label of its alerts.
    #[serde(default)]
    severity: Option<String>,
    /// What is wrong, in a line.
    #[serde(default)]
    summary: Option<String>,
    /// The same with more words.
    #[serde(default)]
    description: Option<String>,
    /// What to do about it, or where that is said.
    #[serde(default)]
    runbook: Option<String>,
}

/// Reads a file.
pub fn parse(text: &str) -> Result<RuleSet, RulesError> {
    if text.len() > MAX_BYTES {
        return Err(RulesError::Bytes);
    }
    let written: Written = serde_yaml::from_str(text).map_err(|e| RulesError::Form(e.to_string()))?;
    if written.rules.is_none() && written.aggregates.is_none() {
        return Err(RulesError::Form("it has neither rules nor aggregates".into()));
    }
    check(written)
}

/// Checks what was written, wherever.
pub fn check(Written { aggregates, rules }: Written) -> Result<RuleSet, RulesError> {
    let aggregates = aggregates.unwrap_or_default();
    let aggregates = each("aggregates", MAX_AGGREGATES, aggregates, aggregate::checked, |one| &one.name)?;
    aggregate::in_order(&aggregates)?;
    let rules = each("rules", MAX_RULES, rules.unwrap_or_default(), rule, |one| &one.name)?;
    Ok(RuleSet { aggregates, rules })
}

/// Checks all of a list, each of which has a name of its own.
fn each<W, C>(
    list: &'static str,
    most: usize,
    written: Vec<W>,
    checked: impl Fn(W) -> Result<C, Wrong>,
    name: impl Fn(&C) -> &str,
) -> Result<Vec<C>, RulesError> {
    if written.len() > most {
        return Err(RulesError::TooMany(list, written.len(), most));
    }
    let mut all: Vec<C> = Vec::with_capacity(written.len());
    for (place, one) in written.into_iter().enumerate() {
        let field = |(field, reason): Wrong| RulesError::Field { list, place, field, reason };
        let one = checked(one).map_err(field)?;
        if let Some(first) = all.iter().position(|known| name(known) == name(&one)) {
            return Err(field(wrong("name", format!("{:?} is the name of {list}[{first}] too", name(&one)))));
        }
        all.push(one);
    }
    Ok(all)
}

/// A field and what is wrong with it.
type Wrong = (String, String);

fn wrong(field: &str, reason: impl Into<String>) -> Wrong {
    (field.to_owned(), reason.into())
}

fn rule(written: WrittenRule) -> Result<Rule, Wrong> {
    let WrittenRule { name, metric, labels, comparison, threshold, .. } = written;
    if !is_label_name(&name) || name.len() > MAX_NAME {
        return Err(wrong("name", format!("must have letters, digits and '_', at most {MAX_NAME}")));
    }
    is_metric("metric", &metric)?;
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

fn is_metric(field: &str, name: &str) -> Result<(), Wrong> {
    if !is_metric_name(name) || name.len() > 255 {
        return Err(wrong(field, format!("{name:?} is not the name of a metric")));
    }
    Ok(())
}

fn is_label(field: &str, name: &str) -> Result<(), Wrong> {
    if !is_label_name(name) || name.starts_with("__") {
        return Err(wrong(field, format!("{name:?} is not the name of a label")));
    }
    Ok(())
}

fn is_short(field: &str, text: &str) -> Result<(), Wrong> {
    if text.len() > MAX_TEXT {
        return Err(wrong(field, format!("more than {MAX_TEXT} bytes")));
    }
    Ok(())
}

fn matchers(labels: &Labels) -> Result<Matchers, Wrong> {
    if labels.len() > MAX_LABELS {
        return Err(wrong("labels", format!("{} labels, at most {MAX_LABELS} are allowed", labels.len())));
    }
    for (name, value) in labels {
        is_label("labels", name)?;
        is_short(&format!("labels.{name}"), value)?;
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
        is_short(field, &text)?;
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
        let set = parse(
            "rules:\n- name: Long\n  metric: noetl_worker_queue_size\n  labels: {pool: =~blue|red}\n  \
             comparison: '>='\n  threshold: 100\n  for: 5m\n  keepFiringFor: 90s\n  severity: critical\n  \
             summary: 'long'\n  description: '{{ $labels.component }}: {{ $value }}'\n",
        )
        .unwrap();
        let rule = &set.rules[0];
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
        assert!(error("{}").contains("neither rules nor aggregates"));
        assert!(error("rule: []").contains("rule"));
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
        assert_eq!(parse(&many).unwrap_err(), RulesError::TooMany("rules", MAX_RULES + 1, MAX_RULES));
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(text in any::<String>(), rest in "[a-z:{} \n>'0-9\\[-]{0,60}") {
            let _ = parse(&text);
            let _ = parse(&format!("rules: [{{{RULE}, {rest}}}]"));
        }
    }
}
