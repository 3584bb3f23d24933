//! The task that says the agent is alive, whether or not reports get through.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::api::Api;
use super::counters::Counters;
use super::quiet::Quiet;
use super::registration::Registration;
use super::sender::stopped;
use crate::client::backoff::random;

const LOG_EVERY: Duration = Duration::from_mins(1);

/// Sends a heartbeat each `interval`, a tenth less or more, until `stopping`. The first comes after
/// one interval: until then the registration says the same.
pub(super) async fn run(
    api: Arc<Api>,
    registration: Arc<Registration>,
    counters: Arc<Counters>,
    interval: Duration,
    mut stopping: watch::Receiver<bool>,
) {
    let quiet = Quiet::new(LOG_EVERY);
    let beats = async {
        loop {
            sleep(interval.mul_f64(0.9 + 0.2 * random())).await;
            let Err(e) = registration.beat(&api).await else { continue };
            counters.heartbeat_failures.fetch_add(1, Relaxed);
            if let Some(count) = quiet.note(1) {
                tracing::warn!(server = %api.server(), failures = count, "no heartbeat: {}", e.why);
            }
            if let Some(after) = e.after {
                sleep(after.min(interval)).await;
            }
        }
    };
    tokio::select! {
        () = beats => {}
        () = stopped(&mut stopping) => {}
    }
}
