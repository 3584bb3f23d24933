//! How far the sending came, in a file that is written over in place.
//!
//! It may be lost or old: then reports are sent again.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::record::LARGEST;

const LEN: usize = 20;

/// The first record that was not sent yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// Its number.
    pub(super) seq: u64,
    /// Samples in all records before it.
    pub(super) before: u64,
}

/// The file.
#[derive(Debug)]
pub(super) struct Cursor(File);

impl Cursor {
    /// Opens the file, and reads the position where it holds one.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Option<Position>)> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let mut bytes = [0; LEN];
        let read = file.read_exact_at(&mut bytes, 0).is_ok();
        Ok((Self(file), if read { decode(&bytes) } else { None }))
    }

    /// Writes the position.
    pub(super) fn set(&self, position: Position) -> io::Result<()> {
        self.0.write_all_at(&encode(position), 0)
    }
}

pub(super) fn encode(position: Position) -> [u8; LEN] {
    let mut bytes = [0; LEN];
    bytes[..8].copy_from_slice(&position.seq.to_le_bytes());
    bytes[8..16].copy_from_slice(&position.before.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..16]);
    bytes[16..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

pub(super) fn decode(bytes: &[u8; LEN]) -> Option<Position> {
    let number = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let position = Position { seq: number(0)?, before: number(8)? };
    let is_whole = encode(position) == *bytes && position.seq < LARGEST && position.before < LARGEST;
    is_whole.then_some(position)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_was_written_and_never_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cursor");
        let (cursor, none) = Cursor::open(&path).unwrap();
        assert_eq!(none, None);
        for position in [Position { seq: 7, before: 7000 }, Position { seq: LARGEST - 1, before: 1 }] {
            cursor.set(position).unwrap();
            assert_eq!(Cursor::open(&path).unwrap().1, Some(position));
        }
        let good = std::fs::read(&path).unwrap();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, bad).unwrap();
            assert_eq!(Cursor::open(&path).unwrap().1, None, "bit {bit}");
        }
        std::fs::write(&path, [0; LEN]).unwrap();
        assert_eq!(Cursor::open(&path).unwrap().1, None, "what a file system may leave of a file");
    }
}
