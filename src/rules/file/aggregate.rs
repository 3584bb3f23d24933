//! Aggregates as a file has them, and what is checked of them.

use serde::Deserialize;

use super::{Labels, MAX_LABELS, RulesError, Wrong, is_label, is_metric, is_short, matchers, wrong};
use crate::rules::{Aggregate, Function, MADE_BY_SERVERS};

/// Labels that only the parts of a histogram or summary have.
const BOUNDS: [&str; 2] = ["le", "quantile"];

/// An aggregate as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    name: String,
    metric: String,
    #[serde(default)]
    labels: Labels,
    #[serde(default)]
    by: Vec<String>,
    function: Function,
    #[serde(default)]
    help: Option<String>,
}

pub(super) fn checked(written: Written) -> Result<Aggregate, Wrong> {
    let Written { name, metric, labels, by, function, help } = written;
    is_metric("name", &name)?;
    if let Some(prefix) = MADE_BY_SERVERS.iter().find(|prefix| name.starts_with(**prefix)) {
        return Err(wrong("name", format!("{name:?}: what servers make themselves begins with {prefix}")));
    }
    is_metric("metric", &metric)?;
    if by.len() > MAX_LABELS {
        return Err(wrong("by", format!("{} labels, at most {MAX_LABELS} are allowed", by.len())));
    }
    for (place, label) in by.iter().enumerate() {
        is_label("by", label)?;
        if BOUNDS.contains(&label.as_str()) {
            return Err(wrong("by", format!("{label:?} is a bound of a histogram's or summary's part")));
        }
        if by[..place].contains(label) {
            return Err(wrong("by", format!("{label:?} occurs twice")));
        }
    }
    if let Some(help) = &help {
        is_short("help", help)?;
    }
    Ok(Aggregate { matchers: matchers(&labels)?, name, metric, by, function, help })
}

/// One may be made of those before it only.
pub(super) fn in_order(all: &[Aggregate]) -> Result<(), RulesError> {
    for (place, one) in all.iter().enumerate() {
        let later = all.iter().skip(place).position(|other| other.name == one.metric);
        let Some(later) = later.map(|after| place + after) else { continue };
        let reason = match later {
            _ if later == place => "is what it makes itself".to_owned(),
            _ => format!("is what aggregates[{later}] makes, which has to come before it"),
        };
        let field = "metric".to_owned();
        return Err(RulesError::Field { list: "aggregates", place, field, reason });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::rules::{Function, MAX_AGGREGATES, RulesError, parse};

    const ONE: &str = "name: a, metric: m, function: sum";

    fn error(aggregates: &str) -> String {
        parse(&format!("aggregates: [{aggregates}]")).unwrap_err().to_string()
    }

    #[test]
    fn an_aggregate_is_read() {
        let set = parse(
            "aggregates:\n- name: noetl_pool_active_tasks\n  metric: noetl_active_tasks\n  labels: {pool: '!='}\n  \
             by: [pool]\n  function: sum\n  help: Tasks of a pool.\n",
        )
        .unwrap();
        let one = &set.aggregates[0];
        assert_eq!(one.promql(""), r#"sum by (pool) (noetl_active_tasks{pool!=""})"#);
        assert_eq!((one.function, one.help.as_deref()), (Function::Sum, Some("Tasks of a pool.")));
        assert!(set.rules.is_empty());
    }

    #[test]
    fn errors_of_an_aggregate_name_the_field() {
        for (more, expected) in [
            ("name: a b", "aggregates[0].name: "),
            ("name: noetl_metrics_x", "aggregates[0].name: "),
            ("name: noetl_component_up", "aggregates[0].name: "),
            ("metric: 9", "aggregates[0].metric: "),
            ("metric: a", "aggregates[0].metric: is what it makes itself"),
            ("function: median", "aggregates[0].function: "),
            ("by: [a-b]", "aggregates[0].by: \"a-b\" is not the name of a label"),
            ("by: [__name__]", "aggregates[0].by: "),
            ("by: [le]", "aggregates[0].by: \"le\" is a bound"),
            ("by: [x, x]", "aggregates[0].by: \"x\" occurs twice"),
            ("by: pool", "aggregates[0].by: "),
            ("labels: {a: '=~['}", "aggregates[0].labels.a: "),
            ("colour: red", "aggregates[0]: unknown field `colour`"),
        ] {
            let field = more.split(':').next().unwrap();
            let others: Vec<&str> =
                ONE.split(", ").filter(|part| !part.starts_with(&format!("{field}:"))).collect();
            let error = error(&format!("{{{}, {more}}}", others.join(", ")));
            assert!(error.starts_with(expected), "{more}: {error}");
        }
        assert!(error("{name: a, metric: m}").contains("missing field `function`"));
        assert!(error(&format!("{{{ONE}}}, {{{ONE}}}")).starts_with("aggregates[1].name: \"a\" is the name"));
        let by: Vec<String> = (0..21).map(|n| format!("l{n}")).collect();
        assert!(error(&format!("{{{ONE}, by: [{}]}}", by.join(", "))).starts_with("aggregates[0].by: 21"));
    }

    #[test]
    fn one_is_made_of_those_before_it_only() {
        let second = "{name: b, metric: a, function: max}";
        assert_eq!(parse(&format!("aggregates: [{{{ONE}}}, {second}]")).unwrap().aggregates.len(), 2);
        let error = error(&format!("{second}, {{{ONE}}}"));
        assert_eq!(error, "aggregates[0].metric: is what aggregates[1] makes, which has to come before it");
    }

    #[test]
    fn the_aggregates_of_a_file_are_bounded() {
        let many: String = (0..=MAX_AGGREGATES).fold("aggregates:\n".into(), |text, n| {
            text + &format!("- {{name: a{n}, metric: m, function: sum}}\n")
        });
        let most = MAX_AGGREGATES;
        assert_eq!(parse(&many).unwrap_err(), RulesError::TooMany("aggregates", most + 1, most));
    }
}
