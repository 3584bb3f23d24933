//! `/livez`, `/readyz`, and what kinds of errors mean.

use std::fmt::Write as _;
use std::sync::Arc;

use http::StatusCode;

use super::App;
use super::problem::{Kind, Problem, ProblemBody};
use super::reply::Reply;
use super::request::Request;

/// Whether the process is alive
///
/// Needs nothing but the process: a database that is away is no reason to restart it.
#[utoipa::path(get, path = "/livez", operation_id = "livez", tag = "health",
    params(("verbose" = Option<String>, Query, description = "Lists each check")),
    responses(
        (status = 200, description = "Alive", body = String, content_type = "text/plain"),
        (status = 400, description = "A parameter is wrong", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) fn livez(_: &App, request: &Request) -> Result<Reply, Problem> {
    request.params.only(&["verbose"])?;
    Ok(answer(&[("process", Ok(()))], request))
}

/// Whether the server can do its work
#[utoipa::path(get, path = "/readyz", operation_id = "readyz", tag = "health",
    params(("verbose" = Option<String>, Query, description = "Lists each check")),
    responses(
        (status = 200, description = "Ready", body = String, content_type = "text/plain"),
        (status = 400, description = "A parameter is wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Not ready; the body says why", body = String, content_type = "text/plain"),
    ))]
pub(super) async fn readyz(app: &Arc<App>, request: &Request) -> Result<Reply, Problem> {
    request.params.only(&["verbose"])?;
    let mut checks =
        vec![("shutdown", if app.is_stopping() { Err("the server is stopping".to_owned()) } else { Ok(()) })];
    match app.core() {
        Ok(core) => {
            checks.push(("started", Ok(())));
            checks.push(("database", core.database.ping().await.map_err(|e| e.to_string())));
            let ahead = core.partitions.hold(crate::model::Millis::now());
            let partitions = if ahead { Ok(()) } else { Err("there is no partition for now".to_owned()) };
            checks.push(("partitions", partitions));
            let writer = if core.writer.is_alive() { Ok(()) } else { Err("it ended".to_owned()) };
            checks.push(("writer", writer));
        }
        Err(_) if app.peer.load().is_some() => {
            checks.push(("started", Ok(())));
            checks.push(("standby", Ok(())));
        }
        Err(problem) => checks.push(("started", Err(problem.detail().to_owned()))),
    }
    Ok(answer(&checks, request))
}

/// Whether probes of Kubernetes ask this, which have neither token nor certificate.
pub(super) fn is_probe(endpoint: &str) -> bool {
    matches!(endpoint, "/livez" | "/readyz")
}

fn answer(checks: &[(&str, Result<(), String>)], request: &Request) -> Reply {
    let failed = checks.iter().any(|(_, result)| result.is_err());
    let verbose = request.params.all("verbose").next().is_some();
    let mut text = String::new();
    for (name, result) in checks {
        let _ = match result {
            Ok(()) if !verbose && !failed => continue,
            Ok(()) => writeln!(text, "[+]{name} ok"),
            Err(reason) => writeln!(text, "[-]{name} failed: {reason}"),
        };
    }
    text.push_str(if failed { "not ready\n" } else { "ok\n" });
    let status = if failed { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    Reply::new("text/plain; charset=utf-8", text).status(status)
}

/// What a kind of error means
#[utoipa::path(get, path = "/problems/{kind}", operation_id = "problem", tag = "health",
    params(("kind" = String, Path, description = "Last part of a problem's type")),
    responses(
        (status = 200, description = "Its meaning, and what to do", body = String, content_type = "text/plain"),
        (status = 404, description = "No such kind", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) fn problem(path: &str) -> Result<Reply, Problem> {
    let slug = path.rsplit('/').next().unwrap_or_default();
    let kind = Kind::ALL.iter().find(|k| k.slug == slug);
    let kind = kind.ok_or_else(|| Problem::new(Kind::NOT_FOUND, "there is no such kind of problem"))?;
    let text = format!("{} ({})\n\n{}\n", kind.title, kind.status, kind.advice);
    Ok(Reply::new("text/plain; charset=utf-8", text))
}
