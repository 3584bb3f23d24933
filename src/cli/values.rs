//! How values on the command line are written: durations and sizes.

use std::time::Duration;

/// A duration: a bare number of seconds (`60`, as the guide's variables have it), or numbers with
/// units (`60s`, `5m`, `1h30m`, `7d`).
///
/// # Errors
/// A sentence that says what is accepted; also for 0, which no interval here can be.
pub fn duration(s: &str) -> Result<Duration, String> {
    const ACCEPTED: &str = "write seconds (60) or numbers with units (60s, 5m, 1h30m, 7d)";
    let s = s.trim();
    let is_bare = !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let parsed = if is_bare {
        s.parse().map(Duration::from_secs).map_err(|e| e.to_string())
    } else {
        humantime::parse_duration(s).map_err(|e| e.to_string())
    };
    match parsed {
        Ok(Duration::ZERO) => Err(format!("it must be longer than 0; {ACCEPTED}")),
        Ok(duration) => Ok(duration),
        Err(why) => Err(format!("{s:?} is not a duration ({why}); {ACCEPTED}")),
    }
}

/// The address of a server: `http://host:port`, without a path.
///
/// # Errors
/// A sentence that says what is accepted.
pub fn base_url(s: &str) -> Result<String, String> {
    let url = s.trim().trim_end_matches('/');
    let parsed: http::Uri = url.parse().map_err(|e| format!("{s:?} is not a URL ({e})"))?;
    let is_base = matches!(parsed.scheme_str(), Some("http" | "https"))
        && parsed.authority().is_some_and(|a| !a.as_str().contains('@'))
        && parsed.path_and_query().is_none_or(|p| p.as_str() == "/")
        // What a URI of the crate leaves out.
        && !url.contains('#');
    if is_base {
        Ok(url.to_owned())
    } else {
        Err(format!("{s:?} is not http://host:port or https://host:port"))
    }
}

/// A URL of HTTP, without credentials.
///
/// # Errors
/// A sentence that says what is accepted.
pub fn http_url(text: &str) -> Result<String, String> {
    let text = text.trim();
    let url = reqwest::Url::parse(text).map_err(|e| format!("it is not a URL ({e})"))?;
    let is_http = matches!(url.scheme(), "http" | "https") && url.host_str().is_some();
    if is_http && url.username().is_empty() && url.password().is_none() && url.fragment().is_none() {
        return Ok(text.to_owned());
    }
    Err("it is not http://host:port or https://host:port, perhaps with a path".into())
}

/// A size in bytes: a bare number, or one with a unit (`64MiB`, `50GB`).
///
/// # Errors
/// A sentence that says what is accepted; also for 0.
pub fn bytes(s: &str) -> Result<usize, String> {
    const UNITS: [(&str, u64); 7] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
    ];
    let s = s.trim();
    let with_unit = UNITS.iter().find_map(|(unit, factor)| Some((s.strip_suffix(unit)?, *factor)));
    let (number, factor) = with_unit.unwrap_or((s, 1));
    number
        .trim()
        .parse::<u64>()
        .ok()
        .and_then(|number| usize::try_from(number.checked_mul(factor)?).ok())
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| {
            format!(
                "{s:?} is not a size above 0; write bytes (67108864) or a number with KiB, MiB, GiB, TiB, \
                 MB, GB or TB (64MiB)"
            )
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_base_of_a_server_is_all_of_its_address() {
        for text in ["http://h:8082", " https://h/ ", "http://[::1]:1"] {
            assert_eq!(base_url(text).as_deref(), Ok(text.trim().trim_end_matches('/')), "{text}");
        }
        for text in
            ["h:1", "ftp://h", "http://h/api", "http://h?a", "http://h#a", "http://u@h", "http://h#a /"]
        {
            assert!(base_url(text).unwrap_err().contains(&format!("{text:?}")), "{text}");
        }
    }

    #[test]
    fn bare_numbers_are_seconds() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration(" 15 "), Ok(Duration::from_secs(15)));
    }

    #[test]
    fn units_are_understood() {
        for (text, seconds) in [("60s", 60), ("5m", 300), ("1h30m", 5400), ("7d", 604_800)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
    }

    #[test]
    fn what_is_no_duration_is_refused_with_what_is_accepted() {
        for text in ["0", "0s", "", "-5", "soon", "5 parsecs", "1.5", "99999999999999999999"] {
            let error = duration(text).unwrap_err();
            assert!(error.contains("1h30m"), "{text}: {error}");
        }
    }

    #[test]
    fn sizes_are_bytes_or_have_a_unit() {
        assert_eq!(bytes("67108864"), Ok(64 << 20));
        assert_eq!(bytes("64MiB"), Ok(64 << 20));
        assert_eq!(bytes("512 KiB"), Ok(512 << 10));
        assert_eq!(bytes("50GB"), Ok(50_000_000_000));
        for text in ["0", "", "MiB", "64M", "-1", "99999999999GiB"] {
            assert!(bytes(text).unwrap_err().contains("64MiB"), "{text}");
        }
    }

    #[test]
    fn urls_have_no_credentials() {
        for good in ["http://h:9093", "https://h/a/b", " http://[::1]:9093 ", "https://h/hook?key=1"] {
            assert_eq!(http_url(good).as_deref(), Ok(good.trim()));
        }
        for bad in ["h:9093", "ftp://h", "http://u:p@h", "http://", "http://h#a", ""] {
            assert!(http_url(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in any::<String>()) {
            let _ = duration(&text);
            let _ = bytes(&text);
        }

        #[test]
        fn what_humantime_writes_is_read_back(seconds in 1u64..10_000_000) {
            let duration_written = Duration::from_secs(seconds);
            let text = humantime::format_duration(duration_written).to_string();
            prop_assert_eq!(duration(&text), Ok(duration_written));
        }
    }
}
