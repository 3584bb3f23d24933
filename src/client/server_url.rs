//! Where a server of this program is.

use std::fmt;

use reqwest::Url;

/// Base of the server's addresses, without `/api` and without a slash at its end.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl(Url);

impl ServerUrl {
    /// Reads an `http://` or `https://` address, which may end in `/` or in `/api`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let example = "write one such as http://127.0.0.1:8082";
        let mut url: Url = text.trim().parse().map_err(|e| format!("{text:?} is no URL ({e}); {example}"))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(format!("{text:?} is neither http:// nor https://; {example}"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(format!("{text:?} has a query or a fragment; {example}"));
        }
        let path = url.path().trim_end_matches('/');
        let base = path.strip_suffix("/api").unwrap_or(path).trim_end_matches('/').to_owned();
        url.set_path(&base);
        Ok(Self(url))
    }

    /// The address of an endpoint, `path` being such as `/api/metrics/report`.
    pub(crate) fn endpoint(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(&format!("{}{path}", url.path().trim_end_matches('/')));
        url
    }

    /// Whether the server is spoken to without TLS.
    pub(crate) fn is_plain(&self) -> bool {
        self.0.scheme() == "http"
    }

    /// Its host and port, as a connection needs them.
    pub(crate) fn host_and_port(&self) -> (String, u16) {
        let host = self.0.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        (host, self.0.port_or_known_default().unwrap_or_default())
    }

    /// Whether the server is on this very machine.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = self.0.host_str().unwrap_or_default().trim_matches(['[', ']']);
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for ServerUrl {
    // Without the credentials that a URL may carry: this is what goes into the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = &self.0;
        write!(f, "{}://{}", url.scheme(), url.host_str().unwrap_or_default())?;
        if let Some(port) = url.port() {
            write!(f, ":{port}")?;
        }
        f.write_str(url.path().trim_end_matches('/'))
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> String {
        ServerUrl::parse(text).unwrap().endpoint("/api/metrics/report").to_string()
    }

    #[test]
    fn the_base_may_end_in_a_slash_or_in_api() {
        for text in ["http://h:8082", "http://h:8082/", "http://h:8082/api", " http://h:8082/api/ "] {
            assert_eq!(url(text), "http://h:8082/api/metrics/report", "{text}");
        }
        assert_eq!(url("https://h/at/noetl/api"), "https://h/at/noetl/api/metrics/report");
        assert_eq!(url("http://h/myapi"), "http://h/myapi/api/metrics/report");
    }

    #[test]
    fn what_is_no_server_is_refused() {
        for text in ["", "h:8082", "ftp://h", "localhost", "http://", "http://h/?a=1", "http://h/#x"] {
            assert!(ServerUrl::parse(text).unwrap_err().contains("http://127.0.0.1:8082"), "{text}");
        }
    }

    #[test]
    fn credentials_stay_out_of_the_log() {
        let url = ServerUrl::parse("https://user:secret@h:1/api").unwrap();
        assert_eq!(format!("{url} {url:?}"), "https://h:1 \"https://h:1\"");
    }

    #[test]
    fn loopback_is_recognised() {
        let is_loopback = |text| ServerUrl::parse(text).unwrap().is_loopback();
        assert!(is_loopback("http://127.0.0.1:1") && is_loopback("http://[::1]:1"));
        assert!(is_loopback("http://localhost") && !is_loopback("http://10.0.0.1"));
    }
}
