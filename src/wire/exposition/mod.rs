//! The text exposition format 0.0.4, read strictly: a text in, readings out.
//!
//! A line that is not as the format has it makes the whole text bad, with the line's number, so
//! that half a text is never taken for all of it. Samples without a type become gauges; those of
//! a histogram or a summary go as their scalar series. Never panics, whatever the text; time and
//! memory are bounded by the text's length and the number of samples that the caller takes.

mod line;

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use self::line::{Line, line as read_line, shown, unescape_help};
use crate::model::is_metric_name;
use crate::model::{MetricType, Reading};

/// Why a text is not a good exposition.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// A line breaks a rule.
    #[error("line {line}: {what}")]
    Line {
        /// Number of the line, from 1.
        line: usize,
        /// The rule, and what was found.
        what: String,
    },
    /// The last line has no end, as happens when a text is read while it is written.
    #[error("the last line does not end")]
    Unfinished,
    /// There are more samples than the caller takes.
    #[error("it has more than {0} samples, or families without one")]
    TooMany(usize),
}

/// A sample of a text, of which it borrows what it can.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample<'a> {
    /// Metric name.
    pub name: &'a str,
    /// Type of the metric.
    pub kind: MetricType,
    /// The value.
    pub value: f64,
    /// Label names and values; names differ from each other.
    pub labels: Vec<(&'a str, Cow<'a, str>)>,
    /// Help, with the first sample of a family only.
    pub help: Cow<'a, str>,
    /// Milliseconds since the epoch, where the text has a time.
    pub timestamp_ms: Option<i64>,
}

impl Sample<'_> {
    /// The value of a label, where it has it.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| *label == name).map(|(_, value)| value.as_ref())
    }

    /// The same, without the text.
    pub fn into_reading(self) -> Reading {
        // The bounds of buckets are most of all labels.
        let own = |name: &str| if name == "le" { Cow::Borrowed("le") } else { name.to_owned().into() };
        let label = |(name, value): (&str, Cow<'_, str>)| (own(name), value.into_owned());
        Reading {
            name: self.name.to_owned().into(),
            kind: self.kind,
            value: self.value,
            labels: self.labels.into_iter().map(label).collect(),
            // Nearly all have none, and that takes no memory.
            help: if self.help.is_empty() { "".into() } else { self.help.into_owned().into() },
            unit: None,
            timestamp_ms: self.timestamp_ms,
        }
    }
}

/// Reads `text`, which may hold at most `most` samples, and speak of as many families. The first
/// sample of each family has its help, `default_help` where it has none.
///
/// # Errors
/// [`ParseError`], for the first rule that is broken.
pub fn parse(text: &str, most: usize, default_help: &str) -> Result<Vec<Reading>, ParseError> {
    Ok(samples(text, most, default_help)?.into_iter().map(Sample::into_reading).collect())
}

/// As [`parse`], for who needs few of the samples.
///
/// # Errors
/// As [`parse`].
pub fn samples<'a>(text: &'a str, most: usize, default_help: &'a str) -> Result<Vec<Sample<'a>>, ParseError> {
    if !text.is_empty() && !text.ends_with('\n') {
        return Err(ParseError::Unfinished);
    }
    let mut families = Families::default();
    let mut samples: Vec<Sample<'a>> = Vec::new();
    let mut seen = Seen::default();
    for (number, line) in lines(text).enumerate() {
        let at = |what| ParseError::Line { line: number + 1, what };
        let line = line.trim_matches([' ', '\t']);
        if let Some(comment) = line.strip_prefix('#') {
            families.comment(comment).map_err(at)?;
            if families.help.len().max(families.types.len()) > most {
                return Err(ParseError::TooMany(most));
            }
        } else if !line.is_empty() {
            let line = read_line(line).map_err(at)?;
            if !seen.insert(&line, &samples) {
                return Err(at(format!("{} with these labels was there before", line.name)));
            }
            let kind = families.kind_of(&line, samples.len()).map_err(at)?;
            let Line { name, labels, value, timestamp_ms } = line;
            samples.push(Sample { name, kind, value, labels, help: "".into(), timestamp_ms });
            if samples.len() > most {
                return Err(ParseError::TooMany(most));
            }
        }
    }
    for (family, first) in families.begun {
        samples[first].help = families.help.remove(family).unwrap_or(Cow::Borrowed(default_help));
    }
    Ok(samples)
}

/// The series so far, by their places among the samples.
#[derive(Default)]
struct Seen {
    places: HashTable<(u64, usize)>,
    hasher: RandomState,
}

impl Seen {
    /// Whether the series of the line, which becomes the next sample, was not there before. The
    /// order of its labels says nothing.
    fn insert(&mut self, line: &Line<'_>, samples: &[Sample<'_>]) -> bool {
        let labels = line.labels.iter().map(|label| self.hasher.hash_one(label));
        let hash = labels.fold(self.hasher.hash_one(line.name), u64::wrapping_add);
        let is_same = |(other, place): &(u64, usize)| {
            *other == hash && samples.get(*place).is_some_and(|sample| is_series_of(line, sample))
        };
        if self.places.find(hash, is_same).is_some() {
            return false;
        }
        self.places.insert_unique(hash, (hash, samples.len()), |(hash, _)| *hash);
        true
    }
}

/// Whether both have the same name and labels; none has a label twice.
fn is_series_of(line: &Line<'_>, sample: &Sample<'_>) -> bool {
    let has = |(name, value): &(&str, Cow<'_, str>)| sample.label(name) == Some(value.as_ref());
    sample.name == line.name && sample.labels.len() == line.labels.len() && line.labels.iter().all(has)
}

/// What comments said of metric families.
#[derive(Default)]
struct Families<'a> {
    /// `None` for `untyped`.
    types: HashMap<&'a str, Option<MetricType>, RandomState>,
    help: HashMap<&'a str, Cow<'a, str>, RandomState>,
    /// Families that have a sample, and the place of the first.
    begun: HashMap<&'a str, usize, RandomState>,
    /// Names of samples, and the type of the first.
    named: HashMap<&'a str, MetricType, RandomState>,
    /// The name of the sample before, and what it is of, unless a type came since: samples of one
    /// name come one after the other.
    last: Option<(&'a str, Member<'a>)>,
}

/// What a sample is of.
#[derive(Clone, Copy)]
struct Member<'a> {
    family: &'a str,
    kind: MetricType,
    /// The label that it needs, and what is wrong without it.
    needs: Option<(&'static str, &'static str)>,
}

impl<'a> Families<'a> {
    /// Takes a comment: `HELP` and `TYPE` have a meaning, others do not.
    fn comment(&mut self, comment: &'a str) -> Result<(), String> {
        let (keyword, rest) = split_word(comment.trim_start_matches([' ', '\t']));
        if keyword != "HELP" && keyword != "TYPE" {
            return Ok(());
        }
        let (name, rest) = split_word(rest);
        if !is_metric_name(name) {
            return Err(format!("{:?} is not a metric name", shown(name)));
        }
        if keyword == "HELP" { self.add_help(name, rest) } else { self.add_type(name, rest) }
    }

    fn add_help(&mut self, name: &'a str, text: &'a str) -> Result<(), String> {
        match self.help.insert(name, unescape_help(text)) {
            None => Ok(()),
            Some(_) => Err(format!("a second HELP for {name}")),
        }
    }

    fn add_type(&mut self, name: &'a str, text: &str) -> Result<(), String> {
        let kind = match text {
            "untyped" => None,
            other => {
                let kind = other.parse().map_err(|()| format!("{:?} is not a metric type", shown(other)))?;
                Some(kind)
            }
        };
        if self.begun.contains_key(name) {
            return Err(format!("the TYPE of {name} comes after its first sample"));
        }
        self.last = None;
        match self.types.insert(name, kind) {
            None => Ok(()),
            Some(_) => Err(format!("a second TYPE for {name}")),
        }
    }

    /// The type of a sample, which has this place; help comes at the end, as it may be further down.
    fn kind_of(&mut self, line: &Line<'a>, place: usize) -> Result<MetricType, String> {
        let before = self.last.filter(|(name, _)| *name == line.name).map(|(_, member)| member);
        let member = match before {
            Some(member) => member,
            None => self.member(line.name)?,
        };
        if let Some((_, what)) = member.needs.filter(|(label, _)| !line.has_label(label)) {
            return Err(format!("{} {what}", line.name));
        }
        if before.is_none() {
            // As where the sum of what turns out to be a histogram came before its type.
            if *self.named.entry(line.name).or_insert(member.kind) != member.kind {
                return Err(format!("the TYPE that {} is of comes after its first sample", line.name));
            }
            self.begun.entry(member.family).or_insert(place);
            self.last = Some((line.name, member));
        }
        Ok(member.kind)
    }

    /// What samples of a name are of.
    fn member(&self, name: &'a str) -> Result<Member<'a>, String> {
        let plain = |kind| Member { family: name, kind, needs: None };
        match self.types.get(name) {
            Some(Some(MetricType::Histogram)) => {
                return Err(format!("{name} is a histogram: its samples are _bucket, _sum and _count"));
            }
            Some(Some(kind @ MetricType::Summary)) => {
                let needs = Some(("quantile", "is a summary: its samples need a quantile"));
                return Ok(Member { needs, ..plain(*kind) });
            }
            Some(kind) => return Ok(plain(kind.unwrap_or(MetricType::Gauge))),
            None => {}
        }
        for (suffix, of_summary) in [("_bucket", false), ("_sum", true), ("_count", true)] {
            let Some(family) = name.strip_suffix(suffix) else { continue };
            let kind = match self.types.get(family) {
                Some(Some(kind @ MetricType::Histogram)) => *kind,
                Some(Some(kind @ MetricType::Summary)) if of_summary => *kind,
                _ => continue,
            };
            let needs = (suffix == "_bucket").then_some(("le", "is a bucket and needs le"));
            return Ok(Member { family, kind, needs });
        }
        Ok(plain(MetricType::Gauge))
    }
}

/// As [`str::lines`], and quicker: a text is mostly lines.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut begin = 0;
    memchr::memchr_iter(b'\n', text.as_bytes()).filter_map(move |end| {
        let line = text.get(begin..end)?;
        begin = end + 1;
        Some(line.strip_suffix('\r').unwrap_or(line))
    })
}

/// The first word, and what follows it.
fn split_word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
    (word, rest.trim_start_matches([' ', '\t']))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn good(text: &str) -> Vec<Reading> {
        parse(text, 100, "none").unwrap()
    }

    fn error(text: &str) -> String {
        parse(text, 3, "none").unwrap_err().to_string()
    }

    #[test]
    fn types_and_help_are_taken_over() {
        let readings = good(
            "# HELP noetl_worker_active_tasks Tasks \\\\ that run\\nnow.\n\
             # TYPE noetl_worker_active_tasks gauge\n\
             noetl_worker_active_tasks 3\n\
             # TYPE done_total counter\n\
             done_total{queue=\"a\\\"b\"} 1e3 1704110400000\n\
             \n# just a remark\n# TYPE later untyped\nlater +Inf\nbare NaN\n# HELP bare At last.\n",
        );
        assert_eq!(readings.len(), 4);
        assert_eq!(readings[0].kind, MetricType::Gauge);
        assert_eq!(readings[0].help, "Tasks \\ that run\nnow.");
        assert_eq!(readings[1].kind, MetricType::Counter);
        assert_eq!(readings[1].labels, vec![("queue".into(), "a\"b".to_owned())]);
        assert_eq!(readings[1].timestamp_ms, Some(1_704_110_400_000));
        assert_eq!(readings[1].help, "none");
        assert_eq!((readings[2].kind, readings[2].value.is_infinite()), (MetricType::Gauge, true));
        assert!(readings[3].value.is_nan());
        assert_eq!(readings[3].help, "At last.");
    }

    #[test]
    fn histograms_and_summaries_go_as_their_series() {
        use MetricType::{Gauge, Histogram, Summary};
        let readings = good(
            "# TYPE h histogram\n\
             h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 2.5\nh_count 2\n\
             # TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 2\ns_count 3\ns_bucket 4\n",
        );
        let kinds: Vec<_> = readings.iter().map(|r| (r.name.as_ref(), r.kind)).collect();
        assert_eq!(
            kinds,
            [
                ("h_bucket", Histogram),
                ("h_bucket", Histogram),
                ("h_sum", Histogram),
                ("h_count", Histogram),
                ("s", Summary),
                ("s_sum", Summary),
                ("s_count", Summary),
                ("s_bucket", Gauge),
            ]
        );
    }

    #[test]
    fn bad_lines_are_named() {
        for (text, part) in [
            ("ok 1\nbad\n", "line 2"),
            ("a 1\na 2\n", "was there before"),
            ("a{x=\"1\",y=\"2\"} 1\na{y=\"2\",x=\"1\"} 2\n", "was there before"),
            ("a 1\n# TYPE a gauge\n", "after its first sample"),
            ("a_sum 1\n# TYPE a histogram\na_sum{x=\"1\"} 2\n", "after its first sample"),
            ("# TYPE a summary\na_sum 1\n# TYPE a_sum gauge\na_sum{x=\"1\"} 2\n", "after its first sample"),
            ("# TYPE a gauge\n# TYPE a gauge\n", "second TYPE"),
            ("# HELP a A.\n# HELP a A.\n", "second HELP"),
            ("# TYPE a thing\n", "not a metric type"),
            ("# TYPE 9a gauge\n", "not a metric name"),
            ("# TYPE h histogram\nh 1\n", "is a histogram"),
            ("# TYPE h histogram\nh_bucket 1\n", "needs le"),
            ("# TYPE s summary\ns 1\n", "need a quantile"),
            ("a 1", "does not end"),
            ("a 1\nb 1\nc 1\nd 1\n", "more than 3"),
            ("# HELP a\n# HELP b\n# HELP c\n# HELP d\n", "more than 3"),
        ] {
            let error = error(text);
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }

    #[test]
    fn an_empty_file_has_no_samples() {
        assert_eq!(good(""), []);
        assert_eq!(good("\n \n#\n"), []);
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in any::<String>()) {
            let _ = parse(&text, 10, "");
        }

        #[test]
        fn text_made_of_the_formats_own_parts_is_answered(
            parts in proptest::collection::vec(
                prop_oneof![
                    Just("# TYPE "), Just("# HELP "), Just("a"), Just("_bucket"), Just(" "), Just("\n"),
                    Just("{"), Just("}"), Just("le=\""), Just("\""), Just("\\"), Just(","), Just("1"),
                    Just("histogram"), Just("é"), Just("NaN"), Just("-"), Just("\u{0}"),
                ],
                0..40,
            ),
        ) {
            let _ = parse(&parts.concat(), 10, "");
        }

        #[test]
        fn what_was_written_is_read(
            value in any::<f64>().prop_filter("a number", |v| !v.is_nan()),
            label in any::<String>(),
            help in "[^\r\t ]([^\r]*[^\r\t ])?",
        ) {
            let escaped = label.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"");
            prop_assume!(!label.contains('\r'));
            let help_line = help.replace('\\', "\\\\").replace('\n', "\\n");
            let text = format!("# HELP a {help_line}\n# TYPE a counter\na{{l=\"{escaped}\"}} {value:e}\n");
            let readings = parse(&text, 1, "none").unwrap();
            prop_assert_eq!(readings[0].value.to_bits(), value.to_bits());
            prop_assert_eq!(&readings[0].labels[0].1, &label);
            prop_assert_eq!(readings[0].help.as_ref(), help.as_str());
        }
    }
}
