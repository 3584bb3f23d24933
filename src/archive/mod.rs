//! History for other stores and from them: `noetl-metrics export` writes it, `noetl-metrics verify`
//! compares it, `noetl-metrics import` brings it here.
//!
//! An hour is read, sent and then noted as done, so that whoever is ended goes on with the hour that was
//! not done yet. What arrives twice is the same sample, which stores of this kind keep once.

mod form;
mod http;
mod import;
mod lock;
mod parquet;
mod parts;
mod sink;
mod state;
mod verify;

use std::mem;
use std::path::PathBuf;
use std::time::Duration;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use import::fuzz;
pub use import::{ImportConfig, Imported, Source, SourceKind, import};
pub use sink::{Sink, Target};
use state::State;
pub use verify::{Comparison, verify};

use crate::live::Selector;
use crate::model::Millis;
use crate::store::{Database, Past, StoreError, first_hour, past};

/// Samples that are sent at once, about.
const BATCH: usize = 50_000;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Which history, and what it is to be called.
#[derive(Clone, Debug)]
pub struct Span {
    /// From when on.
    pub start: Millis,
    /// Until when, which is not in it any more.
    pub end: Millis,
    /// Only series that one of these selects; all where there is none.
    pub selectors: Vec<Selector>,
    /// Labels that each series gets beside its own.
    pub labels: Vec<(String, String)>,
}

/// How far it is, as a progress bar shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Progress {
    /// Hours that are done, by earlier runs too.
    pub hours: u64,
    /// Hours in all.
    pub all_hours: u64,
    /// Samples of this run so far.
    pub samples: u64,
    /// Samples that the other form can't hold: of an export NaN, but for Parquet.
    pub left_out: u64,
}

/// Why history could not be written, compared or brought here.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The other side refused it, or could not be reached for too long.
    #[error("{0}")]
    Target(String),
    /// What `--file` names could not be written.
    #[error("--file {}: {}", .0.display(), .1)]
    File(PathBuf, std::io::Error),
    /// The file of `--state` can't be used, or belongs to another export or import.
    #[error("--state {}: {}", .0.display(), .1)]
    State(PathBuf, String),
}

/// Writes history to a target, whose failures are borne for so long, hour by hour from the first on of which
/// there is any; `tell` hears of each.
pub async fn export(
    database: &Database,
    span: &Span,
    target: Target,
    patience: Duration,
    state: Option<PathBuf>,
    mut tell: impl FnMut(Progress),
) -> Result<Progress, ArchiveError> {
    let asked = format!("{span:?} to {target}");
    let mut state = State::open(state, &asked, span.start)?;
    let mut sink = Sink::open(target, patience, state.extent())?;
    let begin = next(database, span.start, span.end).await?;
    let mut progress = Progress { all_hours: hours(begin, span.end).count() as u64, ..Progress::default() };
    if progress.all_hours == 0
        && let Some(extent) = sink.close()?
    {
        state.done(span.end, extent)?;
    }
    let mut next_at = begin;
    // Whether the sink may have something of the day that was not closed with it.
    let mut open = true;
    for (from, to) in hours(begin, span.end) {
        let (ends_day, is_last) = (to.0 % DAY_MS == 0, to == span.end);
        // An hour without samples is passed over, unless a file of Parquet ends with it.
        let is_empty = to <= next_at;
        if to <= state.done_until() || (is_empty && !is_last && !(ends_day && open)) {
            progress.hours += 1;
            continue;
        }
        if !is_empty {
            send(database, span, (from, to), &mut sink, &mut progress).await?;
            next_at = next(database, to, span.end).await?;
        }
        progress.hours += 1;
        open = !ends_day;
        let kept = if is_last { sink.close()? } else { sink.flush(ends_day)? };
        if let Some(extent) = kept {
            state.done(to, extent)?;
        }
        tell(progress);
    }
    Ok(progress)
}

/// Sends the samples of one hour, or of a part of it.
async fn send(
    database: &Database,
    span: &Span,
    (from, to): (Millis, Millis),
    sink: &mut Sink,
    progress: &mut Progress,
) -> Result<(), ArchiveError> {
    let mut batch: Vec<Past> = Vec::new();
    let mut waiting = 0;
    past(database, from, to, async |mut series: Past| -> Result<(), ArchiveError> {
        if !span.selects(&series) {
            return Ok(());
        }
        series.labels.extend(span.labels.iter().cloned());
        if !sink.takes_nan() {
            progress.left_out += form::leave_out(&mut series);
        }
        if series.times.is_empty() {
            return Ok(());
        }
        waiting += series.times.len();
        batch.push(series);
        if waiting >= BATCH {
            sink.send(mem::take(&mut batch)).await?;
            progress.samples += mem::take(&mut waiting) as u64;
        }
        Ok(())
    })
    .await?;
    if waiting > 0 {
        sink.send(batch).await?;
        progress.samples += waiting as u64;
    }
    Ok(())
}

/// Where history of here goes on from a time on; `end` where there is none before it.
async fn next(database: &Database, from: Millis, end: Millis) -> Result<Millis, StoreError> {
    let first = first_hour(database, from).await?.unwrap_or(end);
    Ok(first.clamp(from, end))
}

/// The hours of a span, the first and the last as far as they are in it.
fn hours(start: Millis, end: Millis) -> impl Iterator<Item = (Millis, Millis)> {
    let first = start.0.div_euclid(HOUR_MS) * HOUR_MS;
    (first..end.0)
        .step_by(usize::try_from(HOUR_MS).unwrap_or(usize::MAX))
        .map(move |hour| (Millis(hour.max(start.0)), Millis((hour + HOUR_MS).min(end.0))))
        .filter(|(from, to)| from < to)
}

impl Span {
    fn selects(&self, series: &Past) -> bool {
        self.selectors.is_empty() || {
            let line = form::line(series);
            self.selectors.iter().any(|selector| selector.selects(&line))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_cut_at_whole_hours() {
        let cut = |start, end| hours(Millis(start), Millis(end)).map(|(a, b)| (a.0, b.0)).collect::<Vec<_>>();
        assert_eq!(cut(0, HOUR_MS), [(0, HOUR_MS)]);
        assert_eq!(cut(5, HOUR_MS + 7), [(5, HOUR_MS), (HOUR_MS, HOUR_MS + 7)]);
        assert!(cut(5, 5).is_empty());
    }
}
