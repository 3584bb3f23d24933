//! What the agent says of its scrapes, as metrics of its own with the label `target`.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;

use super::guide::Absence;
use crate::host::Readings;
use crate::model::Reading;

/// Why a scrape failed. A closed set: it is a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// No connection.
    Connect,
    /// Not done within the time.
    Timeout,
    /// The connection broke, or HTTP itself was broken.
    Http,
    /// A status other than 2xx; redirects are such.
    Status,
    /// A body in another format or encoding.
    ContentType,
    /// More bytes than allowed.
    TooLarge,
    /// More samples than allowed.
    TooManySamples,
    /// A text that breaks the format.
    BadText,
    /// The agent itself failed.
    Internal,
}

impl Reason {
    const ALL: [Self; 9] = [
        Self::Connect,
        Self::Timeout,
        Self::Http,
        Self::Status,
        Self::ContentType,
        Self::TooLarge,
        Self::TooManySamples,
        Self::BadText,
        Self::Internal,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Http => "http",
            Self::Status => "status",
            Self::ContentType => "content_type",
            Self::TooLarge => "too_large",
            Self::TooManySamples => "too_many_samples",
            Self::BadText => "bad_text",
            Self::Internal => "internal",
        }
    }
}

/// Why a scrape failed, for a label and for people.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub(super) struct Fault {
    pub(super) reason: Reason,
    pub(super) why: String,
}

impl Fault {
    pub(super) fn new(reason: Reason, why: impl Into<String>) -> Self {
        Self { reason, why: why.into() }
    }
}

/// How a target fared.
#[derive(Clone, Debug, Default)]
pub(super) struct Score {
    /// Whether the last scrape succeeded.
    pub(super) up: bool,
    /// How long it took.
    pub(super) took: Duration,
    /// Samples that were reported.
    pub(super) samples: usize,
    /// Samples of families that are not kept.
    pub(super) not_kept: usize,
    /// Samples with a label that names one run.
    pub(super) per_run: usize,
    /// Samples that the server refused, since the start.
    pub(super) rejected: u64,
    /// Metrics of the guide that it does not have, or did not have once, and why; true while that
    /// is so.
    absent: BTreeMap<(&'static str, Absence), bool>,
    /// Failed scrapes by reason, since the start.
    errors: [u64; Reason::ALL.len()],
}

impl Score {
    /// These metrics of the guide are absent now.
    pub(super) fn absent(&mut self, now: &[(&'static str, Absence)]) {
        self.absent.values_mut().for_each(|is_so| *is_so = false);
        self.absent.extend(now.iter().map(|absent| (*absent, true)));
    }

    /// The scrape failed.
    pub(super) fn failed(&mut self, reason: Reason, took: Duration) {
        self.errors[reason as usize] += 1;
        (self.up, self.took) = (false, took);
        (self.samples, self.not_kept, self.per_run) = (0, 0, 0);
    }
}

/// How all targets fared, by their label.
#[derive(Debug, Default)]
pub(super) struct Scoreboard(Mutex<BTreeMap<String, Score>>);

impl Scoreboard {
    /// A target was scraped.
    pub(super) fn note(&self, target: &str, score: &Score) {
        let mut scores = self.0.lock();
        match scores.get_mut(target) {
            Some(known) => known.clone_from(score),
            None => drop(scores.insert(target.to_owned(), score.clone())),
        }
    }

    /// A target is none any more.
    pub(super) fn forget(&self, target: &str) {
        self.0.lock().remove(target);
    }

    /// The metrics of all targets that were scraped once.
    pub(super) fn readings(&self) -> Vec<Reading> {
        let scores = self.0.lock();
        let mut out = Readings::default();
        for (target, score) in scores.iter() {
            score.collect(target, &mut out);
        }
        out.into_vec()
    }
}

impl Score {
    fn collect(&self, target: &str, out: &mut Readings) {
        let labels = [("target", target)];
        let help = "Whether the last scrape of the target succeeded.";
        out.gauge("noetl_agent_scrape_up", help, &labels, f64::from(u8::from(self.up)));
        let help = "How long the last scrape of the target took.";
        out.gauge("noetl_agent_scrape_duration_seconds", help, &labels, self.took.as_secs_f64());
        let help = "Samples of the target's last scrape that were reported.";
        out.gauge("noetl_agent_scrape_samples", help, &labels, self.samples as f64);
        let help = "Samples of the target's last scrape that were left out: not_kept by \
                    --scrape-keep, per_run for a label that names one run.";
        for (reason, count) in [("not_kept", self.not_kept), ("per_run", self.per_run)] {
            let labels = [("target", target), ("reason", reason)];
            out.gauge("noetl_agent_scrape_samples_dropped", help, &labels, count as f64);
        }
        let help = "Samples of the target that the server refused.";
        out.counter("noetl_agent_scrape_samples_rejected_total", help, &labels, self.rejected as f64);
        // All reasons from the start on: a rate over a counter that appears at 1 misses the first.
        let help = "Scrapes of the target that failed, by reason.";
        for (reason, count) in Reason::ALL.into_iter().zip(self.errors) {
            let labels = [("target", target), ("reason", reason.as_str())];
            out.counter("noetl_agent_scrape_errors_total", help, &labels, count as f64);
        }
        let help = "1 while the target does not have one of the guide's metrics, with the reason.";
        // At 0 too once it was 1: a series that is no longer reported keeps its last value.
        for ((metric, absence), is_so) in &self.absent {
            let labels = [("target", target), ("metric", metric), ("reason", absence.as_str())];
            out.gauge("noetl_agent_scrape_absent", help, &labels, f64::from(u8::from(*is_so)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_counted_where_they_belong() {
        for (place, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place);
        }
        let scores = Scoreboard::default();
        let mut score = Score { samples: 5, up: true, ..Score::default() };
        score.failed(Reason::TooLarge, Duration::from_millis(500));
        scores.note("http://h/metrics", &score);
        let readings = scores.readings();
        let value = |name: &str, label: &str| {
            let found = readings.iter().find(|r| r.name == name && r.labels.iter().any(|(_, v)| v == label));
            found.map(|r| r.value)
        };
        assert_eq!(value("noetl_agent_scrape_up", "http://h/metrics"), Some(0.0));
        assert_eq!(value("noetl_agent_scrape_samples", "http://h/metrics"), Some(0.0));
        assert_eq!(value("noetl_agent_scrape_errors_total", "too_large"), Some(1.0));
        assert_eq!(value("noetl_agent_scrape_errors_total", "connect"), Some(0.0));
    }
}
