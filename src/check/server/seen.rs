//! What a server says of itself, read once: its components, its own metrics, its status, and what
//! agents report of themselves.

use serde_json::Value;

use super::caller::Caller;
use crate::model::Reading;
use crate::wire::exposition;

/// Samples that are read of one exposition, at most.
const MOST_SAMPLES: usize = 200_000;
/// Families that agents report of themselves, as far as they are looked at.
const OF_AGENTS: [&str; 4] = [
    "noetl_agent_spool_up",
    "noetl_agent_spool_samples_dropped_total",
    "noetl_agent_textfile_errors_total",
    "node_textfile_scrape_error",
];

/// All of it.
pub(super) struct Seen {
    /// `/api/metrics/components`.
    pub(super) components: Vec<Value>,
    /// `/metrics`.
    pub(super) own: Vec<Reading>,
    /// The status page.
    pub(super) status: Value,
    /// Families of agents.
    pub(super) agents: Vec<Reading>,
}

impl Seen {
    /// Reads all of it; a sentence where a part can't be read.
    pub(super) async fn read(caller: &Caller) -> Result<Self, String> {
        let mut components = caller.json("/api/metrics/components").await?;
        let chosen: Vec<_> = OF_AGENTS.iter().map(|family| format!("match[]={family}")).collect();
        let export = format!("/api/metrics/prometheus?active=1&{}", chosen.join("&"));
        Ok(Self {
            own: readings(caller, "/metrics").await?,
            agents: readings(caller, &export).await?,
            status: caller.json("/status?format=json").await?,
            components: components["components"].as_array_mut().map(std::mem::take).unwrap_or_default(),
        })
    }

    /// The name under which the active server reports on itself.
    pub(super) fn own_name(&self) -> &str {
        let mut flags = self.status["flags"].as_array().into_iter().flatten();
        let said = flags.find(|flag| flag["name"] == "--server-name").and_then(|flag| flag["value"].as_str());
        said.unwrap_or("noetl-server")
    }

    /// The values of a family of its own metrics, each with its labels.
    pub(super) fn own(&self, name: &str) -> impl Iterator<Item = &Reading> {
        self.own.iter().filter(move |reading| reading.name == name)
    }

    /// The sum of such a family; `None` where it is absent.
    pub(super) fn total(&self, name: &str) -> Option<f64> {
        self.own(name).map(|reading| reading.value).reduce(|a, b| a + b)
    }

    /// Those of a family of agents that are above 0.
    pub(super) fn of_agents(&self, name: &str) -> impl Iterator<Item = &Reading> {
        self.agents.iter().filter(move |reading| reading.name == name)
    }
}

async fn readings(caller: &Caller, path: &str) -> Result<Vec<Reading>, String> {
    let text = caller.get(path).await?.body().map_err(|why| format!("{path}: {why}"))?;
    exposition::parse(&text, MOST_SAMPLES, "").map_err(|e| format!("{path}: {e}"))
}

/// The value of a label.
pub(super) fn label<'a>(reading: &'a Reading, name: &str) -> &'a str {
    reading.labels.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_ref())
}
