//! Targets that are scraped: NoETL's workers and servers, which expose `/metrics` and push nothing.
//!
//! Each target has a task of its own ([`target`]) that fetches ([`fetch`]), reads and filters
//! ([`body`], [`keep`]), finds out which component it is ([`identity`]), makes the guide's metrics
//! of it ([`guide`]) and puts a report for that component into the agent's outbox. How many fetch
//! at once is bounded, and targets that failed wait in a lane of their own ([`lanes`]), so that
//! slow ones take nothing from the others. Pods of the node come and go ([`pods`], [`fleet`]). What
//! became of each scrape is reported as metrics of the agent ([`own`]).
//!
//! A target can do no more than fail: its body, samples, time and labels are bounded, redirects
//! are not followed, and a text that breaks the format is refused whole.

mod body;
mod config;
mod ended;
mod fetch;
mod fleet;
#[cfg(any(test, feature = "fuzzing"))]
#[path = "../../../fuzz/exposition.rs"]
pub(crate) mod fuzz;
mod guide;
mod identity;
mod keep;
mod lanes;
mod noetl;
mod own;
mod pods;
mod process;
mod queues;
mod signals;
mod source;
mod target;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

pub use self::config::{ScrapeConfig, TargetSpec};
pub use self::keep::Keep;
pub use self::pods::PodsConfig;
pub(super) use self::source::Source;

use self::ended::Had;
use self::fetch::Fetcher;
use self::lanes::Lanes;
use self::noetl::Workers;
use self::own::Scoreboard;
use self::process::Listeners;
use self::queues::Queues;
use self::target::Target;
use super::AgentError;
use super::config::{AgentConfig, Identity};
use super::counters::Counters;
use super::outbox::{Outbox, Packed};
use super::packing::{Reporter, pack};
use super::quiet::Quiet;
use super::schedule::Schedule;
use crate::host::HostPaths;
use crate::model::Millis;

/// First scrapes start this far apart, so that many targets do not come at once.
const FIRST_APART: Duration = Duration::from_millis(20);
/// From the start to the first report of how the scrapes went.
const FIRST_OWN_REPORT_AFTER: Duration = Duration::from_secs(1);
/// What targets said of shared queues counts for so many intervals.
const FRESH_INTERVALS: u32 = 3;

/// What all targets share.
#[derive(Debug)]
struct Shared {
    config: ScrapeConfig,
    agent: Arc<Identity>,
    paths: HostPaths,
    fetcher: Fetcher,
    lanes: Lanes,
    scores: Scoreboard,
    listeners: Listeners,
    queues: Queues,
    /// NoETL's workers as its server gave them the last time.
    workers: Mutex<Workers>,
    outbox: Arc<Outbox>,
    counters: Arc<Counters>,
    drops: Quiet,
}

impl Shared {
    fn put(&self, reports: Vec<Packed>) {
        let dropped = reports.into_iter().map(|report| self.outbox.put(report)).sum();
        super::note_dropped(dropped, &self.counters, &self.drops);
    }
}

/// Scrapes all targets for as long as it is polled; without any it does nothing.
///
/// # Errors
/// [`AgentError::Client`] at the start; [`AgentError::TaskEnded`] where a task panicked.
pub(super) async fn run(
    config: &AgentConfig,
    agent: Arc<Identity>,
    counters: Arc<Counters>,
    outbox: Arc<Outbox>,
) -> Result<Infallible, AgentError> {
    let targets = config.scrape.all_targets();
    if targets.is_empty() && config.scrape.pods.is_none() {
        return std::future::pending().await;
    }
    let needs_tls = targets.iter().any(|target| target.url.scheme() == "https");
    let scrape = config.scrape.clone();
    let fetcher = Fetcher::new(scrape.timeout, scrape.body_limit, needs_tls).map_err(AgentError::Client)?;
    tracing::info!(pods = ?scrape.pods, "scrapes {} targets every {:?}", targets.len(), scrape.interval);
    let shared = Arc::new(Shared {
        listeners: Listeners::default(),
        queues: Queues::new(scrape.interval * FRESH_INTERVALS),
        config: scrape,
        agent,
        paths: config.paths.clone(),
        fetcher,
        lanes: Lanes::default(),
        scores: Scoreboard::default(),
        workers: Mutex::default(),
        outbox,
        counters,
        drops: Quiet::new(Duration::from_secs(30)),
    });
    // They end with the set, should this future be dropped.
    let mut tasks = JoinSet::new();
    let apart =
        FIRST_APART.min(shared.config.interval / u32::try_from(targets.len().max(1)).unwrap_or(u32::MAX));
    let mut targets: Vec<Target> =
        targets.into_iter().map(|spec| Target::new(shared.clone(), spec)).collect();
    // Its list of workers is known before the first of them is scraped, so that they have their
    // pools from the start.
    for target in targets.iter_mut().filter(|target| target.is_noetl_server()) {
        target.scrape_once().await;
    }
    for (place, target) in (0..).zip(targets) {
        tasks.spawn(target.run(apart * place));
    }
    if let Some(pods) = shared.config.pods.clone() {
        let (sender, changes) = watch::channel(Vec::new());
        tasks.spawn(pods::follow(pods, sender));
        tasks.spawn(fleet::run(shared.clone(), changes));
    }
    tasks.spawn(report_scores(shared));
    tasks.join_next().await;
    Err(AgentError::TaskEnded)
}

/// Reports how the scrapes went, soon and then at each interval, as the agent's own metrics.
async fn report_scores(shared: Arc<Shared>) -> Infallible {
    let schedule = Schedule::new(shared.config.interval, &shared.agent.name);
    let labels = shared.agent.labels();
    let mut had = Had::default();
    sleep(FIRST_OWN_REPORT_AFTER.min(shared.config.interval)).await;
    loop {
        let mut readings = shared.scores.readings();
        // A target that is none any more, as a pod that was deleted.
        let ended = had.replace(&readings);
        readings.extend(ended);
        let agent = &shared.agent;
        let reporter = Reporter {
            name: &agent.name,
            kind: &agent.kind,
            labels: &labels,
            source: None,
            every: shared.config.interval,
        };
        match pack(&reporter, &readings, Millis::now().0) {
            Ok(reports) => shared.put(reports),
            Err(e) => tracing::error!("the scrapes' metrics could not be packed: {e}"),
        }
        sleep(schedule.wait(Millis::now().0)).await;
    }
}
