//! The index that resolves (component, name, labels) to a series: by how it is written, where it was
//! written like that before; else by its line, from memory, and from the database only where it is
//! new here.

mod held;
mod rows;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;

use super::db::{Database, StoreError};
use super::names::{Declared, Names, NewName};
use super::newest;
use crate::model::{
    Component, Label, Limits, MetricType, Series, SeriesId, SeriesKey, export_line, family_of,
};

use held::Held;
pub use held::{KnownSeries, WrittenSeries};
pub(super) use rows::labels_json;

/// A report with new series waits this long for those of other reports.
const MAKING_TIMEOUT: Duration = Duration::from_secs(8);

/// What a sample says of its series.
#[derive(Clone, Copy, Debug)]
pub struct NewSample<'a> {
    /// Metric name.
    pub name: &'a str,
    /// Metric type.
    pub kind: MetricType,
    /// Nobody declared the type: another one that its name has here is as good.
    pub inferred: bool,
    /// Labels, sorted by name.
    pub labels: &'a [Label<'a>],
    /// Help text.
    pub help: Option<&'a str>,
    /// Unit.
    pub unit: Option<&'a str>,
}

/// Why a sample has no series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The field that is to blame.
    pub field: &'static str,
    /// The reason.
    pub reason: String,
}

/// All series in memory.
#[derive(Debug)]
pub struct SeriesIndex {
    held: Held,
    pub(super) names: Names,
    /// Series whose type has changed since that was asked last.
    retyped: Mutex<Vec<Arc<Series>>>,
    /// New series are made one transaction at a time.
    making: tokio::sync::Mutex<()>,
    limits: Limits,
}

/// What became of a sample's series.
pub type Resolved = Result<Arc<Series>, Refused>;

impl SeriesIndex {
    /// An empty index.
    pub fn new(limits: Limits) -> Self {
        Self {
            held: Held::default(),
            names: Names::default(),
            retyped: Mutex::default(),
            making: tokio::sync::Mutex::default(),
            limits,
        }
    }

    /// Series in memory.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All series in memory, in no order.
    pub fn all(&self) -> Vec<Arc<Series>> {
        self.held.lines().iter().cloned().collect()
    }

    /// Those of these ids that are in memory.
    pub fn with_ids(&self, ids: &HashSet<i32>) -> HashMap<i32, Arc<Series>> {
        self.held.with_ids(ids)
    }

    /// The series of each sample, in the order of the samples.
    pub async fn resolve(
        &self,
        database: &Database,
        component: &Arc<Component>,
        samples: &[NewSample<'_>],
    ) -> Result<Vec<Resolved>, StoreError> {
        let mut resolved: Vec<Option<Resolved>> = Vec::with_capacity(samples.len());
        let mut missing = Vec::new();
        self.look_up(component, samples, &mut resolved, &mut missing);
        if !missing.is_empty() {
            self.make(database, component, samples, &missing, &mut resolved).await?;
        }
        let lost = || Err(Refused { field: "metric_name", reason: "the series could not be made".into() });
        Ok(resolved.into_iter().map(|r| r.unwrap_or_else(lost)).collect())
    }

    /// Fills in what memory knows; the rest is left open and listed in `missing`.
    fn look_up(
        &self,
        component: &Component,
        samples: &[NewSample<'_>],
        resolved: &mut Vec<Option<Resolved>>,
        missing: &mut Vec<usize>,
    ) {
        let held = self.held.lines();
        let mut line = Vec::with_capacity(256);
        for (at, sample) in samples.iter().enumerate() {
            export_line(&mut line, sample.name, &component.name, &component.kind, sample.labels);
            let found = held.find(&line);
            let kind = self.names.settle(sample);
            let undecided = self.names.gives_way(sample.name, kind, sample.inferred);
            resolved.push(match found {
                Some(series)
                    if !undecided && series.kind() == kind && series.component.id == component.id =>
                {
                    Some(Ok(Arc::clone(series)))
                }
                _ => match self.names.get(sample.name) {
                    Some(known) if known != kind && !undecided => {
                        Some(Err(type_clash(sample.name, known, kind)))
                    }
                    _ => {
                        missing.push(at);
                        None
                    }
                },
            });
        }
    }

    /// Makes, or reads from the database, the series that memory does not know.
    async fn make(
        &self,
        database: &Database,
        component: &Arc<Component>,
        samples: &[NewSample<'_>],
        missing: &[usize],
        resolved: &mut [Option<Resolved>],
    ) -> Result<(), StoreError> {
        // While the database is away each of those that wait would wait for it in turn.
        let busy = |_| StoreError::Unavailable("other new series are being made; try again".into());
        let _one_at_a_time = tokio::time::timeout(MAKING_TIMEOUT, self.making.lock()).await.map_err(busy)?;
        let mut open: Vec<usize> = missing.to_vec();
        self.recheck(component, samples, &mut open, resolved);
        if open.is_empty() {
            return Ok(());
        }
        let mut tx = database.begin_write().await?;
        let new_names = self.new_names(samples, &open);
        if !new_names.is_empty() {
            let refused = self.names.claim(&mut tx, &new_names).await?;
            open.retain(|at| match refused.get(samples[*at].name) {
                Some(why) => {
                    resolved[*at] = Some(Err(why.clone()));
                    false
                }
                None => true,
            });
        }
        let ids = match rows::insert(&mut tx, component, samples, &open).await {
            Ok(ids) => ids,
            // The foreign key to noetl.runtime.
            Err(e) if e.has_code("23503") => return Err(StoreError::UnknownComponent),
            Err(e) if e.has_code("2200H") => {
                tracing::error!("all ids of series are used up: no new series can be stored");
                for at in open {
                    let reason = "the database has no id left for a new series".to_owned();
                    resolved[at] = Some(Err(Refused { field: "labels", reason }));
                }
                return Ok(());
            }
            Err(e) => return Err(e),
        };
        let old: Vec<i32> = ids.iter().filter(|(_, made)| !made).map(|(id, _)| *id).collect();
        let stored = newest::newest(&mut tx, &old).await?;
        tx.commit().await?;
        database.saw_series(ids.iter().map(|(id, _)| *id));
        let claimed: HashSet<&str> = open.iter().map(|at| samples[*at].name).collect();
        self.hold_names(new_names.iter().filter(|new| claimed.contains(new.name)));
        let mut line = Vec::new();
        for (at, (id, _)) in open.iter().zip(&ids) {
            let sample = &samples[*at];
            export_line(&mut line, sample.name, &component.name, &component.kind, sample.labels);
            let kind = self.names.settle(sample);
            if let Some(known) = self.names.get(sample.name).filter(|known| *known != kind) {
                resolved[*at] = Some(Err(type_clash(sample.name, known, kind)));
                continue;
            }
            // Copied, not shrunk: what shrinking leaves over would lie unused between the lines.
            let own = line.as_slice().into();
            let series = Series::new(SeriesId(*id), Arc::clone(component), kind, own);
            restore(&series, stored.get(id));
            resolved[*at] = Some(Ok(self.hold(series)));
        }
        Ok(())
    }

    /// The names that these samples have to claim. What others of them show a name to be, it does not claim
    /// to be something else.
    fn new_names<'a>(&self, samples: &[NewSample<'a>], open: &[usize]) -> Vec<NewName<'a>> {
        let claims = |s: &&NewSample<'_>| {
            self.names.get(s.name).is_none() || self.names.gives_way(s.name, s.kind, s.inferred)
        };
        let wanted: Vec<&NewSample<'a>> = open.iter().map(|at| &samples[*at]).filter(claims).collect();
        let shown: HashSet<String> = wanted
            .iter()
            .filter(|s| s.kind.is_grouped() || !s.inferred)
            .map(|s| family_of(s.name, s.kind))
            .flat_map(|family| family.suffixes().iter().map(move |suffix| format!("{}{suffix}", family.name)))
            .collect();
        let decides = |s: &&&NewSample<'_>| s.kind.is_grouped() || !s.inferred || !shown.contains(s.name);
        let name = |s: &&NewSample<'a>| NewName {
            name: s.name,
            kind: s.kind,
            inferred: s.inferred,
            help: s.help,
            unit: s.unit,
        };
        wanted.iter().filter(decides).map(name).collect()
    }

    /// Remembers names whose claims are committed; the series of those that had another type follow.
    fn hold_names<'n>(&self, names: impl Iterator<Item = &'n NewName<'n>>) {
        let mut changed = HashMap::new();
        for name in names {
            self.names.hold(name, &mut changed);
        }
        if changed.is_empty() {
            return;
        }
        let held = self.held.lines();
        let mut retyped = self.retyped.lock();
        for series in held.iter() {
            if let Some(kind) = changed.get(series.metric_name()).filter(|kind| **kind != series.kind()) {
                series.set_kind(*kind);
                retyped.push(Arc::clone(series));
            }
        }
    }

    /// The series whose type has changed since this was asked last: the exposition has to be told.
    pub fn take_retyped(&self) -> Vec<Arc<Series>> {
        std::mem::take(&mut *self.retyped.lock())
    }

    /// Takes what was declared of metrics beside their samples: families, types, help and units. It holds
    /// for series that come, and for those that are there and whose type was only inferred. Returns the
    /// names of those with their types.
    pub async fn declare(
        &self,
        database: &Database,
        declared: &[(&str, Declared)],
    ) -> Result<Vec<(String, MetricType, usize)>, StoreError> {
        let mut names = Vec::new();
        for (place, (family, about)) in declared.iter().enumerate() {
            self.names.declare(family, about.clone());
            for name in self.names.names_of(family, about.kind) {
                let kind = about.kind.or_else(|| self.names.get(&name));
                names.extend(kind.map(|kind| (name, kind, place)));
            }
        }
        let undecided =
            |(name, kind, _): &&(String, MetricType, usize)| self.names.gives_way(name, *kind, false);
        if names.iter().any(|name| undecided(&name)) {
            let busy = |_| StoreError::Unavailable("new series are being made; try again".into());
            let _one_at_a_time =
                tokio::time::timeout(MAKING_TIMEOUT, self.making.lock()).await.map_err(busy)?;
            let claims: Vec<NewName<'_>> = names
                .iter()
                .filter(undecided)
                .map(|(name, kind, place)| NewName {
                    name,
                    kind: *kind,
                    inferred: false,
                    help: declared[*place].1.help.as_deref(),
                    unit: declared[*place].1.unit.as_deref(),
                })
                .collect();
            let mut tx = database.begin_write().await?;
            let refused = self.names.claim(&mut tx, &claims).await?;
            rows::describe(&mut tx, &claims).await?;
            tx.commit().await?;
            self.hold_names(claims.iter().filter(|claim| !refused.contains_key(claim.name)));
        }
        Ok(names)
    }

    /// What was declared of a metric, by its own name or by that of the family that it may belong to.
    pub fn declared(&self, metric: &str) -> Option<Declared> {
        self.names.declared(metric)
    }

    /// Another request may have made the series meanwhile; limits are checked for those left.
    fn recheck(
        &self,
        component: &Component,
        samples: &[NewSample<'_>],
        open: &mut Vec<usize>,
        resolved: &mut [Option<Resolved>],
    ) {
        let (mut again, mut still) = (Vec::with_capacity(open.len()), Vec::new());
        let picked: Vec<NewSample<'_>> = open.iter().map(|at| samples[*at]).collect();
        self.look_up(component, &picked, &mut again, &mut still);
        for (at, found) in open.iter().zip(again) {
            resolved[*at] = found;
        }
        let room = self.limits.component_series.saturating_sub(component.series() as usize);
        let total_room = self.limits.total_series.saturating_sub(self.len());
        let mut lines = HashSet::new();
        let mut left = Vec::with_capacity(still.len());
        for at in still.into_iter().map(|i| open[i]) {
            let mut line = Vec::new();
            let sample = &samples[at];
            export_line(&mut line, sample.name, &component.name, &component.kind, sample.labels);
            if lines.contains(&line) {
                left.push(at);
            } else if lines.len() < room.min(total_room) {
                lines.insert(line);
                left.push(at);
            } else {
                resolved[at] = Some(Err(self.limit_reached(room <= total_room)));
            }
        }
        *open = left;
    }

    fn limit_reached(&self, of_component: bool) -> Refused {
        let reason = if of_component {
            format!(
                "the component has {} live series, its limit; a label with ever new values?",
                self.limits.component_series
            )
        } else {
            format!("the server has {} live series, its limit", self.limits.total_series)
        };
        Refused { field: "labels", reason }
    }

    /// Drops series from memory; the next sample of one reads it from the database again.
    ///
    /// A series that a request or the exposition still holds stays: two copies of one series would
    /// be exported twice.
    pub fn forget(&self, gone: impl FnMut(&Series) -> bool) {
        self.held.forget(gone);
    }

    /// The series of a component that are known by how it writes them. While this is held, none is
    /// added or forgotten.
    pub fn known(&self, component: Arc<Component>) -> KnownSeries<'_> {
        self.held.known(component)
    }

    /// The series that are known by how they are written, whoever's they are. While this is held, none is
    /// added or forgotten.
    pub fn written(&self) -> WrittenSeries<'_> {
        self.held.written()
    }

    /// From now on these series are known by these keys, and by no other.
    pub fn remember<'a>(&self, written: impl IntoIterator<Item = (SeriesKey, &'a Arc<Series>)>) {
        self.held.remember(written);
    }

    /// Makes room for so many more.
    pub(super) fn reserve(&self, series: usize) {
        self.held.reserve(series);
    }

    /// The one copy in memory of this series.
    pub(super) fn hold(&self, series: Series) -> Arc<Series> {
        self.held.hold(series)
    }
}

fn type_clash(name: &str, is: MetricType, asked: MetricType) -> Refused {
    let reason = format!("{name} is a {is} here since its first report, not a {asked}");
    Refused { field: "metric_type", reason }
}

/// Gives a series the newest sample that the database has of it.
pub(super) fn restore(series: &Series, stored: Option<&newest::Stored>) {
    let Some(stored) = stored else { return };
    series.appended.fetch_max(stored.at.0, Ordering::Relaxed);
    series.newest.offer(stored.at, stored.value);
}
