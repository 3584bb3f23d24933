//! The reporter: reads its host, its own process and what workers hand over, and sends it all to
//! the server, going on through whatever happens to that.
//!
//! Tasks that never wait for each other: one collects on the schedule and puts reports into the
//! outbox, one for each target scrapes it and does the same ([`scrape`]), one sends them
//! ([`sender`]), one sends heartbeats. While the server is away one keeps them on disk ([`spool`]),
//! where it may; else the outbox holds reports up to its bound, then drops the oldest. What was
//! dropped is counted.

mod api;
mod collect;
mod config;
mod counters;
mod heartbeat;
mod outbox;
mod pace;
mod packing;
mod quiet;
mod registration;
mod schedule;
mod scrape;
mod sender;
mod spool;
mod textfile;
mod verdict;

#[cfg(test)]
mod stub;
#[cfg(test)]
mod tests;

/// What [`crate::fuzzing`] gives bytes to.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz {
    pub(crate) use super::scrape::fuzz::exposition;
    pub(crate) use super::spool::fuzz::spool;
}

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::model::Millis;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

pub use self::config::AgentConfig;
pub use self::scrape::{Keep, PodsConfig, ScrapeConfig, TargetSpec};
pub use self::spool::{SpoolConfig, prepare_spool};
pub use crate::client::ServerUrl;

use self::api::Api;
use self::collect::Collector;
use self::config::Identity;
use self::counters::Counters;
use self::outbox::Outbox;
use self::quiet::Quiet;
use self::registration::Registration;
use self::schedule::Schedule;
use self::sender::{Parts, Sender};
use self::spool::Spool;

/// From the start to the first report: long enough for CPU percentages to mean something.
const FIRST_REPORT_AFTER: Duration = Duration::from_millis(300);
/// How long the agent goes on sending after it was told to stop.
const FLUSH_WITHIN: Duration = Duration::from_secs(5);
/// How long signing off may take after that.
const SIGN_OFF_WITHIN: Duration = Duration::from_secs(2);

/// Why an agent could not run, or not go on.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The HTTP client could not be made: most likely this machine has no root certificates.
    #[error("cannot set up the HTTP client: {}; SSL_CERT_FILE may name a file of root certificates", crate::client::causes(.0))]
    Client(#[source] reqwest::Error),
    /// TLS can't be set up.
    #[error("{0}")]
    Tls(String),
    /// A task that runs as long as the agent ended before it.
    #[error("a task of the agent ended unexpectedly")]
    TaskEnded,
}

/// Runs the agent until `shutdown` resolves; then sends what it can within 5 seconds, keeps the rest on
/// disk where it may, signs off, and returns. Failures of the server do not end it.
///
/// # Errors
/// [`AgentError::Client`] and [`AgentError::Tls`] at the start; [`AgentError::TaskEnded`] where a task of it panicked.
pub async fn run(config: AgentConfig, shutdown: impl Future<Output = ()>) -> Result<(), AgentError> {
    let identity = Arc::new(Identity::of(&config));
    let api = Arc::new(Api::new(&config)?);
    let registration = Arc::new(Registration::new(&identity));
    let spool = match config.spool.clone() {
        Some(spool) => Some(Spool::open(spool, registration.clone()).await),
        None => None,
    };
    let stats = spool.as_ref().map(|spool| spool.stats().clone());
    let counters = Arc::new(Counters { spool: stats, tls: api.tls().cloned(), ..Counters::default() });
    let outbox = Arc::new(Outbox::new(config.buffer_bytes));
    let (stop, stopping) = watch::channel(false);
    tracing::info!(
        server = %config.server_url,
        "agent {} ({}) reports every {:?}",
        identity.name, identity.kind, config.metrics_interval
    );

    // Both end with the set, should this future be dropped.
    let mut tasks = JoinSet::new();
    let parts = Parts {
        api: api.clone(),
        registration: registration.clone(),
        outbox: outbox.clone(),
        spool: spool.clone(),
        counters: counters.clone(),
        stopping: stopping.clone(),
    };
    let (sender, away) = Sender::new(parts, &config);
    tasks.spawn(sender.run());
    if let Some(spool) = spool.clone() {
        tasks.spawn(spool.keep(outbox.clone(), away, stopping.clone()));
    }
    tasks.spawn(heartbeat::run(
        api.clone(),
        registration.clone(),
        counters.clone(),
        config.heartbeat_interval,
        stopping,
    ));

    let result = tokio::select! {
        never = collect_all(&config, identity.clone(), counters.clone(), outbox.clone()) => match never {},
        ended = scrape::run(&config, identity, counters, outbox.clone()) => match ended {
            Err(e) => Err(e),
        },
        _ = tasks.join_next() => Err(AgentError::TaskEnded),
        () = shutdown => Ok(()),
    };
    stop.send_replace(true);
    outbox.close();
    flush(&mut tasks).await;
    keep_the_rest(spool.as_ref(), &outbox).await;
    sign_off(&registration, &api).await;
    result
}

/// Collects once soon, then on the schedule.
async fn collect_all(
    config: &AgentConfig,
    identity: Arc<Identity>,
    counters: Arc<Counters>,
    outbox: Arc<Outbox>,
) -> std::convert::Infallible {
    let schedule = Schedule::new(config.metrics_interval, &identity.name);
    let drops = Quiet::new(Duration::from_secs(30));
    let new = || Collector::new(config, identity.clone(), counters.clone(), outbox.clone());
    let mut collector = new();
    sleep(FIRST_REPORT_AFTER.min(config.metrics_interval)).await;
    loop {
        // On a thread that may block, which also keeps a panic from ending the agent.
        let collected = tokio::task::spawn_blocking(move || {
            let result = collector.run();
            (collector, result)
        });
        match collected.await {
            Ok((same, result)) => {
                collector = same;
                match result {
                    Ok(dropped) => note_dropped(dropped, &counters, &drops),
                    Err(e) => tracing::error!("a collection could not be packed: {e}"),
                }
            }
            Err(e) => {
                tracing::error!("a collection failed: {e}");
                collector = new();
            }
        }
        sleep(schedule.wait(Millis::now().0)).await;
    }
}

fn note_dropped(dropped: usize, counters: &Counters, drops: &Quiet) {
    if dropped == 0 {
        return;
    }
    counters.dropped_for_room.fetch_add(dropped as u64, Relaxed);
    if let Some(count) = drops.note(dropped as u64) {
        tracing::error!(
            reports = count,
            "the memory for reports is full (--buffer-bytes), the oldest are dropped"
        );
    }
}

/// Waits for the tasks to send what is left, but not for long.
async fn flush(tasks: &mut JoinSet<()>) {
    let all = async { while tasks.join_next().await.is_some() {} };
    if timeout(FLUSH_WITHIN, all).await.is_err() {
        tasks.shutdown().await;
    }
}

/// Keeps on disk what could not be sent, and says what becomes of it.
async fn keep_the_rest(spool: Option<&Spool>, outbox: &Outbox) {
    if let Some(spool) = spool {
        spool.disk().await.keep(outbox).await;
        let samples = spool.samples();
        if samples > 0 {
            tracing::info!(samples, "the spool holds what was not sent, the next start sends it");
        }
    }
    let lost = outbox.unspooled(usize::MAX).len();
    if lost > 0 {
        tracing::error!(reports = lost, "stopped before all reports were sent, the rest is lost");
    }
}

async fn sign_off(registration: &Registration, api: &Api) {
    match timeout(SIGN_OFF_WITHIN, registration.end(api)).await {
        Ok(Ok(())) => {}
        Ok(Err(e)) => tracing::debug!("could not sign off: {e}"),
        Err(_) => tracing::debug!("could not sign off in time"),
    }
}
