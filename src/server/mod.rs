//! The HTTP API and the tasks behind it: takes reports, answers queries, exports to scrapers,
//! watches over components.
//!
//! [`run`] listens at once and answers health checks; everything else answers 503 until the
//! database was reached, its schema brought forward, and the live series read ([`core`]).

mod admin;
mod alerting;
mod auth;
mod body;
mod components;
mod core;
mod export;
mod forward;
mod health;
mod leadership;
mod listen;
mod openapi;
mod otlp;
mod outflow;
mod own;
mod pace;
pub mod page;
mod problem;
mod query;
mod rates;
mod registration;
mod remote_write;
mod reply;
mod report;
mod request;
mod room;
mod routes;
mod self_report;
mod sweeper;
mod tls;
mod trace_url;
mod view;

/// What [`crate::fuzzing`] gives bytes to.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz {
    pub(crate) use super::auth::fuzz::tokens;
    pub(crate) use super::query::fuzz::words;
}

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use tokio::net::TcpListener;
use tokio::sync::watch;
use warp::Filter;

use crate::host::{HostPaths, HostReader};
use crate::model::{Limits, Millis};
use crate::store::{Database, DatabaseSource, Retention, RuntimeOwner, Sizes, StoreError, Tenure};
use crate::tls::{ClientTls, ClientTlsConfig};

pub use self::alerting::AlertingConfig;
pub use self::auth::{AuthConfig, KubernetesAuth, ReadAccess, ServiceAccounts};
pub use self::core::Core;
pub use self::outflow::ForwardTarget;
pub use self::tls::ServerTlsConfig;
pub use self::trace_url::TraceUrl;
pub use openapi::document as openapi_document;
use request::Request;

/// How long requests may take to finish once the server is told to stop; Kubernetes kills after 30 s.
const DRAIN_FOR: Duration = Duration::from_secs(20);

/// How a server runs.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Where the database is.
    pub database: DatabaseSource,
    /// Where other servers on the same database reach this one; `None` where it is the only one.
    pub advertise_url: Option<String>,
    /// For how long a server stays active without being heard.
    pub lease_duration: Duration,
    /// Connections to PostgreSQL at most.
    pub max_connections: u32,
    /// How TLS is served; `None` for plain HTTP.
    pub tls: Option<ServerTlsConfig>,
    /// How other servers are spoken to by TLS.
    pub peer_tls: Option<ClientTlsConfig>,
    /// Who may do what.
    pub auth: AuthConfig,
    /// A component that is silent for longer leaves the exposition.
    pub stale_after: Duration,
    /// Reports of unknown components register them.
    pub register_unknown: bool,
    /// Bring the schema forward at start.
    pub migrate: bool,
    /// Who keeps `noetl.runtime`; without it, whoever made the table.
    pub runtime: Option<RuntimeOwner>,
    /// Name under which the server reports on itself.
    pub name: String,
    /// How often it does.
    pub metrics_interval: Duration,
    /// What is kept.
    pub retention: Retention,
    /// Whether the server enforces retention itself, hourly; else it is left to `maintenance`.
    pub enforce_retention: bool,
    /// What a report may hold.
    pub limits: Limits,
    /// Where traces can be looked at.
    pub trace_url: Option<TraceUrl>,
    /// Rules that are evaluated, and who is told.
    pub alerting: Option<AlertingConfig>,
    /// Where all that is stored is sent on to.
    pub forward: Vec<ForwardTarget>,
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
    /// The files of TLS can't be used.
    #[error("{0}")]
    Tls(String),
    /// The rules can't be read.
    #[error("--rules-file {0}: {1}")]
    Rules(PathBuf, String),
    /// There is no client for those that samples are sent on to.
    #[error("--forward-url: {0}")]
    Forward(String),
    /// There is no client for requests that are forwarded.
    #[error("requests can't be forwarded: {0}")]
    Client(String),
    /// The database can't be used at all.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What all requests share.
pub struct App {
    /// How the server runs.
    pub config: ServerConfig,
    /// The part that needs the database; there while this server is the active one.
    core: ArcSwapOption<Core>,
    /// The active server, where it is another one.
    peer: ArcSwapOption<forward::Peer>,
    /// The lease that this server has, and connections that write under it.
    held: parking_lot::Mutex<Option<(Arc<Tenure>, Database)>>,
    /// Until when no other server can be active; `None` where there is no other one.
    lease_ends: parking_lot::Mutex<Option<Instant>>,
    forwarder: forward::Forwarder,
    tls: Option<tls::Tls>,
    peer_tls: Option<ClientTls>,
    /// Why the core is not there yet.
    waiting_for: parking_lot::Mutex<String>,
    auth: auth::Auth,
    bodies: body::Bodies,
    own: own::OwnMetrics,
    alerting: Option<alerting::Alerting>,
    outflow: Option<outflow::Outflow>,
    host: parking_lot::Mutex<HostReader>,
    rates: rates::Rates,
    sizes: parking_lot::Mutex<Option<(Instant, Arc<Sizes>)>>,
    started: Millis,
    stopping: watch::Receiver<bool>,
}

impl App {
    /// The core, or 503 while the server starts.
    fn core(&self) -> Result<Arc<Core>, problem::Problem> {
        self.core.load_full().ok_or_else(|| {
            let reason = self.waiting_for.lock().clone();
            problem::Problem::new(problem::Kind::STARTING, reason).with_header("retry-after", "1")
        })
    }

    /// Whether another server may be active by now, though this one has not noticed yet: it may have
    /// been stopped itself meanwhile.
    fn lease_is_over(&self) -> bool {
        self.lease_ends.lock().is_some_and(|ends| Instant::now() >= ends)
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
    let database = Database::new(config.database.clone(), config.max_connections)?;
    let auth = auth::Auth::open(&config.auth)?;
    let tls = config.tls.as_ref().map(tls::Tls::open).transpose()?;
    let peer_tls = config.peer_tls.clone().map(ClientTls::open).transpose().map_err(ServerError::Tls)?;
    let own = own::OwnMetrics::new(tls.is_some());
    let alerting = config.alerting.as_ref().map(|alerting| {
        let opened = alerting::Alerting::open(alerting, own.registry());
        opened.map_err(|why| ServerError::Rules(alerting.rules_file.clone(), why))
    });
    let alerting = alerting.transpose()?;
    let outflow = outflow::Outflow::open(&config, own.registry()).map_err(ServerError::Forward)?;
    let listener =
        TcpListener::bind(config.listen).await.map_err(|e| ServerError::Listen(config.listen, e))?;
    let address = listener.local_addr().map_err(|e| ServerError::Listen(config.listen, e))?;
    let (stop, stopping) = watch::channel(false);
    let app = Arc::new(App {
        auth,
        bodies: body::Bodies::new(config.limits.body_bytes, stopping.clone()),
        own,
        alerting,
        outflow,
        host: parking_lot::Mutex::new(HostReader::new(HostPaths::default())),
        rates: rates::Rates::default(),
        sizes: parking_lot::Mutex::default(),
        core: ArcSwapOption::empty(),
        peer: ArcSwapOption::empty(),
        held: parking_lot::Mutex::default(),
        lease_ends: parking_lot::Mutex::default(),
        forwarder: forward::Forwarder::new(peer_tls.as_ref()).map_err(ServerError::Client)?,
        tls,
        peer_tls,
        waiting_for: parking_lot::Mutex::new("the database was not reached yet".into()),
        started: Millis::now(),
        stopping: stopping.clone(),
        config,
    });
    on_event(ServerEvent::Listening(address));
    let background = tokio::spawn(leadership::run(Arc::clone(&app), database.clone(), move || {
        on_event(ServerEvent::Ready);
    }));
    tracing::info!(%address, "listening");
    tokio::spawn(async move {
        shutdown.await;
        let _ = stop.send(true);
    });
    tokio::select! {
        () = listen::serve(Arc::clone(&app), listener, stopping.clone()) => {}
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

/// Writes down what components reported last, and gives the lease back; the writer's queue is empty,
/// since all requests are answered.
async fn finish(app: &App, background: tokio::task::JoinHandle<()>) {
    let core = app.core.load_full();
    background.abort();
    let _ = background.await;
    if let Some(core) = core
        && let Err(error) = core.components.save(&core.database).await
    {
        tracing::warn!(%error, "what components reported last was not written down");
    }
    let held = app.held.lock().take();
    if let Some((tenure, database)) = held
        && let Err(error) = leadership::claim(app).release(&database, &tenure).await
    {
        tracing::warn!(%error, "the lease was not given back");
    }
}

/// The one filter of a connection: warp takes the request apart, [`routes::answer`] finds the handler.
fn filter(
    app: Arc<App>,
    has_certificate: bool,
) -> impl Filter<Extract = (warp::reply::Response,), Error = warp::Rejection> + Clone {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::method()
        .and(warp::path::full())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(move |method, path: warp::path::FullPath, query: String, headers: http::HeaderMap, body| {
            let app = Arc::clone(&app);
            let request = Request::new(method, path.as_str().to_owned(), &query, headers, body)
                .with_certificate(has_certificate);
            async move {
                let accept_encoding = request.header(http::header::ACCEPT_ENCODING).to_owned();
                routes::answer(app, request).await.send(&accept_encoding).await
            }
        })
}
