//! The targets that agents scrape, from what the agents report of them.

use std::collections::BTreeMap;

use super::super::core::Core;
use super::super::page::data::ScrapeTarget;
use crate::model::labels_of_line;

/// The most series that are looked through for one family.
const MOST_SERIES: usize = 10_000;
/// Targets shown.
const MOST: usize = 500;

/// Agent and target.
type Key = (String, String);
/// Labels of a series.
type Labels = Vec<(String, String)>;

/// All targets, those that are down first.
pub(super) fn all(core: &Core) -> Vec<ScrapeTarget> {
    let mut targets: BTreeMap<Key, ScrapeTarget> = BTreeMap::new();
    for (key, _, up) in values(core, "noetl_agent_scrape_up") {
        let (agent, target) = key.clone();
        targets.insert(key, ScrapeTarget { agent, target, up: up > 0.0, ..ScrapeTarget::default() });
    }
    let mut set = |family: &str, apply: fn(&mut ScrapeTarget, &[(String, String)], f64)| {
        for (key, labels, value) in values(core, family) {
            if let Some(target) = targets.get_mut(&key) {
                apply(target, &labels, value);
            }
        }
    };
    set("noetl_agent_scrape_duration_seconds", |target, _, value| target.seconds = value);
    set("noetl_agent_scrape_samples", |target, _, value| target.samples = whole(value));
    set("noetl_agent_scrape_samples_rejected_total", |target, _, value| target.rejected = whole(value));
    set("noetl_agent_scrape_errors_total", |target, labels, value| {
        if value > 0.0 {
            target.errors.push((label(labels, "reason").to_owned(), whole(value)));
        }
    });
    set("noetl_agent_scrape_absent", |target, labels, value| {
        if value > 0.0 {
            target.absent.push((label(labels, "metric").to_owned(), label(labels, "reason").to_owned()));
        }
    });
    let mut targets: Vec<_> = targets.into_values().collect();
    targets.sort_by_key(|target| target.up);
    targets.truncate(MOST);
    targets
}

/// The live series of a family: whose they are, their labels, their values.
fn values(core: &Core, family: &str) -> Vec<(Key, Labels, f64)> {
    let series = core.live.of_family(Some(family), MOST_SERIES);
    let value = |series: &std::sync::Arc<crate::model::Series>| {
        let labels = labels_of_line(&series.line);
        let target = label(&labels, "target").to_owned();
        let (_, value) = series.newest.get()?;
        Some(((series.component.name.to_string(), target), labels, value))
    };
    series.iter().filter_map(value).collect()
}

fn label<'a>(labels: &'a [(String, String)], name: &str) -> &'a str {
    labels.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
}

/// A count; what is none is 0.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
fn whole(value: f64) -> u64 {
    value as u64
}
