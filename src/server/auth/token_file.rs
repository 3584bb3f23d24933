//! Tokens of a file, one a line, read again when it changes.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use subtle::{Choice, ConstantTimeEq};

use super::super::ServerError;

/// How often the file is looked at.
const RECHECK: Duration = Duration::from_secs(1);

/// Tokens that may write.
pub(super) struct TokenFile {
    held: Mutex<Held>,
}

struct Held {
    path: PathBuf,
    tokens: Vec<Vec<u8>>,
    looked: Instant,
    changed: Option<SystemTime>,
}

impl TokenFile {
    /// Reads the file; empty lines and those that begin with # are passed over.
    pub(super) fn open(path: &Path) -> Result<Self, ServerError> {
        let tokens = read(path).map_err(|reason| ServerError::Tokens(path.to_owned(), reason))?;
        let held = Held { path: path.to_owned(), tokens, looked: Instant::now(), changed: changed(path) };
        Ok(Self { held: Mutex::new(held) })
    }

    /// Whether this token is one of them.
    pub(super) fn has(&self, token: &[u8]) -> bool {
        self.held.lock().has(token)
    }
}

impl Held {
    fn has(&mut self, token: &[u8]) -> bool {
        self.read_again_if_changed();
        // All are compared, whichever matches, so that time tells nothing.
        let found = self.tokens.iter().fold(Choice::from(0), |found, known| found | known.ct_eq(token));
        found.into()
    }

    fn read_again_if_changed(&mut self) {
        if self.looked.elapsed() < RECHECK {
            return;
        }
        self.looked = Instant::now();
        let now = changed(&self.path);
        if now == self.changed {
            return;
        }
        match read(&self.path) {
            Ok(tokens) => {
                tracing::info!(count = tokens.len(), "tokens read again");
                self.tokens = tokens;
                self.changed = now;
            }
            // The file may be half replaced; the old tokens stay until it can be read.
            Err(reason) => {
                tracing::warn!(path = %self.path.display(), reason, "tokens could not be read again");
            }
        }
    }
}

fn changed(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|m| m.modified()).ok()
}

fn read(path: &Path) -> Result<Vec<Vec<u8>>, String> {
    let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    let tokens: Vec<Vec<u8>> = lines.map(|l| l.as_bytes().to_vec()).collect();
    if tokens.is_empty() { Err("holds no token".into()) } else { Ok(tokens) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_known_token_passes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        assert!(TokenFile::open(&path).is_err());
        std::fs::write(&path, "# comment\n\n one \ntwo\n").unwrap();
        let file = TokenFile::open(&path).unwrap();
        for good in ["one", "two"] {
            assert!(file.has(good.as_bytes()), "{good}");
        }
        for bad in ["", "three", "# comment", "on", "one "] {
            assert!(!file.has(bad.as_bytes()), "{bad}");
        }
    }
}
