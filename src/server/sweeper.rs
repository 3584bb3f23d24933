//! What goes on by itself: silent components leave the exposition, partitions are made ahead, what
//! is remembered of components is written down, the server reports on itself, retention is
//! enforced. None of these waits for another: a slow database must not keep silent series alive.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::time::{Interval, MissedTickBehavior, interval};

use super::core::{Core, HOURS_AHEAD};
use super::{App, self_report};
use crate::model::{Component, Millis, RuntimeId, Series};
use crate::store::{Inserted, StoreError, adopt, adoption, maintenance_runs};

/// A series without a new sample for a day leaves memory, even if its component goes on.
const IDLE_SERIES_MS: i64 = 86_400_000;
/// Components named in the log when many fall silent at once.
const LOGGED: usize = 10;
/// Memory is looked through for them this often.
const FORGET_EVERY: Duration = Duration::from_mins(1);
/// Hours that are over are looked for this often.
const CLOSE_EVERY: Duration = Duration::from_secs(30);
/// Pause between steps of copying a table that was there before: reports come first.
const ADOPT_EVERY: Duration = Duration::from_millis(50);
/// The same after a failure, and while somebody else copies the last table: who was killed may still
/// have a statement under way.
const ADOPT_AGAIN: Duration = Duration::from_secs(5);
/// Retention is enforced this often where the server does it.
const RETENTION_EVERY: Duration = Duration::from_hours(1);

/// Sweeps until it is aborted. A step that fails is tried again at the next sweep.
pub(super) async fn run(app: &Arc<App>, core: &Arc<Core>) {
    let every = (app.config.stale_after / 4)
        .min(app.config.metrics_interval)
        .clamp(Duration::from_millis(250), Duration::from_secs(15));
    tokio::join!(
        keep_expiring(app, core, every),
        keep_house(app, core, every),
        keep_closing(core),
        keep_adopting(core),
        keep_retention(app, core)
    );
}

fn ticks(every: Duration) -> Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks
}

async fn keep_expiring(app: &App, core: &Core, every: Duration) {
    let mut ticks = ticks(every);
    let mut forgot = Instant::now();
    loop {
        ticks.tick().await;
        let (accepted, rejected) = app.own.samples();
        app.rates.note(Millis::now(), accepted, rejected);
        expire(core);
        if forgot.elapsed() >= FORGET_EVERY {
            forgot = Instant::now();
            forget(core);
            core.live.exemplars.expire(Millis::now());
        }
    }
}

async fn keep_house(app: &App, core: &Core, every: Duration) {
    let mut ticks = ticks(every);
    let mut inserted = Inserted::from_now();
    let mut reported: Option<Instant> = None;
    loop {
        ticks.tick().await;
        if let Err(error) = core.partitions.ensure(&core.database, HOURS_AHEAD).await {
            tracing::warn!(%error, "partitions could not be made ahead");
        }
        if let Err(error) = remember(core).await {
            tracing::warn!(%error, "components could not be written down");
        }
        if let Err(error) = take_inserted(core, &mut inserted).await {
            tracing::warn!(%error, "samples inserted by SQL could not be read");
        }
        if reported.is_none_or(|at| at.elapsed() >= app.config.metrics_interval) {
            reported = Some(Instant::now());
            report(app, core).await;
            match maintenance_runs(&core.database, 5).await {
                Ok(runs) => {
                    *core.retention_run.lock() = runs.into_iter().find(|run| run.finished_at.is_some());
                }
                Err(error) => tracing::warn!(%error, "runs of retention could not be looked at"),
            }
        }
    }
}

/// Hours that are over are sealed.
async fn keep_closing(core: &Core) {
    let mut ticks = ticks(CLOSE_EVERY);
    loop {
        ticks.tick().await;
        match core.partitions.close(&core.database).await {
            Ok(sealed) if sealed.is_empty() => {}
            Ok(sealed) => {
                let hours: Vec<String> = sealed.into_iter().map(Millis::rfc3339).collect();
                tracing::info!(?hours, "hours sealed");
            }
            Err(error) => tracing::warn!(%error, "an hour could not be sealed"),
        }
    }
}

/// Tables that were there before are copied, until all is done, by whomever.
async fn keep_adopting(core: &Core) {
    let mut copied = false;
    loop {
        let pause = match adopt(&core.database).await {
            Ok(true) => {
                copied = true;
                ADOPT_EVERY
            }
            Ok(false) => match adoption(&core.database).await {
                Ok(Some(state)) if !state.finished => ADOPT_AGAIN,
                Ok(Some(state)) if copied => {
                    let (rows, refused) = (state.adopted, state.refused);
                    tracing::info!(rows, refused, "copied the tables that were there before");
                    return;
                }
                Ok(_) => return,
                Err(_) => ADOPT_AGAIN,
            },
            Err(error) => {
                tracing::warn!(%error, "a table that was there before could not be copied");
                ADOPT_AGAIN
            }
        };
        tokio::time::sleep(pause).await;
    }
}

async fn keep_retention(app: &App, core: &Core) {
    if !app.config.enforce_retention {
        return;
    }
    let mut ticks = ticks(RETENTION_EVERY);
    loop {
        ticks.tick().await;
        if let Err(error) = app.config.retention.run(&core.database, |step| tracing::debug!(step)).await {
            tracing::warn!(%error, "retention could not be enforced");
        }
    }
}

/// Series of silent components leave the exposition.
fn expire(core: &Core) {
    let mut gone = core.components.all();
    gone.retain(|c| is_silent(core, c) && c.set_live(false));
    if gone.is_empty() {
        return;
    }
    let ids: HashSet<RuntimeId> = gone.iter().map(|c| c.id).collect();
    let series = core.live.remove(|s| ids.contains(&s.component.id) && is_silent(core, &s.component));
    // A report that is committed in this moment keeps its component's series, or brings them back.
    for component in gone.iter().filter(|c| !is_silent(core, c)) {
        component.set_live(true);
    }
    for component in gone.iter().take(LOGGED) {
        tracing::info!(name = %component.name, kind = %component.kind, "component is silent");
    }
    tracing::info!(components = gone.len(), series, "series of silent components left the exposition");
}

/// Series of silent components, and those without a sample for long, leave memory.
fn forget(core: &Core) {
    let now = Millis::now();
    let stale = |s: &Series| s.idle_ms(now) > IDLE_SERIES_MS || s.component.is_purged();
    core.live.remove(stale);
    core.series
        .forget(|s| !s.exported.load(Ordering::Acquire) && (is_silent(core, &s.component) || stale(s)));
}

fn is_silent(core: &Core, component: &Component) -> bool {
    component.silent_ms().is_none_or(|silent| silent > core.stale_after_ms)
}

/// Writes down what components reported last, which are silent and which returned; and looks at
/// what others wrote about them.
async fn remember(core: &Core) -> Result<(), StoreError> {
    let all = core.components.all();
    let returned: Vec<_> = all.iter().filter(|c| c.take_returned()).collect();
    let silent: Vec<_> = all.iter().filter(|c| !core.is_up(c)).map(|c| c.id).collect();
    let ids: Vec<_> = returned.iter().map(|c| c.id).collect();
    if let Err(error) = core.components.mark(&core.database, &silent, &ids, core.stale_after_ms).await {
        for component in returned {
            component.set_returned();
        }
        return Err(error);
    }
    core.components.save(&core.database).await?;
    if core.components.refresh(&core.database, core.stale_after_ms).await? > 0 {
        core.live.remove(|s| s.component.is_purged());
    }
    Ok(())
}

async fn take_inserted(core: &Core, inserted: &mut Inserted) -> Result<(), StoreError> {
    let describe = core.live.describer();
    let (recent_ms, series) = (core.stale_after_ms, &core.series);
    for points in inserted.read(&core.database, &core.components, series, recent_ms, &describe).await? {
        core.committed(&points);
    }
    Ok(())
}

async fn report(app: &App, core: &Core) {
    let result = async {
        let component = self_report::own_component(app, core).await?;
        self_report::report(app, core, &component).await
    };
    if let Err(problem) = result.await {
        tracing::warn!(detail = problem.detail(), "the server could not report on itself");
    }
}
