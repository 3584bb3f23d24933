//! The process behind a target on this machine: who it says it is, and the guide's readings of it.
//!
//! What listens on the port need not be NoETL: a forwarded port belongs to the forwarder. Only a
//! program that is NoETL's by its name counts.

use std::time::{Duration, Instant};

use super::identity::Told;
use crate::host::{HostPaths, ListeningProcess, Readings};
use crate::model::Reading;

/// To look through all processes takes a while, so it is not done at each scrape.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// Where the process behind a target is.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// It listens on this port of this machine.
    Port(u16),
    /// It is that of the pod with this uid.
    Pod(String),
}

/// The process behind a target, looked for as needed.
#[derive(Debug, Default)]
pub(super) struct ProcessLook {
    process: Option<ListeningProcess>,
    looked: Option<Instant>,
}

/// What one look gave.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) told: Told,
    /// `None` where no process of NoETL's is seen.
    pub(super) readings: Option<Vec<Reading>>,
}

impl ProcessLook {
    /// Looks at the process of this place. Blocks: files are read.
    pub(super) fn look(&mut self, paths: &HostPaths, place: &Place) -> Seen {
        if self.process.as_ref().is_some_and(|process| !process.is_alive()) {
            // Another one may have taken its place already.
            *self = Self::default();
        }
        if self.process.is_none() && self.looked.is_none_or(|looked| looked.elapsed() >= LOOK_EVERY) {
            self.looked = Some(Instant::now());
            self.process = match place {
                Place::Port(port) => ListeningProcess::find(paths, *port).filter(is_noetl),
                Place::Pod(uid) => ListeningProcess::in_pod(paths, uid),
            };
        }
        let Some(process) = &mut self.process else { return Seen::default() };
        let mut out = Readings::default();
        process.collect(&mut out);
        let told = Told {
            worker_id: process.variable("WORKER_ID"),
            pool_name: process.variable("WORKER_POOL_NAME"),
        };
        Seen { told, readings: Some(out.into_vec()) }
    }
}

fn is_noetl(process: &ListeningProcess) -> bool {
    let arguments = process.arguments();
    let program = process.program().unwrap_or_default();
    names_noetl(&program, &arguments)
}

/// Whether a program is NoETL's: by its own name, or by what an interpreter runs.
fn names_noetl(program: &str, arguments: &[String]) -> bool {
    let is_interpreter = program.starts_with("python");
    program.contains("noetl")
        || (is_interpreter && arguments.iter().skip(1).take(3).any(|a| a.to_lowercase().contains("noetl")))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn is(program: &str, arguments: &[&str]) -> bool {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        names_noetl(program, &arguments)
    }

    #[test]
    fn a_forwarder_is_not_noetl() {
        assert!(is("noetl-worker", &["noetl-worker"]));
        assert!(is("python3.12", &["python", "-m", "noetl.worker"]));
        assert!(is("python3", &["/usr/bin/python3", "/venv/bin/noetl", "worker", "start"]));
        assert!(!is("kubectl", &["kubectl", "port-forward", "svc/noetl", "8082"]));
        assert!(!is("docker-proxy", &["docker-proxy", "-container-port", "9090"]));
        assert!(!is("", &[]));
    }

    #[test]
    fn nothing_is_looked_for_again_and_again() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let paths = HostPaths::new("/nowhere".into(), None, None);
        let mut look = ProcessLook::default();
        assert!(look.look(&paths, &Place::Port(port)).readings.is_none());
        // It would be found now, for this program's name has "noetl" in it.
        assert!(look.look(&HostPaths::default(), &Place::Port(port)).readings.is_none());
        let mut look = ProcessLook::default();
        assert!(look.look(&HostPaths::default(), &Place::Port(port)).readings.is_some());
    }
}
