//! Readings packed as reports that are ready to be sent.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::outbox::Packed;
use super::scrape::Source;
use crate::model::Reading;
use crate::wire::report_out::ReportOut;

/// Samples of one report; more are sent as several, so that none comes near the server's limit.
const SAMPLES_PER_REPORT: usize = 5000;
/// Bodies up to this size are not worth compressing.
const PLAIN_BYTES: usize = 1024;

/// Of zstd: the next ones take much more memory and time, and save few bytes.
const LEVEL: i32 = 1;

/// Whom readings are of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reporter<'a> {
    /// Name of the component.
    pub(super) name: &'a str,
    /// Kind of the component.
    pub(super) kind: &'a str,
    /// Labels that every sample gets.
    pub(super) labels: &'a [(&'static str, String)],
    /// The component, where it is not the agent itself.
    pub(super) source: Option<&'a Arc<Source>>,
    /// Time between its reports.
    pub(super) every: Duration,
}

/// Packs what was read at `read_at_ms`.
///
/// # Errors
/// In form only: neither JSON nor zstd fails in memory.
pub(super) fn pack(
    reporter: &Reporter<'_>,
    readings: &[Reading],
    read_at_ms: i64,
) -> io::Result<Vec<Packed>> {
    readings.chunks(SAMPLES_PER_REPORT).map(|readings| pack_one(reporter, readings, read_at_ms)).collect()
}

fn pack_one(reporter: &Reporter<'_>, readings: &[Reading], read_at_ms: i64) -> io::Result<Packed> {
    let report = ReportOut {
        component_name: reporter.name,
        component_type: reporter.kind,
        common_labels: reporter.labels,
        read_at_ms,
        readings,
    };
    let json = report.to_json()?;
    let zstd = json.len() > PLAIN_BYTES;
    let body = if zstd { zstd::bulk::compress(&json, LEVEL)? } else { json };
    let source = reporter.source.cloned();
    let fresh_for = reporter.every;
    Ok(Packed { body: body.into(), zstd, samples: readings.len(), read_at_ms, fresh_for, source })
}
