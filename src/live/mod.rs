//! The newest value of each live series, ready to be scraped.
//!
//! A series' line is rendered once, when the series appears; its value is an atomic that the writer
//! sets after each commit; a scrape walks the families in the order of their names and writes lines
//! and values. Adding and removing series takes a lock, setting values does not, so a scrape and
//! ingest do not wait for each other. The only exception are histograms and summaries: their series
//! belong together, so a scrape of one keeps the writer out for the microseconds that it takes.

pub mod exemplars;
mod family;
mod format;
mod header;
mod made;
mod render;
mod selector;
mod shard;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::model::{Component, MetricType, Millis, Point, RuntimeId, Series, SeriesId, family_of};
use crate::wire::encoding::LineGzip;
use exemplars::Exemplars;
use family::Family;

pub use format::Format;
pub use made::made_values;
pub use render::RenderOptions;
pub use selector::{Selector, SelectorError};
pub use shard::Shard;

/// Bytes of text that are compressed at once.
const PART: usize = 256 << 10;

/// What is known of a family beside its samples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Help text of the first report that had one.
    pub help: Option<Box<str>>,
    /// Unit of the first report that had one.
    pub unit: Option<Box<str>>,
}

/// All live series by family.
#[derive(Debug, Default)]
pub struct Live {
    families: RwLock<BTreeMap<Box<str>, Family>>,
    /// Whether series were added since they were sorted last; changed only by who may write
    /// `families`.
    unordered: AtomicBool,
    metadata: RwLock<HashMap<Box<str>, Metadata>>,
    /// The newest exemplars of those that have some.
    pub exemplars: Exemplars,
    /// Held by the writer while it sets values of histograms and summaries, by a scrape while it
    /// reads them.
    together: RwLock<()>,
    series: AtomicUsize,
    /// Bytes of the last rendering, to allocate the next one at once.
    last_bytes: AtomicUsize,
}

/// A metric name as the explorer lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FamilySummary {
    /// Name of the family.
    pub name: String,
    /// Its type.
    pub kind: MetricType,
    /// Help and unit.
    pub metadata: Metadata,
    /// Live series.
    pub series: usize,
    /// Components that report it.
    pub components: usize,
}

impl Live {
    /// Takes what was committed: sets the newest values, and adds series that are not there yet.
    pub fn apply(&self, points: &[Point]) {
        let grouped = |p: &Point| p.series.kind().is_grouped();
        {
            let _together = points.iter().any(grouped).then(|| self.together.write());
            let now = Millis::now();
            for point in points {
                point.series.newest.offer(point.at, point.value);
                point.series.arrived(now);
            }
        }
        // The lock orders this look against `remove`: either that still finds the series exported and
        // its component not silent any more, or this finds the series gone.
        let new: Vec<Arc<Series>> = {
            let _families = self.families.read();
            let absent = |p: &&Point| !p.series.exported.load(Ordering::Acquire);
            points.iter().filter(absent).map(|p| Arc::clone(&p.series)).collect()
        };
        if !new.is_empty() {
            self.add(new);
        }
    }

    /// Adds series; those that are there already, or have no value, are passed over.
    pub fn add(&self, series: Vec<Arc<Series>>) {
        self.add_to(&mut self.families.write(), series);
    }

    /// Brings series whose type has changed into the families that they belong to now.
    pub fn regroup(&self, series: Vec<Arc<Series>>) {
        let mut families = self.families.write();
        let ids: HashSet<SeriesId> = series.iter().map(|s| s.id).collect();
        let removed = Self::remove_from(&mut families, |s| ids.contains(&s.id));
        self.series.fetch_sub(removed, Ordering::Relaxed);
        self.add_to(&mut families, series);
    }

    fn add_to(&self, families: &mut BTreeMap<Box<str>, Family>, series: Vec<Arc<Series>>) {
        let (mut added, mut replaced) = (0, 0);
        for one in series {
            if one.newest.get().is_none() || one.exported.swap(true, Ordering::AcqRel) {
                continue;
            }
            added += 1;
            let family = family_of(one.metric_name(), one.kind());
            if let Some(known) = families.get_mut(family.name) {
                replaced += usize::from(known.add(one));
            } else {
                let name = family.name.into();
                families.insert(name, Family::new(one));
            }
        }
        self.unordered.fetch_or(added > 0, Ordering::Relaxed);
        self.series.fetch_add(added, Ordering::Relaxed);
        self.series.fetch_sub(replaced, Ordering::Relaxed);
    }

    /// The families with their series in order. Those that were added are brought into it only now:
    /// a thousand reports of new series cost one sort.
    fn ordered(&self) -> RwLockReadGuard<'_, BTreeMap<Box<str>, Family>> {
        let families = self.families.read();
        if !self.unordered.load(Ordering::Relaxed) {
            return families;
        }
        drop(families);
        let mut families = self.families.write();
        let replaced = families.values_mut().map(Family::sort).sum();
        self.series.fetch_sub(replaced, Ordering::Relaxed);
        self.unordered.store(false, Ordering::Relaxed);
        RwLockWriteGuard::downgrade(families)
    }

    /// Takes the series out that `gone` says; asked while nothing is added.
    pub fn remove(&self, gone: impl Fn(&Series) -> bool) -> usize {
        let removed = Self::remove_from(&mut self.families.write(), gone);
        self.series.fetch_sub(removed, Ordering::Relaxed);
        removed
    }

    fn remove_from(families: &mut BTreeMap<Box<str>, Family>, gone: impl Fn(&Series) -> bool) -> usize {
        let mut removed = 0;
        families.retain(|_, family| {
            removed += family.remove(&gone);
            !family.is_empty()
        });
        removed
    }

    /// Remembers help and unit of a metric; the first that has them wins.
    pub fn describe(&self, metric_name: &str, kind: MetricType, help: Option<&str>, unit: Option<&str>) {
        let name = family_of(metric_name, kind).name;
        let known = self.metadata.read().get(name).is_some_and(|m| m.help.is_some() || help.is_none());
        if known {
            return;
        }
        let mut metadata = self.metadata.write();
        let entry = metadata.entry(name.into()).or_default();
        entry.help = entry.help.take().or_else(|| help.map(Into::into));
        entry.unit = entry.unit.take().or_else(|| unit.map(Into::into));
    }

    /// [`Self::describe`] for those who read series from elsewhere.
    pub fn describer(&self) -> impl Fn(&str, MetricType, Option<&str>, Option<&str>) + '_ {
        |name, kind, help, unit| self.describe(name, kind, help, unit)
    }

    /// Live series.
    pub fn len(&self) -> usize {
        self.series.load(Ordering::Relaxed)
    }

    /// Whether nothing is live.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes the exposition.
    pub fn render(&self, options: &RenderOptions<'_>, components: &[Arc<Component>]) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.last_bytes.load(Ordering::Relaxed) + 4096);
        render::render(self, options, components, &mut out, &mut |_| ());
        self.rendered(options, out.len());
        out
    }

    /// Writes the exposition as gzip, compressed while it is still in the processor's cache.
    pub fn render_gzip(&self, options: &RenderOptions<'_>, components: &[Arc<Component>]) -> Vec<u8> {
        let mut packed = LineGzip::with_capacity(self.last_bytes.load(Ordering::Relaxed) / 16 + 4096);
        let mut part = Vec::with_capacity(PART + PART / 4);
        render::render(self, options, components, &mut part, &mut |part| {
            if part.len() >= PART {
                packed.take(part);
            }
        });
        self.rendered(options, usize::try_from(packed.size()).unwrap_or(0) + part.len());
        packed.finish(&part)
    }

    fn rendered(&self, options: &RenderOptions<'_>, bytes: usize) {
        if options.is_everything() {
            self.last_bytes.store(bytes, Ordering::Relaxed);
        }
    }

    /// All families, by name.
    pub fn summaries(&self) -> Vec<FamilySummary> {
        let families = self.ordered();
        let metadata = self.metadata.read();
        families
            .iter()
            .map(|(name, family)| FamilySummary {
                name: name.to_string(),
                kind: family.kind,
                metadata: metadata.get(name).cloned().unwrap_or_default(),
                series: family.len(),
                components: family.components(),
            })
            .collect()
    }

    /// The live series of a component, in the order of the exposition.
    pub fn of_component(&self, id: RuntimeId) -> Vec<Arc<Series>> {
        let families = self.ordered();
        families.values().flat_map(Family::series).filter(|s| s.component.id == id).cloned().collect()
    }

    /// The live series of a family, or of all; at most `limit`.
    pub fn of_family(&self, name: Option<&str>, limit: usize) -> Vec<Arc<Series>> {
        let families = self.ordered();
        let wanted = families.iter().filter(|(family, _)| name.is_none_or(|n| n == &***family));
        wanted.flat_map(|(_, family)| family.series()).take(limit).cloned().collect()
    }

    /// The live series of a metric, as buckets of a histogram by `…_bucket`.
    pub fn of_metric(&self, name: &str) -> Vec<Arc<Series>> {
        let families = self.ordered();
        let bases = ["_bucket", "_sum", "_count"].into_iter().filter_map(|suffix| name.strip_suffix(suffix));
        let found = std::iter::once(name).chain(bases).filter_map(|family| families.get(family));
        found.flat_map(Family::series).filter(|series| series.metric_name() == name).cloned().collect()
    }

    /// Help and unit of a family.
    pub fn metadata(&self, family: &str) -> Metadata {
        self.metadata.read().get(family).cloned().unwrap_or_default()
    }
}
