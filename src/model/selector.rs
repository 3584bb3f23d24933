//! Series selectors of PromQL: a metric's name, matchers of labels, or both.

use promql_parser::parser::{Expr, VectorSelector, parse};

/// Reads a selector; whatever else PromQL has is refused, and so is what cannot be read, with why.
pub(crate) fn selector(text: &str) -> Result<VectorSelector, String> {
    const MORE: &str = "it is more than a selector";
    // The parser panics at some durations and numbers, which a selector has none of.
    if !only_words_and_braces(text) {
        return Err(MORE.to_owned());
    }
    match parse(text)? {
        Expr::VectorSelector(s)
            if s.offset.is_none() && s.at.is_none() && s.matchers.or_matchers.is_empty() =>
        {
            Ok(s)
        }
        _ => Err(MORE.to_owned()),
    }
}

/// Whether all outside of strings and comments is what a selector may be written with, and no word
/// follows another one or a closing brace: no `offset`, no number, no range.
fn only_words_and_braces(text: &str) -> bool {
    let mut chars = text.chars();
    // Whether a word may begin here, and whether the character before belongs to one.
    let (mut may_begin, mut in_word) = (true, false);
    while let Some(c) = chars.next() {
        let is_word = c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
        if is_word && !in_word && (!may_begin || c.is_ascii_digit()) {
            return false;
        }
        match c {
            _ if is_word || matches!(c, '}') => may_begin = false,
            '{' | ',' | '=' | '!' | '~' => may_begin = true,
            '"' | '\'' | '`' => {
                skip_string(&mut chars, c);
                may_begin = false;
            }
            '#' => while chars.next().is_some_and(|c| c != '\n') {},
            _ if c.is_whitespace() => {}
            _ => return false,
        }
        in_word = is_word;
    }
    true
}

/// Goes past the end of a string that `quote` began.
fn skip_string(chars: &mut std::str::Chars<'_>, quote: char) {
    while let Some(c) = chars.next() {
        if c == '\\' {
            chars.next();
        } else if c == quote {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_read() {
        for text in [
            "up",
            " a:b_1 ",
            r#"{a="1"}"#,
            r#"up{a="offset 5m",b=~'[5m] @ 3',}"#,
            "up{a=`x`} # of 3 [5m]\n",
            r#"{"up", "a.b"="\"x"}"#,
            r#"up{offset="1", inf!="2"}"#,
        ] {
            selector(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        }
    }

    #[test]
    fn whatever_else_is_refused_and_nothing_panics() {
        let long = "3".repeat(90);
        for text in [
            "a[5m]",
            "a offset 5m",
            "a offset Inf",
            "a @ 5",
            "a + b",
            "1",
            "Inf",
            "sum(a)",
            r#"a{b="c"} offset 5m"#,
            r#"a{b="c" or d="e"}"#,
            "a{b=5}",
            "{",
            "a b",
            "",
            "#",
            &format!("a[{long}]#w"),
            &format!("a offset {long}"),
            &format!("a offset #\n{long}"),
            &format!("a[1:{long}]"),
            &format!("a{{}} offset -{long}"),
            // A backslash is one of a raw string too, as the parser has it.
            &format!("a{{x=`\\`,b=`}} offset {long}"),
        ] {
            assert!(selector(text).is_err(), "{text}");
        }
    }
}
