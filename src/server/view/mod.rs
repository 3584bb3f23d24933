//! Answers for people: fills the pages' data from what the server holds.

mod components;
mod explorer;
mod overview;
mod status;
mod targets;

use std::sync::Arc;

use http::StatusCode;

use super::App;
use super::auth::PASSWORD;
use super::core::Core;
use super::page::{self, Format, Page, View, data::Shell};
use super::problem::{Kind, Problem};
use super::reply::Reply;
use super::request::Request;
use super::routes::PAGES;
use crate::model::Millis;

/// Answers a page or one of its assets, which are open; `None` where the path is none.
pub(super) async fn answer(app: &Arc<App>, request: &Request) -> Option<Reply> {
    let asked = page::route(&request.path, &request.query)?;
    if request.method != http::Method::GET && request.method != http::Method::HEAD {
        let refused = Problem::new(Kind::METHOD, "a page can only be read").with_header("allow", "GET, HEAD");
        return Some(refused.into_reply());
    }
    if let Ok(Page::Asset { file }) = &asked {
        let known = request.headers.get(http::header::IF_NONE_MATCH).and_then(|v| v.to_str().ok());
        return page::assets::respond(file, known).map(reply);
    }
    if let Err(refused) = app.auth.caller(request.header(http::header::AUTHORIZATION), PAGES).await {
        let is_unknown = refused.status() == 401;
        let reply = refused.into_reply();
        return Some(if is_unknown { reply.header("www-authenticate", PASSWORD) } else { reply });
    }
    let shell = shell(app);
    let accept = request.headers.get(http::header::ACCEPT).and_then(|v| v.to_str().ok());
    let partial = request.header("hx-request-type") == "partial";
    let format = match page::format(&request.query, accept, partial) {
        Ok(format) => format,
        Err(error) => return Some(wrong(&error, &shell, Format::Html)),
    };
    Some(match asked {
        Err(error) => wrong(&error, &shell, format),
        Ok(asked) => match fill(app, asked).await {
            Ok(Some(view)) => reply(page::respond(&view, &shell, format)),
            Ok(None) => {
                let detail = "There is no component with this id. It may have been removed.";
                explain(Problem::new(Kind::NOT_FOUND, detail), &shell, format)
            }
            Err(problem) => explain(problem, &shell, format),
        },
    })
}

/// An error: a page for people, the API's own form for programs.
fn explain(problem: Problem, shell: &Shell, format: Format) -> Reply {
    match format {
        Format::Json => problem.into_reply(),
        _ => reply(page::problem(problem.status(), problem.title(), problem.detail(), shell, format)),
    }
}

/// The view of a page; `None` where what it is about does not exist.
async fn fill(app: &App, asked: Page) -> Result<Option<View>, Problem> {
    let core = &app.core()?;
    Ok(match asked {
        Page::Overview => Some(View::Overview(overview::fill(app, core).await?)),
        Page::Components(query) => Some(View::Components(components::list(core, query))),
        Page::Component { runtime_id, query } => {
            let trace_url = app.config.trace_url.as_ref();
            let data = components::one(core, runtime_id, query, trace_url).await?;
            data.map(|data| View::Component(Box::new(data)))
        }
        Page::Explorer(query) => Some(View::Explorer(explorer::fill(core, query))),
        Page::Status => Some(View::Status(status::fill(app, core).await?)),
        Page::Asset { .. } => None,
    })
}

fn wrong(error: &page::QueryError, shell: &Shell, format: Format) -> Reply {
    explain(Problem::new(Kind::PARAMETER, error.to_string()), shell, format)
}

fn shell(app: &App) -> Shell {
    let now = Millis::now();
    let mut notices = Vec::new();
    match app.core() {
        Err(problem) => notices.push(format!("The server is not ready: {}", problem.detail())),
        Ok(core) if !core.partitions.hold(now) => {
            notices.push("There is no partition for this hour: samples go to the late table.".to_owned());
        }
        Ok(_) => {}
    }
    if !app.auth.is_on() && !app.config.listen.ip().is_loopback() {
        notices.push("Whoever reaches this address may write and administer: neither --auth-token-file nor --auth-kubernetes-audience is set.".to_owned());
    }
    Shell {
        version: env!("CARGO_PKG_VERSION").into(),
        instance: app.config.name.clone(),
        uptime_seconds: uptime(app, now),
        now_ms: now.0,
        notices,
    }
}

fn uptime(app: &App, now: Millis) -> u64 {
    u64::try_from(now.since(app.started) / 1000).unwrap_or(0)
}

fn reply(rendered: page::Rendered) -> Reply {
    let status = StatusCode::from_u16(rendered.status).unwrap_or(StatusCode::OK);
    let mut reply = Reply::new(rendered.content_type, rendered.body).status(status);
    for (name, value) in rendered.headers {
        reply = reply.header(name, value);
    }
    reply
}

/// Sizes are summed over the catalogue; a page that refreshes itself gets them at most this old.
const SIZES_FOR: std::time::Duration = std::time::Duration::from_secs(10);

/// The sizes of what is stored, now or a moment ago.
async fn sizes(app: &App, core: &Core) -> Result<Arc<crate::store::Sizes>, Problem> {
    if let Some((at, sizes)) = &*app.sizes.lock()
        && at.elapsed() < SIZES_FOR
    {
        return Ok(Arc::clone(sizes));
    }
    let fresh = Arc::new(crate::store::Sizes::read(&core.database).await?);
    *app.sizes.lock() = Some((std::time::Instant::now(), Arc::clone(&fresh)));
    Ok(fresh)
}
