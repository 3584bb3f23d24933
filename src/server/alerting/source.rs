//! The newest values that rules and aggregates are evaluated over: what the exposition has, with what
//! the server makes itself of components, what it says of its own process, and what aggregates came to
//! in this round.

use std::collections::BTreeMap;
use std::sync::Arc;

use prometheus::proto::{Metric, MetricFamily, MetricType};

use super::super::App;
use super::super::core::Core;
use crate::live::made_values;
use crate::model::{Component, Series, labels_of_line};
use crate::rules::{Aggregate, EvaluationError, Groups, Held, Labels, Rule};

/// Samples that are gathered at once: then others get their turn.
const AT_ONCE: usize = 2000;

/// All values of one moment.
pub(super) struct Source<'a> {
    core: &'a Core,
    components: Vec<Arc<Component>>,
    own: Vec<MetricFamily>,
    /// What aggregates came to, by the names of the metrics that they make.
    pub(super) made: BTreeMap<&'a str, Groups>,
}

/// Whose value it is.
enum Place<'s> {
    Component(&'s Component),
    Own(&'s Metric),
    Series(Arc<Series>),
    Group(&'s Labels),
}

impl Place<'_> {
    fn labels(self) -> Labels {
        match self {
            Self::Component(component) => [
                ("component".to_owned(), component.name.to_string()),
                ("component_type".to_owned(), component.kind.to_string()),
            ]
            .into(),
            Self::Own(one) => {
                one.get_label().iter().map(|l| (l.name().to_owned(), l.value().to_owned())).collect()
            }
            Self::Series(series) => labels_of_line(&series.line).into_iter().collect(),
            Self::Group(labels) => labels.clone(),
        }
    }
}

impl<'a> Source<'a> {
    pub(super) fn new(app: &App, core: &'a Core) -> Self {
        let (components, own) = (core.components.all(), app.own.families(app));
        Self { core, components, own, made: BTreeMap::new() }
    }

    /// Of what a rule holds now.
    pub(super) fn evaluate(&self, rule: &Rule) -> Result<Held, EvaluationError> {
        let samples = self.samples(&rule.metric).into_iter();
        rule.evaluate(samples.map(|(value, place)| (value, || place.labels())))
    }

    /// Keeps what an aggregate comes to now: those that follow, and rules, may be made of it.
    pub(super) async fn make(&mut self, aggregate: &'a Aggregate) {
        let mut gathered = aggregate.gather();
        for (place, (value, whose)) in self.samples(&aggregate.metric).into_iter().enumerate() {
            gathered.take(value, whose.labels());
            if place % AT_ONCE == 0 {
                tokio::task::yield_now().await;
            }
        }
        self.made.insert(&aggregate.name, gathered.groups());
    }

    /// All that a metric has now.
    fn samples(&self, name: &str) -> Vec<(f64, Place<'_>)> {
        if let Some(groups) = self.made.get(name) {
            return groups.values.iter().map(|(labels, value)| (*value, Place::Group(labels))).collect();
        }
        if let Some(made) = made_values(name, &self.components, self.core.stale_after_ms) {
            return made.into_iter().map(|(component, value)| (value, Place::Component(component))).collect();
        }
        if let Some(family) = self.own.iter().find(|family| family.name() == name) {
            let values = family.get_metric().iter();
            return values.filter_map(|one| Some((number(family, one)?, Place::Own(one)))).collect();
        }
        let series = self.core.live.of_metric(name).into_iter();
        series.filter_map(|one| Some((one.newest.get()?.1, Place::Series(one)))).collect()
    }
}

/// The value of a counter or gauge.
fn number(family: &MetricFamily, one: &Metric) -> Option<f64> {
    match family.get_field_type() {
        MetricType::COUNTER => Some(one.get_counter().get_value()),
        MetricType::GAUGE => Some(one.get_gauge().get_value()),
        _ => None,
    }
}
