//! One writer at a time for a file or a folder: an advisory lock of the operating system, which takes it
//! back from whoever is killed.

use std::fs::{File, TryLockError};
use std::io::{Error, ErrorKind, Result};
use std::path::Path;

/// Locks what is open until it is closed; it fails where somebody else has locked it.
pub(super) fn lock(file: &File, path: &Path) -> Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            let why = "another export or import writes it now; wait for its end, or name another";
            Err(Error::new(ErrorKind::ResourceBusy, why))
        }
        Err(TryLockError::Error(error)) => {
            let path = path.display();
            tracing::warn!("{path} can't be locked ({error}): nothing else may write it meanwhile");
            Ok(())
        }
    }
}
