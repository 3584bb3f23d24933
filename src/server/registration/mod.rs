//! NoETL's registration endpoints, for installations where no NoETL server keeps `noetl.runtime`.
//!
//! They take what NoETL's Rust and Python workers send: `kind` or `component_type`, `uri` or
//! `base_url`, `runtime` as a string or an object, labels as an object or a list.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::App;
use super::auth::Caller;
use super::core::Core;
use super::problem::{Kind, Problem, ProblemBody};
use super::reply::Reply;
use super::report;
use super::request::Request;
use crate::model::{Component, Millis, is_component_kind};
use crate::store::{Lookup, Registration, RuntimeRow};
use crate::wire::report::{Rejected, read};

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
    let mut known = fields.find(app, core).await?;
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
    if fields.0.get("metrics").is_some_and(|m| !m.is_null()) {
        let now = Millis::now();
        let report = read(&body, &app.config.limits)?;
        let taken = report::take(app, core, &component, &report, body.len(), now, None).await?;
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
    let component = fields.component(app, core).await?;
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

fn unknown(name: &str) -> Problem {
    Problem::new(Kind::UNKNOWN_COMPONENT, format!("Runtime not found: {name}"))
        .with_header("retry-after", "3")
}

/// The fields of a body.
struct Fields(Map<String, Value>);

impl Fields {
    fn read(body: &[u8]) -> Result<Self, Problem> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(_) => Err(Problem::field("body", "must be a JSON object")),
            Err(e) => Err(Problem::new(Kind::MALFORMED, format!("the body is not valid JSON: {e}"))),
        }
    }

    /// A text of at most `max` bytes; `None` for null.
    fn text(&self, name: &str, max: usize) -> Result<Option<String>, Problem> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.len() > max => {
                Err(Problem::field(name, format!("more than {max} bytes")))
            }
            Some(Value::String(text)) if text.contains('\0') => {
                Err(Problem::field(name, "must not hold the character U+0000"))
            }
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(Problem::field(name, "must be a string")),
        }
    }

    fn name(&self, max: usize) -> Result<String, Problem> {
        self.text("name", max)?.filter(|n| !n.is_empty()).ok_or_else(|| Problem::field("name", "is missing"))
    }

    fn kind(&self) -> Result<Option<String>, Problem> {
        let (field, kind) = match self.text("kind", 255)? {
            Some(kind) => ("kind", Some(kind)),
            None => ("component_type", self.text("component_type", 255)?),
        };
        match kind {
            Some(kind) if !is_component_kind(&kind) => {
                Err(Problem::field(field, "must have 1 to 255 letters, digits, _, - or ."))
            }
            kind => Ok(kind),
        }
    }

    /// A JSON value that PostgreSQL's jsonb can hold.
    fn value(&self, name: &str) -> Result<Option<Value>, Problem> {
        let value = self.0.get(name).filter(|v| !v.is_null()).cloned();
        if value.as_ref().is_some_and(|v| v.to_string().contains("\\u0000")) {
            return Err(Problem::field(name, "must not hold the character U+0000"));
        }
        Ok(value)
    }

    fn registration(&self, max_name: usize) -> Result<Registration, Problem> {
        let capacity = match self.0.get("capacity") {
            None | Some(Value::Null) => None,
            Some(value) => {
                let number = value.as_i64().and_then(|n| i32::try_from(n).ok());
                Some(number.ok_or_else(|| Problem::field("capacity", "must be a whole number"))?)
            }
        };
        let labels = self.value("labels")?;
        if labels.as_ref().is_some_and(|l| !l.is_object() && !l.is_array()) {
            return Err(Problem::field("labels", "must be an object or a list"));
        }
        let uri = ["uri", "base_url", "endpoint"]
            .into_iter()
            .find(|f| self.0.get(*f).is_some_and(|v| !v.is_null()));
        Ok(Registration {
            name: self.name(max_name)?,
            kind: self.kind()?.unwrap_or_else(|| "worker_pool".into()),
            uri: uri.map(|field| self.text(field, 2048)).transpose()?.flatten(),
            status: self.text("status", 255)?.unwrap_or_else(|| "ready".into()),
            labels,
            capabilities: self.value("capabilities")?,
            capacity,
            runtime: self.runtime()?,
        })
    }

    /// What the component says of its process, in one object.
    fn runtime(&self) -> Result<Option<Value>, Problem> {
        let mut all = match self.value("runtime")? {
            Some(Value::Object(fields)) => fields,
            Some(Value::String(word)) => Map::from_iter([("type".into(), json!(word))]),
            None => Map::new(),
            Some(_) => return Err(Problem::field("runtime", "must be a string or an object")),
        };
        self.text("hostname", 255)?;
        if self.0.get("pid").is_some_and(|pid| !pid.is_null() && pid.as_i64().is_none()) {
            return Err(Problem::field("pid", "must be a whole number"));
        }
        for field in ["hostname", "pid", "meta"] {
            if let Some(value) = self.value(field)? {
                all.entry(field).or_insert(value);
            }
        }
        Ok((!all.is_empty()).then_some(Value::Object(all)))
    }

    /// The registration that a heartbeat brings along: it is the sender's own, so name and kind may
    /// be missing in it.
    fn registration_along(&self, max_name: usize) -> Result<Option<Registration>, Problem> {
        const FIELD: &str = "registration";
        let mut along = match self.0.get(FIELD) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Object(along)) => along.clone(),
            Some(_) => return Err(Problem::field(FIELD, "must be an object")),
        };
        let name = self.name(max_name)?;
        along.entry("name").or_insert_with(|| json!(name));
        if let Some(kind) = self.kind()?.filter(|_| !along.contains_key("kind")) {
            along.entry("component_type").or_insert_with(|| json!(kind));
        }
        let registration = Self(along).registration(max_name).map_err(|problem| problem.within(FIELD))?;
        if registration.name == name {
            Ok(Some(registration))
        } else {
            Err(Problem::field("registration.name", "is not the name that the heartbeat is of"))
        }
    }

    async fn component(&self, app: &App, core: &Core) -> Result<Arc<Component>, Problem> {
        let name = self.name(app.config.limits.name_bytes)?;
        self.find(app, core).await?.ok_or_else(|| unknown(&name))
    }

    async fn find(&self, app: &App, core: &Core) -> Result<Option<Arc<Component>>, Problem> {
        let name = self.name(app.config.limits.name_bytes)?;
        let kind = self.kind()?;
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
            Lookup::Ambiguous(kinds) => Err(Problem::new(
                Kind::AMBIGUOUS,
                format!("Component '{name}' exists as {}", kinds.join(", ")),
            )),
        }
    }
}
