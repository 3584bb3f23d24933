//! What a handler answers: status, type, body; compressed as the client likes it.

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, VARY};
use http::{HeaderMap, StatusCode};
use serde::Serialize;

use crate::wire::encoding::{Encoding, compress};

/// Smaller bodies are not worth compressing.
const COMPRESS_FROM: usize = 1024;
/// Larger bodies are compressed off the threads that serve requests.
const COMPRESS_ASIDE: usize = 64 << 10;

/// A handler's answer.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    /// HTTP status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// The body, not compressed unless a header says so.
    pub body: Bytes,
}

impl Reply {
    /// 200 with a body of a type.
    pub(super) fn new(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let (status, headers) = (StatusCode::OK, HeaderMap::new());
        Self { status, headers, body: body.into() }.content_type(content_type)
    }

    /// A status without a body.
    pub(super) fn empty(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// 200 with JSON.
    pub(super) fn json(value: &impl Serialize) -> Self {
        Self::json_with(StatusCode::OK, value)
    }

    /// JSON with a status.
    pub(super) fn json_with(status: StatusCode, value: &impl Serialize) -> Self {
        let body =
            serde_json::to_vec(value).unwrap_or_else(|e| format!("{{\"detail\":\"{e}\"}}").into_bytes());
        Self { status, ..Self::new("application/json", body) }
    }

    /// Says another type.
    #[must_use]
    pub(super) fn content_type(self, content_type: &'static str) -> Self {
        self.header("content-type", content_type)
    }

    /// Sets a header; a value that no header can hold is left out.
    #[must_use]
    pub(super) fn header(mut self, name: &'static str, value: impl AsRef<str>) -> Self {
        if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
        self
    }

    /// Sets the status.
    #[must_use]
    pub(super) const fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// The response on the wire.
    pub(super) async fn send(mut self, accept_encoding: &str) -> warp::reply::Response {
        let is_packed = self.headers.contains_key(CONTENT_ENCODING);
        let encoding = if is_packed { Encoding::Identity } else { Encoding::accepted(accept_encoding) };
        self.headers.append(VARY, HeaderValue::from_static("accept-encoding"));
        if let (Some(name), true) = (encoding.name(), self.body.len() >= COMPRESS_FROM)
            && let Some(packed) = pack(encoding, self.body.clone()).await
        {
            self.body = packed;
            self.headers.insert(CONTENT_ENCODING, HeaderValue::from_static(name));
        }
        if self.status != StatusCode::NO_CONTENT {
            self.headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("text/plain; charset=utf-8"));
        }
        let mut response = warp::reply::Response::new(self.body.into());
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

async fn pack(encoding: Encoding, body: Bytes) -> Option<Bytes> {
    if body.len() < COMPRESS_ASIDE {
        return compress(encoding, &body).map(Bytes::from);
    }
    let work = tokio::task::spawn_blocking(move || compress(encoding, &body).map(Bytes::from));
    work.await.ok().flatten()
}
