//! Which component and which metric the labels of a series name, and of which type it is.

use std::borrow::Cow;

use super::FieldError;
use crate::model::{Label, Limits, MetricType, can_be, is_component_kind, is_metric_name, is_reserved};

/// Kind of a component whose labels do not say another.
pub const DEFAULT_KIND: &str = "application";
/// Component of series whose labels name none.
pub const DEFAULT_COMPONENT: &str = "remote_write";

/// Labels that name the component, the first that there is. What a scraper adds stays a label of the
/// series.
const NAMING: [&str; 4] = ["component", "component_name", "instance", "job"];

/// What the labels of a series say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity<'a> {
    /// Name of the component.
    pub component: Cow<'a, str>,
    /// Kind of the component, where a label says it.
    pub kind: Option<Cow<'a, str>>,
    /// Name of the metric.
    pub metric: Cow<'a, str>,
    /// The labels of the series; not checked yet.
    pub labels: Vec<Label<'a>>,
}

/// Whether one of the labels names a component. A label without a value is as good as none.
pub fn names_component<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> bool {
    labels.into_iter().any(|(name, value)| !value.is_empty() && NAMING.contains(&name))
}

/// Takes the labels of a series apart. A label without a value is as good as none.
pub fn identify<'a>(mut labels: Vec<Label<'a>>, limits: &Limits) -> Result<Identity<'a>, FieldError> {
    labels.retain(|(_, value)| !value.is_empty());
    let metric = take(&mut labels, "__name__")?
        .ok_or_else(|| ("metric_name", "the label __name__ is missing".to_owned()))?;
    if metric.len() > limits.name_bytes {
        let reason = format!("{} bytes, at most {} are allowed", metric.len(), limits.name_bytes);
        return Err(("metric_name", reason));
    }
    if !is_metric_name(&metric) {
        return Err(("metric_name", "is not a metric name ([a-zA-Z_:][a-zA-Z0-9_:]*)".into()));
    }
    if is_reserved(&metric) {
        return Err(("metric_name", "is made by the server itself".into()));
    }
    let naming = NAMING.into_iter().find(|name| labels.iter().any(|(key, _)| key == name));
    let (component, kind) = match naming {
        Some(name @ ("component" | "component_name")) => {
            (take(&mut labels, name)?.unwrap_or_default(), take(&mut labels, "component_type")?)
        }
        Some(name) => {
            let value = labels.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
            (value.unwrap_or_default(), Some(DEFAULT_KIND.into()))
        }
        None => (DEFAULT_COMPONENT.into(), Some(DEFAULT_KIND.into())),
    };
    if component.len() > limits.name_bytes {
        let reason = format!(
            "{} names a component in more than {} bytes",
            naming.unwrap_or_default(),
            limits.name_bytes
        );
        return Err(("labels", reason));
    }
    if kind.as_ref().is_some_and(|kind| !is_component_kind(kind)) {
        return Err(("labels", "component_type must have 1 to 255 letters, digits, _, - or .".into()));
    }
    Ok(Identity { component, kind, metric, labels })
}

/// Takes a label out.
fn take<'a>(labels: &mut Vec<Label<'a>>, name: &str) -> Result<Option<Cow<'a, str>>, FieldError> {
    let mut found = labels.extract_if(.., |(key, _)| key == name);
    let value = found.next().map(|(_, value)| value);
    if found.next().is_some() { Err(("labels", format!("{name} occurs twice"))) } else { Ok(value) }
}

/// The type of a series, and whether it is only inferred: that which was declared where it can be one
/// of such a metric, else what its form tells. What tells nothing is a gauge.
pub fn infer(metric: &str, labels: &[Label<'_>], declared: Option<MetricType>) -> (MetricType, bool) {
    if let Some(declared) = declared.filter(|kind| can_be(*kind, metric, labels)) {
        return (declared, false);
    }
    let has = |name| labels.iter().any(|(key, _)| key == name);
    let kind = if has("le") {
        MetricType::Histogram
    } else if has("quantile") {
        MetricType::Summary
    } else if metric.ends_with("_total") {
        MetricType::Counter
    } else {
        MetricType::Gauge
    };
    (kind, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&'static str, &'static str)]) -> Vec<Label<'static>> {
        pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()
    }

    fn named(pairs: &[(&'static str, &'static str)]) -> (String, Option<String>, Vec<String>) {
        let all = [&[("__name__", "m")], pairs].concat();
        let identity = identify(labels(&all), &Limits::default()).unwrap();
        let left = identity.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
        (identity.component.into_owned(), identity.kind.map(Cow::into_owned), left)
    }

    #[test]
    fn the_first_naming_label_names_the_component() {
        let application = Some("application".to_owned());
        for (given, component, kind, left) in [
            (
                &[("component", "w"), ("component_type", "broker"), ("instance", "i")][..],
                "w",
                Some("broker".to_owned()),
                &["instance=i"][..],
            ),
            (&[("component_name", "w"), ("a", "b")], "w", None, &["a=b"]),
            (
                &[("component", ""), ("instance", "i"), ("job", "j")],
                "i",
                application.clone(),
                &["instance=i", "job=j"],
            ),
            (&[("job", "j")], "j", application.clone(), &["job=j"]),
            (&[("a", "b")], "remote_write", application, &["a=b"]),
        ] {
            assert_eq!(
                named(given),
                (component.into(), kind, left.iter().map(ToString::to_string).collect()),
                "{given:?}"
            );
        }
    }

    #[test]
    fn labels_that_name_nothing_are_refused() {
        for (given, field) in [
            (&[("a", "b")][..], "metric_name"),
            (&[("__name__", "a.b")], "metric_name"),
            (&[("__name__", "noetl_component_up")], "metric_name"),
            (&[("__name__", "a"), ("__name__", "b")], "labels"),
            (&[("__name__", "a"), ("component", "a"), ("component", "b")], "labels"),
            (&[("__name__", "a"), ("component", "w"), ("component_type", "a b")], "labels"),
        ] {
            assert_eq!(identify(labels(given), &Limits::default()).unwrap_err().0, field, "{given:?}");
        }
    }

    #[test]
    fn whether_labels_name_a_component_is_known_before() {
        for (given, expected) in [
            (&[("job", "j")][..], true),
            (&[("path", "/"), ("component_name", "w")], true),
            (&[("component", ""), ("component_type", "broker")], false),
        ] {
            assert_eq!(names_component(given.iter().copied()), expected);
            assert_eq!(named(given).0 != DEFAULT_COMPONENT, expected);
        }
    }

    #[test]
    fn types_are_declared_or_inferred() {
        use MetricType::{Counter, Gauge, Histogram, Summary};
        let le = &[("le", "1")][..];
        for (metric, given, declared, expected) in [
            ("a", &[][..], Some(Counter), (Counter, false)),
            ("a_bucket", le, Some(Histogram), (Histogram, false)),
            ("a_count", &[], Some(Histogram), (Histogram, false)),
            // A family's type does not fit all that a sender counts to it.
            ("a_created", &[], Some(Histogram), (Gauge, true)),
            ("a_created", &[], Some(Summary), (Gauge, true)),
            ("a_count", &[], None, (Gauge, true)),
            ("a_total", &[], None, (Counter, true)),
            ("a_bucket", le, Some(Gauge), (Histogram, true)),
            ("a", &[("quantile", "0.5")], None, (Summary, true)),
        ] {
            assert_eq!(infer(metric, &labels(given), declared), expected, "{metric} {given:?}");
        }
    }
}
