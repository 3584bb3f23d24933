//! Names as Prometheus has them, of those that OpenTelemetry has: the unit and `total` become the end of a
//! metric's name, and what a name may not hold becomes `_`.
//!
//! Source: OpenTelemetry's specification, "Prometheus and OpenMetrics Compatibility".

use std::borrow::Cow;

/// What a metric is, as far as its name goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Gauge,
    Counter,
    Other,
}

/// The name of a metric.
pub(super) fn metric_name(name: &str, unit: &str, form: Form) -> String {
    let mut words: Vec<&str> = name
        .split(|c: char| !c.is_ascii_alphanumeric() && c != ':')
        .filter(|word| !word.is_empty())
        .collect();
    let (unit, per) = unit_words(unit);
    // The unit that a name says already is not said again.
    let units = unit.split('_').filter(|word| !word.is_empty() && *word != "1");
    if form == Form::Counter {
        words.retain(|word| *word != "total");
    }
    for word in units {
        if !words.contains(&word) {
            words.push(word);
        }
    }
    if !per.is_empty() && !words.windows(2).any(|two| two == ["per", &per]) {
        words.extend(["per", &per]);
    }
    match form {
        Form::Counter => words.push("total"),
        Form::Gauge if unit == "1" => words.push("ratio"),
        Form::Gauge | Form::Other => {}
    }
    let name = words.join("_");
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}

/// A unit in words, as [`metric_name`] ends with it: `By/s` is bytes and second.
fn unit_words(unit: &str) -> (Cow<'_, str>, Cow<'_, str>) {
    let (of, per) = unit.split_once('/').unwrap_or((unit, ""));
    let in_words = |unit: &'_ str, words: &[(&str, &'static str)]| -> Option<&'static str> {
        words.iter().find(|(short, _)| *short == unit).map(|(_, word)| *word)
    };
    // What stands in braces is a remark.
    let (of, per) = (of.trim(), per.trim());
    let of = match of {
        _ if of.contains(['{', '}']) => Cow::default(),
        "1" => Cow::Borrowed("1"),
        _ => in_words(of, UNITS).map_or_else(|| cleaned(of), Cow::Borrowed),
    };
    let per = if per.contains(['{', '}']) {
        Cow::default()
    } else {
        in_words(per, PER).map_or_else(|| cleaned(per), Cow::Borrowed)
    };
    (of, per)
}

const UNITS: &[(&str, &str)] = &[
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("kBy", "kilobytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("%", "percent"),
];

const PER: &[(&str, &str)] = &[
    ("s", "second"),
    ("m", "minute"),
    ("min", "minute"),
    ("h", "hour"),
    ("d", "day"),
    ("w", "week"),
    ("mo", "month"),
    ("y", "year"),
];

/// The name of a label.
pub(super) fn label_name(key: &str) -> Cow<'_, str> {
    let fits = |(at, c): (usize, char)| c == '_' || c.is_ascii_alphabetic() || (at > 0 && c.is_ascii_digit());
    let name = if key.char_indices().all(fits) { Cow::Borrowed(key) } else { cleaned(key) };
    if name.starts_with(|c: char| c.is_ascii_digit()) || name.starts_with("__") {
        return format!("key_{}", name.trim_start_matches('_')).into();
    }
    // Names of the component, which a point can't say.
    if matches!(&*name, "component" | "component_name" | "component_type") {
        return format!("exported_{name}").into();
    }
    name
}

fn cleaned(text: &str) -> Cow<'_, str> {
    text.chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' })
        .collect::<String>()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_end_with_their_unit_and_total() {
        for (name, unit, form, expected) in [
            ("http.server.duration", "ms", Form::Other, "http_server_duration_milliseconds"),
            ("system.io", "By", Form::Counter, "system_io_bytes_total"),
            ("system.io.bytes", "By", Form::Counter, "system_io_bytes_total"),
            ("jobs_total", "{job}", Form::Counter, "jobs_total"),
            ("total.jobs", "1", Form::Counter, "jobs_total"),
            ("system.cpu.utilization", "1", Form::Gauge, "system_cpu_utilization_ratio"),
            ("net.rate", "By/s", Form::Gauge, "net_rate_bytes_per_second"),
            ("net.rate", "{packets}/min", Form::Gauge, "net_rate_per_minute"),
            ("2xx..answers", "", Form::Gauge, "_2xx_answers"),
            ("noetl_app_jobs", "", Form::Gauge, "noetl_app_jobs"),
            ("temperature", "[degF]", Form::Gauge, "temperature_degF"),
        ] {
            assert_eq!(metric_name(name, unit, form), expected, "{name} in {unit:?}");
        }
    }

    #[test]
    fn labels_have_names_that_are_allowed() {
        for (key, expected) in [
            ("http.method", "http_method"),
            ("plain", "plain"),
            ("2nd", "key_2nd"),
            ("__hidden", "key_hidden"),
            ("component", "exported_component"),
            ("größe", "gr__e"),
        ] {
            assert_eq!(label_name(key), expected);
        }
    }
}
