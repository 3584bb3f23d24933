//! The newest values that rules are evaluated over: what the exposition has, with what the server makes
//! itself of components, and what it says of its own process.

use prometheus::proto::{Metric, MetricFamily, MetricType};

use super::super::App;
use super::super::core::Core;
use crate::live::made_values;
use crate::model::{Component, Millis, labels_of_line};
use crate::rules::{EvaluationError, Held, Labels, Rule};

/// All values of one moment.
pub(super) struct Source<'a> {
    core: &'a Core,
    now: Millis,
    components: Vec<std::sync::Arc<Component>>,
    own: Vec<MetricFamily>,
}

impl<'a> Source<'a> {
    pub(super) fn new(app: &App, core: &'a Core, now: Millis) -> Self {
        Self { core, now, components: core.components.all(), own: app.own.families(app) }
    }

    /// Of what a rule holds now.
    pub(super) fn evaluate(&self, rule: &Rule) -> Result<Held, EvaluationError> {
        let name = rule.metric.as_str();
        if let Some(made) = made_values(name, &self.components, self.now, self.core.stale_after_ms) {
            return rule
                .evaluate(made.into_iter().map(|(component, value)| (value, || of_component(component))));
        }
        if let Some(family) = self.own.iter().find(|family| family.name() == name) {
            let values = family.get_metric().iter().filter_map(|one| Some((number(family, one)?, one)));
            return rule.evaluate(values.map(|(value, one)| (value, || of_own(one))));
        }
        let series = self.core.live.of_metric(name);
        let values = series.iter().filter_map(|one| Some((one.newest.get()?.1, one)));
        rule.evaluate(values.map(|(value, one)| (value, || labels_of_line(&one.line).into_iter().collect())))
    }
}

fn of_component(component: &Component) -> Labels {
    [
        ("component".to_owned(), component.name.to_string()),
        ("component_type".to_owned(), component.kind.to_string()),
    ]
    .into()
}

/// The value of a counter or gauge.
fn number(family: &MetricFamily, one: &Metric) -> Option<f64> {
    match family.get_field_type() {
        MetricType::COUNTER => Some(one.get_counter().get_value()),
        MetricType::GAUGE => Some(one.get_gauge().get_value()),
        _ => None,
    }
}

fn of_own(one: &Metric) -> Labels {
    one.get_label().iter().map(|label| (label.name().to_owned(), label.value().to_owned())).collect()
}
