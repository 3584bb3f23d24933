//! How a target is told: one request, and what its answer means.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Url};

use super::batch::Request;
use crate::client::backoff::retry_after;
use crate::client::{causes, remote_write, token};
use crate::model::Millis;
use crate::tls::{ClientTls, ClientTlsConfig, PemFile};

/// How long a target may take for one request.
const TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where all that is stored is sent on to.
#[derive(Clone, Debug)]
pub struct ForwardTarget {
    /// Its name in metrics, in logs and in the database, where its place is kept.
    pub name: String,
    /// Where it takes remote write 1.0.
    pub url: Url,
    /// File with the bearer token that is sent, read again for each request.
    pub token_file: Option<PathBuf>,
    /// File with further headers, likewise: a line for each, `Name: value`.
    pub headers_file: Option<PathBuf>,
    /// Authorities that its certificate is verified with, instead of the system's.
    pub ca: Option<PemFile>,
}

impl ForwardTarget {
    /// Its host, with the port where it is not the scheme's own.
    pub(super) fn host(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        self.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }
}

/// That a target did not take a request.
#[derive(Debug)]
pub(super) enum Failure {
    /// It may at another time; perhaps it said when.
    Passing(Why, Option<Duration>),
    /// It never will.
    Lasting(Why),
}

/// Why it did not.
#[derive(Debug)]
pub(super) struct Why {
    /// For everybody.
    pub(super) words: String,
    /// What the target said, for the log alone: nobody knows what is in it.
    pub(super) said: String,
}

impl From<String> for Why {
    fn from(words: String) -> Self {
        Self { words, said: String::new() }
    }
}

/// The client for a target. Plain HTTP needs no authorities, and an image may have none.
pub(super) fn client(target: &ForwardTarget) -> Result<Client, String> {
    crate::client::install_crypto();
    let with_tls = target.url.scheme() == "https";
    let config = || ClientTlsConfig { ca: target.ca.clone(), ..ClientTlsConfig::default() };
    let tls = with_tls.then(|| ClientTls::open(config())).transpose();
    let tls = tls.map_err(|why| why.replace("--tls-ca-file", "--forward-ca-file"))?;
    let client = Client::builder()
        .user_agent(concat!("noetl-metrics-server/", env!("CARGO_PKG_VERSION")))
        .timeout(TIMEOUT)
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none());
    crate::client::with_tls(client, tls.as_ref())?.build().map_err(|e| causes(&e))
}

/// Sends a request; returns once the target has it.
pub(super) async fn post(client: &Client, target: &ForwardTarget, request: &Request) -> Result<(), Failure> {
    // A file may be half replaced.
    let headers = headers(target).map_err(|why| Failure::Passing(why.into(), None))?;
    let sent = remote_write(client, &target.url, request.body.clone()).headers(headers).send().await;
    let answer = sent.map_err(|e| Failure::Passing(causes(&e.without_url()).into(), None))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let asked = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let asked = asked.and_then(|text| retry_after(text, Millis::now().0));
    let why = Why { words: format!("it answered {status}"), said: said(answer).await };
    match status.as_u16() {
        408 | 429 => Err(Failure::Passing(why, asked)),
        400..=499 => Err(Failure::Lasting(why)),
        _ => Err(Failure::Passing(why, asked)),
    }
}

/// The beginning of what it says.
async fn said(mut answer: reqwest::Response) -> String {
    let first = answer.chunk().await.ok().flatten().unwrap_or_default();
    crate::client::answer::said(&first)
}

/// What its files say; an error names the file, and nothing of what is in it.
pub(super) fn headers(target: &ForwardTarget) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    if let Some(path) = &target.headers_file {
        let wrong = |line: usize| {
            format!("--forward-headers-file {}: line {line} is not 'Name: value'", path.display())
        };
        for (number, line) in read("--forward-headers-file", path)?.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| wrong(number + 1))?;
            let name: HeaderName = name.trim().parse().map_err(|_| wrong(number + 1))?;
            headers.insert(name, secret(value.trim()).ok_or_else(|| wrong(number + 1))?);
        }
    }
    if let Some(path) = &target.token_file {
        let read = std::fs::read_to_string(path);
        headers.insert(AUTHORIZATION, token::of_file("--forward-token-file", path, read)?);
    }
    Ok(headers)
}

fn read(flag: &str, path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|e| format!("{flag} {}: {e}", path.display()))
}

fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_give_headers_and_what_is_wrong_is_named_without_what_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            Some(path)
        };
        let target = |token_file, headers_file| ForwardTarget {
            name: "t".into(),
            url: "http://h/w".parse().unwrap(),
            token_file,
            headers_file,
            ca: None,
        };
        let read = headers(&target(file("t", "abc\n"), file("h", "X-Scope-OrgID: me\n\n"))).unwrap();
        assert_eq!(
            (&read["authorization"], &read["x-scope-orgid"]),
            (&"Bearer abc".parse().unwrap(), &"me".parse().unwrap())
        );
        assert!(!format!("{read:?}").contains("abc"));
        for (wrong, flag) in [
            (target(file("t", "\n"), None), "--forward-token-file"),
            (target(file("t", "hush\u{1}hush"), None), "--forward-token-file"),
            (target(None, file("h", "hush")), "--forward-headers-file"),
            (target(None, Some("/nowhere".into())), "--forward-headers-file"),
        ] {
            let why = headers(&wrong).unwrap_err();
            assert!(why.contains(flag) && !why.contains("hush"), "{why}");
        }
    }
}
