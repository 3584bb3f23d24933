//! HTTP with those that history goes to or comes from: what may pass is tried again.

use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, RequestBuilder, Response, StatusCode, Url};

use super::ArchiveError;
use crate::client::answer::said;
use crate::client::backoff::{Backoff, retry_after};
use crate::client::{ServerUrl, causes, install_crypto, of_server, token};
use crate::model::Millis;
use crate::tls::ClientTls;

/// How long an answer may take; of one that is read bit by bit, the next part of it.
const TIMEOUT: Duration = Duration::from_mins(1);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of a refusal that are read.
const SAID_BYTES: usize = 64 << 10;

/// Why something was not done.
#[derive(Debug)]
pub(super) enum Failure {
    /// It may be at another time; perhaps the other side said when.
    Passing(String, Option<Duration>),
    /// It never will.
    Lasting(ArchiveError),
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        Self::Lasting(error)
    }
}

impl Failure {
    /// A transfer that broke off.
    pub(super) fn broken(who: &str, error: reqwest::Error) -> Self {
        Self::Passing(format!("{who}: {}", causes(&error.without_url())), None)
    }
}

fn builder() -> ClientBuilder {
    install_crypto();
    let agent = concat!("noetl-metrics-archive/", env!("CARGO_PKG_VERSION"));
    Client::builder().user_agent(agent).connect_timeout(CONNECT_TIMEOUT)
}

/// A client for answers that are short.
pub(super) fn client() -> Result<Client, ArchiveError> {
    builder().timeout(TIMEOUT).build().map_err(|e| ArchiveError::Target(causes(&e)))
}

/// A client for answers that may take long, as long as they go on.
pub(super) fn patient_client() -> Result<Client, ArchiveError> {
    builder().read_timeout(TIMEOUT).build().map_err(|e| ArchiveError::Target(causes(&e)))
}

/// A client for a server of this program; without TLS it is for plain HTTP.
pub(super) fn server_client(url: &ServerUrl, tls: Option<&ClientTls>) -> Result<Client, ArchiveError> {
    let client = of_server(builder().timeout(TIMEOUT).redirect(Policy::none()), url, tls);
    let client = client.map_err(ArchiveError::Target)?;
    client.build().map_err(|e| ArchiveError::Target(causes(&e)))
}

/// A path below a URL that may have a path of its own.
pub(super) fn join(url: &Url, path: &str) -> Url {
    let mut joined = url.clone();
    joined.set_path(&format!("{}/{path}", url.path().trim_end_matches('/')));
    joined
}

/// A header with the token of the file that a flag names; none where it names none.
pub(super) fn bearer(flag: &str, file: Option<&Path>) -> Result<HeaderMap, ArchiveError> {
    let mut headers = HeaderMap::new();
    let Some(path) = file else { return Ok(headers) };
    let header = token::of_file(flag, path, std::fs::read_to_string(path));
    headers.insert(AUTHORIZATION, header.map_err(ArchiveError::Target)?);
    Ok(headers)
}

/// The answer, whatever it says.
pub(super) async fn send(who: &str, request: RequestBuilder) -> Result<Response, Failure> {
    request.send().await.map_err(|e| Failure::broken(who, e))
}

/// The answer, if it is one of success.
pub(super) async fn success(who: &str, answer: Response) -> Result<Response, Failure> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let asked = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let asked = asked.and_then(|text| retry_after(text, Millis::now().0));
    let why = format!("{who} answered {status}: {}", said(&beginning(answer, SAID_BYTES).await));
    let may_pass = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
    if (status.is_client_error() || status.is_redirection()) && !may_pass {
        return Err(ArchiveError::Target(why).into());
    }
    Err(Failure::Passing(why, asked))
}

/// The beginning of an answer, about so many bytes of it.
pub(super) async fn beginning(mut answer: Response, bytes: usize) -> Vec<u8> {
    let mut read = Vec::new();
    while read.len() < bytes
        && let Ok(Some(chunk)) = answer.chunk().await
    {
        read.extend_from_slice(&chunk);
    }
    read
}

/// Tries until it is done; gives up some time after the first failure, at once where that is lasting.
pub(super) async fn persist<T>(
    patience: Duration,
    mut attempt: impl AsyncFnMut() -> Result<T, Failure>,
) -> Result<T, ArchiveError> {
    let (mut failed, mut backoff) = (None, Backoff::default());
    loop {
        let (why, asked) = match attempt().await {
            Ok(done) => return Ok(done),
            Err(Failure::Lasting(error)) => return Err(error),
            Err(Failure::Passing(why, asked)) => (why, asked),
        };
        let first: &mut Instant = failed.get_or_insert_with(Instant::now);
        let pause = backoff.next(asked);
        if first.elapsed() + pause > patience {
            return Err(ArchiveError::Target(why));
        }
        tracing::warn!("{why}; trying again in {:.1} s", pause.as_secs_f64());
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gives_its_token_and_what_is_wrong_is_named_with_the_flag() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        assert!(bearer("--token-file", None).unwrap().is_empty());
        let missing = bearer("--token-file", Some(&path)).unwrap_err().to_string();
        assert!(missing.starts_with(&format!("--token-file {}: ", path.display())), "{missing}");
        std::fs::write(&path, "abc\n").unwrap();
        let headers = bearer("--token-file", Some(&path)).unwrap();
        assert_eq!(headers[AUTHORIZATION], "Bearer abc");
        assert!(!format!("{headers:?}").contains("abc"));
    }

    #[tokio::test]
    async fn what_may_pass_is_tried_again_and_what_lasts_is_not() {
        let mut tries = 0;
        let passing = || Failure::Passing("away".into(), None);
        let done = persist(Duration::from_mins(1), async || {
            tries += 1;
            if tries < 3 { Err(passing()) } else { Ok(tries) }
        });
        assert_eq!(done.await.unwrap(), 3);
        let mut tries = 0;
        let refused = persist(Duration::from_mins(1), async || {
            tries += 1;
            Err::<(), _>(ArchiveError::Target("refused".into()).into())
        });
        assert_eq!(refused.await.unwrap_err().to_string(), "refused");
        assert_eq!(tries, 1);
        let away = persist(Duration::ZERO, async || Err::<(), _>(passing())).await;
        assert_eq!(away.unwrap_err().to_string(), "away");
    }
}
