//! Where the database is: a URL, given once or held by a file that may be replaced while we run.

use std::path::{Path, PathBuf};

/// Where the database's URL comes from.
#[derive(Clone)]
pub enum DatabaseSource {
    /// The URL itself: `postgres://user:password@host:port/database`.
    Url(String),
    /// A file that holds it, read again for new connections.
    File(PathBuf),
    /// The parts of it, with a password that a file holds, read again for new connections.
    Parts {
        /// The URL up to the password: `postgres://user`.
        before: String,
        /// The file.
        password: PathBuf,
        /// The URL after the password: `host:port/database`.
        after: String,
    },
}

/// Without what may be secret.
impl std::fmt::Debug for DatabaseSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Url(_) => f.write_str("Url(…)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Parts { password, after, .. } => f
                .debug_struct("Parts")
                .field("password", password)
                .field("after", after)
                .finish_non_exhaustive(),
        }
    }
}

impl From<String> for DatabaseSource {
    fn from(url: String) -> Self {
        Self::Url(url)
    }
}

impl DatabaseSource {
    /// The URL as it is now, or why it can't be read.
    pub fn url(&self) -> Result<String, String> {
        match self {
            Self::Url(url) => Ok(url.clone()),
            Self::File(path) => read(path),
            Self::Parts { before, password, after } => {
                Ok(format!("{before}:{}@{after}", percent_encode(&read(password)?)))
            }
        }
    }
}

/// A part of a URL, with what has a meaning there escaped.
pub fn percent_encode(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

fn read(path: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(format!("{}: is empty", path.display())),
        text => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let parts = DatabaseSource::Parts {
            before: "postgres://u".into(),
            password: path.clone(),
            after: "h:5432/d".into(),
        };
        assert!(parts.url().unwrap_err().contains("secret"));
        std::fs::write(&path, "p@ss w/rd\n").unwrap();
        assert_eq!(parts.url().unwrap(), "postgres://u:p%40ss%20w%2Frd@h:5432/d");
        std::fs::write(&path, "postgres://other").unwrap();
        assert_eq!(DatabaseSource::File(path).url().unwrap(), "postgres://other");
        assert!(!format!("{parts:?}{:?}", DatabaseSource::Url("hidden".into())).contains("hidden"));
    }
}
