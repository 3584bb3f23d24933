//! Requests of Prometheus remote write 1.0.

use bytes::Bytes;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};
use reqwest::{Client, RequestBuilder, Url};

/// A request with this body, which is compressed by snappy.
pub(crate) fn remote_write(client: &Client, url: &Url, body: Bytes) -> RequestBuilder {
    client
        .post(url.clone())
        .header(CONTENT_TYPE, "application/x-protobuf")
        .header(CONTENT_ENCODING, "snappy")
        .header("x-prometheus-remote-write-version", "0.1.0")
        .body(body)
}
