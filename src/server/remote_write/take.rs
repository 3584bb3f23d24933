//! What is done with a request of remote write: its series are found, its samples and exemplars stored.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::MutexGuard;
use tokio::time::timeout;

use super::super::App;
use super::super::auth::Caller;
use super::super::core::Core;
use super::super::pace;
use super::super::problem::{Kind, Problem};
use super::unknown::Unknown;
use crate::model::{
    Component, Exemplar, Limits, Millis, Point, RuntimeId, Series, SeriesId, check_exemplar, is_metric_name,
    is_stale,
};
use crate::store::Declared;
use crate::wire::remote_write::{Metadata, RemoteWrite, Sample, Written};
use crate::wire::report::Rejected;

/// How long a request with deltas waits for those before it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of a unit that are kept.
pub(super) const UNIT_BYTES: usize = 50;
/// Bytes of a help text that is declared beside its metric's samples, and is held in memory.
const HELP_BYTES: usize = 1024;

/// What became of a request.
#[derive(Debug, Default)]
pub(in crate::server) struct Taken {
    /// Samples committed, and series that ended.
    pub(in crate::server) samples: usize,
    /// Exemplars committed.
    pub(in crate::server) exemplars: usize,
    /// Series of which something was refused, by their places in the request.
    pub(in crate::server) refused: Vec<Rejected>,
}

/// What a request brings, by and by.
#[derive(Default)]
struct Brought<'w> {
    points: Vec<Point>,
    ended: Vec<Point>,
    exemplars: Vec<Exemplar<'w>>,
    /// How many of them each component sends.
    exemplars_of: HashMap<RuntimeId, (Arc<Component>, usize)>,
    refused: Vec<Rejected>,
    /// What deltas add up to, where there are some.
    sums: HashMap<SeriesId, (Millis, f64)>,
}

/// Takes a request; one with a series of a component that the caller may not speak for is refused
/// whole.
pub(in crate::server) async fn take(
    app: &App,
    caller: &Caller,
    core: &Core,
    write: &RemoteWrite<'_>,
    now: Millis,
) -> Result<Taken, Problem> {
    // What is added to a value must see the one before it committed.
    let has_deltas = write.series.iter().any(|series| series.is_delta);
    let _turn = if has_deltas { Some(turn(core).await?) } else { None };
    declare(core, write, &app.config.limits).await?;
    let clock = Clock::new(now, &app.config.limits);
    let mut brought = Brought::default();
    let mut unknown = Unknown::default();
    {
        let known = core.series.written();
        let keys = write.keys(known.hasher());
        // All at once: the processor waits for the memory of several series at the same time.
        let found: Vec<_> = keys.iter().map(|key| key.and_then(|key| known.find(key))).collect();
        if !caller.is_unbound() {
            found.iter().flatten().try_for_each(|series| caller.speaks_for(&series.component.name))?;
        }
        brought.points.reserve(write.series.len());
        for (index, (series, (key, found))) in write.series.iter().zip(keys.iter().zip(found)).enumerate() {
            match found {
                Some(found) => brought.series(write, series, index, found, &clock),
                None => unknown.add(index, *key),
            }
        }
    }
    for (index, result) in unknown.resolve(app, caller, core, write).await? {
        match result {
            Ok(found) => {
                if let Some(series) = write.series.get(index) {
                    brought.series(write, series, index, &found, &clock);
                }
            }
            Err((field, reason)) => brought.refuse(index, field, reason),
        }
    }
    brought.admit(app)?;
    brought.store(app, core).await
}

/// Waits until no other request adds to what is there.
async fn turn(core: &Core) -> Result<MutexGuard<'_, ()>, Problem> {
    timeout(PATIENCE, core.adding.lock()).await.map_err(|_| {
        let detail = "other requests with deltas have not been added yet";
        Problem::new(Kind::OVERLOADED, detail).with_header("retry-after", "1")
    })
}

/// What 1.0 says of metrics beside their samples.
async fn declare(core: &Core, write: &RemoteWrite<'_>, limits: &Limits) -> Result<(), Problem> {
    let can_be_stored = |m: &&Metadata<'_>| is_metric_name(m.family) && m.family.len() <= limits.name_bytes;
    let about = |m: &Metadata<'_>| Declared {
        kind: m.kind,
        help: cut(m.help, limits.help_bytes.min(HELP_BYTES)),
        unit: cut(m.unit, UNIT_BYTES),
    };
    let declared: Vec<(&str, Declared)> =
        write.metadata.iter().filter(can_be_stored).map(|m| (m.family, about(m))).collect();
    if declared.is_empty() {
        return Ok(());
    }
    for (name, kind, place) in core.series.declare(&core.database, &declared).await? {
        let about = &declared[place].1;
        core.live.describe(&name, kind, about.help.as_deref(), about.unit.as_deref());
    }
    core.regroup();
    Ok(())
}

impl<'w> Brought<'w> {
    fn refuse(&mut self, index: usize, field: &str, reason: String) {
        self.refused.push(Rejected { index, field: field.into(), reason });
    }

    /// Takes what was written of a series that was found. Of what is wrong with it the first is told.
    fn series(
        &mut self,
        write: &'w RemoteWrite<'_>,
        written: &'w Written<'_>,
        index: usize,
        series: &Arc<Series>,
        clock: &Clock,
    ) {
        let mut wrong = None;
        for Sample { at, value } in write.samples(written) {
            if let Err(reason) = clock.check(*at) {
                wrong.get_or_insert(("timestamp", reason));
                continue;
            }
            let mut value = *value;
            if written.is_delta {
                match self.sum(series, *at, value) {
                    Ok(Some(sum)) => value = sum,
                    Ok(None) => continue,
                    Err(reason) => {
                        wrong.get_or_insert(("timestamp", reason));
                        continue;
                    }
                }
            }
            let point = Point { series: Arc::clone(series), at: *at, value };
            if is_stale(value) { &mut self.ended } else { &mut self.points }.push(point);
        }
        for exemplar in write.exemplars(written) {
            let at = if exemplar.sample.at.0 == 0 { clock.now } else { exemplar.sample.at };
            let labels = clock.check(at).map_err(|reason| ("timestamp", reason)).and_then(|()| {
                let mut labels = write.exemplar_labels(exemplar)?;
                check_exemplar(&mut labels).map_err(|reason| ("exemplars", reason))?;
                Ok(labels)
            });
            match labels {
                Ok(labels) => {
                    let component = &series.component;
                    let first = || (Arc::clone(component), 0);
                    self.exemplars_of.entry(component.id).or_insert_with(first).1 += 1;
                    self.exemplars.push(Exemplar {
                        series: series.id,
                        at,
                        value: exemplar.sample.value,
                        labels,
                    });
                }
                Err(error) => {
                    wrong.get_or_insert(error);
                }
            }
        }
        if written.histograms > 0 {
            let reason = "native histograms are not stored: let the sender keep classic ones".into();
            wrong.get_or_insert(("histograms", reason));
        }
        if let Some((field, reason)) = wrong {
            let line = String::from_utf8_lossy(&series.line);
            let reason = format!("{}: {reason}", shown(line.trim_end()));
            series.component.refused(1, &format!("{field}: {reason}"));
            self.refuse(index, field, reason);
        }
    }

    /// What a delta makes of its series; nothing where it was added before, as when it is sent again.
    fn sum(&mut self, series: &Arc<Series>, at: Millis, delta: f64) -> Result<Option<f64>, String> {
        let before = self.sums.get(&series.id).copied().or_else(|| series.newest.get());
        let sum = match before {
            Some((newest, _)) if newest == at => return Ok(None),
            Some((newest, _)) if newest > at => {
                return Err("a delta that is older than the newest of its series can't be added".into());
            }
            Some((_, sum)) if sum.is_finite() => sum + delta,
            _ => delta,
        };
        self.sums.insert(series.id, (at, sum));
        Ok(Some(sum))
    }

    /// Counts its samples and exemplars against what their components may send. Its bytes are of all of them.
    fn admit(&self, app: &App) -> Result<(), Problem> {
        let mut samples: HashMap<RuntimeId, (&Component, usize)> = HashMap::new();
        let same = |a: &Point, b: &Point| Arc::ptr_eq(&a.series.component, &b.series.component);
        for run in self.points.chunk_by(same) {
            if let [first, ..] = run {
                let component = &*first.series.component;
                samples.entry(component.id).or_insert((component, 0)).1 += run.len();
            }
        }
        for (id, (component, count)) in &self.exemplars_of {
            samples.entry(*id).or_insert((component, 0)).1 += count;
        }
        samples.into_values().try_for_each(|(component, count)| pace::admit(app, component, count, 0))
    }

    /// Stores all of it.
    async fn store(mut self, app: &App, core: &Core) -> Result<Taken, Problem> {
        // Samples of one time are stored together, and the older ones of a series first.
        if !self.points.is_sorted_by_key(|point| point.at) {
            self.points.sort_by_key(|point| point.at);
        }
        let points = self.points.len();
        let taken = Taken {
            samples: points + self.ended.len(),
            exemplars: self.exemplars.len(),
            refused: {
                self.refused.sort_by_key(|r| r.index);
                self.refused
            },
        };
        app.own.rejected(&taken.refused);
        core.note_ended(&self.ended).await?;
        if points > 0 {
            core.writer.write(self.points, None).await?;
            app.own.accepted(points);
        }
        core.end(&self.ended);
        // After the samples: what was not stored is sent again, and changes nothing that was.
        core.note_exemplars(&self.exemplars).await?;
        Ok(taken)
    }
}

/// The times that are taken.
struct Clock {
    now: Millis,
    latest: Millis,
}

impl Clock {
    fn new(now: Millis, limits: &Limits) -> Self {
        Self { now, latest: now.plus(limits.future_ms).min(Millis::MAX) }
    }

    fn check(&self, at: Millis) -> Result<(), String> {
        if (0..=self.latest.0).contains(&at.0) {
            return Ok(());
        }
        if at.0 < 0 {
            return Err(format!("{} ms is before 1970", at.0));
        }
        let ahead = self.latest.since(self.now) / 1000;
        Err(format!("{} ms since 1970 is more than {ahead} s ahead of the server's clock", at.0))
    }
}

/// Help or unit as far as it can be stored; nothing where PostgreSQL's text can't hold it.
pub(super) fn cut(text: Option<&str>, most: usize) -> Option<Box<str>> {
    let text = text.filter(|text| !text.contains('\0'))?;
    Some(text[..text.floor_char_boundary(most)].into())
}

/// The beginning of a series' name and labels, short enough for an error.
pub(super) fn shown(series: &str) -> &str {
    let end = series.char_indices().nth(200).map_or(series.len(), |(at, _)| at);
    &series[..end]
}
