//! A request as handlers see it: its parts, its query parameters, its body.

use bytes::{Buf, Bytes};
use futures_util::{Stream, StreamExt};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Method};
use parking_lot::Mutex;

use super::body::{Bodies, Body};
use super::problem::{Kind, Problem};
use crate::wire::encoding::Encoding;

/// A request.
pub(super) struct Request {
    /// Method.
    pub method: Method,
    /// Path, still percent-encoded.
    pub path: String,
    /// Query, as sent.
    pub query: String,
    /// Query parameters.
    pub params: Params,
    /// Headers.
    pub headers: HeaderMap,
    /// Whether the caller showed a certificate that was verified.
    pub has_certificate: bool,
    /// Body, as sent; the lock is only there so that handlers can share the request.
    body: Mutex<Option<BodyStream>>,
}

type BodyStream = std::pin::Pin<Box<dyn Stream<Item = Result<Bytes, warp::Error>> + Send>>;

impl Request {
    /// A request out of what warp took apart.
    pub(super) fn new<S, B>(method: Method, path: String, query: &str, headers: HeaderMap, body: S) -> Self
    where
        S: Stream<Item = Result<B, warp::Error>> + Send + 'static,
        B: Buf,
    {
        let body = body.map(|chunk| chunk.map(|mut b| b.copy_to_bytes(b.remaining())));
        Self {
            method,
            path,
            query: query.to_owned(),
            params: Params::parse(query),
            headers,
            has_certificate: false,
            body: Mutex::new(Some(Box::pin(body))),
        }
    }

    /// The same of a caller who showed a certificate, or did not.
    #[must_use]
    pub(super) fn with_certificate(self, has_certificate: bool) -> Self {
        Self { has_certificate, ..self }
    }

    /// A header's text, empty where it is missing or no text.
    pub(super) fn header(&self, name: impl http::header::AsHeaderName) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    /// Reads a body as it was sent.
    pub(super) async fn raw_body(&mut self, bodies: &Bodies) -> Result<Body, Problem> {
        self.body_in(bodies, Encoding::Identity).await
    }

    async fn read(&mut self, bodies: &Bodies, announced: usize, encoding: Encoding) -> Result<Body, Problem> {
        match self.body.get_mut().take() {
            Some(stream) => bodies.read(stream, announced, encoding).await,
            None => Err(Problem::new(Kind::INTERNAL, "the body was read already")),
        }
    }

    /// Reads a JSON body. A missing content type is taken for JSON.
    pub(super) async fn json_body(&mut self, bodies: &Bodies) -> Result<Body, Problem> {
        let media =
            self.header(CONTENT_TYPE).split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let is_json = media.is_empty() || media == "application/json" || media.ends_with("+json");
        if !is_json {
            let detail = format!("Content-Type is {media:?}: send application/json");
            return Err(Problem::new(Kind::MEDIA_TYPE, detail));
        }
        let encoding = encoding(self.header(CONTENT_ENCODING))?;
        self.body_in(bodies, encoding).await
    }

    /// Reads a body of an encoding.
    pub(super) async fn body_in(&mut self, bodies: &Bodies, encoding: Encoding) -> Result<Body, Problem> {
        let announced: usize = self.header(CONTENT_LENGTH).parse().unwrap_or(0);
        self.read(bodies, announced, encoding).await
    }
}

/// The encoding that a header names.
pub(super) fn encoding(header: &str) -> Result<Encoding, Problem> {
    Encoding::parse(header).map_err(|e| {
        Problem::new(Kind::MEDIA_TYPE, e.to_string()).with_header("accept-encoding", "gzip, zstd, snappy")
    })
}

/// Query parameters, in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Params {
    pairs: Vec<(String, String)>,
}

impl Params {
    fn parse(query: &str) -> Self {
        Self { pairs: form_urlencoded::parse(query.as_bytes()).into_owned().collect() }
    }

    /// Refuses parameters that are not in `known`; a name that ends in `.` stands for all that begin
    /// with it. A typing error in a filter would otherwise let everything pass.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Problem> {
        let is_known = |name: &str| {
            known
                .iter()
                .any(|k| *k == name || (k.ends_with('.') && name.starts_with(k) && name.len() > k.len()))
        };
        match self.pairs.iter().find(|(name, _)| !is_known(name)) {
            Some((name, _)) => {
                let name: String = name.chars().take(60).collect();
                let there_are = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                Err(Problem::parameter(&name, format!("is not a parameter here; there are {there_are}")))
            }
            None => Ok(()),
        }
    }

    /// The value of a parameter that may occur once; empty is as good as missing.
    pub(super) fn get(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values = self.all(name);
        let value = values.next();
        if values.next().is_some() {
            return Err(Problem::parameter(name, "occurs twice"));
        }
        if value.is_some_and(|v| v.contains('\0')) {
            return Err(Problem::parameter(name, "must not hold the character U+0000"));
        }
        Ok(value.filter(|v| !v.is_empty()))
    }

    /// Whether a parameter is 1.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.get(name)? {
            None | Some("0") => Ok(false),
            Some("1") => Ok(true),
            Some(_) => Err(Problem::parameter(name, "must be 0 or 1")),
        }
    }

    /// The value of a parameter, parsed.
    pub(super) fn parse_as<T: std::str::FromStr>(
        &self,
        name: &str,
        what: &str,
    ) -> Result<Option<T>, Problem> {
        let parse = |text: &str| {
            text.parse().map_err(|_| {
                let text: String = text.chars().take(60).collect();
                Problem::parameter(name, format!("{text:?} is not {what}"))
            })
        };
        self.get(name)?.map(parse).transpose()
    }

    /// The value of a parameter that is a metric type.
    pub(super) fn parse_as_type(&self, name: &str) -> Result<Option<crate::model::MetricType>, Problem> {
        self.parse_as(name, "gauge, counter, histogram or summary")
    }

    /// All values of a parameter.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.pairs.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// Parameters whose name begins with `prefix`, without it.
    pub(super) fn with_prefix(&self, prefix: &str) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().filter_map(move |(n, v)| Some((n.strip_prefix(prefix)?, v.as_str())))
    }
}
