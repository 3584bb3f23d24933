//! Readings of this machine and of this process: the kernel's files in, [`Reading`]s out.
//!
//! [`HostReader::core`] gives the guide's `noetl_*` values, [`HostReader::node`] what dashboards
//! of this field know as `node_*`, with `node_exporter`'s names, labels and units. A value whose
//! source this machine does not have is absent, never 0, and stops no other. Files are read and
//! `statvfs` is called, both of which block: call from a thread that may. Nothing here talks to a
//! network, not even through a network filesystem, whose mounts are left out.
//!
//! [`Reading`]: crate::model::Reading

mod basics;
mod cgroup;
mod collector;
mod error;
mod paths;
mod process;
mod reader;
mod readings;
mod usage;

// One file per collector.
mod conntrack;
mod cpu;
mod diskstats;
mod entropy;
mod filefd;
mod filesystem;
mod loadavg;
mod meminfo;
mod netclass;
mod netdev;
mod netstat;
mod os;
mod pressure;
mod schedstat;
mod sockstat;
mod softnet;
mod stat;
mod thermal;
mod time;
mod uname;
mod vmstat;

// What is left out of the reports, by rule.
mod fs_rules;
mod mounts;
mod net_rules;

pub use basics::SystemScope;
pub use collector::Outcome;
pub use error::CollectError;
pub use paths::HostPaths;
pub(crate) use process::{ListeningProcess, listeners};
pub use reader::HostReader;
pub(crate) use readings::Readings;
pub use uname::node_name;

#[cfg(test)]
mod machine_tests;
#[cfg(test)]
mod testing;
