//! Who may write: callers that send a token of the configured file.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use subtle::{Choice, ConstantTimeEq};

use super::ServerError;
use super::problem::{Kind, Problem};

/// How often the file is looked at.
const RECHECK: Duration = Duration::from_secs(1);

/// Tokens that may write; none at all lets everyone.
pub(super) struct Auth {
    file: Option<Mutex<TokenFile>>,
}

struct TokenFile {
    path: PathBuf,
    tokens: Vec<Vec<u8>>,
    looked: Instant,
    changed: Option<SystemTime>,
}

impl Auth {
    /// Reads the file, one token a line; empty lines and those that begin with # are passed over.
    pub(super) fn open(path: Option<&Path>) -> Result<Self, ServerError> {
        let Some(path) = path else { return Ok(Self { file: None }) };
        let fail = |reason: String| ServerError::Tokens(path.to_owned(), reason);
        let tokens = read(path).map_err(fail)?;
        let file =
            TokenFile { path: path.to_owned(), tokens, looked: Instant::now(), changed: changed(path) };
        Ok(Self { file: Some(Mutex::new(file)) })
    }

    /// Whether anyone has to authenticate.
    pub(super) const fn is_on(&self) -> bool {
        self.file.is_some()
    }

    /// Checks an `Authorization` header.
    pub(super) fn check(&self, header: &str) -> Result<(), Problem> {
        let Some(file) = &self.file else { return Ok(()) };
        let refuse = |detail: &str| {
            Err(Problem::new(Kind::UNAUTHENTICATED, detail).with_header("www-authenticate", "Bearer"))
        };
        let Some((scheme, token)) = header.split_once(' ') else {
            return refuse("the Authorization header is missing or is not Bearer <token>");
        };
        if !scheme.eq_ignore_ascii_case("bearer") {
            return refuse("the Authorization header is not Bearer <token>");
        }
        if file.lock().has(token.trim().as_bytes()) { Ok(()) } else { refuse("the token is not known") }
    }
}

impl TokenFile {
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
        assert!(Auth::open(Some(&path)).is_err());
        std::fs::write(&path, "# comment\n\n one \ntwo\n").unwrap();
        let auth = Auth::open(Some(&path)).unwrap();
        for good in ["Bearer one", "bearer two"] {
            assert!(auth.check(good).is_ok(), "{good}");
        }
        for bad in ["", "one", "Basic one", "Bearer three", "Bearer ", "Bearer # comment"] {
            assert_eq!(auth.check(bad).unwrap_err().status(), 401, "{bad}");
        }
        assert!(Auth::open(None).unwrap().check("").is_ok());
    }
}
