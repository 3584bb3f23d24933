//! `GET /api/metrics/components`: every component and how it is doing.

use std::sync::Arc;

use super::App;
use super::core::Core;
use super::problem::{Problem, ProblemBody};
use super::reply::Reply;
use super::request::Request;
use crate::model::Millis;

/// A component and how it is doing.
#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
pub(super) struct ComponentStatus {
    /// Id, a 64-bit number.
    pub runtime_id: i64,
    /// Name.
    pub name: String,
    /// Kind.
    pub component_type: String,
    /// `up`: reported or sent a heartbeat in time; `silent`: has not for longer than --stale-after;
    /// otherwise its own last word, such as `offline`.
    pub status: String,
    /// Last heartbeat, RFC 3339.
    pub last_heartbeat: Option<String>,
    /// When its newest report was stored, RFC 3339.
    pub last_report: Option<String>,
    /// Live series.
    pub series: u32,
    /// Samples accepted since it registered.
    pub accepted_samples: u64,
    /// Samples refused since it registered.
    pub rejected_samples: u64,
    /// Why the last refused sample was refused; since the server started.
    pub last_rejection: Option<String>,
}

/// Every component.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(super) struct ComponentsReply {
    /// By name.
    pub components: Vec<ComponentStatus>,
}

/// Every component
#[utoipa::path(get, path = "/api/metrics/components", operation_id = "components", tag = "query",
    responses(
        (status = 200, description = "By name", body = ComponentsReply),
        (status = 400, description = "A parameter is wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The server is starting", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) fn get(app: &Arc<App>, request: &Request) -> Result<Reply, Problem> {
    request.params.only(&[])?;
    let core = &app.core()?;
    Ok(Reply::json(&ComponentsReply { components: statuses(core) }))
}

/// All components with their status.
pub(super) fn statuses(core: &Core) -> Vec<ComponentStatus> {
    let status = |component: &Arc<crate::model::Component>| {
        let word = if component.is_offline() {
            "offline"
        } else if core.is_up(component) {
            "up"
        } else {
            "silent"
        };
        ComponentStatus {
            runtime_id: component.id.0,
            name: component.name.to_string(),
            component_type: component.kind.to_string(),
            status: word.into(),
            last_heartbeat: component.heartbeat().map(Millis::rfc3339),
            last_report: component.last_report().map(Millis::rfc3339),
            series: component.series(),
            accepted_samples: component.accepted(),
            rejected_samples: component.rejected(),
            last_rejection: component.last_rejection().map(|(_, reason)| reason.into()),
        }
    };
    core.components.all().iter().map(status).collect()
}
