//! Aggregates: a new metric out of the newest values of another one's series, group by group. What
//! comes out is what PromQL's operators of the same names say; [`Aggregate::promql`] is the same for it.

use std::collections::BTreeMap;

use super::{Labels, Matchers};

/// Groups of one aggregate at most: more is a label that tells too much apart.
pub const MAX_GROUPS: usize = 1000;

/// An aggregate that was checked.
#[derive(Clone, Debug)]
pub struct Aggregate {
    /// Name of the metric that it makes.
    pub name: String,
    /// Name of the metric that it is made of.
    pub metric: String,
    /// Which of its series.
    pub matchers: Matchers,
    /// Labels that stay: series with the same values are one group. None: all are one.
    pub by: Vec<String>,
    /// What becomes of the values of a group.
    pub function: Function,
    /// Help text of the metric that it makes.
    pub help: Option<String>,
}

/// What becomes of the values of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Function {
    /// Their sum.
    Sum,
    /// Their mean.
    Avg,
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// How many there are.
    Count,
}

/// What an aggregate comes to at one time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Groups {
    /// Values by the labels of their group.
    pub values: BTreeMap<Labels, f64>,
    /// Groups beyond [`MAX_GROUPS`].
    pub left_out: usize,
}

/// The samples of an aggregate so far.
pub struct Gathered<'a> {
    aggregate: &'a Aggregate,
    groups: BTreeMap<Labels, Values>,
}

/// Values of one group so far.
struct Values {
    count: f64,
    value: f64,
    /// What the sum lost by rounding.
    lost: f64,
}

impl Function {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
            Self::Count => "count",
        }
    }

    const fn first(value: f64) -> Values {
        Values { count: 1.0, value, lost: 0.0 }
    }

    /// One more value. NaN is the least and the greatest only where nothing else is there.
    fn take(self, so_far: &mut Values, value: f64) {
        so_far.count += 1.0;
        match self {
            Self::Sum | Self::Avg => so_far.add(value),
            Self::Min => so_far.value = so_far.value.min(value),
            Self::Max => so_far.value = so_far.value.max(value),
            Self::Count => {}
        }
    }

    fn result(self, values: &Values) -> f64 {
        match self {
            Self::Sum => values.value + values.lost,
            Self::Avg => (values.value + values.lost) / values.count,
            Self::Min | Self::Max => values.value,
            Self::Count => values.count,
        }
    }
}

impl Values {
    /// Neumaier's sum: what it comes to does not depend on the order in which values come.
    fn add(&mut self, value: f64) {
        let sum = self.value + value;
        if sum.is_infinite() {
            self.lost = 0.0;
        } else if self.value.abs() >= value.abs() {
            self.lost += (self.value - sum) + value;
        } else {
            self.lost += (value - sum) + self.value;
        }
        self.value = sum;
    }
}

impl Aggregate {
    /// What it comes to of these samples. They are all those that its metric has now, each with a
    /// function that makes its labels, without the metric's name.
    pub fn evaluate<L: FnOnce() -> Labels>(&self, samples: impl IntoIterator<Item = (f64, L)>) -> Groups {
        let mut gathered = self.gather();
        samples.into_iter().for_each(|(value, labels)| gathered.take(value, labels()));
        gathered.groups()
    }

    /// The same, sample by sample.
    pub const fn gather(&self) -> Gathered<'_> {
        Gathered { aggregate: self, groups: BTreeMap::new() }
    }

    /// The same as an expression of PromQL. `more` are further matchers, as `job="noetl"`.
    pub fn promql(&self, more: &str) -> String {
        let selector = self.matchers.selector(&self.metric, more);
        let function = self.function.as_str();
        match self.by.as_slice() {
            [] => format!("{function}({selector})"),
            by => format!("{function} by ({}) ({selector})", by.join(",")),
        }
    }
}

impl Gathered<'_> {
    /// One more sample, with its labels.
    pub fn take(&mut self, value: f64, mut labels: Labels) {
        let Aggregate { matchers, by, function, .. } = self.aggregate;
        if !matchers.select(&labels) {
            return;
        }
        // An empty label is none, as in PromQL.
        labels.retain(|name, value| !value.is_empty() && by.contains(name));
        self.groups
            .entry(labels)
            .and_modify(|values| function.take(values, value))
            .or_insert_with(|| Function::first(value));
    }

    /// What it came to.
    pub fn groups(self) -> Groups {
        let left_out = self.groups.len().saturating_sub(MAX_GROUPS);
        let result = |(labels, values)| (labels, self.aggregate.function.result(&values));
        Groups { values: self.groups.into_iter().take(MAX_GROUPS).map(result).collect(), left_out }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::parse;
    use super::*;

    fn aggregate(more: &str) -> Aggregate {
        let text = format!("aggregates: [{{name: a, metric: m, {more}}}]");
        parse(&text).unwrap().aggregates.remove(0)
    }

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    /// Values of series that are told apart by `w`, in these pools.
    fn of(aggregate: &Aggregate, samples: &[(&str, f64)]) -> Vec<(String, f64)> {
        let samples = samples.iter().enumerate().map(|(n, (pool, value))| {
            (*value, move || labels(&[("pool", pool), ("w", &n.to_string()), ("component", "c")]))
        });
        let shown = |(labels, value): (&Labels, &f64)| {
            (labels.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(","), *value)
        };
        aggregate.evaluate(samples).values.iter().map(shown).collect()
    }

    #[test]
    fn values_are_taken_together_by_their_labels() {
        let samples = [("blue", 1.0), ("red", 5.0), ("blue", 3.0), ("", 7.0)];
        for (function, expected) in [
            ("sum", [7.0, 4.0, 5.0]),
            ("avg", [7.0, 2.0, 5.0]),
            ("min", [7.0, 1.0, 5.0]),
            ("max", [7.0, 3.0, 5.0]),
            ("count", [1.0, 2.0, 1.0]),
        ] {
            let groups = of(&aggregate(&format!("by: [pool], function: {function}")), &samples);
            let names: Vec<&str> = groups.iter().map(|(labels, _)| labels.as_str()).collect();
            assert_eq!(names, ["", "pool=blue", "pool=red"], "{function}");
            let values: Vec<f64> = groups.iter().map(|(_, value)| *value).collect();
            assert_eq!(values, expected, "{function}");
        }
        assert_eq!(of(&aggregate("function: sum"), &samples), [(String::new(), 16.0)]);
        let some = aggregate("labels: {pool: '!='}, by: [component, pool], function: max");
        assert_eq!(of(&some, &samples)[1], ("component=c,pool=red".to_owned(), 5.0));
        assert_eq!(of(&some, &[]), []);
    }

    #[test]
    fn what_is_no_number_counts_as_in_promql() {
        let of = |function: &str, values: &[f64]| {
            let samples: Vec<_> = values.iter().map(|value| ("", *value)).collect();
            of(&aggregate(&format!("function: {function}")), &samples)[0].1
        };
        let nan = f64::NAN;
        for values in [[nan, 1.0], [1.0, nan]] {
            assert!(of("sum", &values).is_nan() && of("avg", &values).is_nan());
            assert_eq!((of("min", &values), of("max", &values), of("count", &values)), (1.0, 1.0, 2.0));
        }
        assert!(of("min", &[nan, nan]).is_nan());
        assert_eq!(of("sum", &[f64::INFINITY, 1.0, 2.0]), f64::INFINITY);
        assert!(of("sum", &[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
        assert_eq!(of("sum", &[1e100, 1.0, -1e100]), 1.0);
    }

    #[test]
    fn groups_of_an_aggregate_are_bounded_and_what_is_left_out_is_counted() {
        let one = aggregate("by: [w], function: sum");
        let series = |n: usize| (1.0, move || labels(&[("w", &format!("{n:04}"))]));
        let groups = one.evaluate((0..MAX_GROUPS + 7).rev().map(series));
        assert_eq!((groups.values.len(), groups.left_out), (MAX_GROUPS, 7));
        assert!(groups.values.contains_key(&labels(&[("w", "0999")])), "the first ones by their labels stay");
    }

    #[test]
    fn the_same_is_written_for_prometheus() {
        for (more, expected) in [
            ("function: sum", "sum(m)"),
            ("by: [pool, zone], function: avg", "avg by (pool,zone) (m)"),
            ("labels: {a: '=~x|y'}, by: [b], function: max", r#"max by (b) (m{a=~"x|y"})"#),
        ] {
            assert_eq!(aggregate(more).promql(""), expected);
        }
        assert_eq!(aggregate("function: count").promql(r#"job="j""#), r#"count(m{job="j"})"#);
    }

    proptest! {
        #[test]
        fn order_does_not_matter(values in proptest::collection::vec(-1e6_f64..1e6, 1..30), turn in 0_usize..30) {
            for function in ["sum", "avg", "min", "max", "count"] {
                let one = aggregate(&format!("function: {function}"));
                let forth: Vec<_> = values.iter().map(|value| ("p", *value)).collect();
                let mut other = forth.clone();
                other.rotate_left(turn % forth.len());
                let (forth, other) = (of(&one, &forth)[0].1, of(&one, &other)[0].1);
                prop_assert!((forth - other).abs() <= forth.abs() * 1e-15, "{} {}: {}", function, forth, other);
            }
        }
    }
}
