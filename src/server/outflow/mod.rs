//! Sends all that is stored on to other stores, by remote write (`--forward-url`). Only the active
//! server does.
//!
//! Each target is sent what the writer has just committed, from a feed of bounded length. What is not
//! in the feed is read from the database: what was stored while no server ran or the target was away,
//! and all late samples. How far a target is, is kept in the database: a place before which it has
//! everything ([`crate::store::Place`]). It moves only once all before the new one was acknowledged.

mod batch;
mod metrics;
mod place;
mod post;
mod sender;
mod target;

use std::time::Duration;

use futures_util::future::join_all;
use prometheus::Registry;
use reqwest::Client;
use tokio::sync::Semaphore;

use super::core::Core;
use super::page::data::ForwardedTo;
use super::{App, ServerConfig};
use metrics::Metrics;
pub use post::ForwardTarget;
use target::Target;

/// Targets that may read from the database at once: each holds a connection.
const READING: usize = 2;
/// How far targets are is shown this often.
const SHOW_EVERY: Duration = Duration::from_secs(1);

/// The targets of a server, whether it is active or not.
pub(super) struct Outflow {
    targets: Vec<(ForwardTarget, Client)>,
    metrics: Metrics,
}

impl Outflow {
    /// Checks their files; nothing where there is no target.
    pub(super) fn open(config: &ServerConfig, registry: &Registry) -> Result<Option<Self>, String> {
        if config.forward.is_empty() {
            return Ok(None);
        }
        let mut targets = Vec::new();
        for target in &config.forward {
            post::headers(target)?;
            targets.push((target.clone(), post::client(target)?));
        }
        Ok(Some(Self { targets, metrics: Metrics::new(registry) }))
    }

    /// How far each target is.
    pub(super) fn told(&self) -> Vec<ForwardedTo> {
        self.targets.iter().map(|(target, _)| self.metrics.told(target)).collect()
    }
}

/// Sends until it is dropped.
pub(super) async fn run(app: &App, core: &Core) {
    let (Some(outflow), Some(feed)) = (&app.outflow, &core.feed) else { return std::future::pending().await };
    let Outflow { targets, metrics } = outflow;
    let _cleared = metrics.cleared_at_end();
    let reading = Semaphore::new(READING);
    let targets: Vec<Target<'_>> = targets
        .iter()
        .enumerate()
        .map(|(reader, (config, client))| {
            Target::new(config, client, &core.database, feed, reader, &reading, metrics)
        })
        .collect();
    let show = async {
        loop {
            for target in &targets {
                target.show(metrics);
            }
            tokio::time::sleep(SHOW_EVERY).await;
        }
    };
    tokio::join!(join_all(targets.iter().map(Target::run)), show);
}
