//! A body taken apart: the samples that are kept, how many were not, and why.
//!
//! Ids of single runs never become labels: a sample that has one is left out, as each run would
//! leave another series behind for good.

use std::collections::HashMap;

use super::keep::Keep;
use super::own::{Fault, Reason};
use crate::model::{Reading, family_of, is_reserved};
use crate::wire::exposition::{ParseError, Sample, samples};

/// Labels that name one run of something.
pub(super) const PER_RUN: [&str; 12] = [
    "execution_id",
    "parent_execution_id",
    "root_execution_id",
    "run_id",
    "job_id",
    "task_id",
    "command_id",
    "event_id",
    "request_id",
    "trace_id",
    "span_id",
    "correlation_id",
];
/// Help of families that have none.
const NO_HELP: &str = "Scraped; the target gives no help.";

/// What a target exposes.
#[derive(Debug, Default)]
pub(super) struct Body {
    /// Samples to be reported, without times of their own: they are of the scrape's time.
    pub(super) kept: Vec<Reading>,
    /// Samples of families that are not kept.
    pub(super) not_kept: usize,
    /// Samples with a label that names one run.
    pub(super) per_run: usize,
}

impl Body {
    /// Reads a text of at most `most` samples.
    pub(super) fn read(text: &str, most: usize) -> Result<Vec<Sample<'_>>, Fault> {
        samples(text, most, NO_HELP).map_err(|e| {
            let reason = match e {
                ParseError::TooMany(_) => Reason::TooManySamples,
                ParseError::Line { .. } | ParseError::Unfinished => Reason::BadText,
            };
            let hint = if reason == Reason::TooManySamples { " (--scrape-sample-limit)" } else { "" };
            Fault::new(reason, format!("{e}{hint}"))
        })
    }

    /// Sorts out what is kept.
    pub(super) fn sort_out(samples: Vec<Sample<'_>>, keep: &Keep) -> Self {
        let mut body = Self::default();
        // The first sample of a family has its help; where that is left out, the next gets it.
        let mut help = HashMap::new();
        // Samples of one family come one after the other, and there are many patterns.
        let mut last = ("", false);
        for mut sample in samples {
            let family = family_of(sample.name, sample.kind).name;
            if last.0 != family {
                last = (family, keep.keeps(family));
            }
            if !last.1 || is_reserved(sample.name) {
                body.not_kept += 1;
            } else if sample.labels.iter().any(|(name, _)| PER_RUN.contains(name)) {
                body.per_run += 1;
                if !sample.help.is_empty() {
                    help.insert(family, sample.help);
                }
            } else {
                sample.timestamp_ms = None;
                if !help.is_empty()
                    && let Some(help) = help.remove(family)
                {
                    sample.help = help;
                }
                body.kept.push(sample.into_reading());
            }
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str) -> Body {
        Body::sort_out(Body::read(text, 100).unwrap(), &Keep::default())
    }

    #[test]
    fn what_is_kept_has_the_scrapes_time() {
        let body = body("noetl_up 1 1000\ngo_goroutines 7\nnoetl_component_up 1\n");
        assert_eq!((body.kept.len(), body.not_kept), (1, 2));
        assert_eq!(body.kept[0].timestamp_ms, None);
    }

    #[test]
    fn help_goes_once_for_each_family() {
        let body = body("# HELP noetl_up Up.\nnoetl_up{a=\"1\"} 1\nnoetl_up{a=\"2\"} 1\nnoetl_info 1\n");
        let help: Vec<_> = body.kept.iter().map(|reading| reading.help.as_ref()).collect();
        assert_eq!(help, ["Up.", "", NO_HELP]);
    }

    #[test]
    fn help_is_not_lost_with_the_sample_that_had_it() {
        let body = body("# HELP noetl_up Up.\nnoetl_up{run_id=\"x\"} 1\nnoetl_up{a=\"1\"} 1\nnoetl_up 1\n");
        let help: Vec<_> = body.kept.iter().map(|reading| reading.help.as_ref()).collect();
        assert_eq!(help, ["Up.", ""]);
    }

    #[test]
    fn ids_of_single_runs_never_become_labels() {
        let body = body("noetl_up{execution_id=\"1\"} 1\nnoetl_up{run_id=\"x\",a=\"b\"} 1\nnoetl_up 1\n");
        assert_eq!((body.kept.len(), body.per_run), (1, 2));
    }

    #[test]
    fn faults_have_their_reasons() {
        let reason = |text: &str| Body::read(text, 2).unwrap_err().reason;
        assert_eq!(reason("a 1\nb 1\nc 1\n"), Reason::TooManySamples);
        assert_eq!(reason("<html>\n"), Reason::BadText);
        assert_eq!(reason("a 1"), Reason::BadText);
    }
}
