//! Errors of the HTTP API: `application/problem+json` (RFC 9457).

use http::StatusCode;
use serde::Serialize;

use super::reply::Reply;
use crate::store::{StoreError, WriteError};

/// A kind of error. Its `type` is `/problems/<slug>`, where the server explains it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// Last part of the type.
    pub slug: &'static str,
    /// HTTP status.
    pub status: u16,
    /// What it means, the same for every occurrence.
    pub title: &'static str,
    /// What to do about it.
    pub advice: &'static str,
}

macro_rules! kinds {
    ($($name:ident: $status:literal $slug:literal $title:literal, $advice:literal;)*) => {
        impl Kind {
            $(#[doc = $title] pub(super) const $name: Self = Self { slug: $slug, status: $status, title: $title, advice: $advice };)*
            /// All kinds, for the documentation.
            pub(super) const ALL: &'static [Self] = &[$(Self::$name),*];
        }
    };
}

kinds! {
    MALFORMED: 400 "malformed-body" "The body can't be read", "Send valid JSON in UTF-8. NaN and infinities are the strings NaN, +Inf and -Inf.";
    INVALID_WRITE: 400 "invalid-write" "Some of what was written breaks a rule", "The errors name each series and the rule. The others are stored; the same again changes nothing.";
    PLAIN_HTTP: 400 "https-required" "The server speaks HTTPS", "Use https:// in the address, and the authority of the server's certificate: docs/tls.md.";
    PARAMETER: 400 "invalid-parameter" "A query parameter is wrong", "The detail names the parameter. /openapi.json lists those of each endpoint.";
    UNAUTHENTICATED: 401 "unauthenticated" "Authentication is required", "Send Authorization: Bearer <token> with a token of the server's --auth-token-file, or of a ServiceAccount for the audience of --auth-kubernetes-audience.";
    FORBIDDEN: 403 "forbidden" "The caller may not do this", "The detail names what is missing: a right (read, write, admin), or that the component is another one than the caller may speak for.";
    NO_CERTIFICATE: 403 "certificate-required" "A client certificate is required", "Show a certificate of one of the authorities in the server's --tls-client-ca-file, beside the token: agents by --tls-cert-file and --tls-key-file.";
    NOT_FOUND: 404 "not-found" "There is nothing here", "/openapi.json lists every endpoint.";
    UNKNOWN_COMPONENT: 404 "unknown-component" "The component is not registered", "Register it: POST /api/worker/pool/register {\"name\": …, \"component_type\": …}, or start the server with --unknown-components register.";
    UNKNOWN_METRIC: 404 "unknown-metric" "There is no such metric", "Report it first; GET /api/metrics/query shows the names that there are.";
    METHOD: 405 "method-not-allowed" "The method is not allowed here", "The Allow header lists those that are.";
    NOT_ACCEPTABLE: 406 "not-acceptable" "No acceptable format", "Ask for application/json, application/x-ndjson or text/csv.";
    TIMEOUT: 408 "request-timeout" "The body did not arrive in time", "Send the whole body within 30 seconds.";
    AMBIGUOUS: 409 "ambiguous-component" "Several components have this name", "Send component_type, or runtime_id, to say which one is meant.";
    CONFLICT: 409 "in-progress" "The same request is being handled", "Try again with the same Idempotency-Key; the stored answer will come.";
    TOO_LARGE: 413 "body-too-large" "The body is too large", "Split the report. The limit counts bytes as sent and after decompression: --max-body-bytes.";
    MEDIA_TYPE: 415 "unsupported-media-type" "The body's type or encoding is not supported", "Send Content-Type: application/json, plain or with Content-Encoding gzip, zstd or snappy; to /api/v1/write Content-Type: application/x-protobuf.";
    INVALID: 422 "invalid-report" "The body breaks a rule", "The errors name each field and the rule.";
    LIMITED: 429 "component-limit" "The component sends too much", "Send less often, or less at once, and try again after the seconds of the Retry-After header; --max-component-samples and --max-component-bytes are what a component may send a second.";
    BUSY: 429 "too-many-requests" "Too much waits to be written", "Try again after the seconds of the Retry-After header.";
    INTERNAL: 500 "internal-error" "The server failed", "The server's log has the reason.";
    UNAVAILABLE: 503 "unavailable" "The database is not available", "Try again after the seconds of the Retry-After header. Samples with timestamps, or with an Idempotency-Key, can be sent again safely.";
    OVERLOADED: 503 "overloaded" "Too much waits to be written", "Try again after the seconds of the Retry-After header; what was written is safe to be sent again.";
    UNVERIFIED: 503 "unverified" "Who calls can't be verified now", "Try again after the seconds of the Retry-After header; the server asks the Kubernetes API server, which does not answer.";
    STARTING: 503 "starting" "The server is starting", "Try again after the seconds of the Retry-After header; /readyz?verbose says what it waits for.";
}

/// One field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(super) struct FieldError {
    /// Place in the report's list of metrics, where the field belongs to one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<usize>,
    /// The field or parameter.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

/// An error, ready to be sent.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    kind: Kind,
    detail: String,
    errors: Vec<FieldError>,
    headers: Vec<(&'static str, String)>,
}

/// The body of an error.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct ProblemBody {
    /// Which kind of error, as a reference that the server itself answers.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the kind means.
    pub title: &'static str,
    /// HTTP status.
    pub status: u16,
    /// What went wrong this time.
    pub detail: String,
    /// The fields that are wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

impl Problem {
    /// An error of this kind.
    pub(super) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), errors: Vec::new(), headers: Vec::new() }
    }

    /// A query parameter is wrong.
    pub(super) fn parameter(name: &str, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self::new(Kind::PARAMETER, format!("{name}: {reason}")).with_field(name, reason)
    }

    /// A field of the body is wrong.
    pub(super) fn field(field: &str, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self::new(Kind::INVALID, format!("{field}: {reason}")).with_field(field, reason)
    }

    fn with_field(mut self, field: &str, reason: String) -> Self {
        self.errors.push(FieldError { index: None, field: field.into(), reason });
        self
    }

    /// The same of an object within the body: its fields are named behind `outer`.
    #[must_use]
    pub(super) fn within(mut self, outer: &str) -> Self {
        self.detail = format!("{outer}.{}", self.detail);
        for error in &mut self.errors {
            error.field = format!("{outer}.{}", error.field);
        }
        self
    }

    /// Adds fields that are wrong.
    #[must_use]
    pub(super) fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.errors.extend(errors);
        self
    }

    /// Adds a header.
    #[must_use]
    pub(super) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The same as another kind.
    #[must_use]
    pub(super) fn into_kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    /// What the kind means.
    pub(super) const fn title(&self) -> &'static str {
        self.kind.title
    }

    /// Whether it is of this kind.
    pub(super) fn is(&self, kind: Kind) -> bool {
        self.kind == kind
    }

    /// HTTP status.
    pub(super) const fn status(&self) -> u16 {
        self.kind.status
    }

    /// What went wrong.
    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    /// The reply to send.
    pub(super) fn into_reply(self) -> Reply {
        let body = ProblemBody {
            kind: format!("/problems/{}", self.kind.slug),
            title: self.kind.title,
            status: self.kind.status,
            detail: self.detail,
            errors: self.errors,
        };
        let status = StatusCode::from_u16(self.kind.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut reply = Reply::json_with(status, &body).content_type("application/problem+json");
        for (name, value) in self.headers {
            reply = reply.header(name, value);
        }
        reply
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(detail) => {
                Self::new(Kind::UNAVAILABLE, detail).with_header("retry-after", "2")
            }
            StoreError::Fenced => {
                Self::new(Kind::UNAVAILABLE, error.to_string()).with_header("retry-after", "1")
            }
            StoreError::UnknownComponent => Self::new(Kind::UNKNOWN_COMPONENT, error.to_string()),
            missing if missing.is_missing() => {
                tracing::warn!(error = %missing, "the database lacks what this program made in it");
                let detail = "the database is not whole: it may be being put back";
                Self::new(Kind::UNAVAILABLE, detail).with_header("retry-after", "2")
            }
            other => {
                tracing::error!(error = %other, "the database refused a statement");
                Self::new(Kind::INTERNAL, "the database refused a statement; the server's log has the reason")
            }
        }
    }
}

impl From<WriteError> for Problem {
    fn from(error: WriteError) -> Self {
        let detail = error.to_string();
        match error {
            WriteError::Busy => Self::new(Kind::BUSY, detail).with_header("retry-after", "1"),
            WriteError::Unavailable(_) | WriteError::Stopping => {
                Self::new(Kind::UNAVAILABLE, detail).with_header("retry-after", "2")
            }
            WriteError::Repeated => Self::new(Kind::CONFLICT, detail).with_header("retry-after", "0"),
        }
    }
}
