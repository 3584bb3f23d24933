//! The token that a client sends, of the text of its file.

use reqwest::header::HeaderValue;

/// The first token. As in a server's own file of tokens, lines that begin with `#` say nothing, and what
/// stands behind a token in its line is not of it.
pub(crate) fn first(text: &str) -> Option<&str> {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    line.and_then(|line| line.split_whitespace().next())
}

/// The `Authorization` header with it, which no log shows; `None` where there is no token, or one that fits
/// into no header.
pub(crate) fn bearer(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", first(text)?)).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_token_of_a_file_is_sent_and_not_shown() {
        let text = "\n# who reads\n  abc rights=read\ndef\n";
        assert_eq!(first(text), Some("abc"));
        let header = bearer(text).unwrap();
        assert_eq!(header, "Bearer abc");
        assert!(!format!("{header:?}").contains("abc"));
        for text in ["", "\n", "# nothing\n", "hush\u{1}hush"] {
            assert_eq!(bearer(text), None, "{text:?}");
        }
    }
}
