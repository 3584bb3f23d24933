//! NoETL's registration endpoints, for installations where no NoETL server keeps `noetl.runtime`.
//!
//! They take what NoETL's Rust and Python workers send: `kind` or `component_type`, `uri` or
//! `base_url`, `runtime` as a string or an object, labels as an object or a list.

mod fields;

use std::sync::Arc;

use serde_json::Value;

use super::App;
use super::auth::Caller;
use super::core::Core;
use super::problem::{Kind, Problem, ProblemBody};
use super::reply::Reply;
use super::report;
use super::request::Request;
use crate::model::{Component, Millis};
use crate::store::{Lookup, Registration, RuntimeRow};
use crate::wire::report::{Rejected, read};
use fields::Fields;

/// A registration. Unknown fields are passed over.
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "only describes the body")]
pub(super) struct RegistrationBody {
    /// Name; unique within a kind.
    #[schema(min_length = 1, max_length = 255)]
    name: String,
    /// Kind: worker_pool where it is missing. `kind` is the same.
    #[schema(max_length = 255, pattern = "^[a-zA-Z0-9_.-]+$")]
    component_type: Option<String>,
    /// Where the component can be reached. `base_url` and `endpoint` are the same.
    uri: Option<String>,
    /// Its state, `ready` where it is missing.
    status: Option<String>,
    /// What it says of its process: a word or an object.
    runtime: Option<Value>,
    /// An object or a list.
    labels: Option<Value>,
    /// How much it can do at once.
    capacity: Option<i32>,
    /// Host it runs on.
    hostname: Option<String>,
    /// Process id there.
    pid: Option<i64>,
}

/// The component that a heartbeat or a farewell comes from.
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "only describes the body")]
pub(super) struct ComponentBody {
    /// Name.
    #[schema(min_length = 1, max_length = 255)]
    name: String,
    /// Kind, needed where several have the name. `kind` is the same.
    component_type: Option<String>,
    /// Its state, if that changed. Only for heartbeats.
    status: Option<String>,
    /// Its registration, with which it is registered where it is unknown. Only for heartbeats.
    registration: Option<RegistrationBody>,
    /// Samples, as in a report. Only for heartbeats.
    metrics: Option<Vec<report::MetricBody>>,
}

/// A component was heard.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(super) struct HeardReply {
    /// `ok`; `recreated` where a heartbeat of an unknown component brought its registration along.
    pub status: &'static str,
    /// The same in words.
    pub message: &'static str,
    /// Name of the component; null where the body was empty.
    pub name: Option<String>,
    /// Its id, a 64-bit number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime_id: Option<i64>,
    /// Samples committed, where the heartbeat carried some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics_inserted: Option<usize>,
    /// Samples that were refused, where there are some.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<Rejected>,
}

impl Default for HeardReply {
    fn default() -> Self {
        let (message, rejected) = ("", Vec::new());
        Self { status: "ok", message, name: None, runtime_id: None, metrics_inserted: None, rejected }
    }
}

impl HeardReply {
    fn of(component: &Component, message: &'static str) -> Self {
        let name = Some(component.name.to_string());
        Self { message, name, runtime_id: Some(component.id.0), ..Self::default() }
    }
}

/// Register a component, or bring its registration up to date
#[utoipa::path(post, path = "/api/worker/pool/register", operation_id = "register", tag = "registration", request_body = RegistrationBody,
    responses(
        (status = 200, description = "Its row in noetl.runtime", body = RuntimeRow),
        (status = 400, description = "Not JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON, or an unknown encoding", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "A field breaks a rule", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The database is unavailable", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) async fn register(
    app: &Arc<App>,
    caller: &Caller,
    request: &mut Request,
) -> Result<Reply, Problem> {
    request.params.only(&[])?;
    let core = &app.core()?;
    let body = request.json_body(&app.bodies).await?;
    let fields = Fields::read(&body)?;
    let registration = fields.registration(app.config.limits.name_bytes)?;
    caller.speaks_for(&registration.name)?;
    let (row, _) = take_in(core, &registration).await?;
    Ok(Reply::json(&row))
}

/// Registers a component.
async fn take_in(core: &Core, registration: &Registration) -> Result<(RuntimeRow, Arc<Component>), Problem> {
    let (row, component) = core.components.register(&core.database, registration).await?;
    component.heard();
    tracing::info!(
        name = registration.name,
        kind = registration.kind,
        id = row.runtime_id,
        "component registered"
    );
    Ok((row, component))
}

/// Heartbeat of a component
///
/// May carry `metrics`, as a report does, and `registration`, with which an unknown component is
/// registered.
#[utoipa::path(post, path = "/api/worker/pool/heartbeat", operation_id = "heartbeat", tag = "registration", request_body = Option<ComponentBody>,
    responses(
        (status = 200, description = "Heard", body = HeardReply),
        (status = 400, description = "Not JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "Unknown component: register", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "Several components have this name", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON, or an unknown encoding", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "A field breaks a rule", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "Too much waits; see Retry-After", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The database is unavailable", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) async fn heartbeat(
    app: &Arc<App>,
    caller: &Caller,
    request: &mut Request,
) -> Result<Reply, Problem> {
    request.params.only(&[])?;
    let core = &app.core()?;
    let body = request.json_body(&app.bodies).await?;
    if body.is_empty() {
        return Ok(Reply::json(&HeardReply { message: "Heartbeat recorded", ..HeardReply::default() }));
    }
    let fields = Fields::read(&body)?;
    caller.speaks_for(&fields.name(app.config.limits.name_bytes)?)?;
    let registration = fields.registration_along(app.config.limits.name_bytes)?;
    let status = fields.text("status", 255)?;
    let mut known = find(&fields, app, core).await?;
    if let Some(component) = &known
        && !core.components.heartbeat(&core.database, component, status.as_deref()).await?
    {
        // Its row is gone.
        known = None;
    }
    let (component, word) = match (known, registration) {
        (Some(component), _) => (component, "ok"),
        (None, Some(registration)) => (take_in(core, &registration).await?.1, "recreated"),
        (None, None) => return Err(unknown(&fields.name(app.config.limits.name_bytes)?)),
    };
    component.heard();
    let mut heard = HeardReply { status: word, ..HeardReply::of(&component, "Heartbeat recorded") };
    if fields.has("metrics") {
        let now = Millis::now();
        let report = read(&body, &app.config.limits)?;
        let taken = report::take(app, core, &component, report, body.len(), now, None).await?;
        heard.metrics_inserted = Some(taken.metrics_inserted);
        heard.rejected = taken.rejected;
    }
    Ok(Reply::json(&heard))
}

/// The same, under its older path
#[utoipa::path(post, path = "/heartbeat", operation_id = "heartbeatAtRoot", tag = "registration", request_body = Option<ComponentBody>,
    responses(
        (status = 200, description = "Heard", body = HeardReply),
        (status = 400, description = "Not JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "Unknown component: register", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "Several components have this name", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON, or an unknown encoding", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "A field breaks a rule", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "Too much waits; see Retry-After", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The database is unavailable", body = ProblemBody, content_type = "application/problem+json"),
    ))]
#[allow(dead_code, reason = "only describes the path; `heartbeat` answers it")]
pub(super) fn heartbeat_at_root() {}

/// Mark a component offline
///
/// Its series leave the exposition at once; its history stays.
#[utoipa::path(post, path = "/api/worker/pool/deregister", operation_id = "deregister", tag = "registration", request_body = ComponentBody,
    responses(
        (status = 200, description = "Marked", body = HeardReply),
        (status = 400, description = "Not JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "Unknown component", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "Several components have this name", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON, or an unknown encoding", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "A field breaks a rule", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The database is unavailable", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) async fn deregister(
    app: &Arc<App>,
    caller: &Caller,
    request: &mut Request,
) -> Result<Reply, Problem> {
    request.params.only(&[])?;
    let core = &app.core()?;
    let body = request.json_body(&app.bodies).await?;
    let fields = Fields::read(&body)?;
    caller.speaks_for(&fields.name(app.config.limits.name_bytes)?)?;
    let component = component(&fields, app, core).await?;
    core.leave(&component).await?;
    tracing::info!(name = %component.name, kind = %component.kind, "component deregistered");
    Ok(Reply::json(&HeardReply::of(&component, "Deregistered")))
}

/// The same, as NoETL's server has it
#[utoipa::path(delete, path = "/api/worker/pool/deregister", operation_id = "deregisterByDelete", tag = "registration", request_body = ComponentBody,
    responses(
        (status = 200, description = "Marked", body = HeardReply),
        (status = 400, description = "Not JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "Unknown component", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "Several components have this name", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON, or an unknown encoding", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "A field breaks a rule", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The database is unavailable", body = ProblemBody, content_type = "application/problem+json"),
    ))]
#[allow(dead_code, reason = "only describes the path; `deregister` answers it")]
pub(super) fn deregister_by_delete() {}

/// Registered components
#[utoipa::path(get, path = "/api/worker/pools", operation_id = "pools", tag = "registration",
    params(
        ("kind" = Option<String>, Query, description = "Only this kind"),
        ("status" = Option<String>, Query, description = "Only this state"),
        ("name" = Option<String>, Query, description = "Only names that contain this"),
    ),
    responses(
        (status = 200, description = "Newest heartbeat first, at most 10000", body = Vec<RuntimeRow>),
        (status = 400, description = "A parameter is wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The database is unavailable", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) async fn list(app: &Arc<App>, request: &Request) -> Result<Reply, Problem> {
    let params = &request.params;
    params.only(&["kind", "status", "name"])?;
    let core = &app.core()?;
    let (kind, status, name) = (params.get("kind")?, params.get("status")?, params.get("name")?);
    Ok(Reply::json(&core.components.list(&core.database, kind, status, name).await?))
}

/// The component that a body is of, which has to be there.
async fn component(fields: &Fields, app: &App, core: &Core) -> Result<Arc<Component>, Problem> {
    let name = fields.name(app.config.limits.name_bytes)?;
    find(fields, app, core).await?.ok_or_else(|| unknown(&name))
}

/// The component that a body is of.
async fn find(fields: &Fields, app: &App, core: &Core) -> Result<Option<Arc<Component>>, Problem> {
    let name = fields.name(app.config.limits.name_bytes)?;
    let kind = fields.kind()?;
    match core.components.by_name(&core.database, &name, kind.as_deref()).await? {
        Lookup::Found(component) => Ok(Some(component)),
        Lookup::Unknown => Ok(None),
        // NoETL's workers send only their name, and mean the worker.
        Lookup::Ambiguous(kinds) if kinds.iter().any(|k| k == "worker_pool") => {
            match core.components.by_name(&core.database, &name, Some("worker_pool")).await? {
                Lookup::Found(component) => Ok(Some(component)),
                _ => Ok(None),
            }
        }
        Lookup::Ambiguous(kinds) => {
            Err(Problem::new(Kind::AMBIGUOUS, format!("Component '{name}' exists as {}", kinds.join(", "))))
        }
    }
}

fn unknown(name: &str) -> Problem {
    Problem::new(Kind::UNKNOWN_COMPONENT, format!("Runtime not found: {name}"))
        .with_header("retry-after", "3")
}
