//! Which path and method is answered by which handler; the one list of all endpoints.

use std::sync::Arc;
use std::time::Instant;

use http::Method;
use http::header::AUTHORIZATION;

use super::auth::{Access, Asked, Right};
use super::problem::{Kind, Problem};
use super::reply::Reply;
use super::request::Request;
use super::tls::Tls;
use super::{
    App, admin, components, export, forward, health, openapi, otlp, query, registration, remote_write,
    report, self_report, view,
};

/// An endpoint: method, path, access, and one line of help.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    /// Method.
    pub method: &'static str,
    /// Path as the API's description writes it.
    pub path: &'static str,
    /// What it needs of its caller.
    pub access: Access,
    /// One line of help.
    pub help: &'static str,
}

const fn open(method: &'static str, path: &'static str, help: &'static str) -> Route {
    Route { method, path, access: Access::Open, help }
}

const fn read(method: &'static str, path: &'static str, help: &'static str) -> Route {
    Route { method, path, access: Access::Needs(Right::Read), help }
}

const fn write(method: &'static str, path: &'static str, help: &'static str) -> Route {
    Route { method, path, access: Access::Needs(Right::Write), help }
}

const fn admin(method: &'static str, path: &'static str, help: &'static str) -> Route {
    Route { method, path, access: Access::Needs(Right::Admin), help }
}

/// The pages for people, all as one.
pub(super) const PAGES: Asked = Asked { access: Access::Needs(Right::Read), method: "GET", path: "/" };

/// Every endpoint but the pages for people, with what it needs of its caller.
pub(super) const ROUTES: &[Route] = &[
    write("POST", "/api/metrics/report", "report samples of one component"),
    write("POST", remote_write::PATH, "Prometheus remote write, 1.0 and 2.0"),
    write("POST", otlp::PATH, "metrics of OpenTelemetry, OTLP/HTTP"),
    read("GET", "/api/metrics/query", "stored samples, newest first, or aggregated in steps"),
    read("GET", "/api/metrics/exemplars", "stored exemplars, of series, a trace or an execution"),
    read("GET", export::PATH, "newest value of every live series, for scrapers"),
    read("GET", "/api/metrics/components", "every component: kind, status, last report, series"),
    write("POST", "/api/metrics/self-report", "the server reports its own system metrics now"),
    admin("POST", "/api/metrics/cleanup", "enforce retention now"),
    admin("POST", "/api/metrics/partitions/create", "make partitions ahead"),
    admin("POST", "/api/metrics/ttl/set", "keep one metric for other than the retention"),
    admin("POST", "/api/metrics/ttl/extend-component", "keep one component's samples longer"),
    write("POST", "/api/worker/pool/register", "register a component, or bring it up to date"),
    write("POST", "/api/worker/pool/heartbeat", "heartbeat of a component, may carry metrics"),
    write("POST", "/heartbeat", "the same, under its older path"),
    write("POST", "/api/worker/pool/deregister", "mark a component offline"),
    write("DELETE", "/api/worker/pool/deregister", "the same, as NoETL's server has it"),
    read("GET", "/api/worker/pools", "registered components"),
    open("GET", "/livez", "whether the process is alive"),
    open("GET", "/readyz", "whether it can do its work; ?verbose for people"),
    read("GET", "/metrics", "metrics of this process itself"),
    open("GET", "/openapi.json", "description of this API"),
    open("GET", "/problems/{kind}", "what a kind of error means"),
];

/// Answers a request; every error is a problem.
pub(super) async fn answer(app: Arc<App>, mut request: Request) -> Reply {
    let began = Instant::now();
    let endpoint = endpoint(&request.path);
    let reply = match dispatch(&app, &mut request, endpoint).await {
        Ok(reply) => reply,
        Err(problem) => {
            let problem =
                if endpoint == remote_write::PATH { remote_write::retried(problem) } else { problem };
            tracing::debug!(
                path = request.path,
                status = problem.status(),
                detail = problem.detail(),
                "refused"
            );
            if endpoint == otlp::PATH { otlp::refused(&request, problem) } else { problem.into_reply() }
        }
    };
    app.own.answered(endpoint, &request.method, reply.status, began.elapsed());
    reply
}

/// The path as the list writes it; empty where there is no such endpoint.
fn endpoint(path: &str) -> &'static str {
    let path = if path == "/healthz" { "/livez" } else { path };
    let same = |route: &&Route| match route.path.split_once("{kind}") {
        Some((prefix, _)) => {
            path.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty() && !rest.contains('/'))
        }
        None => route.path == path,
    };
    ROUTES.iter().find(same).map_or("", |route| route.path)
}

async fn dispatch(app: &Arc<App>, request: &mut Request, endpoint: &str) -> Result<Reply, Problem> {
    let lacks_certificate = !request.has_certificate && app.tls.as_ref().is_some_and(Tls::needs_certificate);
    if lacks_certificate && !health::is_probe(endpoint) {
        return Err(Problem::new(Kind::NO_CERTIFICATE, "the caller showed no certificate"));
    }
    if !forward::is_local(endpoint, &request.params)
        && let Some(peer) = app.peer.load_full()
    {
        return forward::forward(app, &peer, request).await;
    }
    if endpoint.is_empty() {
        if let Some(page) = view::answer(app, request).await {
            return Ok(page);
        }
        return Err(Problem::new(Kind::NOT_FOUND, format!("nothing is at {}", clip(&request.path))));
    }
    let method = if request.method == Method::HEAD { Method::GET } else { request.method.clone() };
    let route = ROUTES.iter().find(|r| r.path == endpoint && *r.method == method);
    let Some(route) = route else {
        let allowed: Vec<&str> = ROUTES.iter().filter(|r| r.path == endpoint).map(|r| r.method).collect();
        let allowed = allowed.join(", ").replace("GET", "GET, HEAD");
        let detail = format!("{} is not allowed here, {allowed} is", clip(method.as_str()));
        return Err(Problem::new(Kind::METHOD, detail).with_header("allow", allowed));
    };
    let asked = Asked { access: route.access, method: route.method, path: route.path };
    let caller = &app.auth.caller(request.header(AUTHORIZATION), asked).await?;
    match (route.method, route.path) {
        ("POST", "/api/metrics/report") => report::post(app, caller, request).await,
        ("POST", remote_write::PATH) => remote_write::post(app, caller, request).await,
        ("POST", otlp::PATH) => otlp::post(app, caller, request).await,
        ("GET", "/api/metrics/query") => query::get(app, request).await,
        ("GET", "/api/metrics/exemplars") => query::exemplars::get(app, request).await,
        ("GET", export::PATH) => export::get(app, request).await,
        ("GET", "/api/metrics/components") => components::get(app, request),
        ("POST", "/api/metrics/self-report") => self_report::post(app, caller, request).await,
        ("POST", "/api/metrics/cleanup") => admin::cleanup(app, request).await,
        ("POST", "/api/metrics/partitions/create") => admin::create_partitions(app, request).await,
        ("POST", "/api/metrics/ttl/set") => admin::set_ttl(app, request).await,
        ("POST", "/api/metrics/ttl/extend-component") => admin::extend_ttl(app, request).await,
        ("POST", "/api/worker/pool/register") => registration::register(app, caller, request).await,
        ("POST", "/api/worker/pool/heartbeat" | "/heartbeat") => {
            registration::heartbeat(app, caller, request).await
        }
        (_, "/api/worker/pool/deregister") => registration::deregister(app, caller, request).await,
        ("GET", "/api/worker/pools") => registration::list(app, request).await,
        ("GET", "/livez") => health::livez(app, request),
        ("GET", "/readyz") => health::readyz(app, request).await,
        ("GET", "/metrics") => Ok(app.own.render(app)),
        ("GET", "/openapi.json") => Ok(Reply::new("application/json", openapi::document())),
        _ => health::problem(&request.path),
    }
}

fn clip(text: &str) -> &str {
    text.get(..text.floor_char_boundary(80)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_find_their_endpoint() {
        assert_eq!(endpoint("/api/metrics/report"), "/api/metrics/report");
        assert_eq!(endpoint("/problems/not-found"), "/problems/{kind}");
        assert_eq!(endpoint("/problems/"), "");
        assert_eq!(endpoint("/api/metrics/report/"), "");
        assert_eq!(endpoint("/healthz"), "/livez");
    }
}
