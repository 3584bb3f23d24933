//! What a server that is not active does with requests: it sends them on to the one that is.
//!
//! Only what tells of the process itself is answered here, and the exposition, which is empty: a
//! scraper that reads every server must find each series once. Who reads by way of a Service, and so
//! does not know which server answers, says `active=1`.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG,
    HeaderName, IF_NONE_MATCH, LOCATION, RETRY_AFTER, VARY, WWW_AUTHENTICATE,
};
use reqwest::Client;

use super::problem::{Kind, Problem};
use super::remote_write::WRITTEN;
use super::reply::Reply;
use super::request::{Params, Request};
use super::room::{Held, Room};
use super::{App, export};
use crate::tls::ClientTls;

/// Marks a request that was forwarded once: it is not forwarded again.
const FORWARDED: HeaderName = HeaderName::from_static("noetl-metrics-forwarded");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(30);
/// An answer that is larger is refused.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// All large answers together may be as large as this many of the largest.
const LARGEST_ANSWERS: usize = 2;
/// Smaller ones do not count: what a report is answered does not depend on who reads an export slowly.
const SMALL_ANSWER_BYTES: usize = 64 << 10;

/// Headers that the active server is told.
static TOLD: [HeaderName; 7] =
    [ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, IDEMPOTENCY_KEY, IF_NONE_MATCH];
/// Headers of its answer that the caller is told.
static ANSWERED: [HeaderName; 12] = [
    ALLOW,
    CACHE_CONTROL,
    CONTENT_ENCODING,
    CONTENT_TYPE,
    ETAG,
    LOCATION,
    RETRY_AFTER,
    VARY,
    WWW_AUTHENTICATE,
    HeaderName::from_static(WRITTEN[0]),
    HeaderName::from_static(WRITTEN[1]),
    HeaderName::from_static(WRITTEN[2]),
];

/// The active server.
#[derive(Debug)]
pub(super) struct Peer {
    /// Where it is.
    pub url: String,
}

/// What it takes to ask it.
#[derive(Debug)]
pub(super) struct Forwarder {
    client: Client,
    /// What its large answers may take, until they are sent.
    answers: Room,
}

impl Forwarder {
    /// Certificates are verified as `tls` says; it may still speak plain HTTP, where the active server
    /// does while TLS is being turned on.
    pub(super) fn new(tls: Option<&ClientTls>) -> Result<Self, String> {
        crate::client::install_crypto();
        let client = Client::builder()
            .user_agent(concat!("noetl-metrics-server/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy();
        let client = crate::client::with_tls(client, tls)?;
        let client = client.build().map_err(|e| crate::client::causes(&e))?;
        Ok(Self { client, answers: Room::of(LARGEST_ANSWERS, MAX_ANSWER_BYTES) })
    }
}

/// The body of an answer, and the room that it takes while it is there.
#[derive(Debug, Default)]
struct Answer {
    bytes: Vec<u8>,
    room: Held,
}

impl Answer {
    /// With more of it.
    fn add(&mut self, more: &[u8], room: &Room) -> Result<(), Problem> {
        let bytes = self.bytes.len() + more.len();
        if bytes > MAX_ANSWER_BYTES {
            let detail =
                "the active server's answer has more than 64 MiB: accept gzip, or ask for a part of it";
            return Err(Problem::new(Kind::INTERNAL, detail));
        }
        room.widen(&mut self.room, bytes.saturating_sub(SMALL_ANSWER_BYTES)).map_err(|_| {
            let detail = "the active server's answers to others take all the room that there is";
            Problem::new(Kind::UNAVAILABLE, detail).with_header("retry-after", "1")
        })?;
        self.bytes.extend_from_slice(more);
        Ok(())
    }
}

impl AsRef<[u8]> for Answer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Whether a request to an endpoint is answered by every server for itself.
pub(super) fn is_local(endpoint: &str, params: &Params) -> bool {
    match endpoint {
        "/livez" | "/readyz" | "/metrics" | "/openapi.json" | "/problems/{kind}" => true,
        // A value that is none is for the active one to refuse.
        export::PATH => params.flag(export::ACTIVE).is_ok_and(|wanted| !wanted),
        _ => false,
    }
}

/// Sends a request to the active server, and returns its answer.
pub(super) async fn forward(app: &App, peer: &Peer, request: &mut Request) -> Result<Reply, Problem> {
    if request.headers.contains_key(FORWARDED) {
        return Err(away("the server that was active is not any more"));
    }
    let body = request.raw_body(&app.bodies).await?;
    let query = if request.query.is_empty() { String::new() } else { format!("?{}", request.query) };
    let url = format!("{}{}{query}", peer.url.trim_end_matches('/'), request.path);
    let headers = picked(&request.headers, &TOLD);
    let Forwarder { client, answers } = &app.forwarder;
    let answer = client
        .request(request.method.clone(), url)
        .headers(headers)
        .header(FORWARDED, "1")
        .body(body.shared())
        .send()
        .await;
    let mut answer = answer.map_err(|error| {
        tracing::warn!(peer = peer.url, error = crate::client::causes(&error), "could not forward a request");
        away("the active server did not answer")
    })?;
    let (status, headers) = (answer.status(), picked(answer.headers(), &ANSWERED));
    let mut body = Answer::default();
    while let Some(chunk) = answer.chunk().await.map_err(|_| away("the active server's answer broke off"))? {
        body.add(&chunk, answers)?;
    }
    Ok(Reply { status, headers, body: Bytes::from_owner(body) })
}

fn picked(from: &HeaderMap, names: &[HeaderName]) -> HeaderMap {
    let pairs = names.iter().filter_map(|name| Some((name.clone(), from.get(name)?.clone())));
    pairs.collect()
}

fn away(detail: &str) -> Problem {
    Problem::new(Kind::UNAVAILABLE, detail).with_header("retry-after", "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_bounded_by_themselves_and_together_until_they_are_sent() {
        let room = Room::of(LARGEST_ANSWERS, MAX_ANSWER_BYTES);
        let half = vec![b'x'; MAX_ANSWER_BYTES / 2];
        let largest = || {
            let mut answer = Answer::default();
            answer.add(&half, &room)?;
            answer.add(&half, &room)?;
            Ok::<_, Problem>(answer)
        };
        let mut first = largest().unwrap();
        assert_eq!(first.add(b"x", &room).unwrap_err().status(), 500);
        let sent: Vec<Bytes> = (1..LARGEST_ANSWERS).map(|_| Bytes::from_owner(largest().unwrap())).collect();
        assert_eq!(Answer::default().add(&half, &room).unwrap_err().status(), 503);
        Answer::default().add(&half[..SMALL_ANSWER_BYTES], &room).unwrap();
        drop(sent);
        largest().unwrap();
    }
}
