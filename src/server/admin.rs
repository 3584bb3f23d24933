//! Administration: retention, partitions, times to live.

use std::sync::Arc;

use super::App;
use super::core::HOURS_AHEAD;
use super::problem::{Kind, Problem, ProblemBody};
use super::reply::Reply;
use super::request::Request;
use crate::store::{Lookup, extend_component_ttl, set_metric_ttl};

/// Partitions can be made this many days ahead.
const MAX_DAYS_AHEAD: i32 = 31;
/// Longest time to live, about ten years.
const MAX_TTL_DAYS: i32 = 3660;

/// What clean-up did.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(super) struct CleanupReply {
    /// Always `ok`.
    pub status: &'static str,
    /// Partitions that were dropped.
    pub dropped_partitions: Vec<String>,
    /// How many.
    pub dropped_count: usize,
    /// Samples that were deleted one by one.
    pub deleted_samples: u64,
    /// The same in words.
    pub message: String,
}

/// Enforce retention now
#[utoipa::path(post, path = "/api/metrics/cleanup", operation_id = "cleanup", tag = "administration",
    responses(
        (status = 200, description = "Done", body = CleanupReply),
        (status = 400, description = "A parameter is wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The database is unavailable, or another run is under way", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) async fn cleanup(app: &Arc<App>, request: &Request) -> Result<Reply, Problem> {
    request.params.only(&[])?;
    let core = &app.core()?;
    let report = app.config.retention.run(&core.database, |step| tracing::info!(step, "clean-up")).await?;
    core.partitions.refresh(&core.database).await?;
    let dropped_count = report.dropped_partitions.len();
    Ok(Reply::json(&CleanupReply {
        status: "ok",
        message: format!("Dropped {dropped_count} expired metric partitions"),
        dropped_partitions: report.dropped_partitions,
        dropped_count,
        deleted_samples: report.deleted_samples,
    }))
}

/// What was made.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(super) struct PartitionsReply {
    /// Always `ok`.
    pub status: &'static str,
    /// Partitions that were made just now.
    pub created_partitions: Vec<String>,
    /// How many.
    pub created_count: usize,
    /// How many days ahead they reach.
    pub days_ahead: i32,
    /// The same in words.
    pub message: String,
}

/// Make partitions ahead
///
/// The server does this by itself, some hours ahead; this is for those who want more.
#[utoipa::path(post, path = "/api/metrics/partitions/create", operation_id = "createPartitions", tag = "administration",
    params(("days_ahead" = Option<i32>, Query, description = "Days, 7 unless said otherwise", minimum = 0, maximum = 31)),
    responses(
        (status = 200, description = "Done", body = PartitionsReply),
        (status = 400, description = "A parameter is wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The database is unavailable", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) async fn create_partitions(app: &Arc<App>, request: &Request) -> Result<Reply, Problem> {
    request.params.only(&["days_ahead"])?;
    let days_ahead: i32 = request.params.parse_as("days_ahead", "a number of days")?.unwrap_or(7);
    if !(0..=MAX_DAYS_AHEAD).contains(&days_ahead) {
        return Err(Problem::parameter("days_ahead", format!("must be between 0 and {MAX_DAYS_AHEAD}")));
    }
    let core = &app.core()?;
    let hours = (days_ahead * 24).max(HOURS_AHEAD);
    let created = core.partitions.ensure(&core.database, hours).await?;
    let created_count = created.len();
    Ok(Reply::json(&PartitionsReply {
        status: "ok",
        created_partitions: created,
        created_count,
        days_ahead,
        message: format!("Created {created_count} metric partitions"),
    }))
}

/// What was set.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(super) struct TtlReply {
    /// Always `ok`.
    pub status: &'static str,
    /// The metric.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric_name: Option<String>,
    /// The component.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component_name: Option<String>,
    /// Series that it holds for.
    pub updated_metrics: i64,
    /// Days that their samples are kept.
    pub new_ttl_days: i32,
    /// The same in words.
    pub message: String,
}

/// Keep one metric for other than the retention
///
/// Shorter or longer; takes effect at the next maintenance.
#[utoipa::path(post, path = "/api/metrics/ttl/set", operation_id = "setTtl", tag = "administration",
    params(
        ("metric_name" = String, Query, description = "Name of the metric"),
        ("ttl_days" = Option<i32>, Query, description = "Days, 1 unless said otherwise", minimum = 1, maximum = 3660),
    ),
    responses(
        (status = 200, description = "Set", body = TtlReply),
        (status = 400, description = "A parameter is wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "Unknown metric", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The database is unavailable", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) async fn set_ttl(app: &Arc<App>, request: &Request) -> Result<Reply, Problem> {
    request.params.only(&["metric_name", "ttl_days"])?;
    let name = required(request, "metric_name")?;
    let days = ttl_days(request)?;
    let updated = set_metric_ttl(&app.core()?.database, &name, days)
        .await?
        .ok_or_else(|| Problem::new(Kind::UNKNOWN_METRIC, format!("no metric has the name '{name}'")))?;
    Ok(Reply::json(&TtlReply {
        status: "ok",
        message: format!("Samples of {name} are kept for {days} days"),
        metric_name: Some(name),
        component_name: None,
        updated_metrics: updated,
        new_ttl_days: days,
    }))
}

/// Keep one component's samples longer
#[utoipa::path(post, path = "/api/metrics/ttl/extend-component", operation_id = "extendTtl", tag = "administration",
    params(
        ("component_name" = String, Query, description = "Name of the component"),
        ("ttl_days" = Option<i32>, Query, description = "Days, 1 unless said otherwise", minimum = 1, maximum = 3660),
    ),
    responses(
        (status = 200, description = "Set", body = TtlReply),
        (status = 400, description = "A parameter is wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "Unknown component", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "Several components have this name", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The database is unavailable", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) async fn extend_ttl(app: &Arc<App>, request: &Request) -> Result<Reply, Problem> {
    request.params.only(&["component_name", "ttl_days"])?;
    let name = required(request, "component_name")?;
    let days = ttl_days(request)?;
    let core = &app.core()?;
    let component = match core.components.by_name(&core.database, &name, None).await? {
        Lookup::Found(component) => component,
        Lookup::Unknown => {
            let detail = format!("Component '{name}' not found in runtime registry");
            return Err(Problem::new(Kind::UNKNOWN_COMPONENT, detail));
        }
        Lookup::Ambiguous(kinds) => {
            return Err(Problem::new(
                Kind::AMBIGUOUS,
                format!("Component '{name}' exists as {}", kinds.join(", ")),
            ));
        }
    };
    let updated = extend_component_ttl(&core.database, &component, days).await?;
    Ok(Reply::json(&TtlReply {
        status: "ok",
        message: format!("Samples of {name} are kept for {days} days"),
        metric_name: None,
        component_name: Some(name),
        updated_metrics: updated,
        new_ttl_days: days,
    }))
}

fn required(request: &Request, name: &str) -> Result<String, Problem> {
    let value = request.params.get(name)?.ok_or_else(|| Problem::parameter(name, "is missing"))?;
    Ok(value.to_owned())
}

fn ttl_days(request: &Request) -> Result<i32, Problem> {
    let days = request.params.parse_as("ttl_days", "a number of days")?.unwrap_or(1);
    if (1..=MAX_TTL_DAYS).contains(&days) {
        Ok(days)
    } else {
        Err(Problem::parameter("ttl_days", format!("must be between 1 and {MAX_TTL_DAYS}")))
    }
}
