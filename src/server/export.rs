//! `GET /api/metrics/prometheus`: the newest value of every live series.

use std::sync::Arc;

use super::App;
use super::problem::{Problem, ProblemBody};
use super::reply::Reply;
use super::request::Request;
use crate::live::{Format, Live, RenderOptions, Selector, Shard};
use crate::model::{Millis, RuntimeId};
use crate::wire::encoding::Encoding;

/// Where it is.
pub(super) const PATH: &str = "/api/metrics/prometheus";
/// The parameter by which any server answers for the active one.
pub(super) const ACTIVE: &str = "active";

/// Newest value of every live series
///
/// Text exposition 0.0.4, or OpenMetrics 1.0 where `Accept` asks for it. Each series carries the
/// labels `component` and `component_type`. A series leaves when its component has been silent for
/// the server's --stale-after. Sorted by name and labels, the same from scrape to scrape. Of several
/// servers the active one has series, so that a scraper that reads all of them finds each once;
/// `active=1` has any of them answer for it.
#[utoipa::path(get, path = "/api/metrics/prometheus", operation_id = "export", tag = "export",
    params(
        ("active" = Option<u8>, Query, description = "1 is the active server's exposition, whichever is asked: for who reads by way of a Service", minimum = 0, maximum = 1),
        ("component_name" = Option<String>, Query, description = "Only components of this name"),
        ("runtime_id" = Option<i64>, Query, description = "Only the component of this id"),
        ("shard" = Option<String>, Query, description = "Only the second of four parts, as `2/4`: each component is in one of them, the same on every server; at most 64 parts", example = "2/4"),
        ("match[]" = Option<Vec<String>>, Query, description = "Only series that one of these PromQL selectors selects"),
        ("timestamps" = Option<u8>, Query, description = "1 adds the time of each sample", minimum = 0, maximum = 1),
    ),
    responses(
        (status = 200, description = "The exposition", content_type = "text/plain", body = String),
        (status = 400, description = "A parameter is wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The server is starting, or does not know whether it is still the active one", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) async fn get(app: &Arc<App>, request: &Request) -> Result<Reply, Problem> {
    let params = &request.params;
    params.only(&[ACTIVE, "component_name", "runtime_id", "shard", "match[]", "timestamps"])?;
    let wants_the_active_one = params.flag(ACTIVE)?;
    let core = match app.core() {
        Ok(core) => Some(core),
        // The active server exports; each series must be found once.
        Err(_) if !wants_the_active_one && app.peer.load().is_some() => None,
        Err(problem) => return Err(problem),
    };
    let selectors = params
        .all("match[]")
        .map(|text| Selector::parse(text).map_err(|e| Problem::parameter("match[]", e.to_string())))
        .collect::<Result<Vec<_>, _>>()?;
    let timestamps = params.flag("timestamps")?;
    let runtime_id = params.parse_as("runtime_id", "a 64-bit integer")?.map(RuntimeId);
    let shard = params
        .get("shard")?
        .map(|text| Shard::parse(text).map_err(|why| Problem::parameter("shard", why)))
        .transpose()?;
    let component_name = params.get("component_name")?.map(str::to_owned);
    let format = Format::negotiate(request.header(http::header::ACCEPT));
    let small = core.as_ref().is_none_or(|c| c.live.len() < 2000);
    let is_active = core.is_some();
    let packed =
        !small && Encoding::accepted(request.header(http::header::ACCEPT_ENCODING)) == Encoding::Gzip;
    let render = move || {
        let options = RenderOptions {
            format,
            timestamps,
            runtime_id,
            component_name: component_name.as_deref(),
            shard,
            selectors: &selectors,
            now: Millis::now(),
            stale_after_ms: core.as_ref().map_or(0, |c| c.stale_after_ms),
        };
        match &core {
            Some(core) if packed => core.live.render_gzip(&options, &core.components.all()),
            Some(core) => core.live.render(&options, &core.components.all()),
            None => Live::default().render(&options, &[]),
        }
    };
    // A large exposition takes milliseconds, which the threads that serve requests do not have.
    let body = if small {
        render()
    } else {
        let failed = |_| Problem::new(super::problem::Kind::INTERNAL, "the exposition could not be written");
        tokio::task::spawn_blocking(render).await.map_err(failed)?
    };
    // What was made while the lease ended may be there twice.
    if is_active && app.lease_is_over() {
        let detail = "this server can't tell whether it is still the active one";
        return Err(Problem::new(super::problem::Kind::UNAVAILABLE, detail).with_header("retry-after", "1"));
    }
    let reply = Reply::new(format.content_type(), body).header("vary", "accept");
    Ok(if packed { reply.header("content-encoding", "gzip") } else { reply })
}
