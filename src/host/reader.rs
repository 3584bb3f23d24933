//! The reader that the agent and the server hold: all collectors behind two calls.

use super::basics::{Basics, SystemScope};
use super::collector::{COLLECTORS, Outcome};
use super::readings::Readings;
use super::{HostPaths, cpu};
use crate::model::Reading;

/// Reads this machine and this process. It remembers the last look, which percentages need.
#[derive(Debug)]
pub struct HostReader {
    paths: HostPaths,
    basics: Basics,
    cpu: cpu::LastSeen,
    outcomes: Vec<(&'static str, Outcome)>,
}

impl HostReader {
    /// A reader whose percentages are of this process's cgroup limit where there is one, else of
    /// the node. Takes the first look at CPU time, so that percentages are there from the first
    /// [`core`](Self::core) on that comes 200 ms later.
    pub fn new(paths: HostPaths) -> Self {
        Self::with_scope(paths, SystemScope::OwnLimit)
    }

    /// As [`new`](Self::new), with what the percentages are of.
    pub fn with_scope(paths: HostPaths, scope: SystemScope) -> Self {
        let basics = Basics::new(&paths, scope);
        Self { paths, basics, cpu: cpu::LastSeen::default(), outcomes: Vec::new() }
    }

    /// The guide's readings of system and process: `noetl_system_cpu_usage_percent`,
    /// `noetl_system_memory_usage_percent`, `noetl_system_memory_usage_bytes`,
    /// `noetl_process_cpu_percent`, `noetl_process_memory_rss_bytes`,
    /// `noetl_process_start_time_seconds` and `noetl_uptime_seconds`.
    ///
    /// CPU percentages are those since the last call, and absent before there were two looks.
    pub fn core(&mut self) -> Vec<Reading> {
        let mut out = Readings::default();
        self.basics.collect(&mut out);
        out.into_vec()
    }

    /// The node's `node_*` readings, from every collector whose source this machine has.
    pub fn node(&mut self) -> Vec<Reading> {
        let mut out = Readings::default();
        let cpu = self.cpu.collect(&self.paths, &mut out);
        let mut outcomes = vec![("cpu", Outcome::of(cpu))];
        for (name, collect) in COLLECTORS {
            outcomes.push((name, Outcome::of(collect(&self.paths, &mut out))));
        }
        self.log_changes(&outcomes);
        self.outcomes = outcomes;
        out.into_vec()
    }

    /// How each collector fared in the last [`node`](Self::node), by name.
    pub fn outcomes(&self) -> &[(&'static str, Outcome)] {
        &self.outcomes
    }

    // A fault is worth one line when it begins, not one per report.
    fn log_changes(&self, now: &[(&'static str, Outcome)]) {
        for (i, (name, outcome)) in now.iter().enumerate() {
            if self.outcomes.get(i).is_some_and(|(_, before)| before == outcome) {
                continue;
            }
            match outcome {
                Outcome::Read => {}
                Outcome::Missing(why) => tracing::debug!(collector = name, "absent: {why}"),
                Outcome::Failed(why) => tracing::warn!(collector = name, "failed: {why}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_sources_gives_absence_and_no_failure() {
        let dir = tempfile::tempdir().unwrap();
        let mut reader = HostReader::new(HostPaths::new(dir.path().into(), None, None));
        let names: Vec<_> = reader.node().into_iter().map(|r| r.name).collect();
        for (collector, outcome) in reader.outcomes() {
            assert!(!matches!(outcome, Outcome::Failed(_)), "{collector}: {outcome:?}");
        }
        // The clock and the kernel's name need no file.
        assert!(names.iter().all(|n| n == "node_time_seconds" || n == "node_uname_info"), "{names:?}");
    }

    #[test]
    fn one_broken_source_stops_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let proc = dir.path().join("proc");
        std::fs::create_dir_all(&proc).unwrap();
        std::fs::write(proc.join("loadavg"), "what is this").unwrap();
        std::fs::write(proc.join("vmstat"), "pgfault 7\n").unwrap();
        let mut reader = HostReader::new(HostPaths::new(dir.path().into(), None, None));
        let readings = reader.node();
        assert!(readings.iter().any(|r| r.name == "node_vmstat_pgfault"));
        let loadavg = reader.outcomes().iter().find(|(name, _)| *name == "loadavg").unwrap();
        assert!(matches!(&loadavg.1, Outcome::Failed(why) if why.contains("loadavg")));
    }
}
