//! How far an export or import is, in a file that is replaced as a whole after each hour. It is locked
//! meanwhile, and what replaces it is locked before it does.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ArchiveError;
use super::lock::lock;
use crate::model::Millis;

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    /// What was asked for; who asks for something else does not go on with it.
    asked: String,
    done_until: i64,
    /// How much of the target belongs to the hours that are done: bytes of a file, files of a folder.
    #[serde(alias = "bytes")]
    extent: u64,
}

pub(super) struct State {
    /// The file, and itself as it is open and locked.
    file: Option<(PathBuf, File)>,
    kept: Kept,
}

impl State {
    /// Reads how far it is; from the start where there is no file yet, or none is wanted.
    pub(super) fn open(path: Option<PathBuf>, asked: &str, start: Millis) -> Result<Self, ArchiveError> {
        let fresh = || Kept { asked: asked.to_owned(), done_until: start.0, extent: 0 };
        let Some(path) = path else { return Ok(Self { file: None, kept: fresh() }) };
        let mut text = Vec::new();
        let locked = locked(&path).and_then(|mut file| file.read_to_end(&mut text).map(|_| file));
        let file = locked.map_err(|e| ArchiveError::State(path.clone(), e.to_string()))?;
        let kept = if text.is_empty() {
            fresh()
        } else {
            serde_json::from_slice(&text).map_err(|e| {
                ArchiveError::State(path.clone(), format!("is not a state of an export or import: {e}"))
            })?
        };
        if kept.asked != asked {
            let why = "belongs to another span, selection, source or target; name another file".into();
            return Err(ArchiveError::State(path, why));
        }
        Ok(Self { file: Some((path, file)), kept })
    }

    pub(super) const fn done_until(&self) -> Millis {
        Millis(self.kept.done_until)
    }

    pub(super) const fn extent(&self) -> u64 {
        self.kept.extent
    }

    /// Notes that all before `until` is with the other side.
    pub(super) fn done(&mut self, until: Millis, extent: u64) -> Result<(), ArchiveError> {
        (self.kept.done_until, self.kept.extent) = (until.0, extent);
        let Some((path, file)) = &mut self.file else { return Ok(()) };
        let text = serde_json::to_vec(&self.kept).unwrap_or_default();
        *file = replaced(path, &text).map_err(|e| ArchiveError::State(path.clone(), e.to_string()))?;
        Ok(())
    }
}

/// The file, which is made where it is missing, once it is locked.
fn locked(path: &Path) -> io::Result<File> {
    loop {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        lock(&file, path)?;
        // Whoever had it may have replaced it, and ended, since it was opened.
        let (ours, there) = (file.metadata()?, fs::metadata(path));
        if there.is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())) {
            return Ok(file);
        }
    }
}

/// Another file in its place, locked as it was.
fn replaced(path: &Path, text: &[u8]) -> io::Result<File> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    lock(&file, &new)?;
    file.write_all(text)?;
    fs::rename(&new, path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_goes_on_where_it_was_and_no_other_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let open = |asked: &str| State::open(Some(path.clone()), asked, Millis(5));
        let mut state = open("a").unwrap();
        assert_eq!((state.done_until(), state.extent()), (Millis(5), 0));
        state.done(Millis(9), 70).unwrap();
        drop(state);
        let state = open("a").unwrap();
        assert_eq!((state.done_until(), state.extent()), (Millis(9), 70));
        drop(state);
        let refused = open("b").err().unwrap().to_string();
        assert!(refused.contains("--state") && refused.contains("another"), "{refused}");
        fs::write(&path, "{").unwrap();
        assert!(open("a").err().unwrap().to_string().contains("not a state"));
        let nowhere = State::open(Some(folder.path().join("no/state")), "a", Millis(5));
        let nowhere = nowhere.err().unwrap().to_string();
        assert!(nowhere.starts_with("--state ") && nowhere.contains("no/state: "), "{nowhere}");
    }

    #[test]
    fn a_state_has_one_writer_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let open = || State::open(Some(path.clone()), "a", Millis(5));
        let refused = || open().err().unwrap().to_string();
        let mut first = open().unwrap();
        assert!(refused().contains("state.json: another export or import writes it"), "{}", refused());
        // Also once it is another file.
        first.done(Millis(9), 70).unwrap();
        assert!(refused().contains("another export or import writes it"), "{}", refused());
        drop(first);
        assert_eq!(open().unwrap().done_until(), Millis(9));
    }
}
