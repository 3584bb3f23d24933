//! The directory and its files: names, the lock, reading, cutting.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::SpoolError;
use super::record::LARGEST;

const ENDING: &str = ".log";

/// The directory, locked.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// To make new files known for good.
    handle: File,
    /// Held as long as the directory is used.
    _lock: File,
}

impl Directory {
    /// Makes the directory where it is missing, and locks it.
    pub(super) fn lock(path: &Path) -> Result<Self, SpoolError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(SpoolError::io("make the directory", path))?;
        let handle = File::open(path).map_err(SpoolError::io("open", path))?;
        let lock_path = path.join("lock");
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(SpoolError::io("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), handle, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(SpoolError::Locked(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(SpoolError::io("lock", &lock_path)(source)),
        }
    }

    /// Path of the file of the cursor.
    pub(super) fn cursor(&self) -> PathBuf {
        self.path.join("cursor")
    }

    /// Path of the file that begins with this record.
    pub(super) fn file(&self, first: u64) -> PathBuf {
        self.path.join(format!("{first:016x}{ENDING}"))
    }

    /// The records that files begin with, oldest first. What is no file of the log is passed over.
    pub(super) fn list(&self) -> Result<Vec<u64>, SpoolError> {
        let failed = |source| SpoolError::io("read", &self.path)(source);
        let mut firsts = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(ENDING));
            let number = number.filter(|number| number.len() == 16);
            firsts.extend(number.and_then(|number| u64::from_str_radix(number, 16).ok()));
        }
        firsts.retain(|first| *first < LARGEST);
        firsts.sort_unstable();
        Ok(firsts)
    }

    /// Makes the file that begins with this record, and makes that known for good.
    pub(super) fn create(&self, first: u64) -> Result<File, SpoolError> {
        let path = self.file(first);
        let options = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path);
        let file = options.map_err(SpoolError::io("make", &path))?;
        self.handle.sync_all().map_err(SpoolError::io("sync", &self.path))?;
        Ok(file)
    }

    /// Opens a file to append to it, cut to `length` bytes.
    pub(super) fn reopen(&self, first: u64, length: u64) -> Result<File, SpoolError> {
        let path = self.file(first);
        let file = OpenOptions::new().append(true).open(&path).map_err(SpoolError::io("open", &path))?;
        file.set_len(length).map_err(SpoolError::io("cut", &path))?;
        Ok(file)
    }

    /// All bytes of a file, of which no more than `at_most` are read.
    pub(super) fn read(&self, first: u64, at_most: u64) -> Result<Bytes, SpoolError> {
        use std::io::Read as _;
        let path = self.file(first);
        let mut bytes = Vec::new();
        File::open(&path)
            .and_then(|file| file.take(at_most).read_to_end(&mut bytes))
            .map_err(SpoolError::io("read", &path))?;
        Ok(bytes.into())
    }

    /// Deletes a file; one that is gone already is as good.
    pub(super) fn remove(&self, first: u64) -> Result<(), SpoolError> {
        let path = self.file(first);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(SpoolError::io("delete", &path)(e)),
            _ => Ok(()),
        }
    }
}
