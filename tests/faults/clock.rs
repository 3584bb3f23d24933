//! Clocks that are set. A program that is started with libfaketime takes the time of the day from a file; by
//! what it knows how long something lasts stays as it is.

use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use crate::harness::now;

/// Libfaketime reckons in fractions of seconds, programs in whole milliseconds.
const ROUNDED_MS: i64 = 2;

/// One clock, and how it went.
pub struct Clock {
    file: PathBuf,
    steps: Mutex<Vec<Step>>,
}

/// From when to when it was so much ahead, all in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Step {
    ahead: i64,
    from: i64,
    to: i64,
}

/// Which of the libraries: the one with locks deadlocks in PostgreSQL's signal handlers, the other one is not
/// for threads.
#[derive(Clone, Copy, Debug)]
pub enum For {
    Threads,
    OneThread,
}

impl Clock {
    /// One that is right.
    pub fn new(name: &str) -> Self {
        let file = std::env::temp_dir().join(format!("noetl-faults-{}-{name}.clock", std::process::id()));
        let clock = Self { file, steps: Mutex::default() };
        clock.set(0);
        clock
    }

    /// From now on it is so many milliseconds ahead, or behind.
    pub fn set(&self, ahead: i64) {
        let next = self.file.with_extension("next");
        let sign = if ahead < 0 { '-' } else { '+' };
        let text = format!("{sign}{}.{:03}\n", ahead.abs() / 1000, ahead.abs() % 1000);
        std::fs::write(&next, text).expect("the clock's file is written");
        let from = now();
        // As a whole: it is read at any moment.
        std::fs::rename(&next, &self.file).expect("the clock is set");
        let mut steps = self.steps.lock();
        if let Some(last) = steps.last_mut() {
            last.to = now();
        }
        steps.push(Step { ahead, from, to: i64::MAX });
    }

    /// Whether it showed this time at a moment between these two.
    pub fn showed(&self, time: i64, from: i64, to: i64) -> bool {
        self.steps.lock().iter().any(|step| {
            let (from, to) = (from.max(step.from), to.min(step.to));
            from <= to && (from + step.ahead - ROUNDED_MS..=to + step.ahead + ROUNDED_MS).contains(&time)
        })
    }

    /// What a program that goes by it has in its environment.
    pub fn variables(&self, program: For) -> Vec<(&'static str, String)> {
        let Some(library) = library(program) else { return Vec::new() };
        vec![
            ("LD_PRELOAD", library.to_string_lossy().into_owned()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.to_string_lossy().into_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
            ("FAKETIME_NO_CACHE", "1".into()),
        ]
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

/// Why no clock can be set.
pub fn missing() -> Option<&'static str> {
    let both = [For::Threads, For::OneThread].map(library);
    both.iter().any(Option::is_none).then_some("there is no libfaketime, which Debian's package faketime has")
}

fn library(program: For) -> Option<PathBuf> {
    let name = match program {
        For::Threads => "faketime/libfaketimeMT.so.1",
        For::OneThread => "faketime/libfaketime.so.1",
    };
    let machines = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    machines
        .chain(["/usr/lib", "/usr/lib64", "/usr/local/lib"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|path| path.exists())
}

/// Takes away what the library made for a process, which has it open; one that is killed would leave it.
pub fn tidy(pid: u32) {
    for name in [format!("faketime_shm_{pid}"), format!("sem.faketime_sem_{pid}")] {
        let _ = std::fs::remove_file(Path::new("/dev/shm").join(name));
    }
}

#[test]
fn a_clock_shows_what_it_was_set_to_and_nothing_else() {
    let clock = Clock::new("test");
    let began = now();
    clock.set(-40_000);
    // It was right until some moment between these two, which the machine may have left far apart.
    let set = now();
    std::thread::sleep(std::time::Duration::from_millis(20));
    let later = now();
    assert!(clock.showed(set - 40_000, began, later) && clock.showed(began, began, later));
    assert!(!clock.showed(began - 20_000, began, later), "it went from the one to the other at once");
    assert!(!clock.showed(set + ROUNDED_MS + 1, began, later), "it was right for a moment only");
    clock.set(0);
    let right = now();
    assert!(!clock.showed(right - 40_000, right + 1, right + 10));
    assert_eq!(std::fs::read_to_string(&clock.file).unwrap(), "+0.000\n");
}
