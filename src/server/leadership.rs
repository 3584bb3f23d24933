//! Of several servers on one database one is active; the others forward to it ([`super::forward`])
//! and take over when it is gone.
//!
//! The lease is a row of the database ([`crate::store::Claim`]). A server without
//! `--advertise-url` is the only one: it takes the lease from whoever has it, once, at its start.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::core::Core;
use super::forward::Peer;
use super::{App, alerting, outflow, sweeper};
use crate::store::{Claim, Claimed, Database, Renewed, Tenure, Watch};

/// How often a server that is not active looks whether it may be.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often what failed is tried again.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// The claim of this process.
pub(super) fn claim(app: &App) -> Claim {
    let config = &app.config;
    let holder = format!("{} {} {}", config.name, std::process::id(), app.started.0);
    Claim { holder, url: config.advertise_url.clone(), duration: config.lease_duration }
}

/// Reaches the database, however long it takes, then is active or waits to be, until it is aborted.
/// `on_ready` is told when this server can answer requests, itself or by forwarding them.
pub(super) async fn run(app: Arc<App>, database: Database, on_ready: impl Fn() + Send + 'static) {
    let claim = claim(&app);
    let mut prepared = false;
    let mut by_force = claim.url.is_none();
    let mut watch = Watch::default();
    loop {
        let mut asked = Instant::now();
        let claimed = async {
            if !prepared {
                Core::prepare(&app.config, &database).await?;
                prepared = true;
            }
            asked = Instant::now();
            claim.take(&database, &mut watch, by_force).await
        };
        match claimed.await {
            Ok(Claimed::Held(tenure)) => {
                by_force = false;
                app.peer.store(None);
                tracing::info!(epoch = tenure.epoch, "this server is active");
                let tenure = Arc::new(tenure);
                let database = database.under(Arc::clone(&tenure));
                *app.held.lock() = Some((Arc::clone(&tenure), database.clone()));
                let why = tokio::select! {
                    why = hold(&app, &claim, &database, &tenure, asked) => why,
                    () = work(&app, &database, &on_ready) => "",
                };
                app.core.store(None);
                *app.held.lock() = None;
                tracing::warn!(epoch = tenure.epoch, "this server is not active any more: {why}");
                why.clone_into(&mut app.waiting_for.lock());
                // What was put back may be of an older version.
                prepared = false;
            }
            Ok(Claimed::ByOther(Some(url))) => {
                if app.peer.swap(Some(Arc::new(Peer { url: url.clone() }))).is_none() {
                    tracing::info!(url, "another server is active; requests are forwarded to it");
                    on_ready();
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Ok(Claimed::ByOther(None)) => {
                "another server, which has no --advertise-url, is active"
                    .clone_into(&mut app.waiting_for.lock());
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Err(error) => {
                tracing::warn!(%error, "not ready; trying again");
                app.peer.store(None);
                *app.waiting_for.lock() = error.to_string();
                tokio::time::sleep(RETRY_EVERY).await;
            }
        }
    }
}

/// Fills memory from the database, then sweeps, evaluates rules and sends samples on. Does not end.
async fn work(app: &Arc<App>, database: &Database, on_ready: &impl Fn()) {
    loop {
        match Core::open(&app.config, database.clone()).await {
            Ok(core) => {
                tracing::info!(series = core.live.len(), "ready");
                let core = Arc::new(core);
                app.core.store(Some(Arc::clone(&core)));
                on_ready();
                tokio::join!(
                    Box::pin(sweeper::run(app, &core)),
                    Box::pin(alerting::run(app, &core)),
                    Box::pin(outflow::run(app, &core))
                );
            }
            Err(error) => {
                tracing::warn!(%error, "not ready; trying again");
                *app.waiting_for.lock() = error.to_string();
                tokio::time::sleep(RETRY_EVERY).await;
            }
        }
    }
}

/// Renews the lease, which was asked for at `asked`; ends when another server has it, or may have it:
/// where there are others, a server that could not renew in time must not export beside the one that
/// took over. Its writes would fail in any case. So they would where the database was put back to an
/// earlier state. Returns why it ends.
async fn hold(
    app: &App,
    claim: &Claim,
    database: &Database,
    tenure: &Tenure,
    asked: Instant,
) -> &'static str {
    let has_others = claim.url.is_some();
    let mut until = asked + claim.duration;
    loop {
        *app.lease_ends.lock() = has_others.then_some(until);
        let left = if has_others { until.saturating_duration_since(Instant::now()) } else { claim.duration };
        tokio::time::sleep(left.min(claim.duration / 4)).await;
        let began = Instant::now();
        let left = if has_others { until.saturating_duration_since(began) } else { claim.duration };
        match tokio::time::timeout(left, claim.renew(database, tenure)).await {
            Ok(Ok(Renewed::Held)) => until = began + claim.duration,
            Ok(Ok(Renewed::ByOther)) => return "another server took over",
            Ok(Ok(Renewed::PutBack)) => return "the database was put back to an earlier state",
            Ok(Err(error)) => tracing::warn!(%error, "the lease could not be renewed"),
            Err(_) => tracing::warn!("the lease could not be renewed in time"),
        }
        if has_others && Instant::now() >= until {
            return "the lease is over";
        }
    }
}
