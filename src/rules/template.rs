//! Texts of alerts: `{{ $labels.component }} is at {{ $value }}`. They mean in Prometheus what they
//! mean here, which is all of its templates that is taken.

use super::Labels;

/// A text with places for labels and for the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Label(String),
    Value,
}

impl Template {
    /// Reads a text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (inside, after) = after.split_once("}}").ok_or("`{{` without `}}`")?;
            parts.push(Part::Text(before.to_owned()));
            parts.push(place(inside.trim())?);
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        parts.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
        Ok(Self { parts })
    }

    /// The text for a series with these labels and this value. A label that is not there is empty.
    pub fn fill(&self, labels: &Labels, value: f64) -> String {
        let filled = self.parts.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Label(name) => labels.get(name).cloned().unwrap_or_default(),
            Part::Value => number(value),
        });
        filled.collect()
    }
}

fn place(inside: &str) -> Result<Part, String> {
    if inside == "$value" {
        return Ok(Part::Value);
    }
    match inside.strip_prefix("$labels.") {
        Some(name) if crate::model::is_label_name(name) => Ok(Part::Label(name.to_owned())),
        _ => {
            let shown: String = inside.chars().take(60).collect();
            Err(format!("{{{{ {shown} }}}} is neither {{{{ $value }}}} nor {{{{ $labels.NAME }}}}"))
        }
    }
}

/// A number as Go writes it, which is how Prometheus' templates show one.
fn number(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".into() } else { "-Inf".into() };
    }
    if value == 0.0 || value.is_nan() || (1e-4..1e21).contains(&value.abs()) {
        return value.to_string();
    }
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |e| ('-', e));
            format!("{digits}e{sign}{exponent:0>2}")
        }
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn places_are_filled() {
        let labels: Labels = [("pool".to_owned(), "blue {{ $value }}".to_owned())].into();
        let filled = |text: &str| Template::parse(text).unwrap().fill(&labels, 2.5);
        assert_eq!(filled("{{ $labels.pool }} at {{$value}}%"), "blue {{ $value }} at 2.5%");
        assert_eq!(filled("[{{ $labels.none }}]"), "[]");
        assert_eq!(filled("plain } text {"), "plain } text {");
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for text in ["{{ value }}", "{{ $labels }}", "{{ $labels.a-b }}", "{{", "{{ if 1 }}", "{{}}"] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_look_as_in_prometheus() {
        for (value, text) in [
            (1.0, "1"),
            (-0.25, "-0.25"),
            (0.0001, "0.0001"),
            (0.000_012, "1.2e-05"),
            (123_456_789.0, "123456789"),
            (1e21, "1e+21"),
            (-1.5e300, "-1.5e+300"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "[{} $a-z.]{0,40}") {
            if let Ok(template) = Template::parse(&text) {
                template.fill(&Labels::new(), 1.0);
            }
        }
    }
}
