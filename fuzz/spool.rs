//! What lies on the agent's disk: records, the cursor, and a log that is opened whatever its files hold.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;

use super::super::config::Identity;
use super::super::registration::Registration;
use super::log::Log;
use super::record::{MAGIC, Record, scan};
use super::{SpoolConfig, SpoolStats, cursor, entry};

/// The first byte says what the others are.
pub(crate) fn spool(data: &[u8]) {
    let Some((what, rest)) = data.split_first() else { return };
    match what % 4 {
        0 => any_bytes(&Bytes::copy_from_slice(rest)),
        1 => damaged(rest),
        2 => data_of_a_record(Bytes::copy_from_slice(rest)),
        _ => a_folder(rest),
    }
}

/// The records that are found are as they were written, in order, and found again.
fn any_bytes(bytes: &Bytes) {
    let found = scan(bytes);
    assert!(found.end <= bytes.len());
    assert!(found.records.is_sorted_by(|a, b| a.seq < b.seq));
    for record in &found.records {
        let written = record.encode().expect("what was read is written");
        assert!(bytes.windows(written.len()).any(|part| part == written));
        assert!(record.after() >= record.before);
    }
    assert_eq!(scan(&bytes.slice(..found.end)).records, found.records);
    if let Ok(bytes) = <[u8; 20]>::try_from(&bytes[..bytes.len().min(20)]) {
        let position = cursor::decode(&bytes);
        assert!(position.is_none_or(|position| cursor::encode(position) == bytes));
    }
}

/// Records with data of what is given, and where they are damaged.
fn damaged(data: &[u8]) {
    let [at, at2, change, kind, rest @ ..] = data else { return };
    let parts: Vec<&[u8]> = rest.split(|byte| *byte == b'|').take(20).collect();
    if rest.windows(MAGIC.len()).any(|part| part == MAGIC) {
        // What looks like a record in the data of another is found, where that is damaged.
        return;
    }
    let record = |(seq, data): (u64, &&[u8])| Record {
        seq,
        before: seq * 7,
        samples: 7,
        at_ms: 1,
        data: Bytes::copy_from_slice(data),
    };
    let records: Vec<Record> = (0..).zip(&parts).map(record).collect();
    let written: Vec<Vec<u8>> = records.iter().map(|record| record.encode().expect("it is short")).collect();
    let mut bytes = written.concat();
    let at = usize::from(u16::from_be_bytes([*at, *at2])) % bytes.len();
    let mut end = 0;
    let hit = written.iter().position(|record| {
        end += record.len();
        at < end
    });
    let hit = hit.expect("it is in one of them");
    let is_hit = match kind % 3 {
        0 => {
            bytes[at] ^= change;
            *change != 0
        }
        1 => {
            bytes.truncate(at);
            let expected = &records[..hit];
            assert_eq!(scan(&bytes.into()).records, expected, "cut at {at}");
            return;
        }
        _ => {
            bytes.splice(at..at, [*change; 3]);
            true
        }
    };
    let mut expected = records;
    let found = scan(&bytes.into()).records;
    if is_hit && found.len() < expected.len() {
        // Between two records it touches none.
        expected.remove(hit);
    }
    assert_eq!(found, expected, "{at}");
}

static OWN: LazyLock<Registration> = LazyLock::new(|| {
    Registration::new(&Identity {
        name: "node-1".into(),
        kind: "node_agent".into(),
        hostname: "node-1".into(),
        pool_name: None,
    })
});

/// What is read of a record's data is what is written of it again.
fn data_of_a_record(data: Bytes) {
    let Some(report) = entry::decode(data, 3, 7, &OWN) else { return };
    let again = entry::decode(entry::encode(&report, &OWN), 3, 7, &OWN).expect("it was written here");
    assert_eq!((&again.body, again.zstd, again.samples), (&report.body, report.zstd, report.samples));
    let of = |source: &Option<Arc<super::super::scrape::Source>>| {
        source.as_ref().map(|source| {
            let registration = &source.registration;
            (registration.name().to_owned(), registration.kind().to_owned())
        })
    };
    assert_eq!(of(&again.source), of(&report.source));
}

/// A folder of this process's own.
static FOLDER: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::temp_dir().join(format!("noetl-metrics-spool-{}", std::process::id())));

/// A log is opened whatever its files hold, comes to its end, and takes records as before.
fn a_folder(data: &[u8]) {
    const ROOM: u64 = 4096;
    drop(std::fs::remove_dir_all(&*FOLDER));
    std::fs::create_dir_all(&*FOLDER).expect("a folder");
    let names = [
        "cursor",
        "0000000000000000.log",
        "0000000000000001.log",
        "0000000000000005.log",
        "00000000000000ff.log",
    ];
    for (name, part) in names.iter().zip(data.split(|byte| *byte == b'\n')) {
        std::fs::write(FOLDER.join(name), part).expect("a file");
    }
    let stats = Arc::new(SpoolStats::default());
    let config = SpoolConfig { dir: FOLDER.clone(), max_bytes: ROOM };
    let mut log = Log::open(&config, Arc::clone(&stats)).expect("it is opened");
    assert!(stats.bytes.load(Relaxed) <= ROOM);
    let mut seen = HashSet::new();
    let appended = log.append(1, 1, Bytes::from_static(b"new")).ok();
    let mut is_there = false;
    while let Some(record) = log.first().expect("it is read") {
        assert!(seen.insert(record.seq) && seen.len() < 1000, "{} is given twice", record.seq);
        is_there = Some(record.seq) == appended;
        log.done(record.seq);
    }
    assert_eq!(is_there, appended.is_some(), "what was appended comes last");
    assert_eq!((stats.bytes.load(Relaxed), stats.samples.load(Relaxed)), (0, 0));
}
