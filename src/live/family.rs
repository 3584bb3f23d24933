//! One family of live series: plain ones in a sorted list, those of a histogram or summary by the
//! label set that they share.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::model::{MetricType, Series, labels_of_line};

/// A family's live series.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) kind: MetricType,
    members: Members,
}

#[derive(Debug)]
pub(super) enum Members {
    /// Sorted by line.
    Plain { sorted: Vec<Arc<Series>>, dirty: bool },
    /// By the labels without `le` or `quantile`.
    Grouped(BTreeMap<Box<[u8]>, Group>),
}

/// One histogram or summary: the series of one label set.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// Buckets or quantiles, by bound.
    pub(super) parts: Vec<(f64, Arc<Series>)>,
    pub(super) sum: Option<Arc<Series>>,
    pub(super) count: Option<Arc<Series>>,
    /// A series with the family's bare name and no bound.
    pub(super) bare: Option<Arc<Series>>,
}

impl Family {
    pub(super) fn new(first: Arc<Series>) -> Self {
        let members = match first.kind() {
            MetricType::Gauge | MetricType::Counter => Members::Plain { sorted: Vec::new(), dirty: false },
            MetricType::Histogram | MetricType::Summary => Members::Grouped(BTreeMap::new()),
        };
        let mut family = Self { kind: first.kind(), members };
        family.add(first);
        family
    }

    /// Adds a series; whether it replaced one that a scraper can't tell from it. [`Self::sort`] has
    /// to follow.
    pub(super) fn add(&mut self, series: Arc<Series>) -> bool {
        match &mut self.members {
            Members::Plain { sorted, dirty } => {
                sorted.push(series);
                *dirty = true;
                false
            }
            Members::Grouped(groups) => {
                let (key, bound) = group_key(&series);
                let replaced = groups.entry(key).or_default().add(series, bound);
                if let Some(old) = &replaced {
                    old.exported.store(false, Ordering::Release);
                }
                replaced.is_some()
            }
        }
    }

    /// Brings the series into their order; returns how many were replaced by newer ones.
    pub(super) fn sort(&mut self) -> usize {
        let mut replaced = 0;
        if let Members::Plain { sorted, dirty: dirty @ true } = &mut self.members {
            sorted.sort_by(|a, b| a.line.cmp(&b.line));
            // A component that was purged and came back has new series with the lines of the old.
            sorted.dedup_by(|later, earlier| {
                let same = later.line == earlier.line;
                if same {
                    std::mem::swap(later, earlier);
                    later.exported.store(false, Ordering::Release);
                    replaced += 1;
                }
                same
            });
            *dirty = false;
        }
        replaced
    }

    /// Takes out the series that `gone` says; returns how many.
    pub(super) fn remove(&mut self, gone: &impl Fn(&Series) -> bool) -> usize {
        let mut removed = 0;
        let mut keep = |series: &Arc<Series>| {
            let goes = gone(series);
            if goes {
                series.exported.store(false, Ordering::Release);
                removed += 1;
            }
            !goes
        };
        match &mut self.members {
            Members::Plain { sorted, .. } => {
                sorted.retain(&mut keep);
                sorted.shrink_to(sorted.len() * 2);
            }
            Members::Grouped(groups) => groups.retain(|_, group| {
                group.parts.retain(|(_, s)| keep(s));
                for slot in [&mut group.sum, &mut group.count, &mut group.bare] {
                    if slot.as_ref().is_some_and(|s| !keep(s)) {
                        *slot = None;
                    }
                }
                group.series().next().is_some()
            }),
        }
        removed
    }

    pub(super) const fn members(&self) -> &Members {
        &self.members
    }

    pub(super) fn series(&self) -> Box<dyn Iterator<Item = &Arc<Series>> + '_> {
        match &self.members {
            Members::Plain { sorted, .. } => Box::new(sorted.iter()),
            Members::Grouped(groups) => Box::new(groups.values().flat_map(Group::series)),
        }
    }

    pub(super) fn len(&self) -> usize {
        match &self.members {
            Members::Plain { sorted, .. } => sorted.len(),
            Members::Grouped(groups) => groups.values().map(|g| g.series().count()).sum(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match &self.members {
            Members::Plain { sorted, .. } => sorted.is_empty(),
            Members::Grouped(groups) => groups.is_empty(),
        }
    }

    pub(super) fn components(&self) -> usize {
        self.series().map(|s| s.component.id).collect::<HashSet<_>>().len()
    }
}

impl Group {
    /// Adds a series; the one that had its place.
    fn add(&mut self, series: Arc<Series>, bound: Option<f64>) -> Option<Arc<Series>> {
        let Some(bound) = bound else {
            let name = series.metric_name();
            let place = if name.ends_with("_sum") {
                &mut self.sum
            } else if name.ends_with("_count") {
                &mut self.count
            } else {
                &mut self.bare
            };
            return place.replace(series);
        };
        let at = self.parts.partition_point(|(b, _)| *b < bound);
        match self.parts.get_mut(at) {
            Some((same, slot)) if *same == bound => Some(std::mem::replace(slot, series)),
            _ => {
                self.parts.insert(at, (bound, series));
                None
            }
        }
    }

    pub(super) fn series(&self) -> impl Iterator<Item = &Arc<Series>> {
        self.parts.iter().map(|(_, s)| s).chain(self.others())
    }

    /// Those that are neither buckets nor quantiles.
    pub(super) fn others(&self) -> impl Iterator<Item = &Arc<Series>> {
        self.bare.iter().chain(&self.sum).chain(&self.count)
    }

    /// Whether scrapers will take it as one histogram: cumulative buckets up to `+Inf`, which equals
    /// the count, and a sum.
    pub(super) fn is_whole_histogram(&self) -> bool {
        let value = |s: &Arc<Series>| s.newest.get().map_or(f64::NAN, |(_, v)| v);
        let Some(((last, total), count)) = self.parts.last().zip(self.count.as_ref()) else { return false };
        let rising = self.parts.windows(2).all(|w| w[0].0 < w[1].0 && value(&w[0].1) <= value(&w[1].1));
        // OpenMetrics has no sum where observations may be negative.
        let positive = self.parts.first().is_some_and(|(bound, _)| *bound >= 0.0);
        self.bare.is_none()
            && self.sum.is_some()
            && *last == f64::INFINITY
            && value(total) == value(count)
            && rising
            && positive
    }

    /// Whether scrapers will take it as one summary.
    pub(super) fn is_whole_summary(&self) -> bool {
        self.bare.is_none() && self.parts.windows(2).all(|w| w[0].0 < w[1].0)
    }
}

/// The labels that a group's series share, and the series' own bound.
fn group_key(series: &Series) -> (Box<[u8]>, Option<f64>) {
    let own = if series.kind() == MetricType::Histogram { "le" } else { "quantile" };
    let mut key = String::new();
    let mut bound = None;
    for (name, value) in labels_of_line(&series.line) {
        if name == own {
            bound = value.parse().ok();
        } else {
            // Unit separators keep the parts apart; a mix-up of two sets would need one in a value.
            key.extend([name.as_str(), "\u{1f}", value.as_str(), "\u{1e}"]);
        }
    }
    (key.into_bytes().into(), bound)
}
