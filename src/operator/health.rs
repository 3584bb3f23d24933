//! `/livez`, `/readyz`, `/metrics` of the operator itself.

use std::sync::Arc;

use http::{Response, StatusCode};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use warp::Filter;

use super::metrics::Metrics;

/// Whether the operator can do its work: both replicas can, though only one acts.
pub(super) struct Readiness(Mutex<Result<(), String>>);

impl Readiness {
    /// Not ready, since it starts.
    pub(super) fn new() -> Self {
        Self(Mutex::new(Err("starting".to_owned())))
    }

    /// Says how it is now.
    pub(super) fn set(&self, state: Result<(), String>) {
        *self.0.lock() = state;
    }

    fn get(&self) -> Result<(), String> {
        self.0.lock().clone()
    }
}

/// Answers until `stop` resolves.
pub(super) async fn serve(
    listener: TcpListener,
    readiness: Arc<Readiness>,
    metrics: Arc<Metrics>,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    let livez = warp::path!("livez").map(|| text(StatusCode::OK, "ok\n".into()));
    let readyz = warp::path!("readyz").map(move || match readiness.get() {
        Ok(()) => text(StatusCode::OK, "ok\n".into()),
        Err(reason) => text(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n").into()),
    });
    let own = warp::path!("metrics").map(move || text(StatusCode::OK, metrics.render()));
    warp::serve(warp::get().and(livez.or(readyz).unify().or(own).unify()))
        .incoming(listener)
        .graceful(stop)
        .run()
        .await;
}

fn text(status: StatusCode, body: Vec<u8>) -> Response<Vec<u8>> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let kind = http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    response
}
