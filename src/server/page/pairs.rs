//! Keys and values of a query string: decoded, parsed, and written again.

use std::fmt::Display;
use std::str::FromStr;

/// Longest filter text that is looked at, in characters.
pub(super) const MAX_TEXT: usize = 256;

/// A value in a query that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` cannot be `{value}`: it takes {expected}")]
pub struct QueryError {
    /// Key in the query.
    pub key: &'static str,
    /// Its value, shortened.
    pub value: String,
    /// What it takes, in words.
    pub expected: &'static str,
}

/// The pairs of a query string; of a key given twice the last one counts.
pub(super) struct Pairs(Vec<(String, String)>);

impl Pairs {
    /// Decodes a query string.
    pub(super) fn new(query: &str) -> Self {
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().rev().find(|(k, _)| k == key).map(|(_, v)| v.as_str()).filter(|v| !v.is_empty())
    }

    /// A text, trimmed and cut; empty where it was left out.
    pub(super) fn text(&self, key: &str) -> String {
        let text = self.get(key).unwrap_or_default().trim();
        let end = text.char_indices().nth(MAX_TEXT).map_or(text.len(), |(at, _)| at);
        // Where it was cut, blanks may be last.
        text[..end].trim_end().to_owned()
    }

    /// A page number; 1 where it was left out.
    pub(super) fn page(&self) -> Result<u32, QueryError> {
        let expected = "a page number from 1";
        match self.optional("page", expected)? {
            Some(0) => Err(QueryError { key: "page", value: "0".into(), expected }),
            page => Ok(page.unwrap_or(1)),
        }
    }

    /// A value with a default.
    pub(super) fn word<T: FromStr + Default>(
        &self,
        key: &'static str,
        expected: &'static str,
    ) -> Result<T, QueryError> {
        Ok(self.optional(key, expected)?.unwrap_or_default())
    }

    /// A value that may be left out.
    pub(super) fn optional<T: FromStr>(
        &self,
        key: &'static str,
        expected: &'static str,
    ) -> Result<Option<T>, QueryError> {
        let parse = |value: &str| {
            value.trim().parse().map_err(|_| {
                let value = value.chars().take(40).collect();
                QueryError { key, value, expected }
            })
        };
        self.get(key).map(parse).transpose()
    }
}

/// Writes a query string out of what differs from its default.
pub(super) struct Writer(form_urlencoded::Serializer<'static, String>);

impl Writer {
    pub(super) fn new() -> Self {
        Self(form_urlencoded::Serializer::new(String::new()))
    }

    pub(super) fn add(mut self, key: &str, value: &dyn Display, default: &dyn Display) -> Self {
        let value = value.to_string();
        if value != default.to_string() {
            self.0.append_pair(key, &value);
        }
        self
    }

    pub(super) fn finish(mut self) -> String {
        let query = self.0.finish();
        if query.is_empty() { query } else { format!("?{query}") }
    }
}
