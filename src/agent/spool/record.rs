//! One record of the log, as bytes: `magic, length, CRC-32, sequence number, samples before it,
//! samples, time, data`, all numbers little-endian.
//!
//! The checksum covers the length and all after it. Wherever bytes are damaged, [`scan`] finds the
//! next record that is whole, so damage costs the records that it touches and no other.

use bytes::Bytes;
use memchr::memmem;

/// Where a record may begin.
pub(in crate::agent) const MAGIC: [u8; 4] = *b"\xa7NMR";
/// Magic, length and checksum.
const HEAD: usize = 12;
/// What comes before the data in the part that the length counts.
const FIXED: usize = 28;
/// Places that are tried after damage; bytes that hold more false beginnings were made to.
const TRIES: usize = 1000;

/// No count comes near it, so none that is read can overflow.
pub(super) const LARGEST: u64 = 1 << 62;

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Its place in all that was ever written here.
    pub(super) seq: u64,
    /// Samples in all records before it.
    pub(super) before: u64,
    /// Samples in it.
    pub(super) samples: u32,
    /// When they were read, in milliseconds since 1970.
    pub(super) at_ms: i64,
    /// What it holds.
    pub(super) data: Bytes,
}

impl Record {
    /// The samples before the next record.
    pub(super) fn after(&self) -> u64 {
        self.before + u64::from(self.samples)
    }

    /// The record as it is written; `None` where its data are too long for a length.
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        let length = u32::try_from(FIXED + self.data.len()).ok()?;
        let mut out = Vec::with_capacity(HEAD + FIXED + self.data.len());
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.seq.to_le_bytes());
        out.extend_from_slice(&self.before.to_le_bytes());
        out.extend_from_slice(&self.samples.to_le_bytes());
        out.extend_from_slice(&self.at_ms.to_le_bytes());
        out.extend_from_slice(&self.data);
        let crc = checksum(&out);
        out[8..HEAD].copy_from_slice(&crc.to_le_bytes());
        Some(out)
    }

    /// The record that begins at `at`, and where it ends; `None` where none does that is whole.
    fn at(bytes: &Bytes, at: usize) -> Option<(Self, usize)> {
        let rest = bytes.get(at..)?;
        let rest = rest.get(..HEAD).filter(|head| head.starts_with(&MAGIC)).and(Some(rest))?;
        let length = usize::try_from(u32_at(rest, 4)?).ok()?;
        let whole = rest.get(..HEAD.checked_add(length)?)?;
        if length < FIXED || checksum(whole) != u32_at(whole, 8)? {
            return None;
        }
        let end = at + whole.len();
        let record = Self {
            seq: u64_at(whole, 12)?,
            before: u64_at(whole, 20)?,
            samples: u32_at(whole, 28)?,
            at_ms: u64_at(whole, 32)?.cast_signed(),
            data: bytes.slice(at + HEAD + FIXED..end),
        };
        (record.seq < LARGEST && record.before < LARGEST).then_some((record, end))
    }
}

fn checksum(record: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(record.get(4..8).unwrap_or_default());
    hasher.update(record.get(HEAD..).unwrap_or_default());
    hasher.finalize()
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    /// The records that are whole, in order.
    pub(super) records: Vec<Record>,
    /// Where the last of them ends.
    pub(super) end: usize,
    /// Stretches before that which are no records.
    pub(super) damaged: usize,
}

/// Reads all records that are whole.
pub(super) fn scan(bytes: &Bytes) -> Scanned {
    let mut found = Scanned::default();
    while let Some((start, record, end)) = next_whole(bytes, found.end) {
        let last = found.records.last().map(|last| last.seq);
        if start != found.end || last.is_some_and(|last| record.seq != last + 1) {
            found.damaged += 1;
        }
        found.end = end;
        // What goes back in the sequence is a remnant of something else.
        if last.is_none_or(|last| record.seq > last) {
            found.records.push(record);
        }
    }
    found
}

fn next_whole(bytes: &Bytes, from: usize) -> Option<(usize, Record, usize)> {
    let rest = bytes.get(from..)?;
    let mut starts = memmem::find_iter(rest, &MAGIC).map(|at| from + at).take(TRIES);
    starts.find_map(|at| Record::at(bytes, at).map(|(record, end)| (at, record, end)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn records(lengths: &[usize]) -> Vec<Record> {
        let record = |(seq, length): (u64, &usize)| Record {
            seq,
            before: seq * 10,
            samples: 10,
            at_ms: -5,
            data: vec![u8::try_from(seq).unwrap(); *length].into(),
        };
        (0..).zip(lengths).map(record).collect()
    }

    fn written(records: &[Record]) -> Vec<u8> {
        records.iter().flat_map(|record| record.encode().unwrap()).collect()
    }

    #[test]
    fn records_are_read_as_they_were_written() {
        let records = records(&[0, 1, 500, 3]);
        let bytes = Bytes::from(written(&records));
        let found = scan(&bytes);
        assert_eq!((found.records, found.end, found.damaged), (records, bytes.len(), 0));
    }

    #[test]
    fn a_tail_that_is_torn_anywhere_costs_the_last_record_only() {
        let records = records(&[20, 30]);
        let first = written(&records[..1]).len();
        let bytes = Bytes::from(written(&records));
        for cut in 0..bytes.len() {
            let found = scan(&bytes.slice(..cut));
            let whole = usize::from(cut >= first);
            assert_eq!(found.records, records[..whole], "cut at {cut}");
            assert_eq!((found.end, found.damaged), (whole * first, 0), "cut at {cut}");
        }
    }

    #[test]
    fn any_flipped_bit_costs_one_record() {
        let records = records(&[9, 40, 13]);
        let bytes = written(&records);
        let ends: Vec<_> = (1..=3).map(|n| written(&records[..n]).len()).collect();
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let lost = ends.iter().position(|end| bit / 8 < *end).unwrap();
            let mut rest = records.clone();
            rest.remove(lost);
            let found = scan(&bytes.into());
            assert_eq!(found.records, rest, "bit {bit}");
            // At the end it cannot be told from a tail that is torn.
            assert_eq!(found.damaged, usize::from(lost < 2), "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_no_panic(
            junk in proptest::collection::vec(any::<u8>(), 0..300),
            magic in any::<bool>(),
        ) {
            let mut bytes = if magic { MAGIC.to_vec() } else { Vec::new() };
            bytes.extend(junk);
            let records = records(&[7]);
            bytes.extend(written(&records));
            prop_assert_eq!(scan(&bytes.into()).records, records);
        }
    }
}
