//! Why a collector gave nothing.

use std::io;
use std::path::{Path, PathBuf};

/// Why a collector gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// This machine does not have the source: its metrics are absent, and that is no fault.
    #[error("{} is not there", .0.display())]
    Missing(PathBuf),
    /// The source is there but could not be read.
    #[error("cannot read {}: {source}", .path.display())]
    Unreadable {
        /// The file that could not be read.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The source was read but does not hold what this kind of file holds.
    #[error("{} is not as expected: {what}", .path.display())]
    Malformed {
        /// The file that was read.
        path: PathBuf,
        /// What was wrong with it.
        what: String,
    },
}

impl CollectError {
    /// Sorts an I/O error into "this machine does not have it" and "it should have worked".
    pub(super) fn from_io(path: &Path, source: io::Error) -> Self {
        // EOPNOTSUPP is how a kernel that was started with `psi=0` answers.
        const EOPNOTSUPP: i32 = 95;
        let missing = matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::Unsupported)
            || source.raw_os_error() == Some(EOPNOTSUPP);
        let path = path.to_owned();
        if missing { Self::Missing(path) } else { Self::Unreadable { path, source } }
    }

    /// The file at `path` does not hold what this kind of file holds.
    pub(super) fn malformed(path: &Path, what: impl Into<String>) -> Self {
        Self::Malformed { path: path.to_owned(), what: what.into() }
    }
}
