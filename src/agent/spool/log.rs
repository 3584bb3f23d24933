//! The log: a queue of records in files, bounded in bytes, the oldest file dropped for a new record.
//!
//! It blocks, and belongs to whoever uses it: one user at a time, one process for a directory.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;

use super::cursor::{Cursor, Position};
use super::files::Directory;
use super::record::{Record, scan};
use super::stats::SpoolStats;
use super::{SpoolConfig, SpoolError};

/// A file may have this part of the room: as much is dropped at once.
const FILES: u64 = 32;
/// Bytes that a file may have all the same, and more than which it does not get: one is in memory
/// while it is sent. A record that is larger has a file to itself.
const FILE_BYTES: std::ops::RangeInclusive<u64> = 4096..=4 << 20;
/// Bytes of a file that are read at most: more than any has that was written here.
const READ_BYTES: u64 = 64 << 20;

/// The log.
#[derive(Debug)]
pub(super) struct Log {
    directory: Directory,
    cursor: Cursor,
    max_bytes: u64,
    /// Oldest first.
    segments: VecDeque<Segment>,
    /// The last of them, open to be appended to.
    tail: Option<File>,
    /// Records of the first of them that are not sent yet, once it was read.
    front: Option<VecDeque<Record>>,
    /// The next record to be sent.
    next: Position,
    /// The next record to be written.
    end: Position,
    /// Records that were sent out of order, and their samples.
    sent: BTreeMap<u64, u32>,
    stats: Arc<SpoolStats>,
}

#[derive(Debug)]
struct Segment {
    /// Its first record; its name.
    name: u64,
    bytes: u64,
    /// Where the records that are whole begin.
    start: Position,
    /// When the first was read.
    at_ms: i64,
}

impl Log {
    /// Opens the log that is in the directory, or makes one. A torn tail is cut off; both that and
    /// damage are said.
    pub(super) fn open(config: &SpoolConfig, stats: Arc<SpoolStats>) -> Result<Self, SpoolError> {
        let directory = Directory::lock(&config.dir)?;
        let path = directory.cursor();
        let (cursor, position) = Cursor::open(&path).map_err(SpoolError::io("open", &path))?;
        let start = position.unwrap_or_default();
        let mut log = Self {
            directory,
            cursor,
            max_bytes: config.max_bytes,
            segments: VecDeque::new(),
            tail: None,
            front: None,
            next: start,
            end: start,
            sent: BTreeMap::new(),
            stats,
        };
        for name in log.directory.list()? {
            log.find(name)?;
        }
        match log.segments.front() {
            Some(first) if position.is_none() => log.next = first.start,
            Some(_) => {}
            None => log.next = log.end,
        }
        while log.bytes() > log.max_bytes {
            log.drop_oldest()?;
        }
        log.publish();
        log.stats.opened.store(true, Relaxed);
        Ok(log)
    }

    /// Takes a file of an earlier run into the log.
    fn find(&mut self, name: u64) -> Result<(), SpoolError> {
        let bytes = self.directory.read(name, READ_BYTES)?;
        let found = scan(&bytes);
        let path = self.directory.file(name);
        let torn = bytes.len() - found.end;
        if found.damaged > 0 {
            tracing::error!(file = %path.display(), places = found.damaged, "the spool is damaged, what is whole is used");
        }
        if torn > 0 {
            tracing::warn!(file = %path.display(), bytes = torn, "the end of a file of the spool is torn, it is cut off");
        }
        self.tail = None;
        self.end.seq = self.end.seq.max(name.saturating_add(1));
        let (Some(first), Some(last)) = (found.records.first(), found.records.last()) else {
            return self.directory.remove(name);
        };
        if last.seq < self.next.seq || last.seq < self.segments.back().map_or(0, |segment| segment.name) {
            // All of it was sent.
            return self.directory.remove(name);
        }
        self.end =
            Position { seq: self.end.seq.max(last.seq + 1), before: self.end.before.max(last.after()) };
        let start = Position { seq: first.seq, before: first.before };
        let end = found.end as u64;
        self.tail = Some(self.directory.reopen(name, end)?);
        self.segments.push_back(Segment { name, bytes: end, start, at_ms: first.at_ms });
        Ok(())
    }

    /// Appends a record, and gives its number. It is safe from the end of the process; from the end of
    /// the machine after [`sync`](Self::sync).
    pub(super) fn append(&mut self, at_ms: i64, samples: u32, data: Bytes) -> Result<u64, SpoolError> {
        let size = data.len() as u64;
        let record = Record { seq: self.end.seq, before: self.end.before, samples, at_ms, data };
        let bytes = record.encode().ok_or(SpoolError::TooLarge(size))?;
        let length = bytes.len() as u64;
        if length > self.max_bytes {
            return Err(SpoolError::TooLarge(size));
        }
        while self.bytes() + length > self.max_bytes {
            self.drop_oldest()?;
        }
        if self.segments.is_empty() {
            self.next = self.end;
        }
        let limit = (self.max_bytes / FILES).clamp(*FILE_BYTES.start(), *FILE_BYTES.end());
        if self.segments.back().is_some_and(|segment| segment.bytes + length > limit) {
            self.close_tail()?;
        }
        if self.tail.is_none() {
            let (name, start) = (record.seq, self.end);
            self.tail = Some(self.directory.create(name)?);
            self.segments.push_back(Segment { name, bytes: 0, start, at_ms });
        }
        let written = self.write(&bytes);
        if written.is_ok() {
            self.end = Position { seq: record.seq + 1, before: record.after() };
        }
        self.publish();
        written.map(|()| record.seq)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), SpoolError> {
        let (Some(file), Some(segment)) = (&mut self.tail, self.segments.back_mut()) else { return Ok(()) };
        let Err(source) = file.write_all(bytes) else {
            segment.bytes += bytes.len() as u64;
            return Ok(());
        };
        let failed = SpoolError::io("write", &self.directory.file(segment.name))(source);
        // What was written of it must not stay, else the next record is not where it is looked for.
        let cut = file.set_len(segment.bytes).is_ok();
        if !cut || segment.bytes == 0 {
            self.tail = None;
        }
        if segment.bytes == 0 {
            let name = segment.name;
            self.segments.pop_back();
            if self.directory.remove(name).is_err() {
                // Its name is taken.
                self.end.seq = self.end.seq.max(name + 1);
            }
        }
        Err(failed)
    }

    /// Makes what was appended safe from the end of the machine.
    pub(super) fn sync(&mut self) -> Result<(), SpoolError> {
        let (Some(file), Some(segment)) = (&self.tail, self.segments.back()) else { return Ok(()) };
        let synced = file.sync_data().map_err(SpoolError::io("sync", &self.directory.file(segment.name)));
        if synced.is_err() {
            // What it says after that is not to be trusted.
            self.tail = None;
        }
        synced
    }

    /// The oldest record that was not sent.
    pub(super) fn first(&mut self) -> Result<Option<Record>, SpoolError> {
        loop {
            let Some(segment) = self.segments.front() else { return Ok(None) };
            let name = segment.name;
            if self.front.is_none() {
                if self.segments.len() == 1 {
                    // What is read is not written to any more.
                    self.close_tail()?;
                }
                let mut records = match self.directory.read(name, READ_BYTES) {
                    Ok(bytes) => scan(&bytes).records,
                    Err(e) => {
                        tracing::error!("a file of the spool is passed over: {e}");
                        Vec::new()
                    }
                };
                records.retain(|record| record.seq >= self.next.seq);
                self.front = Some(records.into());
            }
            let record = self.front.as_ref().and_then(|records| records.front().cloned());
            let Some(record) = record else {
                self.finish_front();
                continue;
            };
            let damaged = self.advance(Position { seq: record.seq, before: record.before });
            self.stats.dropped_damaged.fetch_add(damaged, Relaxed);
            if self.sent.contains_key(&record.seq) {
                self.done(record.seq);
                continue;
            }
            self.publish();
            return Ok(Some(record));
        }
    }

    /// The server has the record that [`first`](Self::first) gave, or refused it for good.
    pub(super) fn done(&mut self, seq: u64) {
        let Some(records) = &mut self.front else { return };
        let Some(record) = records.pop_front_if(|record| record.seq == seq) else { return };
        let is_last = records.is_empty();
        self.sent.remove(&seq);
        self.next = Position { seq: seq + 1, before: record.after() };
        // Without it, reports are sent again.
        let _ = self.cursor.set(self.next);
        if is_last {
            self.finish_front();
        }
        self.publish();
    }

    /// The server has a record that is not the first.
    pub(super) fn sent(&mut self, seq: u64, samples: u32) {
        if (self.next.seq..self.end.seq).contains(&seq) {
            self.sent.insert(seq, samples);
            self.publish();
        }
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    fn close_tail(&mut self) -> Result<(), SpoolError> {
        let synced = self.sync();
        self.tail = None;
        synced
    }

    /// Deletes the oldest file for a newer record.
    fn drop_oldest(&mut self) -> Result<(), SpoolError> {
        let Some(segment) = self.segments.front() else { return Ok(()) };
        self.directory.remove(segment.name)?;
        let lost = self.drop_front();
        self.stats.dropped_full.fetch_add(lost, Relaxed);
        Ok(())
    }

    /// Deletes the oldest file, of which all was sent that is whole.
    fn finish_front(&mut self) {
        let name = self.segments.front().map(|segment| segment.name);
        if let Some(Err(e)) = name.map(|name| self.directory.remove(name)) {
            tracing::warn!("a file of the spool stays, though all of it was sent: {e}");
            self.stats.faults.fetch_add(1, Relaxed);
        }
        let lost = self.drop_front();
        self.stats.dropped_damaged.fetch_add(lost, Relaxed);
        self.publish();
    }

    /// Takes the oldest file out of the log, and gives the number of its samples that were not sent.
    fn drop_front(&mut self) -> u64 {
        self.segments.pop_front();
        self.front = None;
        if self.segments.is_empty() {
            self.tail = None;
        }
        let rest = self.segments.front().map_or(self.end, |segment| segment.start);
        self.advance(rest)
    }

    /// Goes on to a record, and gives the number of samples before it that were not sent.
    fn advance(&mut self, position: Position) -> u64 {
        if position.seq <= self.next.seq {
            return 0;
        }
        let passed = position.before.saturating_sub(self.next.before);
        let rest = self.sent.split_off(&position.seq);
        let sent: u64 = self.sent.values().map(|samples| u64::from(*samples)).sum();
        self.sent = rest;
        self.next = position;
        let _ = self.cursor.set(position);
        passed.saturating_sub(sent)
    }

    fn publish(&self) {
        let stats = &self.stats;
        let sent: u64 = self.sent.values().map(|samples| u64::from(*samples)).sum();
        stats.bytes.store(self.bytes(), Relaxed);
        let samples = self.end.before.saturating_sub(self.next.before).saturating_sub(sent);
        stats.samples.store(samples, Relaxed);
        let read = self.front.as_ref().and_then(|records| records.front()).map(|record| record.at_ms);
        let oldest = read.or_else(|| self.segments.front().map(|segment| segment.at_ms));
        stats.oldest_ms.store(oldest.filter(|_| samples > 0).unwrap_or(0), Relaxed);
    }
}
