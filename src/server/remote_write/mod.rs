//! `POST /api/v1/write`: Prometheus remote write, 1.0 and 2.0.

pub(super) mod take;
mod unknown;

use std::sync::Arc;

use http::StatusCode;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};

use super::App;
use super::auth::Caller;
use super::problem::{FieldError, Kind, Problem, ProblemBody};
use super::reply::Reply;
use super::request::Request;
use crate::model::Millis;
use crate::wire::encoding::Encoding;
use crate::wire::remote_write::{Message, RemoteWriteError, SAMPLES_WRITTEN, read};
use take::Taken;

/// Where senders write to.
pub(super) const PATH: &str = "/api/v1/write";
/// Headers of an answer that say what was written.
pub(super) const WRITTEN: [&str; 3] = [
    SAMPLES_WRITTEN,
    "x-prometheus-remote-write-histograms-written",
    "x-prometheus-remote-write-exemplars-written",
];
/// Series that an answer names as refused.
const NAMED: usize = 100;

/// A compressed message.
#[derive(utoipa::ToSchema)]
#[schema(value_type = String, format = Binary)]
#[allow(dead_code, reason = "only describes the body")]
struct Packed(Vec<u8>);

/// Write samples by Prometheus remote write, 1.0 or 2.0
///
/// Returns after the samples are committed. The labels name the component; one that is not registered is.
/// A sample of the same series and time replaces the one that is stored, so a request can be sent again
/// safely. Where some series break a rule, the others are stored, the answer is 400, and its headers say
/// how much was written. The body is compressed by snappy where no `Content-Encoding` says otherwise.
#[utoipa::path(post, path = "/api/v1/write", operation_id = "remoteWrite", tag = "reports",
    request_body(content(
        (Packed = "application/x-protobuf"),
        (Packed = "application/x-protobuf;proto=io.prometheus.write.v2.Request")
    ), description = "prometheus.WriteRequest or io.prometheus.write.v2.Request, compressed"),
    responses(
        (status = 204, description = "Committed", headers(
            ("X-Prometheus-Remote-Write-Samples-Written" = u64, description = "Samples committed"),
            ("X-Prometheus-Remote-Write-Histograms-Written" = u64, description = "Native histograms: always 0"),
            ("X-Prometheus-Remote-Write-Exemplars-Written" = u64, description = "Exemplars committed"))),
        (status = 400, description = "Not such a message, or some of it breaks a rule; the rest is committed", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Another message, or an unknown encoding", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Too much waits, or the database is unavailable; see Retry-After", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) async fn post(app: &Arc<App>, caller: &Caller, request: &mut Request) -> Result<Reply, Problem> {
    request.params.only(&[])?;
    let core = &app.core()?;
    let header = request.header(CONTENT_TYPE);
    let message = Message::of_content_type(header).ok_or_else(|| {
        let header: String = header.chars().take(100).collect();
        let detail = format!(
            "Content-Type is {header:?}: send application/x-protobuf, with or without \
             proto=prometheus.WriteRequest or proto=io.prometheus.write.v2.Request"
        );
        Problem::new(Kind::MEDIA_TYPE, detail)
    })?;
    let encoding = match request.header(CONTENT_ENCODING) {
        // As the first senders did it.
        "" => Encoding::Snappy,
        given => super::request::encoding(given)?,
    };
    let body = request.body_in(&app.bodies, encoding).await?;
    let write = read(message, &body, &app.config.limits)?;
    let taken = take::take(app, caller, core, &write, Millis::now()).await?;
    answer(taken, write.series.len())
}

/// All of it, or what is wrong with the rest.
fn answer(taken: Taken, series: usize) -> Result<Reply, Problem> {
    let written = [taken.samples, 0, taken.exemplars].map(|count| count.to_string());
    let Some(first) = taken.refused.first() else {
        let reply = Reply::empty(StatusCode::NO_CONTENT);
        return Ok(WRITTEN
            .into_iter()
            .zip(written)
            .fold(reply, |reply, (name, value)| reply.header(name, value)));
    };
    let detail = format!(
        "{} of {series} series were not written, or not all of them; the first: {}: {}",
        taken.refused.len(),
        first.field,
        first.reason
    );
    let errors = taken.refused.into_iter().take(NAMED);
    let errors =
        errors.map(|r| FieldError { index: Some(r.index), field: r.field, reason: r.reason }).collect();
    let problem = Problem::new(Kind::INVALID_WRITE, detail).with_errors(errors);
    Err(WRITTEN
        .into_iter()
        .zip(written)
        .fold(problem, |problem, (name, value)| problem.with_header(name, value)))
}

/// What a sender is told where it shall try again: many take any 4xx for the last word, and drop what they
/// have.
pub(super) fn retried(problem: Problem) -> Problem {
    if problem.is(Kind::LIMITED) {
        return problem.into_kind(Kind::OVERLOADED);
    }
    if problem.is(Kind::BUSY) || problem.is(Kind::TIMEOUT) {
        let detail = problem.detail().to_owned();
        return Problem::new(Kind::OVERLOADED, detail).with_header("retry-after", "1");
    }
    problem
}

impl From<RemoteWriteError> for Problem {
    fn from(error: RemoteWriteError) -> Self {
        let kind = match error {
            RemoteWriteError::Malformed(_) => Kind::MALFORMED,
            RemoteWriteError::TooMany(..) => Kind::TOO_LARGE,
        };
        Self::new(kind, error.to_string())
    }
}
