//! What the spool holds and what it lost, for the agent's own metrics: written by whoever uses the
//! disk, read by whoever collects.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

use crate::host::Readings;

/// What the spool holds and what it lost.
#[derive(Debug, Default)]
pub(in crate::agent) struct SpoolStats {
    /// Whether it was used without a fault the last time.
    pub(in crate::agent) up: AtomicBool,
    /// Whether it could be opened since the start: before, nobody knows what it holds.
    pub(in crate::agent) opened: AtomicBool,
    /// Bytes of its files.
    pub(in crate::agent) bytes: AtomicU64,
    /// Samples that wait in it.
    pub(in crate::agent) samples: AtomicU64,
    /// When the oldest of them was read, in milliseconds since 1970; 0 where there is none.
    pub(in crate::agent) oldest_ms: AtomicI64,
    /// Samples dropped because newer ones needed their room.
    pub(in crate::agent) dropped_full: AtomicU64,
    /// Samples lost in damaged files.
    pub(in crate::agent) dropped_damaged: AtomicU64,
    /// Uses that failed: the disk is full, read-only, or fails.
    pub(in crate::agent) faults: AtomicU64,
}

impl SpoolStats {
    /// Adds the readings.
    pub(in crate::agent) fn collect(&self, now_ms: i64, out: &mut Readings) {
        let load = |value: &AtomicU64| value.load(Relaxed) as f64;
        let help = "Whether reports can be kept on disk; 0 after a fault, until a use succeeds.";
        out.gauge("noetl_agent_spool_up", help, &[], f64::from(u8::from(self.up.load(Relaxed))));
        let help = "Bytes of the spool's files.";
        out.gauge("noetl_agent_spool_bytes", help, &[], load(&self.bytes));
        let help = "Samples that wait in the spool to be sent.";
        out.gauge("noetl_agent_spool_samples", help, &[], load(&self.samples));
        let help = "Age of the oldest sample that waits in the spool; 0 where none does.";
        let age_ms = match self.oldest_ms.load(Relaxed) {
            0 => 0,
            oldest => now_ms.saturating_sub(oldest).max(0),
        };
        out.gauge("noetl_agent_spool_oldest_age_seconds", help, &[], age_ms as f64 / 1000.0);
        let help =
            "Samples of the spool that were lost: full for newer ones, damaged with the file they were in.";
        for (reason, counter) in [("full", &self.dropped_full), ("damaged", &self.dropped_damaged)] {
            out.counter(
                "noetl_agent_spool_samples_dropped_total",
                help,
                &[("reason", reason)],
                load(counter),
            );
        }
        let help = "Uses of the spool that failed; reports stay in memory then.";
        out.counter("noetl_agent_spool_faults_total", help, &[], load(&self.faults));
    }
}
