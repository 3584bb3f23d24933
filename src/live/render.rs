//! Writes live series as text exposition 0.0.4 or OpenMetrics 1.0.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::exemplars::Newest;
use super::family::{Family, Group, Members};
use super::selector::Selector;
use super::{Live, Metadata};
use crate::model::{AGGREGATES, Component, MetricType, Millis, RuntimeId, Series, SeriesId, export_line};
use crate::wire::value;

/// An exposition format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text exposition 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// Its content type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// What an `Accept` header asks for; text where it does not say or asks for neither.
    pub fn negotiate(accept: &str) -> Self {
        let mut best = (Self::Text, 0.0_f32);
        for entry in accept.split(',') {
            let mut parts = entry.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            let params: Vec<&str> = parts.collect();
            let weight =
                params.iter().find_map(|p| p.strip_prefix("q=")).and_then(|q| q.parse().ok()).unwrap_or(1.0);
            let version = params.iter().find_map(|p| p.strip_prefix("version="));
            let format = match media {
                "application/openmetrics-text" if version.is_none_or(|v| v == "1.0.0" || v == "0.0.1") => {
                    Self::OpenMetrics
                }
                "text/plain" | "text/*" | "*/*" => Self::Text,
                _ => continue,
            };
            if weight > best.1 {
                best = (format, weight);
            }
        }
        best.0
    }
}

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
    /// Only series that one of these selects; empty is all.
    pub selectors: &'a [Selector],
    /// The clock, for ages.
    pub now: Millis,
    /// A component that is silent for longer is down, in milliseconds.
    pub stale_after_ms: i64,
}

impl RenderOptions<'_> {
    pub(super) const fn is_everything(&self) -> bool {
        self.runtime_id.is_none() && self.component_name.is_none() && self.selectors.is_empty()
    }

    fn takes_component(&self, component: &Component) -> bool {
        self.runtime_id.is_none_or(|id| id == component.id)
            && self.component_name.is_none_or(|name| *name == *component.name)
    }

    fn takes(&self, series: &Series) -> bool {
        self.is_everything()
            || (self.takes_component(&series.component)
                && (self.selectors.is_empty() || self.selectors.iter().any(|s| s.selects(&series.line))))
    }
}

/// Silent for longer than this, a component is not mentioned any more: 24 h.
const FORGOTTEN_MS: i64 = 24 * 3_600_000;

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
                Some(base) if !clashes => self.header(base, "counter"),
                _ => {
                    self.exemplars = None;
                    self.header(self.name, "unknown");
                }
            },
            _ => self.header(self.name, kind.as_str()),
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
            self.header(self.name, kind.as_str());
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
            self.header(name, word);
            for one in series {
                self.sample(one);
            }
        }
    }

    fn header(&mut self, family: &str, kind: &str) {
        let help = self.metadata.help.as_deref().unwrap_or("No help was reported.");
        match self.options.format {
            Format::Text => {
                self.line(&["# HELP ", family, " "]);
                escape_help(self.out, help, false);
                self.line(&["\n# TYPE ", family, " ", kind, "\n"]);
            }
            Format::OpenMetrics => {
                self.line(&["# TYPE ", family, " ", kind, "\n"]);
                if let Some(unit) = self.metadata.unit.as_deref().filter(|u| is_unit_of(family, u)) {
                    self.line(&["# UNIT ", family, " ", unit, "\n"]);
                }
                self.line(&["# HELP ", family, " "]);
                escape_help(self.out, help, true);
                self.out.push(b'\n');
            }
        }
    }

    fn line(&mut self, parts: &[&str]) {
        for part in parts {
            self.out.extend_from_slice(part.as_bytes());
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

/// Writes a time behind a value.
pub(super) fn write_time(out: &mut Vec<u8>, at: Millis, format: Format) {
    let text = match format {
        Format::Text => format!(" {}", at.0),
        Format::OpenMetrics => format!(" {}.{:03}", at.0.div_euclid(1000), at.0.rem_euclid(1000)),
    };
    out.extend_from_slice(text.as_bytes());
}

/// OpenMetrics wants the unit to be the end of the name.
fn is_unit_of(family: &str, unit: &str) -> bool {
    family.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_') && rest.len() > 1)
}

fn escape_help(out: &mut Vec<u8>, help: &str, quotes: bool) {
    for byte in help.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'"' if quotes => out.extend_from_slice(b"\\\""),
            other => out.push(other),
        }
    }
}

/// The families that the server makes itself, by name: whether components are up, and how long ago
/// they reported.
fn made_families(options: &RenderOptions<'_>, components: &[Arc<Component>]) -> Vec<(&'static str, Vec<u8>)> {
    let family = |(name, help, unit)| {
        let values = made_values(name, components, options.now, options.stale_after_ms);
        let values = values.into_iter().flatten().filter(|(c, _)| options.takes_component(c));
        made_family(name, help, unit, values, options)
    };
    [
        (AGE, "Seconds since the component's newest report was stored.", "seconds"),
        (
            UP,
            "Whether the component reported or sent a heartbeat within the time after which it counts as silent.",
            "",
        ),
    ]
    .map(family)
    .into()
}

const AGE: &str = "noetl_component_last_report_age_seconds";
const UP: &str = "noetl_component_up";

/// The values of a metric that the server makes itself, by component; `None` for any other.
pub fn made_values<'a>(
    name: &str,
    components: &'a [Arc<Component>],
    now: Millis,
    stale_after_ms: i64,
) -> Option<Vec<(&'a Arc<Component>, f64)>> {
    let value: fn(&Component, Millis, i64, i64) -> Option<f64> = match name {
        AGE => |component, now, _, _| Some(now.since(component.last_report()?).max(0) as f64 / 1000.0),
        UP => |_, _, silent, stale_after_ms| Some(f64::from(u8::from(silent <= stale_after_ms))),
        _ => return None,
    };
    let of = |component: &'a Arc<Component>| {
        let silent = now.since(component.last_seen()?);
        let known = silent < FORGOTTEN_MS;
        Some((component, value(component, now, silent, stale_after_ms).filter(|_| known)?))
    };
    // Nobody waits for a component that said goodbye.
    let asked = components.iter().filter(|component| *component.kind != *AGGREGATES && !component.has_left());
    Some(asked.filter_map(of).collect())
}

fn made_family<'a>(
    name: &'static str,
    help: &'static str,
    unit: &'static str,
    values: impl Iterator<Item = (&'a Arc<Component>, f64)>,
    options: &RenderOptions<'_>,
) -> (&'static str, Vec<u8>) {
    let metadata = Metadata { help: Some(help.into()), unit: Some(unit.into()) };
    let mut out = Vec::new();
    let mut line = Vec::new();
    for (component, number) in values {
        export_line(&mut line, name, &component.name, &component.kind, &[]);
        if !options.selectors.is_empty() && !options.selectors.iter().any(|s| s.selects(&line)) {
            continue;
        }
        if out.is_empty() {
            FamilyWriter {
                name,
                metadata: &metadata,
                options,
                exemplars: None,
                out: &mut out,
                after: &mut |_| (),
            }
            .header(name, "gauge");
        }
        out.extend_from_slice(&line);
        value::write(&mut out, number);
        out.push(b'\n');
    }
    (name, out)
}
