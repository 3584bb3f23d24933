//! Series that are not known by how they are written: their labels are read, their component is found or
//! registered, and the series are found or made.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::App;
use super::super::auth::Caller;
use super::super::core::Core;
use super::super::problem::{Kind, Problem};
use super::take::{UNIT_BYTES, cut, shown};
use crate::model::{Component, Label, Limits, MetricType, Series, SeriesKey, check_labels};
use crate::store::{Declared, Lookup, NewSample, Registration, StoreError};
use crate::wire::remote_write::{DEFAULT_KIND, FieldError, Identity, RemoteWrite, identify, infer};

/// Components that may be up at once for another one to be registered by what a sender writes.
const MOST_COMPONENTS: usize = 10_000;

/// Series that are to be found, by their places in the request.
#[derive(Debug, Default)]
pub(super) struct Unknown {
    series: Vec<(usize, Option<SeriesKey>)>,
}

/// A series that was found, or why not.
type Found = (usize, Result<Arc<Series>, FieldError>);

/// A series whose labels were read.
struct Described<'w> {
    index: usize,
    key: Option<SeriesKey>,
    metric: std::borrow::Cow<'w, str>,
    kind: MetricType,
    inferred: bool,
    labels: Vec<Label<'w>>,
    about: Declared,
}

/// Name of a component, and its kind where that is said.
type Named = (String, Option<String>);

impl Unknown {
    pub(super) fn add(&mut self, index: usize, key: Option<SeriesKey>) {
        self.series.push((index, key));
    }

    /// Finds them, component by component.
    pub(super) async fn resolve(
        self,
        app: &App,
        caller: &Caller,
        core: &Core,
        write: &RemoteWrite<'_>,
    ) -> Result<Vec<Found>, Problem> {
        let mut found = Vec::with_capacity(self.series.len());
        let mut by_component: HashMap<Named, Vec<Described<'_>>> = HashMap::new();
        for (index, key) in self.series {
            match describe(core, write, index, key, &app.config.limits) {
                Ok((named, described)) => by_component.entry(named).or_default().push(described),
                Err(error) => found.push((index, Err(error))),
            }
        }
        by_component.keys().try_for_each(|(name, _)| caller.speaks_for(name))?;
        for (named, described) in by_component {
            match component(core, &named).await? {
                Ok(component) => of_component(core, &component, &described, &mut found).await?,
                Err(error) => found.extend(described.iter().map(|one| (one.index, Err(error.clone())))),
            }
        }
        core.regroup();
        Ok(found)
    }
}

/// Reads the labels of a series.
fn describe<'w>(
    core: &Core,
    write: &'w RemoteWrite<'_>,
    index: usize,
    key: Option<SeriesKey>,
    limits: &Limits,
) -> Result<(Named, Described<'w>), FieldError> {
    let lost = || ("labels", "are missing".to_owned());
    let written = write.series.get(index).ok_or_else(lost)?;
    let labels = write.labels(written)?;
    let named = series_name(&labels);
    let at = |(field, reason): FieldError| (field, format!("{}: {reason}", shown(&named)));
    let Identity { component, kind: component_kind, metric, mut labels } =
        identify(labels, limits).map_err(at)?;
    // What 2.0 says with the series counts for more than what 1.0 said beside it.
    let inline = write.about(written);
    let mut about = core.series.declared(&metric).unwrap_or_default();
    about.kind = inline.kind.or(about.kind);
    about.help = cut(inline.help.or(about.help.as_deref()), limits.help_bytes);
    about.unit = cut(inline.unit.or(about.unit.as_deref()), UNIT_BYTES);
    let (kind, inferred) = infer(&metric, &labels, about.kind);
    check_labels(&metric, kind, &mut labels, limits).map_err(|e| at(("labels", e.to_string())))?;
    let component_name = (component.into_owned(), component_kind.map(std::borrow::Cow::into_owned));
    Ok((component_name, Described { index, key, metric, kind, inferred, labels, about }))
}

/// Metric and labels as people write them, for an error.
fn series_name(labels: &[Label<'_>]) -> String {
    let metric = labels.iter().find(|(key, _)| key == "__name__").map_or("", |(_, value)| value.as_ref());
    let others = labels.iter().filter(|(key, _)| key != "__name__").take(10);
    let others: Vec<String> = others.map(|(key, value)| format!("{key}={:?}", shown(value))).collect();
    format!("{}{{{}}}", shown(metric), others.join(","))
}

/// The component of this name; one that is not registered is, since a sender can't do it.
async fn component(core: &Core, (name, kind): &Named) -> Result<Result<Arc<Component>, FieldError>, Problem> {
    match core.components.by_name(&core.database, name, kind.as_deref()).await? {
        Lookup::Found(component) => return Ok(Ok(component)),
        Lookup::Ambiguous(kinds) => {
            let reason = format!("component {name:?} exists as {}: add component_type", kinds.join(", "));
            return Ok(Err(("labels", reason)));
        }
        Lookup::Unknown => {}
    }
    if core.components.all().iter().filter(|c| core.is_up(c)).count() >= MOST_COMPONENTS {
        let reason =
            format!("component {name:?} is not registered, and {MOST_COMPONENTS} components are up already");
        return Ok(Err(("labels", reason)));
    }
    let registration = Registration {
        name: name.clone(),
        kind: kind.as_deref().unwrap_or(DEFAULT_KIND).to_owned(),
        status: "ready".into(),
        ..Registration::default()
    };
    Ok(Ok(core.components.register(&core.database, &registration).await?.1))
}

/// Finds or makes the series of one component.
async fn of_component(
    core: &Core,
    component: &Arc<Component>,
    described: &[Described<'_>],
    found: &mut Vec<Found>,
) -> Result<(), Problem> {
    let samples: Vec<NewSample<'_>> = described
        .iter()
        .map(|one| NewSample {
            name: &one.metric,
            kind: one.kind,
            inferred: one.inferred,
            labels: &one.labels,
            help: one.about.help.as_deref(),
            unit: one.about.unit.as_deref(),
        })
        .collect();
    let resolved = match core.series.resolve(&core.database, component, &samples).await {
        Ok(resolved) => resolved,
        Err(StoreError::UnknownComponent) => {
            // The next try registers it again.
            core.components.forget(component);
            let detail = "a component was removed in this moment";
            return Err(Problem::new(Kind::UNAVAILABLE, detail).with_header("retry-after", "1"));
        }
        Err(error) => return Err(error.into()),
    };
    let keys = described.iter().zip(&resolved);
    core.series.remember(keys.filter_map(|(one, series)| Some((one.key?, series.as_ref().ok()?))));
    for (one, series) in described.iter().zip(resolved) {
        let about = &one.about;
        let result = series.map_err(|why| {
            let reason = format!("{}: {}", shown(&one.metric), why.reason);
            component.refused(1, &format!("{}: {reason}", why.field));
            (why.field, reason)
        });
        if let Ok(series) = &result
            && (about.help.is_some() || about.unit.is_some())
        {
            core.live.describe(&one.metric, series.kind(), about.help.as_deref(), about.unit.as_deref());
        }
        found.push((one.index, result));
    }
    Ok(())
}
