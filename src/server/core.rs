//! What a running server holds: components, series, live values, the writer.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::ServerConfig;
use crate::live::Live;
use crate::live::exemplars::{EXPORTED_MS, MOST};
use crate::model::{Component, Exemplar, Millis, Point, Series, SeriesId};
use crate::store::{
    Components, Database, Exemplars, FEED_SAMPLES, Feed, MaintenanceRun, Partitions, SeriesIndex, StoreError,
    Writer, begin_place, ended_series, migrate, store_ended,
};

/// Hours of partitions that the server keeps ahead.
pub(super) const HOURS_AHEAD: i32 = 3;

/// What a running server holds. Everything in it can be read while everything else goes on.
pub struct Core {
    /// Connections.
    pub database: Database,
    /// Components.
    pub components: Components,
    /// Series by their line.
    pub series: SeriesIndex,
    /// Newest values.
    pub live: Arc<Live>,
    /// Where exemplars go.
    pub exemplars: Exemplars,
    /// Hours that samples can be appended to.
    pub partitions: Arc<Partitions>,
    /// Where samples go.
    pub writer: Writer,
    /// What the writer appended, for the targets of `--forward-url`, where there are any.
    pub feed: Option<Arc<Feed>>,
    /// A component that is silent for longer is not exported, in milliseconds.
    pub stale_after_ms: i64,
    /// Held while deltas are added to the values before them.
    pub adding: tokio::sync::Mutex<()>,
    /// The newest run of retention that ended, by whomever, as it was last looked at.
    pub retention_run: Mutex<Option<MaintenanceRun>>,
}

impl Core {
    /// Reaches the database, and brings its schema forward.
    pub async fn prepare(config: &ServerConfig, database: &Database) -> Result<(), StoreError> {
        if config.migrate {
            let applied = migrate(database, config.runtime).await?;
            if !applied.is_empty() {
                tracing::info!(versions = ?applied, "schema brought forward");
            }
        }
        let state = crate::store::migration_state(database).await?;
        if state.applied < state.newest {
            let (at, wanted) = (state.applied, state.newest);
            return Err(StoreError::Migration(format!(
                "the schema is at version {at}, this server needs {wanted}: run noetl-metrics migrate"
            )));
        }
        match crate::store::missing_rights(database).await?.as_slice() {
            [] => Ok(()),
            missing => Err(StoreError::Rights(missing.join("; "))),
        }
    }

    /// Fills memory from the database.
    pub async fn open(config: &ServerConfig, database: Database) -> Result<Self, StoreError> {
        let partitions = Arc::new(Partitions::default());
        partitions.ensure(&database, HOURS_AHEAD).await?;
        let components = Components::default();
        let stale_after_ms = i64::try_from(config.stale_after.as_millis()).unwrap_or(i64::MAX);
        components.refresh(&database, stale_after_ms).await?;
        let live = Arc::new(Live::default());
        let series = SeriesIndex::new(config.limits);
        let reporting = reporting(&components.all(), stale_after_ms);
        let loaded = series.load(&database, &reporting, &live.describer()).await?;
        // A server that was killed had no time to write down who reported last; the samples tell.
        for one in &loaded {
            if let Some((at, _)) = one.newest.get().filter(|(at, _)| *at <= Millis::now()) {
                one.component.restore(Some(at), 0, 0);
            }
        }
        let now = Millis::now();
        let recent =
            |c: &Component| !c.is_offline() && c.silent_ms().is_some_and(|silent| silent <= stale_after_ms);
        for component in reporting.iter().filter(|c| recent(c)) {
            component.set_live(true);
        }
        let ended = ended_series(&database).await?;
        let goes_on = |series: &Series| ended.get(&series.id).is_none_or(|end| !is_over(series, *end));
        live.add(loaded.into_iter().filter(|s| s.component.is_live() && goes_on(s)).collect());
        let exemplars = Exemplars::newest(&database, now.plus(-EXPORTED_MS), MOST).await?;
        live.exemplars.offer(&exemplars, now);
        let exported = Arc::clone(&live);
        let on_commit = move |points: &[Point]| export(&exported, points);
        // A new target begins before the first sample is taken.
        for target in &config.forward {
            begin_place(&database, &target.name).await?;
        }
        let feed =
            (!config.forward.is_empty()).then(|| Arc::new(Feed::new(config.forward.len(), FEED_SAMPLES)));
        let (writer, _) =
            Writer::start(database.clone(), Arc::clone(&partitions), Box::new(on_commit), feed.clone());
        Ok(Self {
            database,
            components,
            series,
            live,
            exemplars: Exemplars::new(config.limits.exemplars),
            partitions,
            writer,
            feed,
            stale_after_ms,
            adding: tokio::sync::Mutex::default(),
            retention_run: Mutex::default(),
        })
    }

    /// Samples of one component that are in the database by another way than the writer's.
    pub fn committed(&self, points: &[Point]) {
        let newest = points.iter().map(|p| p.at).max();
        if let (Some(first), Some(newest)) = (points.first(), newest) {
            first.series.component.reported(newest.min(Millis::now()), 0);
        }
        export(&self.live, points);
    }

    /// Writes down that series said that they have ended; not as a value, since it is none. It comes
    /// before the samples of its report: what could not be written down is then sent again as a whole.
    pub async fn note_ended(&self, ended: &[Point]) -> Result<(), StoreError> {
        store_ended(&self.database, ended).await
    }

    /// Stores exemplars, and shows the newest to scrapers.
    pub async fn note_exemplars(&self, exemplars: &[Exemplar<'_>]) -> Result<(), StoreError> {
        self.exemplars.store(&self.database, exemplars).await?;
        self.live.exemplars.offer(exemplars, Millis::now());
        Ok(())
    }

    /// Series that said that they have ended leave the exposition, unless they have a newer value.
    pub fn end(&self, ended: &[Point]) {
        if ended.is_empty() {
            return;
        }
        let ended: HashMap<SeriesId, Millis> =
            ended.iter().map(|point| (point.series.id, point.at)).collect();
        self.live.remove(|series| ended.get(&series.id).is_some_and(|end| is_over(series, *end)));
    }

    /// A component says goodbye: its series leave the exposition, its row and its history stay.
    pub async fn leave(&self, component: &Component) -> Result<(), StoreError> {
        self.components.deregister(&self.database, component).await?;
        component.went_offline();
        component.set_live(false);
        self.live.remove(|series| series.component.id == component.id);
        Ok(())
    }

    /// Series whose type was inferred and is another one now move to its family.
    pub fn regroup(&self) {
        let retyped = self.series.take_retyped();
        if !retyped.is_empty() {
            self.live.regroup(retyped);
        }
    }

    /// Components that count as up now: they reported or sent a heartbeat in time.
    pub fn is_up(&self, component: &Component) -> bool {
        component.unseen_ms().is_some_and(|unseen| unseen <= self.stale_after_ms)
    }
}

/// Shows committed samples of one component to scrapers.
fn export(live: &Live, points: &[Point]) {
    if let Some(first) = points.first() {
        first.series.component.set_live(true);
    }
    live.apply(points);
}

/// Components that may be exported: they reported or registered recently, or sent a heartbeat.
fn reporting(all: &[Arc<Component>], stale_after_ms: i64) -> Vec<Arc<Component>> {
    let recent = |c: &&Arc<Component>| c.unseen_ms().is_some_and(|unseen| unseen <= stale_after_ms);
    all.iter().filter(recent).cloned().collect()
}

/// Whether a series that ended then has no newer value.
fn is_over(series: &Series, end: Millis) -> bool {
    series.newest.get().is_none_or(|(at, _)| at <= end)
}
