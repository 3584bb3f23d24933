//! The log as a whole: what comes out after whatever happened to its files.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use proptest::prelude::*;

use super::log::Log;
use super::stats::SpoolStats;
use super::{SpoolConfig, SpoolError};

fn open(dir: &Path, max_bytes: u64) -> (Log, Arc<SpoolStats>) {
    let stats = Arc::new(SpoolStats::default());
    let config = SpoolConfig { dir: dir.to_owned(), max_bytes };
    (Log::open(&config, Arc::clone(&stats)).unwrap(), stats)
}

/// A record whose data say which it is: its first byte, and its length.
fn append(log: &mut Log, id: u8, length: usize) {
    let samples = u32::from(id) + 1;
    let seq = log.append(i64::from(id) + 1000, samples, vec![id; length].into()).unwrap();
    log.sync().unwrap();
    assert!(seq < 1 << 20);
}

/// All that is left, oldest first: the ids, which are marked as sent.
fn drain(log: &mut Log) -> Vec<u8> {
    let mut ids = Vec::new();
    while let Some(record) = log.first().unwrap() {
        ids.push(record.data[0]);
        assert_eq!(record.samples, u32::from(record.data[0]) + 1);
        log.done(record.seq);
    }
    ids
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|ext| ext == "log")).collect();
    paths.sort();
    paths
}

fn bytes_on_disk(dir: &Path) -> u64 {
    files(dir).iter().map(|path| fs::metadata(path).unwrap().len()).sum()
}

#[test]
fn what_was_kept_is_there_after_the_process_ended_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, stats) = open(dir.path(), 1 << 20);
    assert!(log.first().unwrap().is_none() && files(dir.path()).is_empty());
    for id in 0..100 {
        append(&mut log, id, 900);
    }
    assert!(files(dir.path()).len() > 2);
    assert_eq!(stats.samples.load(Relaxed), 5050);
    assert_eq!(stats.oldest_ms.load(Relaxed), 1000);
    assert_eq!(stats.bytes.load(Relaxed), bytes_on_disk(dir.path()));
    drop(log);
    let (mut log, stats) = open(dir.path(), 1 << 20);
    assert_eq!(stats.samples.load(Relaxed), 5050);
    for id in 0..50 {
        let record = log.first().unwrap().unwrap();
        assert_eq!(record.data[0], id);
        log.done(record.seq);
    }
    drop(log);
    let (mut log, stats) = open(dir.path(), 1 << 20);
    assert_eq!(stats.samples.load(Relaxed), 5050 - 1275, "what was sent is not sent again");
    append(&mut log, 100, 900);
    assert_eq!(drain(&mut log), (50..=100).collect::<Vec<_>>());
    assert!(files(dir.path()).is_empty());
    assert_eq!((stats.samples.load(Relaxed), stats.oldest_ms.load(Relaxed)), (0, 0));
    assert_eq!((stats.dropped_full.load(Relaxed), stats.dropped_damaged.load(Relaxed)), (0, 0));
}

#[test]
fn a_directory_is_one_agents() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), 1 << 20);
    let config = SpoolConfig { dir: dir.path().to_owned(), max_bytes: 1 << 20 };
    let refused = Log::open(&config, Arc::default()).unwrap_err();
    assert!(matches!(refused, SpoolError::Locked(_)), "{refused}");
    drop(log);
    open(dir.path(), 1 << 20);
}

#[test]
fn a_torn_tail_is_cut_off_wherever_it_is_torn() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(dir.path(), 1 << 20);
    append(&mut log, 0, 20);
    append(&mut log, 1, 30);
    drop(log);
    let path = files(dir.path()).remove(0);
    let whole = fs::read(&path).unwrap();
    let first = whole.len() - 30 - 40;
    for cut in 0..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let _ = fs::remove_file(dir.path().join("cursor"));
        let (mut log, stats) = open(dir.path(), 1 << 20);
        // What follows is appended behind what is whole.
        append(&mut log, 2, 10);
        let kept: &[u8] = if cut >= first { &[0, 2] } else { &[2] };
        assert_eq!(drain(&mut log), kept, "cut at {cut}");
        assert_eq!(stats.dropped_damaged.load(Relaxed), 0);
    }
}

#[test]
fn damage_costs_what_it_touches_and_that_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(dir.path(), 1 << 20);
    for id in 0..8 {
        append(&mut log, id, 60);
    }
    drop(log);
    let path = files(dir.path()).remove(0);
    let whole = fs::read(&path).unwrap();
    let length = whole.len() / 8;
    for at in 0..length * 7 {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::write(&path, bytes).unwrap();
        let _ = fs::remove_file(dir.path().join("cursor"));
        let (mut log, stats) = open(dir.path(), 1 << 20);
        let lost = u8::try_from(at / length).unwrap();
        assert_eq!(drain(&mut log), (0..8).filter(|id| *id != lost).collect::<Vec<_>>(), "at {at}");
        // Without the cursor nobody knows of anything before the first record that is whole.
        let counted = if lost == 0 { 0 } else { u64::from(lost) + 1 };
        assert_eq!(stats.dropped_damaged.load(Relaxed), counted, "at {at}");
    }
}

#[test]
fn a_file_that_is_gone_or_all_wrong_is_passed_over_and_counted() {
    for wrong in [None, Some(vec![]), Some(vec![7; 5000])] {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, _) = open(dir.path(), 1 << 20);
        for id in 0..120 {
            append(&mut log, id, 2000);
        }
        drop(log);
        let paths = files(dir.path());
        assert!(paths.len() >= 4);
        match &wrong {
            None => fs::remove_file(&paths[1]).unwrap(),
            Some(bytes) => fs::write(&paths[1], bytes).unwrap(),
        }
        let (mut log, stats) = open(dir.path(), 1 << 20);
        let ids = drain(&mut log);
        assert!(ids.is_sorted() && ids.len() > 60 && ids.len() < 120, "{ids:?}");
        let kept: u64 = ids.iter().map(|id| u64::from(*id) + 1).sum();
        assert_eq!(stats.dropped_damaged.load(Relaxed) + kept, 120 * 121 / 2);
        assert_eq!(stats.samples.load(Relaxed), 0);
    }
}

#[test]
fn a_file_that_goes_while_it_is_used_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, stats) = open(dir.path(), 1 << 20);
    for id in 0..60 {
        append(&mut log, id, 2000);
    }
    fs::remove_file(&files(dir.path())[0]).unwrap();
    let ids = drain(&mut log);
    let kept: u64 = ids.iter().map(|id| u64::from(*id) + 1).sum();
    assert!(!ids.is_empty() && ids.is_sorted());
    assert_eq!(stats.dropped_damaged.load(Relaxed) + kept, 60 * 61 / 2);
}

#[test]
fn what_the_server_has_already_is_not_sent_again() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, stats) = open(dir.path(), 1 << 20);
    for id in 0..5 {
        append(&mut log, id, 10);
    }
    log.sent(3, 4);
    log.sent(4, 5);
    log.sent(99, 5);
    assert_eq!(drain(&mut log), [0, 1, 2]);
    assert!(files(dir.path()).is_empty());
    append(&mut log, 5, 10);
    log.sent(5, 6);
    assert!(log.first().unwrap().is_none() && files(dir.path()).is_empty());
    assert_eq!(stats.dropped_damaged.load(Relaxed), 0);
}

#[test]
fn a_smaller_limit_drops_the_oldest_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(dir.path(), 1 << 20);
    for id in 0..200 {
        append(&mut log, id, 2000);
    }
    drop(log);
    let (mut log, stats) = open(dir.path(), 100_000);
    assert!(bytes_on_disk(dir.path()) <= 100_000);
    let ids = drain(&mut log);
    assert_eq!(*ids.last().unwrap(), 199);
    let kept: u64 = ids.iter().map(|id| u64::from(*id) + 1).sum();
    assert_eq!(stats.dropped_full.load(Relaxed) + kept, 200 * 201 / 2);
}

#[test]
fn a_report_larger_than_the_limit_is_refused_and_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(dir.path(), 70_000);
    append(&mut log, 1, 10);
    let refused = log.append(0, 1, Bytes::from(vec![0; 70_000])).unwrap_err();
    assert!(matches!(refused, SpoolError::TooLarge(70_000)), "{refused}");
    assert_eq!(drain(&mut log), [1]);
}

#[test]
fn a_stranger_in_the_directory_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["x.log", "ffffffffffffffff.log", "notes.txt", "00000000000000000000.log"] {
        fs::write(dir.path().join(name), b"mine").unwrap();
    }
    let (mut log, _) = open(dir.path(), 1 << 20);
    append(&mut log, 1, 10);
    assert_eq!(drain(&mut log), [1]);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 4 + 2);
}

#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    Send,
    /// The one behind so many others was sent from memory.
    SentBehind(usize),
    /// The process ends, and another begins.
    Again,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1usize..3000).prop_map(Step::Append),
        3 => Just(Step::Send),
        1 => (0usize..6).prop_map(Step::SentBehind),
        1 => Just(Step::Again),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Against a queue in memory: what is read is what was written, in order; what is missing at its
    /// front was dropped for room, and counted; nothing takes more room than it may.
    #[test]
    fn it_is_a_queue_that_drops_its_oldest(steps in proptest::collection::vec(step(), 1..120)) {
        const MAX: u64 = 20_000;
        let dir = tempfile::tempdir().unwrap();
        let (mut log, mut stats) = open(dir.path(), MAX);
        let mut model: VecDeque<(u64, u8, u32)> = VecDeque::new();
        let (mut id, mut dropped) = (0_u8, 0);
        for step in steps {
            match step {
                Step::Append(length) => {
                    id = id.wrapping_add(1);
                    let samples = u32::from(id) + 1;
                    let seq = log.append(1, samples, vec![id; length].into()).unwrap();
                    log.sync().unwrap();
                    model.push_back((seq, id, samples));
                }
                Step::SentBehind(behind) => {
                    if let Some((seq, _, samples)) = model.remove(behind) {
                        let before = stats.samples.load(Relaxed);
                        log.sent(seq, samples);
                        // It was dropped before, and counted as such.
                        if stats.samples.load(Relaxed) == before {
                            dropped += u64::from(samples);
                        }
                    }
                }
                Step::Send => {
                    let first = log.first().unwrap();
                    // Dropped ones are those before what is read.
                    let read = first.as_ref().map_or(u64::MAX, |record| record.seq);
                    while model.front().is_some_and(|(seq, ..)| *seq < read) {
                        dropped += u64::from(model.pop_front().unwrap().2);
                    }
                    let expected = model.pop_front().map(|(seq, id, _)| (seq, id));
                    prop_assert_eq!(first.as_ref().map(|record| (record.seq, record.data[0])), expected);
                    if let Some(record) = first {
                        log.done(record.seq);
                    }
                }
                Step::Again => {
                    prop_assert_eq!(stats.dropped_damaged.load(Relaxed), 0);
                    drop(log);
                    (log, stats) = open(dir.path(), MAX);
                    model.clear();
                    dropped = 0;
                    // The rest of this history begins with what is there.
                    while let Some(record) = log.first().unwrap() {
                        log.done(record.seq);
                    }
                }
            }
            prop_assert!(bytes_on_disk(dir.path()) <= MAX);
            prop_assert_eq!(stats.bytes.load(Relaxed), bytes_on_disk(dir.path()));
            prop_assert_eq!(stats.dropped_damaged.load(Relaxed), 0);
            let held: u64 = model.iter().map(|(.., samples)| u64::from(*samples)).sum();
            let counted = stats.samples.load(Relaxed) + stats.dropped_full.load(Relaxed);
            prop_assert_eq!(counted, held + dropped);
        }
    }
}
