//! How far an export or import is, in a file that is replaced as a whole after each hour.

use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ArchiveError;
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
    path: Option<PathBuf>,
    kept: Kept,
}

impl State {
    /// Reads how far it is; from the start where there is no file yet, or none is wanted.
    pub(super) fn open(path: Option<PathBuf>, asked: &str, start: Millis) -> Result<Self, ArchiveError> {
        let fresh = || Kept { asked: asked.to_owned(), done_until: start.0, extent: 0 };
        let Some(path) = path else { return Ok(Self { path: None, kept: fresh() }) };
        let kept = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| {
                ArchiveError::State(path.clone(), format!("is not a state of an export or import: {e}"))
            })?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => fresh(),
            Err(e) => return Err(ArchiveError::File(path, e)),
        };
        if kept.asked != asked {
            let why = "belongs to another span, selection, source or target; name another file".into();
            return Err(ArchiveError::State(path, why));
        }
        Ok(Self { path: Some(path), kept })
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
        let Some(path) = &self.path else { return Ok(()) };
        let new = path.with_extension("new");
        let text = serde_json::to_vec(&self.kept).unwrap_or_default();
        fs::write(&new, text)
            .and_then(|()| fs::rename(&new, path))
            .map_err(|e| ArchiveError::File(path.clone(), e))
    }
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
        let state = open("a").unwrap();
        assert_eq!((state.done_until(), state.extent()), (Millis(9), 70));
        let refused = open("b").err().unwrap().to_string();
        assert!(refused.contains("--state") && refused.contains("another"), "{refused}");
        fs::write(&path, "{").unwrap();
        assert!(open("a").err().unwrap().to_string().contains("not a state"));
    }
}
