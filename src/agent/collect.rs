//! One collection: everything read once, packed as reports ready to be sent.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::config::{AgentConfig, Identity};
use super::counters::{Collection, Counters};
use super::outbox::Outbox;
use super::packing::{Reporter, pack};
use super::textfile::TextfileDir;
use crate::host::{HostReader, Readings};
use crate::model::{Millis, Reading};

/// Reads everything there is to report. Blocks: files are read.
#[derive(Debug)]
pub(super) struct Collector {
    host: HostReader,
    textfiles: Option<TextfileDir>,
    identity: Arc<Identity>,
    labels: Vec<(&'static str, String)>,
    counters: Arc<Counters>,
    outbox: Arc<Outbox>,
    every: Duration,
}

impl Collector {
    /// A collector that takes its first look at CPU time now.
    pub(super) fn new(
        config: &AgentConfig,
        identity: Arc<Identity>,
        counters: Arc<Counters>,
        outbox: Arc<Outbox>,
    ) -> Self {
        Self {
            host: HostReader::with_scope(config.paths.clone(), identity.scope()),
            textfiles: config.textfile_dir.clone().map(TextfileDir::new),
            labels: identity.labels(),
            identity,
            counters,
            outbox,
            every: config.metrics_interval,
        }
    }

    /// Collects, and puts the reports into the outbox. Returns how many others were dropped for
    /// them.
    pub(super) fn run(&mut self) -> io::Result<usize> {
        let read_at_ms = Millis::now().0;
        let readings = self.read();
        let reporter = Reporter {
            name: &self.identity.name,
            kind: &self.identity.kind,
            labels: &self.labels,
            source: None,
            every: self.every,
        };
        let reports = pack(&reporter, &readings, read_at_ms)?;
        Ok(reports.into_iter().map(|report| self.outbox.put(report)).sum())
    }

    fn read(&mut self) -> Vec<Reading> {
        let begun = Instant::now();
        let mut readings = self.host.core();
        readings.extend(self.host.node());
        if let Some(textfiles) = &mut self.textfiles {
            textfiles.collect(&mut readings);
        }
        let collection = Collection {
            took: begun.elapsed(),
            outcomes: self.host.outcomes(),
            textfile_errors: self.textfiles.as_ref().map(TextfileDir::errors),
        };
        let mut own = Readings::default();
        self.counters.collect(&self.outbox, &collection, &mut own);
        readings.extend(own.into_vec());
        readings
    }
}
