//! What a collector is, the list of them, and how one fared.

use super::readings::Readings;
use super::{
    CollectError, HostPaths, conntrack, diskstats, entropy, filefd, filesystem, loadavg, meminfo, netclass,
    netdev, netstat, os, pressure, schedstat, sockstat, softnet, stat, thermal, time, uname, vmstat,
};

/// Reads one source and adds its readings; what it added before an error stays.
pub(super) type Collect = fn(&HostPaths, &mut Readings) -> Result<(), CollectError>;

/// The collectors that need no memory of the last time, by the name under which they are reported.
pub(super) const COLLECTORS: [(&str, Collect); 20] = [
    ("conntrack", conntrack::collect),
    ("diskstats", diskstats::collect),
    ("entropy", entropy::collect),
    ("filefd", filefd::collect),
    ("filesystem", filesystem::collect),
    ("loadavg", loadavg::collect),
    ("meminfo", meminfo::collect),
    ("netclass", netclass::collect),
    ("netdev", netdev::collect),
    ("netstat", netstat::collect),
    ("os", os::collect),
    ("pressure", pressure::collect),
    ("schedstat", schedstat::collect),
    ("sockstat", sockstat::collect),
    ("softnet", softnet::collect),
    ("stat", stat::collect),
    ("thermal", thermal::collect),
    ("time", time::collect),
    ("uname", uname::collect),
    ("vmstat", vmstat::collect),
];

/// How a collector fared the last time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It read its source.
    Read,
    /// This machine has no such source; the text names what was looked for.
    Missing(String),
    /// The source is there, and reading it failed; the text says why.
    Failed(String),
}

impl Outcome {
    /// Sorts a collector's result.
    pub(super) fn of(result: Result<(), CollectError>) -> Self {
        match result {
            Ok(()) => Self::Read,
            Err(e @ CollectError::Missing(_)) => Self::Missing(e.to_string()),
            Err(e) => Self::Failed(e.to_string()),
        }
    }
}
