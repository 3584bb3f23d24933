//! The targets that come and go: each runs in a task of its own for as long as it is among those
//! that are wanted.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use super::Shared;
use super::config::TargetSpec;
use super::target::Target;

/// New targets start this far apart, so that many do not come at once.
const APART: Duration = Duration::from_millis(50);

/// Keeps the wanted targets running for as long as it is polled.
pub(super) async fn run(shared: Arc<Shared>, mut wanted: watch::Receiver<Vec<TargetSpec>>) -> Infallible {
    let mut tasks = JoinSet::new();
    let mut running: HashMap<String, (TargetSpec, AbortHandle)> = HashMap::new();
    let given: Vec<String> = shared.config.all_targets().iter().map(TargetSpec::label).collect();
    loop {
        // What was named by a flag is scraped already, and better known.
        let mut specs: HashMap<String, TargetSpec> = (wanted.borrow_and_update().iter())
            .map(|spec| (spec.label(), spec.clone()))
            .filter(|(label, _)| !given.contains(label))
            .collect();
        for (label, (spec, task)) in &running {
            // One that is told to end goes when it has; one of the same address comes after it.
            if specs.remove(label).as_ref() != Some(spec) {
                task.abort();
            }
        }
        for (place, (label, spec)) in (0..).zip(specs) {
            let task = tasks.spawn(Target::new(shared.clone(), spec.clone()).run(APART * place));
            running.insert(label, (spec, task));
        }
        tokio::select! {
            changed = wanted.changed() => if changed.is_err() {
                return std::future::pending().await;
            },
            // One that was told to end, or a fault of its own: then it is begun anew.
            Some(_) = tasks.join_next() => running.retain(|label, (_, task)| {
                if task.is_finished() {
                    shared.scores.forget(label);
                    tracing::info!(url = %label, "no longer scraped");
                }
                !task.is_finished()
            }),
        }
    }
}
