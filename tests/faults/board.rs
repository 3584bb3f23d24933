//! What all parts of a run share: when it is over, what was seen, what was wrong.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::clock::Clock;
use crate::harness::Answer;
use crate::ledger::Ledger;
use crate::pulse::Pulse;
use crate::sight::{Sight, Window};
use crate::system::SERVERS;

/// No process may hold more. The servers hold a few hundred series, the program is not optimized.
pub const MEMORY_BOUND: u64 = 256 << 20;
/// So many violations are shown.
const SHOWN: usize = 50;

pub struct Board {
    began: Instant,
    pub go_on: AtomicBool,
    pub ledger: Ledger,
    /// Those of the servers.
    pub clocks: [Clock; SERVERS],
    pub pulse: Pulse,
    /// Samples that got a 200.
    pub acknowledged: AtomicU64,
    pub sight: Mutex<Sight>,
    pub windows: Mutex<Vec<Window>>,
    violations: Mutex<Vec<String>>,
    count: AtomicU64,
    /// Tries of reporters that had no answer in time, or none at all.
    pub unanswered: AtomicU64,
    /// Answers to reports, by their status.
    pub answers: Mutex<BTreeMap<u16, u64>>,
    pub slowest: Mutex<Duration>,
    /// Processes to watch, and the most memory that each held.
    pub processes: Mutex<BTreeMap<String, Vec<u32>>>,
    pub memory: Mutex<BTreeMap<String, u64>>,
}

impl Board {
    pub fn new() -> Self {
        Self {
            began: Instant::now(),
            go_on: AtomicBool::new(true),
            ledger: Ledger::default(),
            clocks: std::array::from_fn(|number| Clock::new(&format!("server-{number}"))),
            pulse: Pulse::default(),
            acknowledged: AtomicU64::new(0),
            sight: Mutex::default(),
            windows: Mutex::default(),
            violations: Mutex::default(),
            count: AtomicU64::new(0),
            unanswered: AtomicU64::new(0),
            answers: Mutex::default(),
            slowest: Mutex::default(),
            processes: Mutex::default(),
            memory: Mutex::default(),
        }
    }

    /// A line of progress.
    pub fn say(&self, what: impl Display) {
        println!("faults: {:6.1} s: {what}", self.began.elapsed().as_secs_f64());
    }

    /// Something that must not be.
    pub fn violation(&self, what: impl Display) {
        if self.count.fetch_add(1, Ordering::Relaxed) < SHOWN as u64 {
            self.say(format_args!("WRONG: {what}"));
            self.violations.lock().push(what.to_string());
        }
    }

    pub fn violations(&self) -> Vec<String> {
        self.violations.lock().clone()
    }

    /// Seconds from the start of the run.
    pub fn at(&self, when: Instant) -> f64 {
        when.saturating_duration_since(self.began).as_secs_f64()
    }

    /// Counts an answer to a report.
    pub fn answered(&self, answer: &Answer, took: Duration) {
        *self.answers.lock().entry(answer.status).or_default() += 1;
        let mut slowest = self.slowest.lock();
        *slowest = took.max(*slowest);
    }

    /// Reports so far that were refused or had no answer.
    pub fn failed(&self) -> u64 {
        let answers = self.answers.lock();
        let refused: u64 = answers.iter().filter(|(status, _)| **status != 200).map(|(_, n)| n).sum();
        refused + self.unanswered.load(Ordering::Relaxed)
    }

    /// How much of the run's time was lost to other work.
    pub fn lost(&self) -> Duration {
        self.pulse.lost(self.began, Instant::now())
    }

    /// The scraper may miss the series from then on for so long.
    pub fn excuse(&self, from: Instant, to: Instant) {
        self.windows.lock().push(Window { from, to });
    }

    /// Looks at the memory of the processes, again and again.
    pub async fn watch_memory(&self) {
        while self.go_on.load(Ordering::Relaxed) {
            let processes = self.processes.lock().clone();
            for (name, pids) in processes {
                let most = pids.iter().map(|pid| resident(*pid)).max().unwrap_or_default();
                let mut memory = self.memory.lock();
                let known = memory.entry(name.clone()).or_default();
                if most > MEMORY_BOUND && *known <= MEMORY_BOUND {
                    self.violation(format_args!("{name} holds {} MiB of memory", most >> 20));
                }
                *known = most.max(*known);
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

/// Bytes of memory that a process holds.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    let kib: u64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or_default();
    kib * 1024
}
