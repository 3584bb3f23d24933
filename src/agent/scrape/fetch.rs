//! One GET, bounded in every way: the whole time, the bytes as sent and as decompressed. Redirects
//! are answers like any other, and no proxy of the environment is asked.

use std::io::Read as _;
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, DATE};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use tokio::time::timeout;

use super::own::{Fault, Reason};

/// The format that is asked for, and what else is worth a look.
const ACCEPTED: &str = "text/plain;version=0.0.4;q=1,*/*;q=0.1";
/// The content types that can hold it. Some send none.
const TEXT: [&str; 2] = ["text/plain", ""];
/// What a JSON document may come as.
const JSON: [&str; 2] = ["application/json", "text/json"];

/// What is expected of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// A text exposition.
    Text,
    /// A JSON document.
    Json,
}

/// A body, and the server's clock where it gives it.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) body: String,
    /// The header `Date`, in milliseconds since 1970.
    pub(super) server_ms: Option<i64>,
}

/// Fetches.
#[derive(Debug)]
pub(super) struct Fetcher {
    client: Client,
    timeout: Duration,
    body_limit: usize,
}

impl Fetcher {
    /// A fetcher with these bounds; `needs_tls` where any target is `https`.
    pub(super) fn new(timeout: Duration, body_limit: usize, needs_tls: bool) -> Result<Self, reqwest::Error> {
        crate::client::install_crypto();
        let mut client = Client::builder()
            .user_agent(concat!("noetl-metrics-agent/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(1);
        // Roots are for TLS only, and loading none works in an image that has none.
        if !needs_tls {
            client = client.tls_certs_only([]);
        }
        Ok(Self { client: client.build()?, timeout, body_limit })
    }

    /// Fetches what `url` has.
    pub(super) async fn fetch(&self, url: &Url, expected: Expected) -> Result<Fetched, Fault> {
        match timeout(self.timeout, self.answer(url, expected)).await {
            Ok(result) => result,
            Err(_) => Err(Fault::new(Reason::Timeout, format!("took longer than {:?}", self.timeout))),
        }
    }

    async fn answer(&self, url: &Url, expected: Expected) -> Result<Fetched, Fault> {
        let request = self.client.get(url.clone()).header(ACCEPT_ENCODING, "gzip");
        let request = match expected {
            Expected::Text => request.header(ACCEPT, ACCEPTED),
            Expected::Json => request.header(ACCEPT, "application/json"),
        };
        let response = request.send().await.map_err(|e| http_fault(&e))?;
        check_status(&response)?;
        check_type(header(&response, CONTENT_TYPE.as_str()), expected)?;
        let server_ms = jiff::fmt::rfc2822::parse(header(&response, DATE.as_str()))
            .ok()
            .map(|date| date.timestamp().as_millisecond());
        let encoding = header(&response, CONTENT_ENCODING.as_str()).to_ascii_lowercase();
        let bytes = self.read(response).await?;
        let bytes = match encoding.as_str() {
            "" | "identity" => bytes,
            "gzip" => gunzip(&bytes, self.body_limit)?,
            other => return Err(Fault::new(Reason::ContentType, format!("unasked encoding {other:?}"))),
        };
        let body = String::from_utf8(bytes).map_err(|e| {
            Fault::new(Reason::BadText, format!("not UTF-8 at byte {}", e.utf8_error().valid_up_to()))
        })?;
        Ok(Fetched { body, server_ms })
    }

    async fn read(&self, mut response: Response) -> Result<Vec<u8>, Fault> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| http_fault(&e))? {
            if bytes.len() + chunk.len() > self.body_limit {
                return Err(too_large(self.body_limit));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

/// The header's text, empty where there is none.
fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().trim()
}

fn check_status(response: &Response) -> Result<(), Fault> {
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let hint = if status.is_redirection() { ", and redirects are not followed" } else { "" };
    Err(Fault::new(Reason::Status, format!("answered {}{hint}", status.as_u16())))
}

fn check_type(content_type: &str, expected: Expected) -> Result<(), Fault> {
    let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let good = match expected {
        Expected::Text => TEXT.contains(&media.as_str()),
        Expected::Json => JSON.contains(&media.as_str()),
    };
    let shown: String = media.chars().take(80).collect();
    if good { Ok(()) } else { Err(Fault::new(Reason::ContentType, format!("answered with {shown:?}"))) }
}

fn gunzip(bytes: &[u8], limit: usize) -> Result<Vec<u8>, Fault> {
    let mut plain = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let read = MultiGzDecoder::new(bytes).take(most).read_to_end(&mut plain);
    read.map_err(|e| Fault::new(Reason::BadText, format!("broken gzip: {e}")))?;
    if plain.len() > limit { Err(too_large(limit)) } else { Ok(plain) }
}

fn too_large(limit: usize) -> Fault {
    Fault::new(Reason::TooLarge, format!("more than {limit} bytes (--scrape-body-limit)"))
}

fn http_fault(error: &reqwest::Error) -> Fault {
    let reason = if error.is_connect() { Reason::Connect } else { Reason::Http };
    Fault::new(reason, crate::client::causes(error))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_bomb_is_stopped_at_the_limit() {
        let bomb = gzip(&vec![b'a'; 10 << 20]);
        assert!(bomb.len() < 200_000, "{} bytes", bomb.len());
        assert_eq!(gunzip(&bomb, 100_000).unwrap_err().reason, Reason::TooLarge);
        assert_eq!(gunzip(&gzip(b"a 1\n"), 4).unwrap(), b"a 1\n");
        assert_eq!(gunzip(b"not gzip", 100).unwrap_err().reason, Reason::BadText);
    }

    #[test]
    fn only_what_can_be_the_format_is_read() {
        for good in ["", "text/plain; version=0.0.4; charset=utf-8", "Text/Plain"] {
            assert!(check_type(good, Expected::Text).is_ok(), "{good}");
        }
        for bad in ["text/html", "application/json", "application/openmetrics-text; version=1.0.0"] {
            assert_eq!(check_type(bad, Expected::Text).unwrap_err().reason, Reason::ContentType, "{bad}");
        }
        assert!(check_type("application/json", Expected::Json).is_ok());
        assert!(check_type("text/html", Expected::Json).is_err());
    }
}
