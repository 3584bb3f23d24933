//! Where history goes.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use reqwest::{Client, Response, StatusCode, Url};

use super::{ArchiveError, form};
use crate::client::{causes, install_crypto};
use crate::store::Past;
use crate::wire::encoding::{Encoding, compress};

const TIMEOUT: Duration = Duration::from_mins(1);
/// The first pause before something is tried again; each is twice as long as the one before.
const PAUSE: Duration = Duration::from_millis(250);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Where history goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Whatever takes remote write 1.0, at this URL.
    RemoteWrite(Url, Option<PathBuf>),
    /// A file of VictoriaMetrics' JSON lines.
    JsonLines(PathBuf),
    /// A file of CSV.
    Csv(PathBuf),
}

impl fmt::Display for Target {
    /// Without what a URL may carry of credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RemoteWrite(url, _) => {
                write!(f, "{}://{}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
            }
            Self::JsonLines(path) | Self::Csv(path) => path.display().fmt(f),
        }
    }
}

/// A target that is open.
pub struct Sink(Open);

enum Open {
    Http { client: Client, url: Url, token: Option<String>, patience: Duration },
    File { path: PathBuf, file: BufWriter<File>, is_csv: bool },
}

impl Sink {
    /// Opens a target, of which a failure is borne for so long; of a file so many bytes belong to what is
    /// done already.
    pub(super) fn open(target: Target, patience: Duration, bytes: u64) -> Result<Self, ArchiveError> {
        Ok(Self(match target {
            Target::RemoteWrite(url, token) => http(url, token.as_ref(), patience)?,
            Target::JsonLines(path) => file(path, bytes, false)?,
            Target::Csv(path) => file(path, bytes, true)?,
        }))
    }

    /// Sends series; returns once the other side has them.
    pub(super) async fn send(&mut self, batch: &[Past]) -> Result<(), ArchiveError> {
        match &mut self.0 {
            Open::File { path, file, is_csv } => {
                let form = if *is_csv { form::csv } else { form::json_line };
                let written = batch.iter().try_for_each(|series| file.write_all(&form(series)));
                written.map_err(|e| ArchiveError::File(path.clone(), e))
            }
            Open::Http { client, url, token, patience } => {
                let body = compress(Encoding::Snappy, &form::remote_write(batch))
                    .ok_or_else(|| ArchiveError::Target("the body could not be compressed".into()))?;
                let (client, token) = (&*client, token.as_deref());
                let ask = || {
                    let request = client
                        .post(url.clone())
                        .header(CONTENT_TYPE, "application/x-protobuf")
                        .header(CONTENT_ENCODING, "snappy")
                        .header("x-prometheus-remote-write-version", "0.1.0")
                        .body(body.clone());
                    match token {
                        Some(token) => request.header(AUTHORIZATION, format!("Bearer {token}")).send(),
                        None => request.send(),
                    }
                };
                persist(*patience, ask).await.map(drop)
            }
        }
    }

    /// Makes what was sent so far last; of a file, says how long it is then.
    pub(super) fn flush(&mut self) -> Result<u64, ArchiveError> {
        let Open::File { path, file, .. } = &mut self.0 else { return Ok(0) };
        let mut flush = || {
            file.flush()?;
            file.get_ref().sync_data()?;
            file.stream_position()
        };
        flush().map_err(|e| ArchiveError::File(path.clone(), e))
    }
}

fn http(url: Url, token: Option<&PathBuf>, patience: Duration) -> Result<Open, ArchiveError> {
    let token = token.map(|path| {
        let text = std::fs::read_to_string(path).map_err(|e| ArchiveError::File(path.clone(), e))?;
        Ok::<_, ArchiveError>(text.trim().to_owned())
    });
    Ok(Open::Http { client: client()?, url, token: token.transpose()?, patience })
}

pub(super) fn client() -> Result<Client, ArchiveError> {
    install_crypto();
    let client = Client::builder()
        .user_agent(concat!("noetl-metrics-export/", env!("CARGO_PKG_VERSION")))
        .timeout(TIMEOUT)
        .build();
    client.map_err(|e| ArchiveError::Target(causes(&e)))
}

/// A path below a URL that may have a path of its own.
pub(super) fn join(url: &Url, path: &str) -> Url {
    let mut joined = url.clone();
    joined.set_path(&format!("{}/{path}", url.path().trim_end_matches('/')));
    joined
}

fn file(path: PathBuf, bytes: u64, is_csv: bool) -> Result<Open, ArchiveError> {
    let open = || {
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
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

/// Asks until there is an answer of success; gives up after some time, at once where it is refused.
pub(super) async fn persist<F>(patience: Duration, ask: impl Fn() -> F) -> Result<Response, ArchiveError>
where
    F: Future<Output = reqwest::Result<Response>>,
{
    let (began, mut pause) = (Instant::now(), PAUSE);
    loop {
        let why = match ask().await {
            Ok(response) if response.status().is_success() => return Ok(response),
            Ok(response) => {
                let status = response.status();
                let is_over = status.is_client_error()
                    && !matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
                let text: String = response.text().await.unwrap_or_default().chars().take(300).collect();
                let why = format!("it answered {status}: {}", text.trim());
                if is_over {
                    return Err(ArchiveError::Target(why));
                }
                why
            }
            Err(e) => causes(&e.without_url()),
        };
        if began.elapsed() + pause > patience {
            return Err(ArchiveError::Target(why));
        }
        tracing::warn!("{why}; trying again in {pause:?}");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
