//! Who asked what of an API server, from its audit log.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::{BenchError, Context, Result};

/// The log of one user's requests, from some moment on.
pub(crate) struct Audit {
    path: PathBuf,
    from: u64,
}

/// Requests, counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Requests {
    /// All of them.
    pub(crate) all: u64,
    /// Those that write, but for Leases: how often which verb met which kind.
    pub(crate) writes: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    stage: String,
    verb: String,
    object_ref: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    #[serde(default)]
    resource: String,
    #[serde(default)]
    subresource: String,
}

impl Audit {
    /// The policy that has the requests of `user` written, and no other's.
    pub(crate) fn policy(user: &str) -> String {
        serde_json::json!({
            "apiVersion": "audit.k8s.io/v1",
            "kind": "Policy",
            "omitStages": ["RequestReceived"],
            "rules": [{"level": "Metadata", "users": [user]}, {"level": "None"}],
        })
        .to_string()
    }

    /// What is written to the log at `path` after this moment.
    pub(crate) fn from_now_on(path: &Path) -> Result<Self> {
        let from = match std::fs::metadata(path) {
            Ok(about) => about.len(),
            // Nobody asked anything yet.
            Err(error) if error.kind() == ErrorKind::NotFound => 0,
            Err(error) => return Err(BenchError::Io(path.display().to_string(), error)),
        };
        Ok(Self { path: path.to_owned(), from })
    }

    /// Counts what was written since.
    pub(crate) fn requests(&self) -> Result<Requests> {
        let name = || self.path.display().to_string();
        let mut file = File::open(&self.path).context(name())?;
        file.seek(SeekFrom::Start(self.from)).context(name())?;
        let mut requests = Requests::default();
        for line in BufReader::new(file).lines() {
            // The last line may be on its way.
            let Ok(entry) = serde_json::from_str::<Entry>(&line.context(name())?) else { continue };
            // A watch counts when it begins, and not again when it ends.
            let ends_a_watch = entry.verb == "watch" && entry.stage == "ResponseComplete";
            if !ends_a_watch {
                requests.count(&entry);
            }
        }
        Ok(requests)
    }
}

impl Requests {
    fn count(&mut self, entry: &Entry) {
        self.all += 1;
        let Some(target) = &entry.object_ref else { return };
        let reads = matches!(entry.verb.as_str(), "get" | "list" | "watch");
        if !reads && target.resource != "leases" {
            let part = if target.subresource.is_empty() { "" } else { "/" };
            let what = format!("{} {}{part}{}", entry.verb, target.resource, target.subresource);
            *self.writes.entry(what).or_default() += 1;
        }
    }

    /// How many write, but for Leases.
    pub(crate) fn written(&self) -> u64 {
        self.writes.values().sum()
    }
}
