//! Where a trace can be looked at: a URL with a place for its id.

/// The place in a template.
const PLACE: &str = "{trace_id}";

/// A template such as `https://tempo.example/trace/{trace_id}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceUrl {
    before: String,
    after: String,
}

impl TraceUrl {
    /// The address of a trace.
    pub fn of(&self, trace_id: &str) -> String {
        let id: String = form_urlencoded::byte_serialize(trace_id.as_bytes()).collect();
        format!("{}{}{}", self.before, id.replace('+', "%20"), self.after)
    }
}

impl std::str::FromStr for TraceUrl {
    type Err = String;

    /// Reads a template; an error says what is accepted.
    fn from_str(text: &str) -> Result<Self, String> {
        let refused = |what: &str| format!("{what}; write https://tempo.example/trace/{PLACE}");
        let text = text.trim();
        let (before, after) = text.split_once(PLACE).ok_or_else(|| refused("it has no {trace_id}"))?;
        if after.contains(PLACE) {
            return Err(refused("it has {trace_id} twice"));
        }
        let url: http::Uri =
            format!("{before}0{after}").parse().map_err(|e| refused(&format!("it is not a URL ({e})")))?;
        // The id belongs behind the host, and what a link says of itself is shown to all who may read.
        let is_link = matches!(url.scheme_str(), Some("http" | "https"))
            && url.authority().is_some_and(|host| !host.as_str().contains('@'))
            && before.splitn(4, '/').count() == 4;
        if !is_link {
            return Err(refused(
                "it is not http:// or https:// with a host before {trace_id}, and no password",
            ));
        }
        Ok(Self { before: before.to_owned(), after: after.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_becomes_a_link() {
        let url = |template: &str| template.parse::<TraceUrl>().unwrap().of("a b/ü&1");
        assert_eq!(
            url("https://tempo.example/trace/{trace_id}"),
            "https://tempo.example/trace/a%20b%2F%C3%BC%261"
        );
        assert_eq!(url(" http://h:16686/x?id={trace_id}&y=1 "), "http://h:16686/x?id=a%20b%2F%C3%BC%261&y=1");
    }

    #[test]
    fn what_is_no_template_is_refused_with_what_is() {
        for text in [
            "",
            "https://tempo.example/trace/",
            "https://tempo.example/{trace_id}/{trace_id}",
            "ftp://tempo.example/{trace_id}",
            "javascript:alert({trace_id})",
            "https://{trace_id}.example/",
            "https://u:p@tempo.example/{trace_id}",
            "/trace/{trace_id}",
            "https:///{trace_id}",
            "https://tempo.example/a b/{trace_id}",
        ] {
            let error = text.parse::<TraceUrl>().unwrap_err();
            assert!(error.contains("https://tempo.example/trace/{trace_id}"), "{text}: {error}");
        }
    }
}
