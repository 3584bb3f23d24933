//! What aggregates come to is stored as series of a component that stands for them, whichever server is
//! active: so one goes on where another one ended. A group that is not there any more ends.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::super::core::Core;
use super::super::problem::Problem;
use super::super::self_report;
use super::Metrics;
use crate::model::{AGGREGATES, Component, Label, MetricType, Millis, Point, STALE, Series, SeriesId};
use crate::rules::{Aggregate, Groups};
use crate::store::{Lookup, NewSample, StoreError};

/// The component whose series they are.
const NAME: &str = "noetl-metrics-aggregates";

/// What is known of the rounds before.
#[derive(Default)]
pub(super) struct Aggregates {
    /// The series that have not ended; nothing before the first round.
    going: Option<HashMap<SeriesId, Arc<Series>>>,
    /// Those whose name another component reports a metric under.
    clashing: HashSet<String>,
}

impl Aggregates {
    /// Whether nobody reports a metric of its name. Said once of each that somebody does.
    pub(super) fn may_make(&mut self, core: &Core, aggregate: &Aggregate) -> bool {
        let live = core.live.of_metric(&aggregate.name);
        let Some(other) = live.iter().map(|series| &series.component).find(|c| !is_own(c)) else {
            self.clashing.remove(&aggregate.name);
            return true;
        };
        if self.clashing.insert(aggregate.name.clone()) {
            tracing::error!(
                aggregate = aggregate.name,
                component = &*other.name,
                "component reports a metric of this name: the aggregate is not made; give it another name"
            );
        }
        false
    }

    /// Stores what aggregates came to at `now`. What is not stored is left out: a later round stores what
    /// is then.
    pub(super) async fn store(
        &mut self,
        core: &Core,
        all: &[Aggregate],
        made: &BTreeMap<&str, Groups>,
        metrics: &Metrics,
        now: Millis,
    ) {
        if all.is_empty() && self.going.as_ref().is_some_and(HashMap::is_empty) {
            return;
        }
        self.clashing.retain(|name| all.iter().any(|one| one.name == *name));
        if let Err(problem) = self.try_store(core, all, made, metrics, now).await {
            metrics.aggregates_failed();
            tracing::warn!(detail = problem.detail(), "aggregates could not be stored");
        }
    }

    async fn try_store(
        &mut self,
        core: &Core,
        all: &[Aggregate],
        made: &BTreeMap<&str, Groups>,
        metrics: &Metrics,
        now: Millis,
    ) -> Result<(), Problem> {
        if all.is_empty() {
            end(core).await?;
            self.going = Some(HashMap::new());
            metrics.show_aggregates(&[], 0);
            return Ok(());
        }
        let component = self_report::registered(core, NAME, AGGREGATES).await?;
        let (points, counts) = points(core, &component, all, made, now).await?;
        let going = self.going.get_or_insert_with(|| {
            core.live.of_component(component.id).into_iter().map(|series| (series.id, series)).collect()
        });
        let here: HashSet<SeriesId> = points.iter().map(|point| point.series.id).collect();
        let over = going.values().filter(|series| !here.contains(&series.id));
        let over: Vec<Point> =
            over.map(|series| Point { series: Arc::clone(series), at: now, value: STALE }).collect();
        going.extend(points.iter().map(|point| (point.series.id, Arc::clone(&point.series))));
        core.note_ended(&over).await?;
        if !points.is_empty() {
            core.writer.write(points, None).await?;
        }
        core.end(&over);
        going.retain(|id, _| here.contains(id));
        metrics.show_aggregates(&counts, self.clashing.len());
        Ok(())
    }
}

fn is_own(component: &Component) -> bool {
    *component.name == *NAME && *component.kind == *AGGREGATES
}

/// Aggregates are made no more: their component leaves.
pub(super) async fn end(core: &Core) -> Result<(), StoreError> {
    match core.components.by_name(&core.database, NAME, Some(AGGREGATES)).await? {
        Lookup::Found(component) if !component.is_offline() => core.leave(&component).await,
        _ => Ok(()),
    }
}

/// Series that an aggregate makes, and how many it does not.
pub(super) struct Count<'a> {
    pub(super) aggregate: &'a str,
    pub(super) stored: usize,
    pub(super) left_out: usize,
}

/// One group.
struct Group<'a> {
    /// Which aggregate's.
    place: usize,
    labels: Vec<Label<'a>>,
    value: f64,
}

/// The points of all groups, and what is counted of each aggregate.
async fn points<'a>(
    core: &Core,
    component: &Arc<Component>,
    all: &'a [Aggregate],
    made: &BTreeMap<&str, Groups>,
    now: Millis,
) -> Result<(Vec<Point>, Vec<Count<'a>>), Problem> {
    let (mut values, mut counts) = (Vec::new(), Vec::with_capacity(all.len()));
    for (place, one) in all.iter().enumerate() {
        let made = made.get(one.name.as_str());
        let left_out = made.map_or(0, |made| made.left_out);
        counts.push(Count { aggregate: &one.name, stored: 0, left_out });
        for (labels, value) in made.into_iter().flat_map(|made| &made.values) {
            let labels = labels.iter().map(|(k, v)| (k.as_str().into(), v.as_str().into())).collect();
            values.push(Group { place, labels, value: *value });
        }
        core.live.describe(&one.name, MetricType::Gauge, one.help.as_deref(), None);
    }
    let samples: Vec<NewSample<'_>> = values
        .iter()
        .map(|Group { place, labels, .. }| NewSample {
            name: &all[*place].name,
            kind: MetricType::Gauge,
            inferred: false,
            labels,
            help: all[*place].help.as_deref(),
            unit: None,
        })
        .collect();
    let resolved = core.series.resolve(&core.database, component, &samples).await?;
    let mut points = Vec::with_capacity(resolved.len());
    for (Group { place, value, .. }, series) in values.iter().zip(resolved) {
        match series {
            Ok(series) => {
                counts[*place].stored += 1;
                points.push(Point { series, at: now, value: *value });
            }
            Err(why) => {
                counts[*place].left_out += 1;
                component.refused(1, &format!("{}: {}", why.field, why.reason));
            }
        }
    }
    Ok((points, counts))
}
