//! The overview: this machine, components, ingest, storage.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::core::Core;
use super::super::page::data::{
    ComponentCounts, ComponentStatus, Endpoint, Host, HostCard, HostReading, Overview,
};
use super::super::problem::Problem;
use super::super::routes::ROUTES;
use super::super::{App, self_report};
use super::{components, status};
use crate::host::HostPaths;
use crate::model::{Component, Millis, Series, labels_of_line};
use crate::store::{Points, points};

/// Sparklines show the last quarter of an hour.
const WHILE_MS: i64 = 15 * 60_000;
/// One point of them is at least this long.
const STEP_MS: i64 = 5000;

pub(super) async fn fill(app: &App, core: &Core) -> Result<Overview, Problem> {
    let now = Millis::now();
    let sizes = super::sizes(app, core).await?;
    let (_, rejected) = app.own.samples();
    let rejected_recently = app.rates.rejected_recently();
    Ok(Overview {
        now_ms: now.0,
        version: env!("CARGO_PKG_VERSION").into(),
        uptime_seconds: super::uptime(app, now),
        host: host(app, core, now).await?,
        components: counts(core),
        live_series: core.live.len() as u64,
        samples_per_second: app.rates.last_minute(),
        samples_per_second_points: app.rates.accepted_per_second(),
        samples_stored: Some(sizes.of_samples().map(|t| t.rows.unsigned_abs()).sum()),
        database_bytes: Some(sizes.database_bytes.unsigned_abs()),
        partitions: Some(sizes.partition_count.unsigned_abs()),
        last_retention: status::runs(core, 1).await?.into_iter().next(),
        rejected_samples: rejected,
        rejected_recently,
        rejected_reason: (rejected_recently > 0).then(|| newest_reason(core)).flatten(),
        endpoints: ROUTES
            .iter()
            .map(|r| Endpoint { method: r.method.into(), path: r.path.into(), help: r.help.into() })
            .collect(),
    })
}

fn counts(core: &Core) -> ComponentCounts {
    let mut counts = ComponentCounts::default();
    for component in core.components.all() {
        match components::status(core, &component) {
            ComponentStatus::Up => counts.up += 1,
            ComponentStatus::Silent => counts.silent += 1,
            ComponentStatus::Offline => counts.offline += 1,
        }
    }
    counts
}

fn newest_reason(core: &Core) -> Option<String> {
    let all = core.components.all();
    let refused = all.iter().filter_map(|c| c.last_rejection());
    refused.max_by_key(|(at, _)| *at).map(|(_, reason)| reason.into())
}

/// The component that reports for this machine: its agent, else the server itself.
fn reporter(app: &App, core: &Core) -> Option<Arc<Component>> {
    let all = core.components.all();
    let live: Vec<_> = all.into_iter().filter(|c| c.is_live()).collect();
    let this = crate::host::node_name(&HostPaths::default());
    let agent = live.iter().find(|c| &*c.kind == "node_agent" && *c.name == *this);
    let any = live.iter().find(|c| &*c.kind == "node_agent");
    let own = live.iter().find(|c| *c.name == *app.config.name && &*c.kind == self_report::SERVER_KIND);
    agent.or(any).or(own).cloned()
}

async fn host(app: &App, core: &Core, now: Millis) -> Result<Option<Host>, Problem> {
    let Some(component) = reporter(app, core) else { return Ok(None) };
    let series = core.live.of_component(component.id);
    let shown: Vec<_> = series.iter().filter(|s| NAMES.contains(&s.metric_name())).cloned().collect();
    let ids: Vec<_> = shown.iter().map(|s| s.id).collect();
    let history = points(&core.database, &ids, now.plus(-WHILE_MS), now, STEP_MS).await?;
    let machine = Machine { shown, history };
    let cards = [machine.cpu(), machine.memory(), machine.disk(), machine.network()];
    Ok(Some(Host {
        runtime_id: component.id.0,
        name: component.name.to_string(),
        facts: facts(&series),
        last_report_ms: component.last_report().map(|t| t.0),
        cards: cards.into_iter().flatten().collect(),
    }))
}

fn facts(series: &[Arc<Series>]) -> Vec<String> {
    let mut facts = Vec::new();
    if let Some(uname) = series.iter().find(|s| s.metric_name() == "node_uname_info") {
        let labels = labels_of_line(&uname.line);
        let label =
            |name: &str| labels.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str()).unwrap_or_default();
        facts.push(format!("{} {}", label("sysname"), label("release")));
        facts.push(label("machine").to_owned());
    }
    let idle = |s: &&Arc<Series>| {
        s.metric_name() == "node_cpu_seconds_total"
            && labels_of_line(&s.line).contains(&("mode".into(), "idle".into()))
    };
    match series.iter().filter(idle).count() {
        0 => {}
        1 => facts.push("1 core".into()),
        cores => facts.push(format!("{cores} cores")),
    }
    facts
}

/// What the cards are made of.
const NAMES: &[&str] = &[
    "noetl_system_cpu_usage_percent",
    "noetl_system_memory_usage_percent",
    "node_memory_MemTotal_bytes",
    "node_memory_MemAvailable_bytes",
    "node_filesystem_size_bytes",
    "node_filesystem_avail_bytes",
    "node_network_receive_bytes_total",
    "node_network_transmit_bytes_total",
    "node_load1",
];

struct Machine {
    shown: Vec<Arc<Series>>,
    history: HashMap<i32, Points>,
}

impl Machine {
    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Arc<Series>> {
        self.shown.iter().filter(move |s| s.metric_name() == name)
    }

    fn with_label<'a>(&'a self, name: &'a str, label: (&str, &str)) -> Option<&'a Arc<Series>> {
        self.all(name)
            .find(|s| labels_of_line(&s.line).iter().any(|(k, v)| (k.as_str(), v.as_str()) == label))
    }

    fn value(series: Option<&Arc<Series>>) -> Option<f64> {
        series?.newest.get().map(|(_, value)| value)
    }

    fn points(&self, series: &Series) -> Points {
        self.history.get(&series.id.0).cloned().unwrap_or_default()
    }

    fn percent(&self, title: &str, name: &str, detail: Option<String>) -> Option<HostCard> {
        let series = self.all(name).next()?;
        Some(HostCard {
            title: title.into(),
            readings: vec![HostReading {
                label: String::new(),
                metric_name: name.into(),
                unit: Some("percent".into()),
                value: Self::value(Some(series)),
                points: self.points(series),
            }],
            detail,
            scale_max: Some(100.0),
        })
    }

    fn cpu(&self) -> Option<HostCard> {
        let load = Self::value(self.all("node_load1").next()).map(|load| format!("load {load:.2}"));
        self.percent("CPU", "noetl_system_cpu_usage_percent", load)
    }

    fn memory(&self) -> Option<HostCard> {
        let total = Self::value(self.all("node_memory_MemTotal_bytes").next());
        let available = Self::value(self.all("node_memory_MemAvailable_bytes").next());
        let detail = total.zip(available).map(|(t, a)| used_of(t - a, t));
        self.percent("Memory", "noetl_system_memory_usage_percent", detail)
    }

    /// The filesystem of `/`, else the largest.
    fn disk(&self) -> Option<HostCard> {
        let size_name = "node_filesystem_size_bytes";
        let root = self.with_label(size_name, ("mountpoint", "/"));
        let largest = || {
            self.all(size_name).max_by(|a, b| {
                Self::value(Some(a)).unwrap_or(0.0).total_cmp(&Self::value(Some(b)).unwrap_or(0.0))
            })
        };
        let size = root.or_else(largest)?;
        let labels = labels_of_line(&size.line);
        let mount = labels.iter().find(|(k, _)| k == "mountpoint").map(|(_, v)| v.as_str())?;
        let free = self.with_label("node_filesystem_avail_bytes", ("mountpoint", mount))?;
        let total = Self::value(Some(size)).filter(|t| *t > 0.0)?;
        let used = |free: f64| (total - free) / total * 100.0;
        Some(HostCard {
            title: "Disk".into(),
            readings: vec![HostReading {
                label: String::new(),
                metric_name: "node_filesystem_avail_bytes".into(),
                unit: Some("percent".into()),
                value: Self::value(Some(free)).map(used),
                points: self.points(free).into_iter().map(|(at, free)| (at, used(free))).collect(),
            }],
            // What is reserved for root counts as used, as in Grafana's usual panels: free is what others get.
            detail: Self::value(Some(free))
                .map(|free| format!("{} free of {} on {mount}", gib(free), gib(total))),
            scale_max: Some(100.0),
        })
    }

    fn network(&self) -> Option<HostCard> {
        let reading = |label: &str, name: &str| {
            let devices: Vec<_> = self
                .all(name)
                .filter(|s| !labels_of_line(&s.line).contains(&("device".into(), "lo".into())))
                .collect();
            // A machine may have nothing but its loopback.
            let devices = if devices.is_empty() { self.all(name).collect() } else { devices };
            let points = sum_of_rates(devices.iter().map(|s| self.points(s)));
            HostReading {
                label: label.into(),
                metric_name: name.into(),
                unit: Some("bytes/s".into()),
                value: points.last().map(|(_, rate)| *rate),
                points,
            }
        };
        self.all("node_network_receive_bytes_total").next()?;
        Some(HostCard {
            title: "Network".into(),
            readings: vec![
                reading("received", "node_network_receive_bytes_total"),
                reading("sent", "node_network_transmit_bytes_total"),
            ],
            detail: None,
            scale_max: None,
        })
    }
}

fn used_of(used: f64, total: f64) -> String {
    format!("{} of {}", gib(used), gib(total))
}

fn gib(bytes: f64) -> String {
    format!("{:.1} GiB", bytes / f64::from(1 << 30))
}

/// The rates of counters, added up at the times that they share.
fn sum_of_rates(counters: impl Iterator<Item = Points>) -> Points {
    let mut sums: std::collections::BTreeMap<i64, f64> = std::collections::BTreeMap::new();
    for counter in counters {
        for pair in counter.windows(2) {
            let ((before, a), (at, b)) = (pair[0], pair[1]);
            let seconds = (at - before) as f64 / 1000.0;
            // A counter that fell was set back.
            let grown = if b >= a { b - a } else { b };
            *sums.entry(at).or_default() += grown / seconds;
        }
    }
    sums.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_added_up_and_resets_are_no_falls() {
        let a = vec![(0, 10.0), (1000, 20.0), (3000, 4.0)];
        let b = vec![(0, 0.0), (1000, 1.0)];
        assert_eq!(sum_of_rates([a, b].into_iter()), [(1000, 11.0), (3000, 2.0)]);
    }
}
