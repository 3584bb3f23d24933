//! The HTTP API and the tasks behind it: takes reports, answers queries, exports to scrapers,
//! watches over components.
//!
//! [`run`] listens at once and answers health checks; everything else answers 503 until the
//! database was reached, its schema brought forward, and the live series read ([`core`]).

mod admin;
mod auth;
mod body;
mod components;
mod core;
mod export;
mod health;
mod openapi;
mod own;
pub mod page;
mod problem;
mod query;
mod rates;
mod registration;
mod reply;
mod report;
mod request;
mod routes;
mod self_report;
mod sweeper;
mod view;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::watch;
use warp::Filter;

use crate::host::{HostPaths, HostReader};
use crate::model::{Limits, Millis};
use crate::store::{Database, Sizes, StoreError};

pub use self::core::Core;
pub use openapi::document as openapi_document;
use request::Request;

/// How long requests may take to finish once the server is told to stop; Kubernetes kills after 30 s.
const DRAIN_FOR: Duration = Duration::from_secs(20);

/// How a server runs.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// `postgres://…`.
    pub database_url: String,
    /// Connections to PostgreSQL at most.
    pub max_connections: u32,
    /// File with one token a line; writes need one of them. `None` lets everyone write.
    pub auth_token_file: Option<PathBuf>,
    /// A component that is silent for longer leaves the exposition.
    pub stale_after: Duration,
    /// Reports of unknown components register them.
    pub register_unknown: bool,
    /// Bring the schema forward at start.
    pub migrate: bool,
    /// Name under which the server reports on itself.
    pub name: String,
    /// How often it does.
    pub metrics_interval: Duration,
    /// Retention that the server enforces itself, hourly; `None` leaves it to `maintenance`.
    pub retention_raw: Option<Duration>,
    /// What a report may hold.
    pub limits: Limits,
    /// Flags that differ from their defaults, secrets masked, for the status page.
    pub changed_flags: Vec<page::data::Flag>,
}

/// What a server tells its caller as it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerEvent {
    /// It listens on this address.
    Listening(SocketAddr),
    /// It can do its work.
    Ready,
}

/// Why a server ended, or did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address can't be listened on.
    #[error("--listen {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// The token file can't be read.
    #[error("--auth-token-file {0}: {1}")]
    Tokens(PathBuf, String),
    /// The database can't be used at all.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What all requests share.
pub struct App {
    /// How the server runs.
    pub config: ServerConfig,
    /// The part that needs the database; not there while the server starts.
    core: OnceLock<Arc<Core>>,
    /// Why the core is not there yet.
    waiting_for: parking_lot::Mutex<String>,
    auth: auth::Auth,
    bodies: body::Bodies,
    own: own::OwnMetrics,
    host: parking_lot::Mutex<HostReader>,
    rates: rates::Rates,
    sizes: parking_lot::Mutex<Option<(Instant, Arc<Sizes>)>>,
    started: Millis,
    stopping: watch::Receiver<bool>,
}

impl App {
    /// The core, or 503 while the server starts.
    fn core(&self) -> Result<&Arc<Core>, problem::Problem> {
        self.core.get().ok_or_else(|| {
            let reason = self.waiting_for.lock().clone();
            problem::Problem::new(problem::Kind::STARTING, reason).with_header("retry-after", "1")
        })
    }

    fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }
}

/// Runs a server until `shutdown` is done: then it takes no new connections, finishes what it has,
/// and returns. `on_event` is told the address, which matters for port 0, and when it is ready.
pub async fn run(
    config: ServerConfig,
    on_event: impl Fn(ServerEvent) + Send + Sync + 'static,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServerError> {
    let database = Database::new(&config.database_url, config.max_connections)?;
    let auth = auth::Auth::open(config.auth_token_file.as_deref())?;
    let listener =
        TcpListener::bind(config.listen).await.map_err(|e| ServerError::Listen(config.listen, e))?;
    let address = listener.local_addr().map_err(|e| ServerError::Listen(config.listen, e))?;
    let (stop, stopping) = watch::channel(false);
    let app = Arc::new(App {
        auth,
        bodies: body::Bodies::new(config.limits.body_bytes, stopping.clone()),
        own: own::OwnMetrics::new(),
        host: parking_lot::Mutex::new(HostReader::new(HostPaths::default())),
        rates: rates::Rates::default(),
        sizes: parking_lot::Mutex::default(),
        core: OnceLock::new(),
        waiting_for: parking_lot::Mutex::new("the database was not reached yet".into()),
        started: Millis::now(),
        stopping: stopping.clone(),
        config,
    });
    on_event(ServerEvent::Listening(address));
    let background =
        tokio::spawn(start(Arc::clone(&app), database.clone(), move || on_event(ServerEvent::Ready)));
    tracing::info!(%address, "listening");
    tokio::spawn(async move {
        shutdown.await;
        let _ = stop.send(true);
    });
    let serve =
        warp::serve(filter(Arc::clone(&app))).incoming(listener).graceful(when(stopping.clone())).run();
    tokio::select! {
        () = serve => {}
        () = overdue(stopping) => tracing::warn!("stopping without those that still read or send"),
    }
    finish(&app, background).await;
    database.close().await;
    Ok(())
}

/// Resolves when the server is to stop.
async fn when(mut stopping: watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// Resolves when requests had long enough to finish after the server was told to stop.
async fn overdue(stopping: watch::Receiver<bool>) {
    when(stopping).await;
    tokio::time::sleep(DRAIN_FOR).await;
}

/// Writes down what components reported last; the writer's queue is empty, since all requests are
/// answered.
async fn finish(app: &App, background: tokio::task::JoinHandle<()>) {
    background.abort();
    if let Some(core) = app.core.get()
        && let Err(error) = core.components.save(&core.database).await
    {
        tracing::warn!(%error, "what components reported last was not written down");
    }
}

/// Reaches the database, however long it takes, then sweeps until the end.
async fn start(app: Arc<App>, database: Database, on_ready: impl Fn() + Send + 'static) {
    loop {
        match Core::open(&app.config, database.clone()).await {
            Ok(core) => {
                tracing::info!(series = core.live.len(), "ready");
                let core = Arc::new(core);
                let _ = app.core.set(Arc::clone(&core));
                on_ready();
                sweeper::run(&app, &core).await;
                return;
            }
            Err(error) => {
                tracing::warn!(%error, "not ready; trying again");
                *app.waiting_for.lock() = error.to_string();
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// The one filter: warp takes the request apart, [`routes::answer`] finds the handler.
fn filter(app: Arc<App>) -> impl Filter<Extract = (warp::reply::Response,), Error = warp::Rejection> + Clone {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::method()
        .and(warp::path::full())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(move |method, path: warp::path::FullPath, query: String, headers: http::HeaderMap, body| {
            let app = Arc::clone(&app);
            let request = Request::new(method, path.as_str().to_owned(), &query, headers, body);
            async move {
                let accept_encoding = request.header(http::header::ACCEPT_ENCODING).to_owned();
                routes::answer(app, request).await.send(&accept_encoding).await
            }
        })
}
