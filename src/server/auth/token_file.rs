//! Tokens of a file, read again when it changes.
//!
//! A line is a token, and what it may: `rights=` with read, write and admin, read and write where that
//! is missing; `components=` with the names that it may speak for, where it is bound to some. Words are
//! apart by blanks, values by commas. Empty lines, and those that begin with #, are passed over.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use subtle::ConstantTimeEq;

use super::super::ServerError;
use super::caller::{Identity, Names};
use super::rights::{Right, Rights};

/// How often the file is looked at.
const RECHECK: Duration = Duration::from_secs(1);

/// Tokens and their rights.
pub(super) struct TokenFile {
    held: Mutex<Held>,
}

/// A line of the file.
struct Known {
    token: Vec<u8>,
    identity: Identity,
}

struct Held {
    path: PathBuf,
    tokens: Vec<Known>,
    looked: Instant,
    changed: Option<SystemTime>,
}

impl TokenFile {
    /// Reads the file.
    pub(super) fn open(path: &Path) -> Result<Self, ServerError> {
        let tokens = read(path).map_err(|reason| ServerError::Tokens(path.to_owned(), reason))?;
        let held = Held { path: path.to_owned(), tokens, looked: Instant::now(), changed: changed(path) };
        Ok(Self { held: Mutex::new(held) })
    }

    /// Whose token this is; of lines with the same token the first counts.
    pub(super) fn find(&self, token: &[u8]) -> Option<Identity> {
        self.held.lock().find(token)
    }
}

impl Held {
    fn find(&mut self, token: &[u8]) -> Option<Identity> {
        self.read_again_if_changed();
        // All are compared, whichever matches, so that time tells nothing.
        let mut found = self.tokens.len();
        for (place, known) in self.tokens.iter().enumerate().rev() {
            if known.token.ct_eq(token).into() {
                found = place;
            }
        }
        self.tokens.get(found).map(|known| known.identity.clone())
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

fn read(path: &Path) -> Result<Vec<Known>, String> {
    let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    let lines = (1..).zip(text.lines().map(str::trim)).filter(|(_, l)| !l.is_empty() && !l.starts_with('#'));
    let tokens: Vec<Known> = lines
        .map(|(number, line)| parse(number, line).map_err(|reason| format!("line {number}: {reason}")))
        .collect::<Result<_, _>>()?;
    if tokens.is_empty() { Err("holds no token".into()) } else { Ok(tokens) }
}

/// Reads a line. What is wrong is said without its words: one of them may be a secret.
fn parse(number: usize, line: &str) -> Result<Known, String> {
    let mut words = line.split_whitespace();
    let token = words.next().unwrap_or_default().as_bytes().to_vec();
    let (mut rights, mut names) = (None, None);
    for word in words {
        match word.split_once('=') {
            Some(("rights", value)) if rights.is_none() => {
                // What is not a right may be the next token, where the line's end is missing.
                let parsed = value.parse::<Rights>();
                rights = Some(parsed.map_err(|_| "rights: one of them is not read, write or admin")?);
            }
            Some(("components", value)) if names.is_none() => {
                let all: Vec<String> = value.split(',').map(str::to_owned).collect();
                if all.iter().any(String::is_empty) {
                    return Err("components: a name is empty".into());
                }
                names = Some(Names::Only(all));
            }
            Some(("rights" | "components", _)) => return Err("rights or components occurs twice".into()),
            _ => return Err("behind a token there can be rights=… and components=…".into()),
        }
    }
    let usual = Rights::default().and(Right::Read).and(Right::Write);
    let identity = Identity {
        who: format!("the token of line {number}"),
        rights: rights.unwrap_or(usual),
        names: names.unwrap_or(Names::Any),
    };
    Ok(Known { token, identity })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<TokenFile, ServerError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        std::fs::write(&path, text).unwrap();
        TokenFile::open(&path)
    }

    #[test]
    fn only_a_known_token_passes() {
        assert!(TokenFile::open(Path::new("/nowhere/tokens")).is_err());
        let file = file("# comment\n\n one \ntwo rights=admin\n").unwrap();
        for good in ["one", "two"] {
            assert!(file.find(good.as_bytes()).is_some(), "{good}");
        }
        for bad in ["", "three", "# comment", "on", "one ", "two rights=admin", "rights=admin"] {
            assert!(file.find(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_line_says_what_its_token_may() {
        let file = file("a\nb rights=admin\nc  components=x,y-* rights=write\na rights=admin\n").unwrap();
        let may = |token: &str| {
            let rights = file.find(token.as_bytes()).unwrap().rights;
            Right::ALL.map(|right| rights.have(right))
        };
        assert_eq!(may("a"), [true, true, false], "as a line of a token alone, and the first of two");
        assert_eq!(may("b"), [false, false, true]);
        assert_eq!(may("c"), [false, true, false]);
        assert_eq!(file.find(b"b").unwrap().names, Names::Any);
        assert_eq!(file.find(b"c").unwrap().names, Names::Only(vec!["x".into(), "y-*".into()]));
        assert_eq!(file.find(b"c").unwrap().who, "the token of line 3");
    }

    #[test]
    fn a_line_that_is_wrong_is_named_without_its_words() {
        let bad = [
            ("secret other", "line 1: behind a token there can be"),
            ("x\nsecret rights=all", "line 2: rights: one of them is not read, write or admin"),
            ("first rights=read,secret", "line 1: rights: one of them is not"),
            ("secret rights=", "line 1: rights: one of them is not"),
            ("secret rights=read rights=admin", "line 1: rights or components occurs twice"),
            ("secret components=a,,b", "line 1: components: a name is empty"),
        ];
        for (text, reason) in bad {
            let error = file(text).err().unwrap().to_string();
            assert!(error.contains(reason) && !error.contains("secret"), "{error}");
        }
    }
}
