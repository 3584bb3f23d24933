//! `POST /v1/metrics`: metrics of OpenTelemetry, OTLP/HTTP.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use tokio::task::spawn_blocking;

use super::App;
use super::auth::Caller;
use super::problem::{Kind, Problem};
use super::remote_write::take;
use super::reply::Reply;
use super::request::{Request, encoding};
use crate::model::Millis;
use crate::wire::otlp::{Form, NAMED, OtlpError, answer, memory, read, refusal, translate};

/// Where exporters send to, as OTLP/HTTP has it.
pub(super) const PATH: &str = "/v1/metrics";

/// A message of OpenTelemetry.
#[derive(utoipa::ToSchema)]
#[schema(value_type = String, format = Binary)]
#[allow(dead_code, reason = "only describes the body")]
struct Message(Vec<u8>);

/// An export request, as OpenTelemetry's JSON has it.
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "only describes the body")]
struct ExportMetricsServiceRequest {
    /// Resources with their scopes, metrics and points; null is none.
    #[schema(rename = "resourceMetrics", required = false)]
    resource_metrics: Option<Vec<serde_json::Value>>,
}

/// Send metrics of OpenTelemetry (OTLP/HTTP)
///
/// Returns after the points are committed. The resource's `noetl.component.name`, else its `service.name`,
/// names the component; one that is not registered is. Gauges, sums, histograms, exponential histograms and
/// summaries; sums and histograms may be deltas, which are added up. Where some points break a rule the
/// others are stored, and the answer, with 200, says how many were rejected and why.
#[utoipa::path(post, path = "/v1/metrics", operation_id = "otlpMetrics", tag = "reports",
    request_body(content(
        (Message = "application/x-protobuf"),
        (ExportMetricsServiceRequest = "application/json")
    ), description = "opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest"),
    responses(
        (status = 200, description = "Committed; ExportMetricsServiceResponse, in the form of the request", content((Message = "application/x-protobuf"), (Object = "application/json"))),
        (status = 400, description = "Not such a message; google.rpc.Status", content((Message = "application/x-protobuf"), (Object = "application/json"))),
        (status = 413, description = "Too large", content((Message = "application/x-protobuf"), (Object = "application/json"))),
        (status = 415, description = "Another type, or an unknown encoding; google.rpc.Status as JSON", content((Object = "application/json"))),
        (status = 429, description = "The component sends too much; see Retry-After", content((Message = "application/x-protobuf"), (Object = "application/json"))),
        (status = 503, description = "Too much waits, or the database is unavailable; see Retry-After", content((Message = "application/x-protobuf"), (Object = "application/json"))),
    ))]
pub(super) async fn post(app: &Arc<App>, caller: &Caller, request: &mut Request) -> Result<Reply, Problem> {
    request.params.only(&[])?;
    let core = &app.core()?;
    let form = form(request).ok_or_else(|| {
        let header: String = request.header(CONTENT_TYPE).chars().take(100).collect();
        let detail = format!("Content-Type is {header:?}: send application/x-protobuf or application/json");
        Problem::new(Kind::MEDIA_TYPE, detail)
    })?;
    let encoding = encoding(request.header(CONTENT_ENCODING))?;
    let mut body = request.body_in(&app.bodies, encoding).await?;
    let (limits, now) = (app.config.limits, Millis::now());
    // Either takes as long as the body is large.
    let bytes = body.shared();
    let memory = spawn_blocking(move || memory(form, &bytes, &limits)).await.map_err(|e| unread(&e))??;
    body.widen(&app.bodies, memory)?;
    let bytes = body.shared();
    let translated = spawn_blocking(move || translate(&read(form, &bytes)?, &limits, now)).await;
    let translated = translated.map_err(|e| unread(&e))??;
    let taken = take::take(app, caller, core, &translated.made.write(), now).await?;
    let mut refused: BTreeMap<Option<usize>, String> = BTreeMap::new();
    for rejected in taken.refused {
        let point = translated.point_of.get(rejected.index).copied().flatten();
        refused.entry(point).or_insert_with(|| format!("{}: {}", rejected.field, rejected.reason));
    }
    refused.extend(translated.refused.into_iter().map(|(point, reason)| (Some(point), reason)));
    // What is said of a resource is no point that was sent.
    let points = refused.keys().flatten().count();
    let why: Vec<&str> = refused.values().take(NAMED).map(String::as_str).collect();
    let mut why = why.join("; ");
    if refused.len() > NAMED {
        why.push_str("; and others");
    }
    Ok(Reply::new(form.content_type(), answer(form, points, &why)))
}

fn unread(error: &tokio::task::JoinError) -> Problem {
    Problem::new(Kind::INTERNAL, format!("the message was not read: {error}"))
}

fn form(request: &Request) -> Option<Form> {
    Form::of_content_type(request.header(CONTENT_TYPE))
}

/// An error as exporters expect it: `google.rpc.Status`, in the form of the request.
pub(super) fn refused(request: &Request, problem: Problem) -> Reply {
    let problem = if problem.is(Kind::TIMEOUT) {
        // Which they would take for the last word.
        let detail = problem.detail().to_owned();
        Problem::new(Kind::OVERLOADED, detail).with_header("retry-after", "1")
    } else {
        problem
    };
    let form = form(request).unwrap_or(Form::Json);
    let (status, detail) = (problem.status(), problem.detail().to_owned());
    let mut reply = problem.into_reply().content_type(form.content_type());
    reply.body = refusal(form, status, &detail).into();
    reply
}

impl From<OtlpError> for Problem {
    fn from(error: OtlpError) -> Self {
        let kind = match error {
            OtlpError::Malformed(_) => Kind::MALFORMED,
            OtlpError::TooMany(_) | OtlpError::TooManyMessages(_) => Kind::TOO_LARGE,
        };
        let detail: String = error.to_string().chars().take(500).collect();
        Self::new(kind, detail)
    }
}
