//! A folder of Parquet. A file of it has its footer at its end and can't be gone on with, so each is
//! written under another name, which readers of folders pass over, and renamed once it is whole and on the
//! disk. Whoever goes on begins with the file that was not done.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;
use parquet::file::writer::SerializedFileWriter;

use super::lock::lock;
use super::{ArchiveError, parquet as form};
use crate::store::Past;

/// Rows of a row group, about: what is kept in memory.
const GROUP: usize = 1_000_000;
/// Rows after which a file ends with the hour.
const PART: usize = 10_000_000;

pub(super) struct Parts {
    folder: PathBuf,
    /// Files that are done.
    done: u64,
    part: Option<Part>,
    /// What the next row group will have, and its rows.
    waiting: Vec<Past>,
    rows: usize,
    /// Rows of a row group, and of a file.
    limits: (usize, usize),
    /// The folder, locked for as long as this is there.
    _locked: File,
}

/// A file that is not done.
struct Part {
    path: PathBuf,
    file: SerializedFileWriter<File>,
    rows: usize,
}

impl Parts {
    /// Opens a folder, of which so many files are done already; others of ours in it are of an export that
    /// was ended, or of one that this one replaces.
    pub(super) fn open(folder: PathBuf, done: u64) -> Result<Self, ArchiveError> {
        let broke = |e| ArchiveError::File(folder.clone(), e);
        if folder.is_file() {
            return Err(broke(io::Error::other("is a file; Parquet is written as a folder of files")));
        }
        fs::create_dir_all(&folder).map_err(broke)?;
        let locked = File::open(&folder).map_err(broke)?;
        lock(&locked, &folder).map_err(broke)?;
        let mut there = 0;
        for entry in fs::read_dir(&folder).map_err(broke)? {
            let entry = entry.map_err(broke)?;
            match number(&entry.file_name().to_string_lossy()) {
                Some((number, true)) if (1..=done).contains(&number) => there += 1,
                Some(_) => fs::remove_file(entry.path()).map_err(broke)?,
                None => {}
            }
        }
        if there < done {
            let why = format!("{done} files are done by --state, of which {} are not there", done - there);
            return Err(broke(io::Error::other(why)));
        }
        let limits = (GROUP, PART);
        Ok(Self { folder, done, part: None, waiting: Vec::new(), rows: 0, limits, _locked: locked })
    }

    /// Takes series, and writes a row group once there is enough for it.
    pub(super) fn add(&mut self, mut batch: Vec<Past>) -> Result<(), ArchiveError> {
        self.begin()?;
        self.rows += batch.iter().map(|series| series.times.len()).sum::<usize>();
        self.waiting.append(&mut batch);
        if self.rows >= self.limits.0 { self.group() } else { Ok(()) }
    }

    /// Ends the file where it is to end or has enough. How many are done, where nothing waits any more.
    pub(super) fn flush(&mut self, ends: bool) -> Result<Option<u64>, ArchiveError> {
        let rows = self.rows + self.part.as_ref().map_or(0, |part| part.rows);
        if self.part.is_some() && (ends || rows >= self.limits.1) {
            self.group()?;
            self.end()?;
        }
        Ok(self.part.is_none().then_some(self.done))
    }

    /// Ends all; a folder without any file would be none to readers, so that one of no rows is written.
    pub(super) fn close(&mut self) -> Result<Option<u64>, ArchiveError> {
        if self.done == 0 {
            self.begin()?;
        }
        self.flush(true)
    }

    fn begin(&mut self) -> Result<(), ArchiveError> {
        if self.part.is_none() {
            let path = self.folder.join(format!("_{}.new", called(self.done + 1)));
            let file = File::create(&path).map_err(|e| ArchiveError::File(path.clone(), e))?;
            let file = form::begin(file).map_err(|e| broke(&path, e))?;
            self.part = Some(Part { path, file, rows: 0 });
        }
        Ok(())
    }

    fn group(&mut self) -> Result<(), ArchiveError> {
        let (waiting, rows) = (std::mem::take(&mut self.waiting), std::mem::take(&mut self.rows));
        let Some(part) = &mut self.part else { return Ok(()) };
        if rows > 0 {
            form::write(&mut part.file, waiting).map_err(|e| broke(&part.path, e))?;
            part.rows += rows;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), ArchiveError> {
        let Some(Part { path, file, .. }) = self.part.take() else { return Ok(()) };
        let file = file.into_inner().map_err(|e| broke(&path, e))?;
        file.sync_all()
            .and_then(|()| fs::rename(&path, self.folder.join(called(self.done + 1))))
            .and_then(|()| File::open(&self.folder)?.sync_all())
            .map_err(|e| ArchiveError::File(path, e))?;
        self.done += 1;
        Ok(())
    }
}

/// The number of a file of ours, and whether it is whole.
fn number(name: &str) -> Option<(u64, bool)> {
    let (name, is_whole) = match name.strip_prefix('_') {
        Some(name) => (name.strip_suffix(".new")?, false),
        None => (name, true),
    };
    let number = name.strip_prefix("part-")?.strip_suffix(".parquet")?.parse().ok()?;
    (name == called(number)).then_some((number, is_whole))
}

fn called(number: u64) -> String {
    format!("part-{number:04}.parquet")
}

fn broke(path: &Path, error: ParquetError) -> ArchiveError {
    let error = match error {
        ParquetError::External(error) => match error.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(error) => io::Error::other(error),
        },
        error => io::Error::other(error),
    };
    ArchiveError::File(path.to_owned(), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(samples: std::ops::Range<i64>) -> Vec<Past> {
        let values = samples.clone().map(|at| at as f64).collect();
        vec![Past { metric: "m".into(), times: samples.collect(), values, ..Past::default() }]
    }

    fn open(folder: &Path, done: u64) -> Parts {
        Parts { limits: (4, 10), ..Parts::open(folder.to_owned(), done).unwrap() }
    }

    fn names(folder: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let mut names: Vec<String> = fs::read_dir(folder).unwrap().map(name).collect();
        names.sort();
        names
    }

    fn times(folder: &Path) -> Vec<i64> {
        let whole = names(folder).into_iter().filter(|name| !name.starts_with('_'));
        let read = |name| form::read(File::open(folder.join(name)).unwrap());
        whole.flat_map(read).flat_map(|it| it.times).collect()
    }

    #[test]
    fn a_file_ends_with_an_hour_once_it_has_enough() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let mut parts = open(folder, 0);
        parts.add(hour(0..3)).unwrap();
        parts.add(hour(3..6)).unwrap();
        assert_eq!(parts.flush(false).unwrap(), None, "not enough yet");
        assert_eq!(names(folder), ["_part-0001.parquet.new"]);
        parts.add(hour(6..11)).unwrap();
        assert_eq!(parts.flush(false).unwrap(), Some(1));
        parts.add(hour(11..12)).unwrap();
        assert_eq!(parts.flush(true).unwrap(), Some(2), "the day is over");
        assert_eq!(parts.flush(true).unwrap(), Some(2), "an hour of nothing");
        assert_eq!(parts.close().unwrap(), Some(2));
        assert_eq!(names(folder), ["part-0001.parquet", "part-0002.parquet"]);
        assert_eq!(times(folder), (0..12).collect::<Vec<_>>());
    }

    #[test]
    fn what_was_not_done_is_written_anew_and_nothing_else_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let others = ["part-0003.csv", "part-1.parquet", "readme"];
        for name in others {
            fs::write(folder.join(name), "theirs").unwrap();
        }
        let mut parts = open(folder, 0);
        parts.add(hour(0..3)).unwrap();
        assert_eq!(parts.flush(true).unwrap(), Some(1));
        // The second was renamed, and its end before that was noted; the third was begun.
        parts.add(hour(3..5)).unwrap();
        parts.flush(true).unwrap();
        parts.add(hour(5..9)).unwrap();
        drop(parts);
        let mut parts = open(folder, 1);
        assert_eq!(names(folder), ["part-0001.parquet", "part-0003.csv", "part-1.parquet", "readme"]);
        parts.add(hour(3..9)).unwrap();
        assert_eq!(parts.close().unwrap(), Some(2));
        drop(parts);
        for name in others {
            fs::remove_file(folder.join(name)).unwrap();
        }
        assert_eq!(times(folder), (0..9).collect::<Vec<_>>());
        // Without a state it begins at the beginning.
        assert_eq!(open(folder, 0).close().unwrap(), Some(1));
        assert_eq!(names(folder), ["part-0001.parquet"]);
        assert!(times(folder).is_empty(), "a file of no rows");
    }

    #[test]
    fn a_file_that_is_done_and_gone_is_an_error_and_so_is_a_file_for_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |path: &Path| Parts::open(path.to_owned(), 2).err().unwrap().to_string();
        fs::write(folder.path().join("part-0002.parquet"), "").unwrap();
        assert!(refused(folder.path()).ends_with("of which 1 are not there"), "{}", refused(folder.path()));
        let file = folder.path().join("part-0002.parquet");
        assert!(refused(&file).contains("a folder"), "{}", refused(&file));
    }
}
