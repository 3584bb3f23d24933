//! How fast one component may report: the others must not suffer from one that reports without end.

use std::time::Duration;

use super::App;
use super::problem::{Kind, Problem};
use crate::model::{Component, KEPT_SECONDS, Steady};

/// Counts what a component sends against what it may; nothing of what is too much is taken.
pub(super) fn admit(app: &App, component: &Component, samples: usize, bytes: usize) -> Result<(), Problem> {
    let (limits, now) = (&app.config.limits, Steady::now());
    let paces = [
        (&component.samples_pace, "samples", samples as u64, limits.component_samples),
        (&component.bytes_pace, "bytes", bytes as u64, limits.component_bytes),
    ];
    for (pace, what, amount, limit) in paces {
        if let Err(wait) = pace.check(now).map_err(|wait| wait.min(LONGEST)) {
            app.own.limited(what);
            let detail = format!(
                "{} sends more than {limit} {what} a second over {KEPT_SECONDS} s, as --max-component-{what} allows",
                component.name
            );
            component.refused(samples as u64, &detail);
            let seconds = wait.as_secs() + 1;
            return Err(Problem::new(Kind::LIMITED, detail).with_header("retry-after", seconds.to_string()));
        }
        pace.take(now, amount, limit);
    }
    Ok(())
}

/// Nobody is told to wait for longer.
const LONGEST: Duration = Duration::from_mins(5);
