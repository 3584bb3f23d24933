//! The token that a client sends, of the text of its file.

use std::io;
use std::path::Path;

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

/// The same of a file that a flag names, as it was read.
///
/// # Errors
/// A sentence that names the flag and the file, and nothing of what it holds.
pub(crate) fn of_file(flag: &str, path: &Path, read: io::Result<String>) -> Result<HeaderValue, String> {
    let header = read.map_err(|e| e.to_string());
    let header = header
        .and_then(|text| bearer(&text).ok_or_else(|| "it holds no token that fits into a header".into()));
    header.map_err(|why| format!("{flag} {}: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_token_is_named_with_its_flag() {
        let said = |read| of_file("--token-file", Path::new("/a/token"), read).unwrap_err();
        let missing = said(Err(io::ErrorKind::NotFound.into()));
        assert!(missing.starts_with("--token-file /a/token: "), "{missing}");
        let none = "--token-file /a/token: it holds no token that fits into a header";
        assert_eq!(said(Ok("hush\u{1}hush".into())), none);
        assert!(of_file("--token-file", Path::new("/a/token"), Ok("abc\n".into())).is_ok());
    }

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
