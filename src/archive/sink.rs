//! Where history goes.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Client, Url};

use super::http::{bearer, client, persist, send, success};
use super::lock::lock;
use super::parts::Parts;
use super::{ArchiveError, form};
use crate::client::remote_write;
use crate::store::Past;
use crate::wire::encoding::{Encoding, compress};

/// How messages call it.
const TARGET: &str = "the target";

/// Where history goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Whatever takes remote write 1.0, at this URL.
    RemoteWrite(Url, Option<PathBuf>),
    /// A file of VictoriaMetrics' JSON lines.
    JsonLines(PathBuf),
    /// A file of CSV.
    Csv(PathBuf),
    /// A folder of files of Parquet.
    Parquet(PathBuf),
}

impl fmt::Display for Target {
    /// Without what a URL may carry of credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RemoteWrite(url, _) => {
                write!(f, "{}://{}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
            }
            Self::JsonLines(path) | Self::Csv(path) | Self::Parquet(path) => path.display().fmt(f),
        }
    }
}

/// A target that is open.
pub struct Sink(Open);

enum Open {
    Http { client: Client, url: Url, headers: HeaderMap, patience: Duration },
    File { path: PathBuf, file: BufWriter<File>, is_csv: bool },
    Parquet(Parts),
}

impl Sink {
    /// Opens a target, of which a failure is borne for so long, and so much belongs to what is done already:
    /// bytes of a file, files of a folder.
    pub(super) fn open(target: Target, patience: Duration, extent: u64) -> Result<Self, ArchiveError> {
        Ok(Self(match target {
            Target::RemoteWrite(url, token) => Open::Http {
                client: client()?,
                url,
                headers: bearer("--token-file", token.as_deref())?,
                patience,
            },
            Target::JsonLines(path) => file(path, extent, false)?,
            Target::Csv(path) => file(path, extent, true)?,
            Target::Parquet(path) => Open::Parquet(Parts::open(path, extent)?),
        }))
    }

    /// Whether it has a form for NaN.
    pub(super) const fn takes_nan(&self) -> bool {
        matches!(self.0, Open::Parquet(_))
    }

    /// Sends series; returns once the other side has them, or they wait for `flush`.
    pub(super) async fn send(&mut self, batch: Vec<Past>) -> Result<(), ArchiveError> {
        match &mut self.0 {
            Open::File { path, file, is_csv } => {
                let form = if *is_csv { form::csv } else { form::json_line };
                let written = batch.iter().try_for_each(|series| file.write_all(&form(series)));
                written.map_err(|e| ArchiveError::File(path.clone(), e))
            }
            Open::Parquet(parts) => parts.add(batch),
            Open::Http { client, url, headers, patience } => {
                let body = compress(Encoding::Snappy, &form::remote_write(&batch))
                    .ok_or_else(|| ArchiveError::Target("the body could not be compressed".into()))?;
                let body = bytes::Bytes::from(body);
                persist(*patience, async || {
                    let request = remote_write(client, url, body.clone()).headers(headers.clone());
                    success(TARGET, send(TARGET, request).await?).await
                })
                .await
                .map(drop)
            }
        }
    }

    /// Makes what was sent so far last, and says how much of the target belongs to it. Nothing where a part
    /// of it still waits, which it does not where the day ends.
    pub(super) fn flush(&mut self, ends_day: bool) -> Result<Option<u64>, ArchiveError> {
        let (path, file) = match &mut self.0 {
            Open::Http { .. } => return Ok(Some(0)),
            Open::Parquet(parts) => return parts.flush(ends_day),
            Open::File { path, file, .. } => (path, file),
        };
        let mut flush = || {
            file.flush()?;
            file.get_ref().sync_data()?;
            file.stream_position()
        };
        flush().map(Some).map_err(|e| ArchiveError::File(path.clone(), e))
    }

    /// The same at the end: nothing waits any more.
    pub(super) fn close(&mut self) -> Result<Option<u64>, ArchiveError> {
        match &mut self.0 {
            Open::Parquet(parts) => parts.close(),
            _ => self.flush(true),
        }
    }
}

fn file(path: PathBuf, bytes: u64, is_csv: bool) -> Result<Open, ArchiveError> {
    let open = || {
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
        lock(&file, &path)?;
        let there = file.metadata()?.len();
        if there < bytes {
            let why = format!("{bytes} bytes are done by --state, of which {} are not there", bytes - there);
            return Err(io::Error::other(why));
        }
        // What an hour that was not done has left.
        file.set_len(bytes)?;
        file.seek(SeekFrom::End(0))?;
        if is_csv && bytes == 0 {
            file.write_all(form::CSV_HEADER.as_bytes())?;
        }
        Ok(BufWriter::new(file))
    };
    let file = open().map_err(|e| ArchiveError::File(path.clone(), e))?;
    Ok(Open::File { path, file, is_csv })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_or_folder_has_one_writer_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for target in
            [Target::JsonLines(at("a.jsonl")), Target::Csv(at("a.csv")), Target::Parquet(at("a.parquet"))]
        {
            let open = |extent| Sink::open(target.clone(), Duration::ZERO, extent);
            let mut first = open(0).unwrap();
            let done = first.close().unwrap().unwrap();
            let why = open(done).err().unwrap().to_string();
            let said = format!("--file {target}: another export or import writes it");
            assert!(why.starts_with(&said), "{why}");
            drop(first);
            assert!(open(done).is_ok(), "{target} is free again, and as it was left");
        }
    }
}
