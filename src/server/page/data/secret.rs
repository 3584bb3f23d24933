//! Masks secrets in settings that are about to be shown.
//!
//! Contract: a name and a value in, the value to show out. A setting whose name says that it is a
//! secret is masked whole; of a URL or a connection string the passwords. The path of a file that
//! holds a secret is no secret.

/// What is shown in place of a secret.
const MASK: &str = "••••";

/// Words in the name of a setting that is a secret.
const SECRET_WORDS: [&str; 6] = ["password", "secret", "token", "credential", "private-key", "webhook"];

/// Keys in a query or a connection string whose values are secrets.
const SECRET_KEYS: [&str; 9] =
    ["password", "passwd", "sslpassword", "token", "access_token", "api_key", "apikey", "key", "auth"];

/// The value of the setting `name`, fit to be shown.
pub fn mask(name: &str, value: &str) -> String {
    let name = name.trim_start_matches('-').to_lowercase().replace('_', "-");
    let names_file = name.ends_with("-file") || name.ends_with("-dir") || name.ends_with("-path");
    if !names_file && !value.is_empty() && SECRET_WORDS.iter().any(|word| name.contains(word)) {
        return MASK.into();
    }
    mask_keys(&mask_userinfo(value))
}

/// `scheme://user:secret@host` → `scheme://user:••••@host`, for every URL in the value.
fn mask_userinfo(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(start) = rest.find("://") {
        let (before, after) = rest.split_at(start + 3);
        out.push_str(before);
        rest = after;
        // A password may hold anything that its writer forgot to encode: the last `@` ends it.
        if let Some(at) = after[..url_end(after)].rfind('@') {
            let user = after[..at].split(':').next().unwrap_or_default();
            out.push_str(user);
            if user.len() < at {
                out.push(':');
                out.push_str(MASK);
            }
            rest = &after[at..];
        }
    }
    out.push_str(rest);
    out
}

/// Where a URL ends: at white space, or at a comma with another URL behind it.
fn url_end(text: &str) -> usize {
    let next_url = |comma: usize| {
        let scheme = text[comma + 1..].split("://").next().unwrap_or_default();
        scheme.len() + comma + 1 < text.len() && scheme.chars().all(|c| c.is_ascii_alphanumeric() || c == '+')
    };
    text.char_indices()
        .find(|&(i, c)| c.is_whitespace() || (c == ',' && next_url(i)))
        .map_or(text.len(), |(i, _)| i)
}

/// `password=secret` → `password=••••`, in a query or a key/value connection string.
fn mask_keys(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(equals) = rest.find('=') {
        let (before, after) = rest.split_at(equals + 1);
        out.push_str(before);
        rest = after;
        let key = before.trim_end_matches('=').rsplit(is_separator).next().unwrap_or_default();
        if SECRET_KEYS.contains(&key.to_lowercase().as_str()) {
            out.push_str(MASK);
            rest = &after[value_end(after)..];
        }
    }
    out.push_str(rest);
    out
}

fn is_separator(c: char) -> bool {
    matches!(c, '?' | '&' | ';') || c.is_whitespace()
}

/// Where the value of a key ends: at its closing quote, or at a separator.
fn value_end(text: &str) -> usize {
    if !text.starts_with('\'') {
        return text.find(is_separator).unwrap_or(text.len());
    }
    let mut escaped = false;
    for (i, c) in text.char_indices().skip(1) {
        match c {
            '\'' if !escaped => return i + 1,
            _ => escaped = c == '\\' && !escaped,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::mask;

    #[test]
    fn passwords_in_urls_are_masked_and_the_rest_is_shown() {
        for (value, shown) in [
            ("postgres://noetl:s3cret@db:5432/noetl", "postgres://noetl:••••@db:5432/noetl"),
            ("postgres://noetl:p@ss:w0rd@db/noetl", "postgres://noetl:••••@db/noetl"),
            ("postgres://noetl@db/noetl", "postgres://noetl@db/noetl"),
            (
                "postgres://db/noetl?password=x&sslmode=require",
                "postgres://db/noetl?password=••••&sslmode=require",
            ),
            ("host=db password=x dbname=noetl", "host=db password=•••• dbname=noetl"),
            ("host=db password='a \\' b' dbname=noetl", "host=db password=•••• dbname=noetl"),
            ("http://a:b@one,http://c:d@two", "http://a:••••@one,http://c:••••@two"),
            ("postgres://noetl:p,w@db/noetl", "postgres://noetl:••••@db/noetl"),
            ("127.0.0.1:8082", "127.0.0.1:8082"),
        ] {
            assert_eq!(mask("--database-url", value), shown);
        }
    }

    #[test]
    fn a_setting_named_as_a_secret_is_masked_whole() {
        assert_eq!(mask("--auth-token", "abc"), "••••");
        assert_eq!(mask("POSTGRES_PASSWORD", "abc"), "••••");
    }

    #[test]
    fn the_path_of_a_secret_is_no_secret() {
        assert_eq!(mask("--auth-token-file", "/etc/noetl/token"), "/etc/noetl/token");
    }
}
