//! One collection: everything read once, packed as reports ready to be sent.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::config::{AgentConfig, Identity};
use super::counters::{Collection, Counters};
use super::outbox::{Outbox, Packed};
use super::textfile::TextfileDir;
use crate::host::{HostReader, Readings};
use crate::model::{Millis, Reading};
use crate::wire::report_out::ReportOut;

/// Samples of one report; more are sent as several, so that none comes near the server's limit.
const SAMPLES_PER_REPORT: usize = 5000;
/// Bodies up to this size are not worth compressing.
const PLAIN_BYTES: usize = 1024;

/// Reads everything there is to report. Blocks: files are read.
#[derive(Debug)]
pub(super) struct Collector {
    host: HostReader,
    textfiles: Option<TextfileDir>,
    identity: Arc<Identity>,
    labels: Vec<(&'static str, String)>,
    counters: Arc<Counters>,
    outbox: Arc<Outbox>,
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
        }
    }

    /// Collects, and puts the reports into the outbox. Returns how many others were dropped for
    /// them.
    pub(super) fn run(&mut self) -> io::Result<usize> {
        let read_at_ms = Millis::now().0;
        let readings = self.read();
        let mut dropped = 0;
        for readings in readings.chunks(SAMPLES_PER_REPORT) {
            dropped += self.outbox.put(self.pack(readings, read_at_ms)?);
        }
        Ok(dropped)
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

    fn pack(&self, readings: &[Reading], read_at_ms: i64) -> io::Result<Packed> {
        let report = ReportOut {
            component_name: &self.identity.name,
            component_type: &self.identity.kind,
            common_labels: &self.labels,
            read_at_ms,
            readings,
        };
        let json = report.to_json()?;
        let zstd = json.len() > PLAIN_BYTES;
        let body = if zstd { zstd::bulk::compress(&json, 3)? } else { json };
        Ok(Packed { body: body.into(), zstd, samples: readings.len() })
    }
}
