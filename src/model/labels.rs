//! Label sets: their rules, and the line of the exposition that a series' labels make.

use std::borrow::Cow;

use super::{Limits, MetricType, is_label_name};

/// Why a label set was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// More labels than allowed.
    #[error("labels: {0} labels, at most {1} are allowed")]
    TooMany(usize, usize),
    /// A name that Prometheus does not take.
    #[error("labels: {0:?} is not a label name ([a-zA-Z_][a-zA-Z0-9_]*, not beginning with __)")]
    Name(String),
    /// A name that is too long.
    #[error("labels: a label name has {0} bytes, at most {1} are allowed")]
    NameLength(usize, usize),
    /// A value that is too long.
    #[error("labels.{0}: {1} bytes, at most {2} are allowed")]
    ValueLength(String, usize, usize),
    /// A name that occurs twice.
    #[error("labels.{0}: occurs twice")]
    Duplicate(String),
    /// A bucket without a bound, or a bound that is none.
    #[error("labels.{0}: {1:?} is not a number, or a quantile outside 0 to 1")]
    Bound(&'static str, String),
    /// `le` or `quantile` on a metric that has none.
    #[error("labels.{0}: is only for the series of a {1}")]
    Reserved(&'static str, &'static str),
}

/// One label of a sample.
pub type Label<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Checks the labels of one sample and sorts them by name.
pub fn check_labels(
    name: &str,
    kind: MetricType,
    labels: &mut [Label<'_>],
    limits: &Limits,
) -> Result<(), LabelError> {
    if labels.len() > limits.labels {
        return Err(LabelError::TooMany(labels.len(), limits.labels));
    }
    for (key, value) in labels.iter() {
        check_label(key, value, limits)?;
    }
    labels.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    if let Some(pair) = labels.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(LabelError::Duplicate(pair[0].0.to_string()));
    }
    check_bound(name, kind, labels, "le", MetricType::Histogram)?;
    check_bound(name, kind, labels, "quantile", MetricType::Summary)
}

fn check_label(key: &str, value: &str, limits: &Limits) -> Result<(), LabelError> {
    if key.len() > limits.name_bytes {
        return Err(LabelError::NameLength(key.len(), limits.name_bytes));
    }
    if !is_label_name(key) || key.starts_with("__") {
        return Err(LabelError::Name(key.to_owned()));
    }
    if value.len() > limits.label_value_bytes {
        return Err(LabelError::ValueLength(key.to_owned(), value.len(), limits.label_value_bytes));
    }
    Ok(())
}

/// `le` belongs to histograms, `quantile` to summaries; scrapers choke on them elsewhere.
fn check_bound(
    name: &str,
    kind: MetricType,
    labels: &mut [Label<'_>],
    key: &'static str,
    owner: MetricType,
) -> Result<(), LabelError> {
    let found = labels.iter_mut().find(|(k, _)| k == key);
    let needed = kind == MetricType::Histogram && key == "le" && name.ends_with("_bucket");
    match found {
        None if needed => Err(LabelError::Bound(key, String::new())),
        None => Ok(()),
        Some(_) if kind != owner => Err(LabelError::Reserved(key, owner.as_str())),
        Some((_, value)) => match canonical_bound(value).filter(|_| key == "le" || is_quantile(value)) {
            Some(bound) => {
                *value = bound.into();
                Ok(())
            }
            // Its beginning will do: it may be long, and longer where it is written with escapes.
            None => Err(LabelError::Bound(key, value.chars().take(60).collect())),
        },
    }
}

/// Whether a series of this name with these labels can be of this type: a bound belongs to a bucket of a
/// histogram, a quantile to a summary, and either is all that its family has beside sum and count.
pub fn can_be(kind: MetricType, metric: &str, labels: &[Label<'_>]) -> bool {
    let has = |name| labels.iter().any(|(key, _)| key == name);
    let (bound, quantile) = (has("le"), has("quantile"));
    let of_whole = metric.ends_with("_sum") || metric.ends_with("_count");
    match kind {
        MetricType::Histogram if bound => metric.ends_with("_bucket"),
        MetricType::Histogram => of_whole && !quantile,
        MetricType::Summary => (quantile || of_whole) && !bound,
        MetricType::Gauge | MetricType::Counter => !bound && !quantile,
    }
}

fn is_quantile(text: &str) -> bool {
    text.parse().is_ok_and(|v: f64| (0.0..=1.0).contains(&v))
}

/// The one way of writing a bound that both formats take: `0.5`, `10.0`, `+Inf`.
fn canonical_bound(text: &str) -> Option<String> {
    let value: f64 = text.parse().ok().filter(|v: &f64| !v.is_nan())?;
    let mut out = Vec::new();
    write_bound(&mut out, value);
    String::from_utf8(out).ok()
}

/// Writes a bucket's or quantile's bound as OpenMetrics wants it: always with a fraction.
pub fn write_bound(out: &mut Vec<u8>, value: f64) {
    if value == f64::INFINITY {
        out.extend_from_slice(b"+Inf");
    } else if value == f64::NEG_INFINITY {
        out.extend_from_slice(b"-Inf");
    } else {
        out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
    }
}

/// Writes the line of the exposition for a series, up to the value:
/// `name{component="w",component_type="worker_pool",k="v"} `.
///
/// `labels` are sorted by name. Labels with an empty value are left out, as scrapers do. A reported
/// `component` or `component_type` that says the same as the server's own is left out, one that
/// differs is kept as `exported_…`, as Prometheus does with clashing labels.
pub fn export_line(out: &mut Vec<u8>, name: &str, component: &str, kind: &str, labels: &[Label<'_>]) {
    out.clear();
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"{component=\"");
    escape_into(out, component);
    out.extend_from_slice(b"\",component_type=\"");
    escape_into(out, kind);
    out.push(b'"');
    let clashes = |(key, value): &Label<'_>| match key.as_ref() {
        "component" => !value.is_empty() && value != component,
        "component_type" => !value.is_empty() && value != kind,
        _ => false,
    };
    if labels.iter().any(clashes) {
        let mut renamed: Vec<(Cow<'_, str>, &str)> = labels
            .iter()
            .map(|label| {
                (
                    if clashes(label) { free_name(&label.0, labels) } else { label.0.as_ref().into() },
                    label.1.as_ref(),
                )
            })
            .collect();
        // Under its other name the label has another place: equal sets have to be equal lines.
        renamed.sort();
        write_labels(out, component, kind, renamed.iter().map(|(k, v)| (k.as_ref(), *v)));
    } else {
        write_labels(out, component, kind, labels.iter().map(|(k, v)| (k.as_ref(), v.as_ref())));
    }
    out.extend_from_slice(b"} ");
}

/// `exported_<name>`; again and again where that is itself reported.
fn free_name<'a>(name: &str, labels: &[Label<'_>]) -> Cow<'a, str> {
    let mut candidate = format!("exported_{name}");
    while labels.iter().any(|(k, v)| *k == candidate && !v.is_empty()) {
        candidate.insert_str(0, "exported_");
    }
    candidate.into()
}

fn write_labels<'a>(
    out: &mut Vec<u8>,
    component: &str,
    kind: &str,
    labels: impl Iterator<Item = (&'a str, &'a str)>,
) {
    for (key, value) in labels {
        let is_own = (key == "component" && value == component) || (key == "component_type" && value == kind);
        if value.is_empty() || is_own {
            continue;
        }
        out.push(b',');
        write_label(out, key, value);
    }
}

/// Writes `key="value"`.
pub fn write_label(out: &mut Vec<u8>, key: &str, value: &str) {
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"=\"");
    escape_into(out, value);
    out.push(b'"');
}

/// Escapes a label value for both text formats.
fn escape_into(out: &mut Vec<u8>, value: &str) {
    if !value.bytes().any(|b| matches!(b, b'"' | b'\\' | b'\n')) {
        out.extend_from_slice(value.as_bytes());
        return;
    }
    for byte in value.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            other => out.push(other),
        }
    }
}

/// Takes a line apart again: its labels in their order, unescaped.
pub fn labels_of_line(line: &[u8]) -> Vec<(String, String)> {
    let text = str::from_utf8(line).unwrap_or_default();
    let mut rest = text.split_once('{').map_or("", |(_, rest)| rest);
    let mut labels = Vec::new();
    while let Some((key, after)) = rest.split_once("=\"") {
        let (value, used) = unescape(after);
        labels.push((key.trim_start_matches(',').to_owned(), value));
        rest = &after[used..];
    }
    labels
}

/// The value up to the closing quote, and the bytes used with it.
fn unescape(text: &str) -> (String, usize) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, at + 1),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, other)) => value.push(other),
                None => break,
            },
            other => value.push(other),
        }
    }
    (value, text.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(name: &str, labels: &[(&str, &str)]) -> String {
        let labels: Vec<Label<'_>> = labels.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        let mut out = Vec::new();
        export_line(&mut out, name, "w1", "worker_pool", &labels);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_carries_the_component() {
        assert_eq!(line("up", &[]), "up{component=\"w1\",component_type=\"worker_pool\"} ");
        assert_eq!(
            line("up", &[("a", "x\"y\\z\n"), ("b", "")]),
            "up{component=\"w1\",component_type=\"worker_pool\",a=\"x\\\"y\\\\z\\n\"} "
        );
    }

    #[test]
    fn a_clashing_label_is_kept_under_another_name() {
        assert_eq!(line("up", &[("component", "w1")]), line("up", &[]));
        assert!(line("up", &[("component", "w2")]).contains(",exported_component=\"w2\"}"));
        let both = line("up", &[("component", "w2"), ("exported_component", "w3")]);
        assert!(both.contains(",exported_component=\"w3\",exported_exported_component=\"w2\"}"), "{both}");
        assert_eq!(
            line("up", &[("component", "x"), ("d", "1")]),
            line("up", &[("d", "1"), ("exported_component", "x")]),
            "equal sets are equal lines"
        );
    }

    #[test]
    fn a_long_bound_is_not_repeated_whole() {
        let mut labels = [("le".into(), "\u{7f}".repeat(4000).into())];
        let error = check_labels("a_bucket", MetricType::Histogram, &mut labels, &Limits::default());
        assert!(error.unwrap_err().to_string().len() < 600);
    }

    #[test]
    fn labels_are_checked() {
        let limits = Limits { labels: 2, label_value_bytes: 3, ..Limits::default() };
        let check = |kind, name: &str, labels: &[(&'static str, &'static str)]| {
            let mut labels: Vec<Label<'_>> = labels.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
            check_labels(name, kind, &mut labels, &limits).map(|()| labels)
        };
        let gauge = MetricType::Gauge;
        assert!(check(gauge, "a", &[("x", "1"), ("b", "2")]).unwrap()[0].0 == "b", "sorted");
        assert!(matches!(
            check(gauge, "a", &[("x", ""), ("y", ""), ("z", "")]),
            Err(LabelError::TooMany(3, 2))
        ));
        assert!(matches!(check(gauge, "a", &[("x", "1"), ("x", "2")]), Err(LabelError::Duplicate(_))));
        assert!(matches!(check(gauge, "a", &[("x", "1234")]), Err(LabelError::ValueLength(..))));
        assert!(matches!(check(gauge, "a", &[("__x", "1")]), Err(LabelError::Name(_))));
        assert!(matches!(check(gauge, "a", &[("le", "1")]), Err(LabelError::Reserved(..))));
        let histogram = MetricType::Histogram;
        assert!(matches!(check(histogram, "a_bucket", &[]), Err(LabelError::Bound(..))));
        assert!(matches!(check(histogram, "a_bucket", &[("le", "x")]), Err(LabelError::Bound(..))));
        assert_eq!(check(histogram, "a_bucket", &[("le", "1")]).unwrap()[0].1, "1.0");
        assert_eq!(check(histogram, "a_bucket", &[("le", "inf")]).unwrap()[0].1, "+Inf");
    }

    proptest! {
        #[test]
        fn a_line_gives_its_labels_back(values in prop::collection::vec("\\PC*", 0..5)) {
            let names = ["a", "b", "c", "d", "e"];
            let labels: Vec<Label<'_>> =
                names.iter().zip(&values).map(|(k, v)| ((*k).into(), v.into())).collect();
            let mut out = Vec::new();
            export_line(&mut out, "m", "comp\"\n\\", "k", &labels);
            let mut expected = vec![("component".to_owned(), "comp\"\n\\".to_owned()), ("component_type".to_owned(), "k".to_owned())];
            expected.extend(labels.iter().filter(|(_, v)| !v.is_empty()).map(|(k, v)| (k.to_string(), v.to_string())));
            prop_assert_eq!(labels_of_line(&out), expected);
        }
    }
}
