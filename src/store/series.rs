//! The index that resolves (component, name, labels) to a series: by how it is written, where it was
//! written like that before; else by its line, from memory, and from the database only where it is
//! new here.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use foldhash::quality::RandomState;
use hashbrown::HashTable;
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use sqlx::Row as _;

use super::db::{Database, StoreError, Transaction, sql};
use super::names::{Declared, Names, NewName};
use super::newest;
use crate::model::{
    Component, Label, Limits, MetricType, Series, SeriesId, SeriesKey, export_line, family_of,
};

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
    held: RwLock<Held>,
    hasher: RandomState,
    pub(super) names: Names,
    /// Series whose type has changed since that was asked last.
    retyped: Mutex<Vec<Arc<Series>>>,
    /// New series are made one transaction at a time.
    making: tokio::sync::Mutex<()>,
    limits: Limits,
}

/// The series, each once by its line, and by its key where it has one.
#[derive(Debug, Default)]
struct Held {
    by_line: HashTable<Arc<Series>>,
    by_key: HashTable<Arc<Series>>,
}

impl Held {
    fn forget_key(by_key: &mut HashTable<Arc<Series>>, series: &Arc<Series>) {
        let key = series.key.swap(0, Ordering::Relaxed);
        if let Ok(entry) = by_key.find_entry(key, |s| Arc::ptr_eq(s, series)) {
            entry.remove();
        }
    }
}

/// The series that are known by how they are written.
pub struct WrittenSeries<'a> {
    held: RwLockReadGuard<'a, Held>,
    hasher: &'a RandomState,
}

impl WrittenSeries<'_> {
    /// Makes the keys.
    pub fn hasher(&self) -> &impl BuildHasher {
        self.hasher
    }

    /// The series that was written like this before; not one whose component is gone.
    pub fn find(&self, key: SeriesKey) -> Option<&Arc<Series>> {
        self.find_of(key, |component| !component.is_purged())
    }

    fn find_of(&self, SeriesKey(key): SeriesKey, of: impl Fn(&Component) -> bool) -> Option<&Arc<Series>> {
        let same = |series: &Arc<Series>| series.key.load(Ordering::Relaxed) == key && of(&series.component);
        self.held.by_key.find(key, same)
    }
}

/// The series of one component that are known by how it writes them.
pub struct KnownSeries<'a> {
    written: WrittenSeries<'a>,
    component: &'a Component,
}

impl KnownSeries<'_> {
    /// The key of a series whose fields are written like this.
    pub fn key(&self, fields: &[&str]) -> SeriesKey {
        let mut hasher = self.written.hasher.build_hasher();
        self.component.id.0.hash(&mut hasher);
        for field in fields {
            field.hash(&mut hasher);
        }
        SeriesKey(hasher.finish().max(1))
    }

    /// The series that was written like this before.
    pub fn find(&self, key: SeriesKey) -> Option<&Arc<Series>> {
        self.written.find_of(key, |component| component.id == self.component.id)
    }
}

type Resolved = Result<Arc<Series>, Refused>;

impl SeriesIndex {
    /// An empty index.
    pub fn new(limits: Limits) -> Self {
        Self {
            held: RwLock::default(),
            hasher: RandomState::default(),
            names: Names::default(),
            retyped: Mutex::default(),
            making: tokio::sync::Mutex::default(),
            limits,
        }
    }

    /// Series in memory.
    pub fn len(&self) -> usize {
        self.held.read().by_line.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All series in memory, in no order.
    pub fn all(&self) -> Vec<Arc<Series>> {
        self.held.read().by_line.iter().cloned().collect()
    }

    /// Those of these ids that are in memory.
    pub fn with_ids(&self, ids: &HashSet<i32>) -> HashMap<i32, Arc<Series>> {
        if ids.is_empty() {
            return HashMap::new();
        }
        let held = self.held.read();
        let wanted = held.by_line.iter().filter(|s| ids.contains(&s.id.0) && !s.component.is_purged());
        wanted.map(|s| (s.id.0, Arc::clone(s))).collect()
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
        let held = self.held.read();
        let mut line = Vec::with_capacity(256);
        for (at, sample) in samples.iter().enumerate() {
            export_line(&mut line, sample.name, &component.name, &component.kind, sample.labels);
            let found = held.by_line.find(self.hash(&line), |s| *s.line == *line);
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
        let ids = match insert(&mut tx, component, samples, &open).await {
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
        let held = self.held.read();
        let mut retyped = self.retyped.lock();
        for series in &held.by_line {
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
            describe(&mut tx, &claims).await?;
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
    pub fn forget(&self, mut gone: impl FnMut(&Series) -> bool) {
        let Held { by_line, by_key } = &mut *self.held.write();
        by_line.retain(|series| {
            let own = 1 + usize::from(series.key.load(Ordering::Relaxed) != 0);
            let keep = Arc::strong_count(series) > own || !gone(series);
            if !keep {
                Held::forget_key(by_key, series);
                series.component.series_removed();
            }
            keep
        });
    }

    /// The series of a component that are known by how it writes them. While this is held, none is
    /// added or forgotten.
    pub fn known<'a>(&'a self, component: &'a Component) -> KnownSeries<'a> {
        KnownSeries { written: self.written(), component }
    }

    /// The series that are known by how they are written, whoever's they are. While this is held, none is
    /// added or forgotten.
    pub fn written(&self) -> WrittenSeries<'_> {
        WrittenSeries { held: self.held.read(), hasher: &self.hasher }
    }

    /// From now on these series are known by these keys, and by no other.
    pub fn remember<'a>(&self, written: impl IntoIterator<Item = (SeriesKey, &'a Arc<Series>)>) {
        let mut written = written.into_iter().peekable();
        if written.peek().is_none() {
            return;
        }
        let Held { by_line, by_key } = &mut *self.held.write();
        for (SeriesKey(key), series) in written {
            Held::forget_key(by_key, series);
            if let Ok(taken) = by_key.find_entry(key, |s| s.key.load(Ordering::Relaxed) == key) {
                taken.remove().0.key.store(0, Ordering::Relaxed);
            }
            // One that was forgotten meanwhile is on its way out.
            if by_line.find(self.hash(&series.line), |s| Arc::ptr_eq(s, series)).is_some() {
                series.key.store(key, Ordering::Relaxed);
                by_key.insert_unique(key, Arc::clone(series), |s| s.key.load(Ordering::Relaxed));
            }
        }
    }

    /// Makes room for so many more, which as they come would be moved again and again.
    pub(super) fn reserve(&self, series: usize) {
        self.held.write().by_line.reserve(series, |s| self.hash(&s.line));
    }

    /// The one copy in memory of this series.
    pub(super) fn hold(&self, series: Series) -> Arc<Series> {
        let hash = self.hash(&series.line);
        let Held { by_line, by_key } = &mut *self.held.write();
        if let Some(known) = by_line.find(hash, |s| s.line == series.line)
            && known.component.id == series.component.id
        {
            return Arc::clone(known);
        }
        if let Ok(stale) = by_line.find_entry(hash, |s| s.line == series.line) {
            let (old, _) = stale.remove();
            Held::forget_key(by_key, &old);
            old.component.series_removed();
        }
        let series = Arc::new(series);
        series.component.series_added();
        by_line.insert_unique(hash, Arc::clone(&series), |s| self.hash(&s.line));
        series
    }

    fn hash(&self, line: &[u8]) -> u64 {
        self.hasher.hash_one(line)
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

/// Inserts the series that are not there; returns each one's id and whether it was made just now.
async fn insert(
    tx: &mut Transaction,
    component: &Component,
    samples: &[NewSample<'_>],
    open: &[usize],
) -> Result<Vec<(i32, bool)>, StoreError> {
    let picked: Vec<&NewSample<'_>> = open.iter().map(|at| &samples[*at]).collect();
    let labels: Vec<Option<String>> = picked.iter().map(|s| labels_json(s.labels)).collect();
    let rows = sql(
        "with input as materialized ( \
           select ord, name, labels::jsonb as labels, help, unit, noetl_metrics.fingerprint($1, $2, name, labels::jsonb) as print \
           from unnest($4::text[], $5::text[], $6::text[], $7::text[]) with ordinality u(name, labels, help, unit, ord)), \
         made as ( \
           insert into noetl_metrics.series (fingerprint, runtime_id, component_name, component_type, metric_name, labels, help_text, unit) \
           select distinct on (print) print, $3, $1, $2, name, labels, help, unit from input i \
           where not exists (select from noetl_metrics.series s where s.fingerprint = i.print) order by print, ord \
           on conflict (fingerprint) do nothing returning series_id, fingerprint) \
         select i.ord, coalesce(m.series_id, s.series_id), m.series_id is not null from input i \
         left join made m on m.fingerprint = i.print left join noetl_metrics.series s on s.fingerprint = i.print order by i.ord",
    )
    .bind(&*component.name)
    .bind(&*component.kind)
    .bind(component.id.0)
    .bind(picked.iter().map(|s| s.name).collect::<Vec<_>>())
    .bind(labels)
    .bind(picked.iter().map(|s| s.help).collect::<Vec<_>>())
    .bind(picked.iter().map(|s| s.unit).collect::<Vec<_>>())
    .fetch_all(&mut **tx)
    .await?;
    rows.iter()
        .map(|row| {
            // Missing only where another server made it since this statement's snapshot.
            let id: Option<i32> = row.try_get(1)?;
            let id = id.ok_or_else(|| {
                StoreError::Unavailable("a series is being made elsewhere; try again".into())
            })?;
            Ok((id, row.try_get(2)?))
        })
        .collect()
}

/// Gives help and unit to the series of these names that were made without.
async fn describe(tx: &mut Transaction, names: &[NewName<'_>]) -> Result<(), StoreError> {
    sql("update noetl_metrics.series s set help_text = coalesce(s.help_text, u.help), unit = coalesce(s.unit, left(u.unit, 50)) \
         from unnest($1::text[], $2::text[], $3::text[]) u(name, help, unit) \
         where s.metric_name = u.name and (s.help_text is null and u.help is not null or s.unit is null and u.unit is not null)")
        .bind(names.iter().map(|n| n.name).collect::<Vec<_>>())
        .bind(names.iter().map(|n| n.help).collect::<Vec<_>>())
        .bind(names.iter().map(|n| n.unit).collect::<Vec<_>>())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

pub(super) fn labels_json(labels: &[Label<'_>]) -> Option<String> {
    if labels.is_empty() {
        return None;
    }
    let map: serde_json::Map<String, serde_json::Value> =
        labels.iter().map(|(k, v)| (k.to_string(), v.to_string().into())).collect();
    serde_json::to_string(&map).ok()
}
