//! One line of the text exposition format.

use std::borrow::Cow;

/// The most labels that a sample may have: far more than any server takes.
const MAX_LABELS: usize = 64;
/// Characters of a text that are shown where something is wrong with it.
const SHOWN: usize = 120;

/// A sample as its line has it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line<'a> {
    pub(super) name: &'a str,
    pub(super) labels: Vec<(&'a str, Cow<'a, str>)>,
    pub(super) value: f64,
    pub(super) timestamp_ms: Option<i64>,
}

impl Line<'_> {
    /// Whether it has a label of this name.
    pub(super) fn has_label(&self, name: &str) -> bool {
        self.labels.iter().any(|(label, _)| *label == name)
    }
}

/// Reads `name{label="value",…} value [timestamp]`. The error says what is wrong.
pub(super) fn line(line: &str) -> Result<Line<'_>, String> {
    let mut rest = Cursor(line);
    let name = rest.take_while(|c| c.is_ascii_alphanumeric() || c == b'_' || c == b':');
    if !is_begun(name) {
        return Err(format!("it does not start with a metric name: {:?}", shown(line)));
    }
    rest.skip_blanks();
    let labels = if rest.take(b'{') { labels(&mut rest)? } else { Vec::new() };
    rest.skip_blanks();
    let value = rest.take_while(|c| !is_blank(c));
    let value: f64 = value.parse().map_err(|_| format!("{:?} is not a number", shown(value)))?;
    rest.skip_blanks();
    let timestamp_ms = match rest.0 {
        "" => None,
        text => {
            Some(text.parse().map_err(|_| format!("{:?} is not a timestamp in milliseconds", shown(text)))?)
        }
    };
    Ok(Line { name, labels, value, timestamp_ms })
}

/// Whether what was taken of a name's characters is a name.
fn is_begun(name: &str) -> bool {
    name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

/// What stands between `{` and `}`. A comma may follow the last label.
fn labels<'a>(rest: &mut Cursor<'a>) -> Result<Vec<(&'a str, Cow<'a, str>)>, String> {
    let mut labels: Vec<(&str, Cow<'_, str>)> = Vec::new();
    loop {
        rest.skip_blanks();
        if rest.take(b'}') {
            return Ok(labels);
        }
        let name = rest.take_while(|c| c.is_ascii_alphanumeric() || c == b'_');
        if !is_begun(name) {
            return Err(format!("no label name at {:?}", shown(rest.0)));
        }
        if labels.iter().any(|(seen, _)| *seen == name) {
            return Err(format!("label {name} occurs twice"));
        }
        if labels.len() == MAX_LABELS {
            return Err(format!("more than {MAX_LABELS} labels"));
        }
        labels.push((name, label_value(name, rest)?));
        rest.skip_blanks();
        if !rest.take(b',') && !rest.0.starts_with('}') {
            return Err(format!("neither , nor }} after label {name}"));
        }
    }
}

/// `="value"`, with `\\`, `\"` and `\n` undone.
fn label_value<'a>(name: &str, rest: &mut Cursor<'a>) -> Result<Cow<'a, str>, String> {
    rest.skip_blanks();
    let equals = rest.take(b'=');
    rest.skip_blanks();
    if !equals || !rest.take(b'"') {
        return Err(format!("no =\" after label {name}"));
    }
    let mut value = Cow::Borrowed("");
    loop {
        value += rest.take_while(|c| c != b'"' && c != b'\\');
        if rest.take(b'"') {
            return Ok(value);
        }
        rest.take(b'\\');
        let value = value.to_mut();
        match rest.next() {
            Some('n') => value.push('\n'),
            Some(c @ ('\\' | '"')) => value.push(c),
            Some(c) => return Err(format!("\\{c} in the value of label {name}")),
            None => return Err(format!("the value of label {name} does not end")),
        }
    }
}

/// Help with `\\` and `\n` undone; other backslashes stand for themselves.
pub(super) fn unescape_help(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = Cursor(text);
    while !rest.0.is_empty() {
        plain.push_str(rest.take_while(|c| c != b'\\'));
        if rest.take(b'\\') {
            if rest.take(b'n') {
                plain.push('\n');
            } else {
                rest.take(b'\\');
                plain.push('\\');
            }
        }
    }
    Cow::Owned(plain)
}

/// The beginning of a text, short enough for a line of a log.
pub(super) fn shown(text: &str) -> &str {
    let end = text.char_indices().nth(SHOWN).map_or(text.len(), |(at, _)| at);
    &text[..end]
}

const fn is_blank(c: u8) -> bool {
    matches!(c, b' ' | b'\t')
}

/// What is left of a line.
struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    /// The bytes up to the first that is not wanted. Either all or none of the bytes of a character
    /// beyond ASCII are.
    fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'a str {
        let end = self.0.bytes().position(|c| !wanted(c)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    /// Goes over an ASCII character, if it is the next.
    fn take(&mut self, wanted: u8) -> bool {
        let is_next = self.0.as_bytes().first() == Some(&wanted);
        self.0 = &self.0[usize::from(is_next)..];
        is_next
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.0.chars();
        let next = chars.next();
        self.0 = chars.as_str();
        next
    }

    fn skip_blanks(&mut self) {
        self.take_while(is_blank);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_not_repeated_whole() {
        assert!(line(&"é".repeat(100_000)).unwrap_err().len() < 400);
    }

    fn labels_of(line: &str) -> Vec<(String, String)> {
        let sample = super::line(line).unwrap();
        sample.labels.into_iter().map(|(name, value)| (name.to_owned(), value.into_owned())).collect()
    }

    #[test]
    fn blanks_may_stand_between_all_parts() {
        let sample = line("a { x = \"1\" , y=\"\"\t, }\t2  -3").unwrap();
        assert_eq!(sample.labels, [("x", "1".into()), ("y", "".into())]);
        assert!((sample.value - 2.0).abs() < f64::EPSILON);
        assert_eq!(sample.timestamp_ms, Some(-3));
    }

    #[test]
    fn values_of_labels_may_hold_what_the_format_uses() {
        assert_eq!(labels_of(r#"a{x="},=\"\\\n "} 1"#), [("x".into(), "},=\"\\\n ".into())]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let many_labels: Vec<_> = (0..65).map(|i| format!("l{i}=\"\"")).collect();
        let many_labels = format!("a{{{}}} 1", many_labels.join(","));
        for (line, part) in [
            ("9a 1", "metric name"),
            ("{a=\"b\"} 1", "metric name"),
            ("a", "not a number"),
            ("a one", "not a number"),
            ("a 0x10", "not a number"),
            ("a 1 2 3", "timestamp"),
            ("a 1 1.5", "timestamp"),
            ("a{x} 1", "after label x"),
            ("a{x=1} 1", "after label x"),
            ("a{x=\"1} 1", "does not end"),
            ("a{x=\"\\t\"} 1", "\\t"),
            ("a{x=\"1\" y=\"2\"} 1", "neither"),
            ("a{x=\"1\",x=\"2\"} 1", "twice"),
            ("a{9=\"1\"} 1", "label name"),
            ("a{,} 1", "label name"),
            ("a{x=\"1\"", "neither"),
            ("a.b 1", "not a number"),
            (&many_labels, "more than 64"),
        ] {
            let error = super::line(line).unwrap_err();
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}
