//! A component that the agent reports for: its place in the registry, and what became of its
//! reports.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;

use super::super::registration::{Registration, Scraped};

/// A component that the agent reports for.
#[derive(Debug)]
pub(in crate::agent) struct Source {
    pub(in crate::agent) registration: Registration,
    rejected: AtomicU64,
}

impl Source {
    pub(super) fn new(scraped: &Scraped<'_>) -> Self {
        Self { registration: Registration::of_scraped(scraped), rejected: AtomicU64::new(0) }
    }

    /// The component of a report that was kept on disk.
    pub(in crate::agent) fn of_spooled(name: &str, kind: &str, register_body: Bytes) -> Self {
        Self {
            registration: Registration::of_spooled(name, kind, register_body),
            rejected: AtomicU64::new(0),
        }
    }

    /// The server refused `samples` of it.
    pub(in crate::agent) fn rejected(&self, samples: usize) {
        self.rejected.fetch_add(samples as u64, Relaxed);
    }

    /// Samples that the server refused so far.
    pub(super) fn rejected_so_far(&self) -> u64 {
        self.rejected.load(Relaxed)
    }
}
