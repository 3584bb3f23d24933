//! The server reports on itself: at its interval, and when asked to.

use std::sync::Arc;

use super::App;
use super::auth::Caller;
use super::core::Core;
use super::problem::{Kind, Problem, ProblemBody};
use super::reply::Reply;
use super::request::Request;
use crate::model::{Component, Label, MetricType, Millis, Point, Reading, check_labels};
use crate::store::{Lookup, NewSample, Registration};

/// Kind of the server's own component.
pub(super) const SERVER_KIND: &str = "server_api";

/// What was reported.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(super) struct SelfReportReply {
    /// Always `ok`.
    pub status: &'static str,
    /// Component that it was reported under.
    pub component_name: String,
    /// Its id, a 64-bit number.
    pub runtime_id: i64,
    /// Samples committed.
    pub metrics_reported: usize,
}

/// The server reports its own system metrics now
///
/// Under its own component, which `server` stands for too, or under another registered one: the
/// values are those of the server's process either way.
#[utoipa::path(post, path = "/api/metrics/self-report", operation_id = "selfReport", tag = "reports",
    params(("component_name" = Option<String>, Query, description = "Component to report under; the server's own where it is missing")),
    responses(
        (status = 200, description = "Committed", body = SelfReportReply),
        (status = 400, description = "A parameter is wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "Unknown component", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "Several components have this name", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "Too much waits; see Retry-After", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The database is unavailable", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) async fn post(app: &Arc<App>, caller: &Caller, request: &Request) -> Result<Reply, Problem> {
    request.params.only(&["component_name"])?;
    let core = &app.core()?;
    let asked = request.params.get("component_name")?.unwrap_or(&app.config.name);
    caller.speaks_for(asked)?;
    let component = match core.components.by_name(&core.database, asked, None).await? {
        Lookup::Found(component) => component,
        Lookup::Unknown if asked == "server" || asked == app.config.name => own_component(app, core).await?,
        Lookup::Unknown => {
            let detail = format!("Component '{asked}' not found in runtime registry");
            return Err(Problem::new(Kind::UNKNOWN_COMPONENT, detail));
        }
        Lookup::Ambiguous(kinds) => {
            let detail = format!("Component '{asked}' exists as {}", kinds.join(", "));
            return Err(Problem::new(Kind::AMBIGUOUS, detail));
        }
    };
    let metrics_reported = report(app, core, &component).await?;
    Ok(Reply::json(&SelfReportReply {
        status: "ok",
        component_name: component.name.to_string(),
        runtime_id: component.id.0,
        metrics_reported,
    }))
}

/// The server's own component.
pub(super) async fn own_component(app: &App, core: &Core) -> Result<Arc<Component>, Problem> {
    registered(core, &app.config.name, SERVER_KIND).await
}

/// A component that the server reports for, registered where it is not.
pub(super) async fn registered(core: &Core, name: &str, kind: &str) -> Result<Arc<Component>, Problem> {
    if let Lookup::Found(component) = core.components.by_name(&core.database, name, Some(kind)).await? {
        return Ok(component);
    }
    let registration = Registration {
        name: name.into(),
        kind: kind.into(),
        status: "ready".into(),
        runtime: Some(serde_json::json!({"type": "noetl-metrics", "pid": std::process::id()})),
        ..Registration::default()
    };
    Ok(core.components.register(&core.database, &registration).await?.1)
}

/// Reads the server's metrics and stores them; returns how many.
pub(super) async fn report(app: &App, core: &Core, component: &Arc<Component>) -> Result<usize, Problem> {
    let mut readings = app.host.lock().core();
    readings.push(active_workers(core));
    let now = Millis::now();
    let labelled: Vec<Vec<Label<'_>>> = readings.iter().map(|r| labels(app, r)).collect();
    let samples: Vec<NewSample<'_>> = readings
        .iter()
        .zip(&labelled)
        .map(|(r, labels)| NewSample {
            name: &r.name,
            kind: r.kind,
            inferred: false,
            labels,
            help: Some(&r.help),
            unit: r.unit,
        })
        .collect();
    let resolved = core.series.resolve(&core.database, component, &samples).await?;
    let mut points = Vec::with_capacity(resolved.len());
    for (reading, series) in readings.iter().zip(resolved) {
        match series {
            Ok(series) => {
                core.live.describe(&reading.name, reading.kind, Some(&reading.help), reading.unit);
                points.push(Point { series, at: now, value: reading.value });
            }
            Err(why) => component.refused(1, &format!("{}: {}", why.field, why.reason)),
        }
    }
    let count = points.len();
    core.writer.write(points, None).await?;
    Ok(count)
}

fn labels<'a>(app: &App, reading: &'a Reading) -> Vec<Label<'a>> {
    let mut labels: Vec<Label<'a>> =
        reading.labels.iter().map(|(k, v)| (k.as_ref().into(), v.as_str().into())).collect();
    labels.sort();
    debug_assert!(check_labels(&reading.name, reading.kind, &mut labels, &app.config.limits).is_ok());
    labels
}

/// Workers that reported or sent a heartbeat in time.
fn active_workers(core: &Core) -> Reading {
    let is_active = |c: &&Arc<Component>| &*c.kind == "worker_pool" && !c.is_offline() && core.is_up(c);
    Reading {
        name: "noetl_server_active_workers".into(),
        kind: MetricType::Gauge,
        value: core.components.all().iter().filter(is_active).count() as f64,
        labels: Vec::new(),
        help: "Workers that reported or sent a heartbeat in time.".into(),
        unit: None,
        timestamp_ms: None,
    }
}
