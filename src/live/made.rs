//! The families that the server makes itself, of what it knows of components.

use std::sync::Arc;

use super::Metadata;
use super::header::header;
use super::render::RenderOptions;
use crate::model::{AGGREGATES, COMPONENT_UP, Component, REPORT_AGE, export_line};
use crate::wire::value;

/// Silent for longer than this, a component is not mentioned any more: 24 h.
const FORGOTTEN_MS: i64 = 24 * 3_600_000;

/// The families that the server makes itself, by name: whether components are up, and how long ago
/// they reported.
pub(super) fn made_families(
    options: &RenderOptions<'_>,
    components: &[Arc<Component>],
) -> Vec<(&'static str, Vec<u8>)> {
    let family = |(name, help, unit)| {
        let values = made_values(name, components, options.stale_after_ms);
        let values = values.into_iter().flatten().filter(|(c, _)| options.takes_component(c));
        made_family(name, help, unit, values, options)
    };
    [
        (REPORT_AGE, "Seconds since the component's newest report was stored.", "seconds"),
        (
            COMPONENT_UP,
            "Whether the component reported or sent a heartbeat within the time after which it counts as silent.",
            "",
        ),
    ]
    .map(family)
    .into()
}

/// The values of a metric that the server makes itself, by component; `None` for any other.
pub fn made_values<'a>(
    name: &str,
    components: &'a [Arc<Component>],
    stale_after_ms: i64,
) -> Option<Vec<(&'a Arc<Component>, f64)>> {
    let value: fn(&Component, i64, i64) -> Option<f64> = match name {
        REPORT_AGE => |component, _, _| Some(component.silent_ms()? as f64 / 1000.0),
        COMPONENT_UP => |_, unseen, stale_after_ms| Some(f64::from(u8::from(unseen <= stale_after_ms))),
        _ => return None,
    };
    let of = |component: &'a Arc<Component>| {
        let unseen = component.unseen_ms()?;
        let known = unseen < FORGOTTEN_MS;
        Some((component, value(component, unseen, stale_after_ms).filter(|_| known)?))
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
            header(&mut out, options.format, &metadata, name, "gauge");
        }
        out.extend_from_slice(&line);
        value::write(&mut out, number);
        out.push(b'\n');
    }
    (name, out)
}
