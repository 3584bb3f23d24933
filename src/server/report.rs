//! `POST /api/metrics/report`.

use std::sync::Arc;

use http::StatusCode;

use super::App;
use super::auth::Caller;
use super::core::Core;
use super::pace;
use super::problem::{FieldError, Kind, Problem, ProblemBody};
use super::reply::Reply;
use super::request::Request;
use crate::model::{
    Arrivals, Component, Exemplar, Millis, Point, RuntimeId, Series, is_component_kind, is_stale,
};
use crate::store::{IdempotentReply, KnownSeries, Lookup, NewSample, Registration, Resolved, StoreError};
use crate::wire::report::{
    Checked, Entry, Exemplar as ReportExemplar, Head, Rejected, Report, ReportError, Sample as ReportSample,
    read, read_recalling,
};

/// The answer to a report of which at least one sample was stored, or that had none.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(super) struct ReportReply {
    /// Always `ok`.
    pub status: &'static str,
    /// Id of the component, a 64-bit number.
    pub runtime_id: i64,
    /// Samples committed.
    pub metrics_inserted: usize,
    /// Samples that were refused, where there are some.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<Rejected>,
}

/// The body of a report. Unknown fields are passed over.
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "only describes the body")]
pub(super) struct ReportBody {
    /// Id of the component; wins over its name.
    #[schema(schema_with = super::openapi::id_schema)]
    runtime_id: Option<i64>,
    /// Name of the component; needed where there is no id.
    #[schema(max_length = 255)]
    component_name: Option<String>,
    /// Kind of the component; needed where several have the name. `kind` is the same.
    #[schema(max_length = 255)]
    component_type: Option<String>,
    /// Id of the execution that the samples are of, as a string or a number: no label, but what they are
    /// found by. Each sample without exemplars gets one that says so.
    #[schema(schema_with = super::openapi::execution_id_schema)]
    execution_id: Option<String>,
    /// Samples.
    metrics: Vec<MetricBody>,
}

/// One sample, or a whole histogram or summary.
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "only describes the body")]
pub(super) struct MetricBody {
    /// Name of the metric.
    #[schema(pattern = "^[a-zA-Z_:][a-zA-Z0-9_:]*$", max_length = 255)]
    metric_name: String,
    /// Type of the metric; fixed by its first report.
    metric_type: crate::model::MetricType,
    /// The value; NaN, +Inf and -Inf are strings, and so is Stale, with which the series leaves the
    /// exposition until its next value. Not with buckets or quantiles.
    #[schema(schema_with = crate::wire::value::schema)]
    metric_value: Option<f64>,
    /// RFC 3339; without an offset it is UTC; the time of arrival where it is missing. At most 10
    /// minutes ahead.
    timestamp: Option<String>,
    /// At most 40 labels, values of at most 4 KiB.
    labels: Option<std::collections::HashMap<String, String>>,
    /// Help text.
    help_text: Option<String>,
    /// Unit.
    #[schema(max_length = 50)]
    unit: Option<String>,
    /// Upper bounds and cumulative counts of a whole histogram: `{"0.5": 1, "+Inf": 3}`.
    buckets: Option<std::collections::HashMap<String, f64>>,
    /// Quantiles of a whole summary: `{"0.99": 1.5}`.
    quantiles: Option<std::collections::HashMap<String, f64>>,
    /// Sum of all observations of a whole histogram or summary.
    sum: Option<f64>,
    /// Number of observations of a whole histogram or summary.
    count: Option<f64>,
    /// Single observations behind the value.
    exemplars: Option<Vec<ExemplarBody>>,
}

/// A single observation, with the trace or the execution that it is of.
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "only describes the body")]
pub(super) struct ExemplarBody {
    /// `trace_id`, `span_id`, `execution_id` and others; names and values have 128 characters together at
    /// most.
    labels: Option<std::collections::HashMap<String, String>>,
    /// What was observed; the sample's value where it is missing.
    value: Option<f64>,
    /// RFC 3339; the sample's where it is missing.
    timestamp: Option<String>,
}

/// Report samples of one component
///
/// Returns after the samples are committed. A sample of the same series and time replaces the one
/// that is stored, so a report with timestamps can be sent again safely; one without, if it has an
/// `Idempotency-Key`. Where some samples break a rule, the others are stored and `rejected` names
/// the bad ones; where all do, the answer is 422.
#[utoipa::path(post, path = "/api/metrics/report", operation_id = "report", tag = "reports", request_body = ReportBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 characters: the same key gets the same answer, and its samples are stored once")),
    responses(
        (status = 200, description = "Committed", body = ReportReply),
        (status = 400, description = "Not JSON, or neither runtime_id nor component_name", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "Unknown component", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "Several components have this name", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON, or an unknown encoding", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "No sample keeps the rules", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "Too much waits; see Retry-After", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The database is unavailable; see Retry-After", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) async fn post(app: &Arc<App>, caller: &Caller, request: &mut Request) -> Result<Reply, Problem> {
    request.params.only(&[])?;
    let core = &app.core()?;
    let key = idempotency_key(request)?;
    let body = request.json_body(&app.bodies).await?;
    let now = Millis::now();
    let mut report = read_recalling(&body, &app.config.limits, |head| recalled(core, head))?;
    let component = component(app, caller, core, &report).await?;
    if !report.may_be_of(&component) {
        report = read(&body, &app.config.limits)?;
    }
    let Some(key) = key.map(|key| format!("{}:{key}", component.id.0)) else {
        return Ok(Reply::json(&take(app, core, &component, report, body.len(), now, None).await?));
    };
    if let Some(reply) = kept(core, &key).await? {
        return Ok(reply);
    }
    match take(app, core, &component, report, body.len(), now, Some(key.clone())).await {
        Ok(reply) => Ok(Reply::json(&reply)),
        // Another request with this key was stored meanwhile: it has the answer.
        Err(problem) if problem.is(Kind::CONFLICT) => kept(core, &key).await?.ok_or(problem),
        Err(problem) => Err(problem),
    }
}

/// Checks and stores a report of so many bytes; the heartbeat uses it too.
pub(super) async fn take(
    app: &App,
    core: &Core,
    component: &Arc<Component>,
    report: Report<'_>,
    bytes: usize,
    now: Millis,
    key: Option<String>,
) -> Result<ReportReply, Problem> {
    pace::admit(app, component, report.len(), bytes)?;
    let is_empty = report.is_empty();
    let mut checked = {
        let known = core.series.known(Arc::clone(component));
        report.check(&app.config.limits, now, &known)?
    };
    let mut rejected = std::mem::take(&mut checked.rejected);
    if !checked.exemplars.is_empty() {
        pace::admit(app, component, checked.exemplars.len(), 0)?;
    }
    let (mut points, exemplars, refused) =
        resolve(core, component, checked, now, app.config.limits.future_ms).await?;
    let ended: Vec<Point> = points.extract_if(.., |point| is_stale(point.value)).collect();
    rejected.extend(refused);
    rejected.sort_by_key(|r| r.index);
    if let Some(last) = rejected.last() {
        app.own.rejected(&rejected);
        component.refused(rejected.len() as u64, &format!("{}: {}", last.field, last.reason));
    }
    core.note_ended(&ended).await?;
    if points.is_empty() && !rejected.is_empty() {
        core.end(&ended);
        return Err(all_rejected(rejected));
    }
    let inserted = points.len();
    let reply =
        ReportReply { status: "ok", runtime_id: component.id.0, metrics_inserted: inserted, rejected };
    let idempotent =
        key.map(|key| IdempotentReply { key, reply: serde_json::to_string(&reply).unwrap_or_default() });
    // Before the samples: a report that is sent again then finds neither, or both.
    core.note_exemplars(&exemplars).await?;
    // An empty report changes nothing; it only shows that the component is alive. One that only ends
    // series does not even show that.
    if inserted == 0 && idempotent.is_none() {
        if is_empty {
            component.beat(now);
        }
        core.end(&ended);
        return Ok(reply);
    }
    core.writer.write(points, idempotent).await?;
    core.end(&ended);
    if inserted == 0 {
        component.reported(Millis::now(), 0);
    }
    app.own.accepted(inserted);
    Ok(reply)
}

/// What is remembered of the component that a report begins with.
fn recalled<'a>(core: &'a Core, head: Head<'_>) -> Option<KnownSeries<'a>> {
    let component = match (head.runtime_id, head.component_name) {
        (Some(id), _) => core.components.known_by_id(RuntimeId(id))?,
        (None, name) => match core.components.known_by_name(name?, head.component_type) {
            Lookup::Found(component) => component,
            _ => return None,
        },
    };
    Some(core.series.known(component))
}

/// The points of a report and their exemplars; samples that have no series are refused. Those without a
/// time get that of their arrival.
async fn resolve<'a>(
    core: &Core,
    component: &Arc<Component>,
    checked: Checked<'a>,
    now: Millis,
    future_ms: i64,
) -> Result<(Vec<Point>, Vec<Exemplar<'a>>, Vec<Rejected>), Problem> {
    let Checked { entries, samples, exemplars, .. } = checked;
    let wanted: Vec<NewSample<'_>> = samples
        .iter()
        .map(|s| NewSample {
            name: &s.name,
            kind: s.kind,
            inferred: false,
            labels: &s.labels,
            help: s.help.as_deref(),
            unit: s.unit.as_deref(),
        })
        .collect();
    let resolved = core.series.resolve(&core.database, component, &wanted).await.inspect_err(|error| {
        if matches!(error, StoreError::UnknownComponent) {
            core.components.forget(component);
        }
    })?;
    core.regroup();
    let keys = samples.iter().zip(&resolved);
    core.series.remember(keys.filter_map(|(sample, series)| Some((sample.key?, series.as_ref().ok()?))));
    let series_of = |entry: &Entry| match entry {
        Entry::Known(known) => Some(Arc::clone(&known.series)),
        Entry::Sample(place) => resolved[*place].as_ref().ok().cloned(),
    };
    let arrival = arrival(component, &entries, &samples, &resolved, now, future_ms);
    let at = |series: &Series| arrival.of(|| newest(series));
    let of_series = |one: ReportExemplar<'a>| {
        let series = series_of(entries.get(one.entry)?)?;
        Some(Exemplar {
            series: series.id,
            at: one.at.unwrap_or_else(|| at(&series)),
            value: one.value,
            labels: one.labels,
        })
    };
    let exemplars = exemplars.into_iter().filter_map(of_series).collect();
    let mut points = Vec::with_capacity(entries.len());
    let mut refused = Vec::new();
    for entry in entries {
        let place = match entry {
            Entry::Known(known) => {
                let at = known.at.unwrap_or_else(|| at(&known.series));
                points.push(Point { series: known.series, at, value: known.value });
                continue;
            }
            Entry::Sample(place) => place,
        };
        let sample = &samples[place];
        match &resolved[place] {
            Ok(series) => {
                if sample.help.is_some() || sample.unit.is_some() {
                    core.live.describe(
                        &sample.name,
                        sample.kind,
                        sample.help.as_deref(),
                        sample.unit.as_deref(),
                    );
                }
                let series = Arc::clone(series);
                let at = sample.at.unwrap_or_else(|| at(&series));
                points.push(Point { series, at, value: sample.value });
            }
            Err(why) => {
                let reason = why.reason.clone();
                refused.push(Rejected { index: sample.index, field: why.field.into(), reason });
            }
        }
    }
    // The parts of one histogram share their fate and their place in the list.
    refused.dedup_by_key(|r| r.index);
    Ok((points, exemplars, refused))
}

/// The times of those samples of a report that have none.
fn arrival(
    component: &Component,
    entries: &[Entry],
    samples: &[ReportSample<'_>],
    resolved: &[Resolved],
    now: Millis,
    future_ms: i64,
) -> Arrivals {
    let untimed = entries.iter().filter_map(|entry| match entry {
        Entry::Known(known) => known.at.is_none().then_some(&known.series),
        Entry::Sample(place) => resolved[*place].as_ref().ok().filter(|_| samples[*place].at.is_none()),
    });
    component.arrival(now, untimed.filter_map(|series| newest(series)), future_ms)
}

/// When a series had its newest sample.
fn newest(series: &Series) -> Option<Millis> {
    series.newest.get().map(|(at, _)| at)
}

fn all_rejected(rejected: Vec<Rejected>) -> Problem {
    let first = rejected
        .first()
        .map(|r| format!("metrics[{}].{}: {}", r.index, r.field, r.reason))
        .unwrap_or_default();
    let detail = match rejected.len() {
        1 => first,
        n => format!("none of the {n} metrics keeps the rules; the first: {first}"),
    };
    // A report of a hundred thousand bad samples gets a bounded answer.
    let errors = rejected
        .into_iter()
        .take(100)
        .map(|r| FieldError { index: Some(r.index), field: r.field, reason: r.reason })
        .collect();
    Problem::new(Kind::INVALID, detail).with_errors(errors)
}

/// The component that a report belongs to, where the caller may speak for it.
async fn component(
    app: &App,
    caller: &Caller,
    core: &Core,
    report: &Report<'_>,
) -> Result<Arc<Component>, Problem> {
    if let Some(id) = report.runtime_id {
        let found = core.components.by_id(&core.database, RuntimeId(id)).await?;
        let found = found.ok_or_else(|| {
            Problem::new(
                Kind::UNKNOWN_COMPONENT,
                format!("no component has runtime_id {id} in the runtime registry"),
            )
        })?;
        caller.speaks_for(&found.name)?;
        return Ok(found);
    }
    let Some(name) = report.component_name.as_deref() else {
        let detail = "Either runtime_id or component_name must be provided";
        return Err(Problem::new(Kind::MALFORMED, detail));
    };
    let max = app.config.limits.name_bytes;
    if name.len() > max || name.contains('\0') {
        return Err(Problem::field("component_name", format!("must have at most {max} bytes and no U+0000")));
    }
    caller.speaks_for(name)?;
    let kind = report.component_type.as_deref();
    if kind.is_some_and(|k| !is_component_kind(k)) {
        return Err(Problem::field("component_type", "must have 1 to 255 letters, digits, _, - or ."));
    }
    match core.components.by_name(&core.database, name, kind).await? {
        Lookup::Found(component) => Ok(component),
        Lookup::Ambiguous(kinds) => Err(Problem::new(
            Kind::AMBIGUOUS,
            format!("Component '{name}' exists as {}: send component_type", kinds.join(", ")),
        )),
        Lookup::Unknown if app.config.register_unknown => {
            let registration = Registration {
                name: name.to_owned(),
                kind: kind.unwrap_or("worker_pool").to_owned(),
                status: "ready".into(),
                ..Registration::default()
            };
            Ok(core.components.register(&core.database, &registration).await?.1)
        }
        Lookup::Unknown => {
            let of_kind = kind.map(|k| format!(" as {k}")).unwrap_or_default();
            let detail = format!(
                "Component '{name}' not found in runtime registry{of_kind}: register it with \
                 POST /api/worker/pool/register {{\"name\": \"…\", \"component_type\": \"…\"}}"
            );
            Err(Problem::new(Kind::UNKNOWN_COMPONENT, detail))
        }
    }
}

fn idempotency_key(request: &Request) -> Result<Option<String>, Problem> {
    let Some(value) = request.headers.get("idempotency-key") else { return Ok(None) };
    let text = value.to_str().ok().filter(|t| (1..=255).contains(&t.len()));
    let reason = "must have 1 to 255 visible ASCII characters";
    text.map(|t| Some(t.to_owned())).ok_or_else(|| Problem::parameter("Idempotency-Key", reason))
}

/// The answer that was kept with this key.
async fn kept(core: &Core, key: &str) -> Result<Option<Reply>, Problem> {
    let kept = crate::store::kept_reply(&core.database, key).await?;
    Ok(kept.map(|json| Reply::new("application/json", json).status(StatusCode::OK)))
}

impl From<ReportError> for Problem {
    fn from(error: ReportError) -> Self {
        match error {
            ReportError::Syntax(_) => Self::new(Kind::MALFORMED, error.to_string()),
            ReportError::Shape { field, reason } => Self::field(field, reason),
        }
    }
}
