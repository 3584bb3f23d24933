//! The process behind a target on this machine: who it says it is, and the guide's readings of it.
//!
//! What listens on the port need not be NoETL: a forwarded port belongs to the forwarder. Only a
//! program that is NoETL's by its name counts.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::identity::Told;
use crate::host::{HostPaths, ListeningProcess, Readings, listeners};
use crate::model::Reading;

/// To look through all processes takes a while, so it is done once for all targets, and by none
/// again that found nothing; but at once for one that has just come.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Where the process behind a target is.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// It listens on this port of this machine.
    Port(u16),
    /// It is that of the pod with this uid.
    Pod(String),
}

/// Which process listens on which port of this machine, as of late.
#[derive(Debug, Default)]
pub(super) struct Listeners(Mutex<Option<(Instant, HashMap<u16, u32>)>>);

impl Listeners {
    /// The process that listens on `port`, by a look that was not over `oldest` before `asked`. May
    /// block for a while; who asked before that look began may do with it.
    fn pid(&self, paths: &HostPaths, port: u16, asked: Instant, oldest: Duration) -> Option<u32> {
        let mut found = self.0.lock();
        if found.as_ref().is_none_or(|(at, _)| asked.saturating_duration_since(*at) > oldest) {
            *found = Some((Instant::now(), listeners(paths)));
        }
        found.as_ref()?.1.get(&port).copied()
    }
}

/// The process behind a target.
#[derive(Debug, Default)]
pub(super) struct ProcessLook {
    process: Option<ListeningProcess>,
    /// When it was looked for. `None` where it may have come since: at the start, after it has
    /// ended, and after a scrape that failed.
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
    /// Looks at the process of this place, which was there at `asked`. Blocks: files are read.
    pub(super) fn look(
        &mut self,
        paths: &HostPaths,
        listeners: &Listeners,
        place: &Place,
        asked: Instant,
    ) -> Seen {
        if self.process.as_ref().is_some_and(|process| !process.is_alive()) {
            self.process = None;
            self.may_be_another();
        }
        if self.process.is_none() {
            self.process = self.find(paths, listeners, place, asked);
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

    /// Whether there is anything to look at or for.
    pub(super) fn is_due(&self) -> bool {
        self.process.is_some() || !self.looked_lately()
    }

    fn looked_lately(&self) -> bool {
        self.looked.is_some_and(|looked| looked.elapsed() < LOOK_EVERY)
    }

    /// What answers next may be another process: where none is known, it is looked for at once.
    pub(super) fn may_be_another(&mut self) {
        self.looked = None;
    }

    fn find(
        &mut self,
        paths: &HostPaths,
        listeners: &Listeners,
        place: &Place,
        asked: Instant,
    ) -> Option<ListeningProcess> {
        if self.looked_lately() {
            return None;
        }
        let oldest = if self.looked.is_none() { Duration::ZERO } else { LOOK_EVERY };
        self.looked = Some(Instant::now());
        match place {
            Place::Port(port) => {
                let pid = listeners.pid(paths, *port, asked, oldest);
                pid.and_then(|pid| ListeningProcess::of(paths, pid)).filter(is_noetl)
            }
            Place::Pod(uid) => ListeningProcess::in_pod(paths, uid),
        }
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
    fn one_that_has_just_come_is_seen_at_once_and_one_without_a_process_asks_for_no_look() {
        let paths = HostPaths::default();
        let listeners = Listeners::default();
        let looked_at = || listeners.0.lock().as_ref().map(|(at, _)| *at);
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        // This program's name has "noetl" in it.
        let look = |look: &mut ProcessLook, place: &Place, asked| {
            look.look(&paths, &listeners, place, asked).readings.is_some()
        };
        let before = Instant::now();
        assert!(look(&mut ProcessLook::default(), &Place::Port(port(&first)), before));
        let at = looked_at();
        assert!(look(&mut ProcessLook::default(), &Place::Port(port(&first)), before));
        assert_eq!(looked_at(), at, "who asked before the look does with it");
        let second = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = Place::Port(port(&second));
        let mut later = ProcessLook::default();
        assert!(look(&mut later, &place, Instant::now()), "it came after the first look");

        drop(second);
        let mut nobody = ProcessLook::default();
        assert!(!look(&mut nobody, &place, Instant::now()));
        let at = looked_at();
        assert!(!look(&mut nobody, &place, Instant::now()));
        assert_eq!(looked_at(), at, "not looked for again yet");
        nobody.may_be_another();
        assert!(!look(&mut nobody, &place, Instant::now()));
        assert_ne!(looked_at(), at);
    }
}
