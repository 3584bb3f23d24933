//! Writes live series as text exposition 0.0.4 or OpenMetrics 1.0.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::exemplars::Newest;
use super::family::{Family, Group, Members};
use super::format::{Format, write_time};
use super::header::header;
use super::made::made_families;
use super::selector::Selector;
use super::shard::Shard;
use super::{Live, Metadata};
use crate::model::{Component, MetricType, Millis, RuntimeId, Series, SeriesId};
use crate::wire::value;

/// What of the live series to write, and how.
#[derive(Clone, Debug)]
pub struct RenderOptions<'a> {
    /// The format.
    pub format: Format,
    /// Write each sample's time.
    pub timestamps: bool,
    /// Only this component.
    pub runtime_id: Option<RuntimeId>,
    /// Only components of this name.
    pub component_name: Option<&'a str>,
    /// Only this part of the components.
    pub shard: Option<Shard>,
    /// Only series that one of these selects; empty is all.
    pub selectors: &'a [Selector],
    /// The clock, for ages.
    pub now: Millis,
    /// A component that is silent for longer is down, in milliseconds.
    pub stale_after_ms: i64,
}

impl RenderOptions<'_> {
    pub(super) const fn is_everything(&self) -> bool {
        self.runtime_id.is_none()
            && self.component_name.is_none()
            && self.shard.is_none()
            && self.selectors.is_empty()
    }

    pub(super) fn takes_component(&self, component: &Component) -> bool {
        self.runtime_id.is_none_or(|id| id == component.id)
            && self.component_name.is_none_or(|name| *name == *component.name)
            && self.shard.is_none_or(|shard| shard.has(component.id))
    }

    fn takes(&self, series: &Series) -> bool {
        self.is_everything()
            || (self.takes_component(&series.component)
                && (self.selectors.is_empty() || self.selectors.iter().any(|s| s.selects(&series.line))))
    }
}

/// Series whose values are fetched from memory together.
const TOGETHER: usize = 32;

/// Writes to `out`. `after` is called with it now and then, between two lines, and may take them out.
pub(super) fn render(
    live: &Live,
    options: &RenderOptions<'_>,
    components: &[Arc<Component>],
    out: &mut Vec<u8>,
    after: &mut dyn FnMut(&mut Vec<u8>),
) {
    let mut made = made_families(options, components).into_iter().peekable();
    let families = live.ordered();
    let metadata = live.metadata.read();
    let none = Metadata::default();
    for (name, family) in families.iter() {
        while let Some((_, text)) = made.next_if(|(made, _)| **made < **name) {
            out.extend_from_slice(&text);
        }
        let metadata = metadata.get(name).unwrap_or(&none);
        // Only OpenMetrics has them, of counters and of the buckets of histograms.
        let exemplars = (options.format == Format::OpenMetrics
            && matches!(family.kind, MetricType::Counter | MetricType::Histogram))
        .then(|| live.exemplars.read());
        let exemplars = exemplars.as_deref().filter(|held| !held.is_empty());
        let mut writer = FamilyWriter { name, metadata, options, exemplars, out, after };
        let clashes = options.format == Format::OpenMetrics && clashes(name, family.kind, &families);
        writer.write(live, family, clashes);
        after(out);
    }
    made.for_each(|(_, text)| out.extend_from_slice(&text));
    if options.format == Format::OpenMetrics {
        out.extend_from_slice(b"# EOF\n");
    }
}

/// Whether another family has a name that OpenMetrics reserves for this one.
fn clashes(name: &str, kind: MetricType, families: &BTreeMap<Box<str>, Family>) -> bool {
    let base = match kind {
        MetricType::Gauge => return false,
        MetricType::Counter => name.strip_suffix("_total").unwrap_or(name),
        MetricType::Histogram | MetricType::Summary => name,
    };
    let created = format!("{base}_created");
    (base != name && families.contains_key(base)) || families.contains_key(created.as_str())
}

struct FamilyWriter<'a> {
    name: &'a str,
    metadata: &'a Metadata,
    options: &'a RenderOptions<'a>,
    /// The newest exemplars, where series of this family may show them.
    exemplars: Option<&'a HashMap<SeriesId, Newest>>,
    out: &'a mut Vec<u8>,
    after: &'a mut dyn FnMut(&mut Vec<u8>),
}

impl<'a> FamilyWriter<'a> {
    fn write(&mut self, live: &Live, family: &Family, clashes: bool) {
        match family.members() {
            Members::Plain { sorted, .. } => self.plain(family.kind, sorted, clashes),
            Members::Grouped(groups) => {
                let _together = live.together.read();
                self.grouped(family.kind, groups.values(), clashes);
            }
        }
    }

    fn plain(&mut self, kind: MetricType, sorted: &[Arc<Series>], clashes: bool) {
        if self.options.is_everything() {
            self.plain_header(kind, clashes);
            for some in sorted.chunks(TOGETHER) {
                self.samples(some);
                (self.after)(self.out);
            }
            return;
        }
        let mut begun = false;
        for series in sorted.iter().filter(|s| self.options.takes(s)) {
            if !begun {
                begun = true;
                self.plain_header(kind, clashes);
            }
            self.sample(series);
        }
    }

    fn plain_header(&mut self, kind: MetricType, clashes: bool) {
        match (self.options.format, kind) {
            // A counter without _total has no form in OpenMetrics that keeps its name.
            (Format::OpenMetrics, MetricType::Counter) => match self.name.strip_suffix("_total") {
                Some(base) if !clashes => {
                    header(self.out, self.options.format, self.metadata, base, "counter");
                }
                _ => {
                    self.exemplars = None;
                    header(self.out, self.options.format, self.metadata, self.name, "unknown");
                }
            },
            _ => header(self.out, self.options.format, self.metadata, self.name, kind.as_str()),
        }
    }

    /// A histogram or summary. One that is not whole makes the whole family untyped: its values are
    /// all there, and no scraper chokes on them.
    fn grouped<'g>(
        &mut self,
        kind: MetricType,
        groups: impl Iterator<Item = &'g Group> + Clone,
        clashes: bool,
    ) {
        let taken = groups.filter(|g| g.series().any(|s| self.options.takes(s)));
        let whole = |g: &Group| match kind {
            MetricType::Histogram => g.is_whole_histogram(),
            _ => g.is_whole_summary(),
        };
        if taken.clone().next().is_none() {
            return;
        }
        if taken.clone().all(whole) && !clashes {
            header(self.out, self.options.format, self.metadata, self.name, kind.as_str());
            for group in taken {
                for (bound, series) in &group.parts {
                    self.sample_below(series, *bound);
                }
                group.others().for_each(|series| self.sample_alone(series));
            }
        } else {
            self.exemplars = None;
            self.untyped(taken.flat_map(Group::series));
        }
    }

    fn untyped<'g>(&mut self, series: impl Iterator<Item = &'g Arc<Series>>) {
        let mut by_name: BTreeMap<&str, Vec<&Arc<Series>>> = BTreeMap::new();
        for one in series {
            by_name.entry(one.metric_name()).or_default().push(one);
        }
        let word = if self.options.format == Format::Text { "untyped" } else { "unknown" };
        for (name, series) in by_name {
            header(self.out, self.options.format, self.metadata, name, word);
            for one in series {
                self.sample(one);
            }
        }
    }

    /// At most [`TOGETHER`] series. They lie all over memory: first the values of all are fetched,
    /// then their lines, so that the processor waits for many at once and not for one after another.
    fn samples(&mut self, series: &[Arc<Series>]) {
        let mut fetched = [None; TOGETHER];
        for (slot, one) in fetched.iter_mut().zip(series) {
            *slot = one.newest.get().map(|(at, number)| (at, number, one.id, &*one.line));
        }
        let lines = fetched.iter().flatten().map(|(.., line)| line);
        std::hint::black_box(lines.flat_map(|line| line.iter().step_by(64)).fold(0, |all, byte| all ^ byte));
        for (at, number, id, line) in fetched.into_iter().flatten() {
            let exemplar = self.exemplar(id, f64::INFINITY);
            self.write_sample(line, at, number, exemplar);
        }
    }

    fn sample(&mut self, series: &Series) {
        self.sample_below(series, f64::INFINITY);
    }

    /// A sample of which no observation is greater than `bound`, with its exemplar.
    fn sample_below(&mut self, series: &Series, bound: f64) {
        if let Some((at, number)) = series.newest.get() {
            let exemplar = self.exemplar(series.id, bound);
            self.write_sample(&series.line, at, number, exemplar);
        }
    }

    /// A sample that may have no exemplar.
    fn sample_alone(&mut self, series: &Series) {
        if let Some((at, number)) = series.newest.get() {
            self.write_sample(&series.line, at, number, None);
        }
    }

    fn exemplar(&self, id: SeriesId, bound: f64) -> Option<&'a [u8]> {
        self.exemplars?.get(&id)?.text(bound, self.options.now)
    }

    fn write_sample(&mut self, line: &[u8], at: Millis, number: f64, exemplar: Option<&[u8]>) {
        self.out.extend_from_slice(line);
        value::write(self.out, number);
        if self.options.timestamps {
            write_time(self.out, at, self.options.format);
        }
        self.out.extend_from_slice(exemplar.unwrap_or_default());
        self.out.push(b'\n');
    }
}
