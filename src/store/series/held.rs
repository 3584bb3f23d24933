//! The series in memory: each once, found by its line, and by how it is written where that is known.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use foldhash::quality::RandomState;
use hashbrown::HashTable;
use parking_lot::{RwLock, RwLockReadGuard};

use crate::model::{Component, Series, SeriesKey};
use crate::wire::report::Recall;

/// All series in memory.
#[derive(Debug, Default)]
pub(super) struct Held {
    tables: RwLock<Tables>,
    hasher: RandomState,
}

/// The series, each once by its line, and by its key where it has one.
#[derive(Debug, Default)]
struct Tables {
    by_line: HashTable<Arc<Series>>,
    by_key: HashTable<Arc<Series>>,
}

impl Tables {
    fn forget_key(by_key: &mut HashTable<Arc<Series>>, series: &Arc<Series>) {
        let key = series.key.swap(0, Ordering::Relaxed);
        series.written.forget_text();
        if let Ok(entry) = by_key.find_entry(key, |s| Arc::ptr_eq(s, series)) {
            entry.remove();
        }
    }
}

/// The series while nothing is added or forgotten, by their lines.
pub(super) struct Lines<'a> {
    tables: RwLockReadGuard<'a, Tables>,
    hasher: &'a RandomState,
}

impl Lines<'_> {
    /// The series of a line.
    pub(super) fn find(&self, line: &[u8]) -> Option<&Arc<Series>> {
        self.tables.by_line.find(self.hasher.hash_one(line), |s| *s.line == *line)
    }

    /// All of them, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Series>> {
        self.tables.by_line.iter()
    }
}

/// The series that are known by how they are written.
pub struct WrittenSeries<'a> {
    tables: RwLockReadGuard<'a, Tables>,
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
        self.tables.by_key.find(key, same)
    }
}

/// The series of one component that are known by how it writes them.
pub struct KnownSeries<'a> {
    written: WrittenSeries<'a>,
    component: Arc<Component>,
}

impl Recall for KnownSeries<'_> {
    fn key(&self, fields: &[&str; 5]) -> SeriesKey {
        let mut hasher = self.written.hasher.build_hasher();
        self.component.id.0.hash(&mut hasher);
        for field in fields {
            field.hash(&mut hasher);
        }
        SeriesKey(hasher.finish().max(1))
    }

    fn find(&self, key: SeriesKey) -> Option<&Arc<Series>> {
        self.written.find_of(key, |component| component.id == self.component.id)
    }

    fn text(&self, around: &[&str; 3]) -> u64 {
        self.written.hasher.hash_one(around)
    }

    fn order(&self, first: SeriesKey) -> Option<Arc<[SeriesKey]>> {
        self.component.orders.beginning_with(first)
    }

    fn learn(&self, order: Vec<SeriesKey>) {
        let series = usize::try_from(self.component.series()).unwrap_or(usize::MAX);
        self.component.orders.learn(order, series);
    }
}

impl Held {
    pub(super) fn len(&self) -> usize {
        self.tables.read().by_line.len()
    }

    pub(super) fn lines(&self) -> Lines<'_> {
        Lines { tables: self.tables.read(), hasher: &self.hasher }
    }

    pub(super) fn written(&self) -> WrittenSeries<'_> {
        WrittenSeries { tables: self.tables.read(), hasher: &self.hasher }
    }

    pub(super) fn known(&self, component: Arc<Component>) -> KnownSeries<'_> {
        KnownSeries { written: self.written(), component }
    }

    /// Those of these ids whose component is not gone.
    pub(super) fn with_ids(&self, ids: &HashSet<i32>) -> HashMap<i32, Arc<Series>> {
        if ids.is_empty() {
            return HashMap::new();
        }
        let lines = self.lines();
        let wanted = lines.iter().filter(|s| ids.contains(&s.id.0) && !s.component.is_purged());
        wanted.map(|s| (s.id.0, Arc::clone(s))).collect()
    }

    /// Drops series, but for those that somebody else holds.
    pub(super) fn forget(&self, mut gone: impl FnMut(&Series) -> bool) {
        let Tables { by_line, by_key } = &mut *self.tables.write();
        by_line.retain(|series| {
            let own = 1 + usize::from(series.key.load(Ordering::Relaxed) != 0);
            let keep = Arc::strong_count(series) > own || !gone(series);
            if !keep {
                Tables::forget_key(by_key, series);
                series.component.series_removed();
            }
            keep
        });
    }

    /// From now on these series are known by these keys, and by no other.
    pub(super) fn remember<'a>(&self, written: impl IntoIterator<Item = (SeriesKey, &'a Arc<Series>)>) {
        let mut written = written.into_iter().peekable();
        if written.peek().is_none() {
            return;
        }
        let Tables { by_line, by_key } = &mut *self.tables.write();
        for (SeriesKey(key), series) in written {
            Tables::forget_key(by_key, series);
            if let Ok(taken) = by_key.find_entry(key, |s| s.key.load(Ordering::Relaxed) == key) {
                let (other, _) = taken.remove();
                other.key.store(0, Ordering::Relaxed);
                other.written.forget_text();
            }
            // One that was forgotten meanwhile is on its way out.
            if by_line.find(self.hash(series), |s| Arc::ptr_eq(s, series)).is_some() {
                series.key.store(key, Ordering::Relaxed);
                by_key.insert_unique(key, Arc::clone(series), |s| s.key.load(Ordering::Relaxed));
            }
        }
    }

    /// Makes room for so many more, which as they come would be moved again and again.
    pub(super) fn reserve(&self, series: usize) {
        self.tables.write().by_line.reserve(series, |s| self.hash(s));
    }

    /// The one copy in memory of this series.
    pub(super) fn hold(&self, series: Series) -> Arc<Series> {
        let hash = self.hash(&series);
        let Tables { by_line, by_key } = &mut *self.tables.write();
        if let Some(known) = by_line.find(hash, |s| s.line == series.line)
            && known.component.id == series.component.id
        {
            return Arc::clone(known);
        }
        if let Ok(stale) = by_line.find_entry(hash, |s| s.line == series.line) {
            let (old, _) = stale.remove();
            Tables::forget_key(by_key, &old);
            old.component.series_removed();
        }
        let series = Arc::new(series);
        series.component.series_added();
        by_line.insert_unique(hash, Arc::clone(&series), |s| self.hash(s));
        series
    }

    fn hash(&self, series: &Series) -> u64 {
        self.hasher.hash_one(&*series.line)
    }
}
