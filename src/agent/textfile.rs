//! A directory of `*.prom` files, by which a worker hands over values without HTTP.
//!
//! Each file is a text exposition (see [`crate::wire::exposition`]) and is reported with its own names, types,
//! labels and times. What is bad with one file (unreadable, too large, not in the format) is said
//! in the log, counted, and stops no other. Writers should write to a temporary name and rename.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::host::Readings;
use crate::model::Reading;
use crate::wire::exposition::{ParseError, parse};

/// The largest file that is read.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// The most samples that all files may have together; a component's series are limited likewise
/// at the server.
const MAX_SAMPLES: usize = 10_000;

/// A directory of text files, and what was wrong in it the last time.
#[derive(Debug)]
pub(super) struct TextfileDir {
    dir: PathBuf,
    /// Files (or the directory itself) with their last error.
    bad: HashMap<PathBuf, String>,
    errors: u64,
}

/// Why a file gave nothing.
#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("is not a regular file")]
    NotRegular,
    #[error("has more than {MAX_FILE_BYTES} bytes")]
    TooLarge,
    #[error("is not UTF-8")]
    NotUtf8,
    #[error("the last line does not end: write to a temporary file beside it, then rename")]
    Unfinished,
    #[error("{0}")]
    Format(ParseError),
    #[error("has a series that another file or the agent itself has: {0}")]
    Duplicate(String),
}

impl From<ParseError> for FileError {
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::Unfinished => Self::Unfinished,
            other => Self::Format(other),
        }
    }
}

impl TextfileDir {
    /// A directory, which need not exist yet.
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir, bad: HashMap::new(), errors: 0 }
    }

    /// Reads every file and adds its samples to `readings`, then how it went:
    /// `node_textfile_mtime_seconds{file}` for each good file, `node_textfile_scrape_error`.
    pub(super) fn collect(&mut self, readings: &mut Vec<Reading>) {
        let mut out = Readings::default();
        let mut bad = HashMap::new();
        match self.files() {
            Ok(files) => {
                let mut reader = Reader::new(readings);
                for file in files {
                    match reader.read(&file) {
                        Ok(metadata) => add_mtime(&file, &metadata, &mut out),
                        Err(e) => drop(bad.insert(file, e.to_string())),
                    }
                }
            }
            Err(e) => drop(bad.insert(self.dir.clone(), format!("--textfile-dir: {e}"))),
        }
        out.gauge(
            "node_textfile_scrape_error",
            "1 if there was an error opening or reading a file, 0 otherwise",
            &[],
            f64::from(u8::from(!bad.is_empty())),
        );
        readings.extend(out.into_vec());
        self.note(bad);
    }

    /// Errors so far.
    pub(super) fn errors(&self) -> u64 {
        self.errors
    }

    // The same error again is counted, but not worth another line.
    fn note(&mut self, bad: HashMap<PathBuf, String>) {
        self.errors += bad.len() as u64;
        for (file, why) in &bad {
            if self.bad.get(file) != Some(why) {
                tracing::warn!(file = %file.display(), "text file not reported: {why}");
            }
        }
        self.bad = bad;
    }

    fn files(&self) -> io::Result<Vec<PathBuf>> {
        let listing = fs::read_dir(&self.dir)?;
        let mut files: Vec<_> =
            listing.flatten().map(|entry| entry.path()).filter(|path| is_prom(path)).collect();
        files.sort();
        Ok(files)
    }
}

fn is_prom(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "prom")
}

fn add_mtime(file: &Path, metadata: &Metadata, out: &mut Readings) {
    let since = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    if let Some(since) = since {
        out.gauge(
            "node_textfile_mtime_seconds",
            "Unixtime mtime of textfiles successfully read.",
            &[("file", &file.to_string_lossy())],
            since.as_secs_f64(),
        );
    }
}

/// Adds the samples of one file after another.
struct Reader<'a> {
    readings: &'a mut Vec<Reading>,
    seen: HashSet<String>,
    room: usize,
}

impl<'a> Reader<'a> {
    fn new(readings: &'a mut Vec<Reading>) -> Self {
        let seen = readings.iter().map(series).collect();
        Self { readings, seen, room: MAX_SAMPLES }
    }

    /// All samples of the file, or none of them.
    fn read(&mut self, file: &Path) -> Result<Metadata, FileError> {
        let (text, metadata) = read(file)?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let samples = parse(&text, self.room, &format!("Metric read from {name}"))?;
        if let Some(twice) = samples.iter().map(series).find(|series| self.seen.contains(series)) {
            return Err(FileError::Duplicate(twice));
        }
        self.room -= samples.len();
        self.seen.extend(samples.iter().map(series));
        self.readings.extend(samples);
        Ok(metadata)
    }
}

/// The file's text. Looked at before it is opened: opening a pipe would wait for its writer.
fn read(path: &Path) -> Result<(String, Metadata), FileError> {
    if !fs::metadata(path)?.is_file() {
        return Err(FileError::NotRegular);
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(FileError::TooLarge);
    }
    let text = String::from_utf8(bytes).map_err(|_| FileError::NotUtf8)?;
    Ok((text, metadata))
}

fn series(reading: &Reading) -> String {
    let mut labels: Vec<_> = reading.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    labels.sort();
    format!("{}{{{}}}", reading.name, labels.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir(files: &[(&str, &str)]) -> (tempfile::TempDir, TextfileDir) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let textfiles = TextfileDir::new(dir.path().to_owned());
        (dir, textfiles)
    }

    fn names(textfiles: &mut TextfileDir) -> Vec<String> {
        let mut readings = Vec::new();
        textfiles.collect(&mut readings);
        readings.iter().map(|r| format!("{} {}", r.name, r.value)).collect()
    }

    #[test]
    fn a_workers_values_are_handed_over_with_the_files_time() {
        let (dir, mut textfiles) = dir(&[
            ("worker.prom", "noetl_worker_active_tasks 3\nnoetl_worker_queue_size 7\n"),
            ("notes.txt", "not an exposition"),
            ("half.prom.tmp", "nor this"),
        ]);
        let mut readings = Vec::new();
        textfiles.collect(&mut readings);
        let names: Vec<_> = readings.iter().map(|r| r.name.as_ref()).collect();
        assert_eq!(
            names,
            [
                "noetl_worker_active_tasks",
                "noetl_worker_queue_size",
                "node_textfile_mtime_seconds",
                "node_textfile_scrape_error",
            ]
        );
        let path = dir.path().join("worker.prom").to_string_lossy().into_owned();
        assert_eq!(readings[2].labels, vec![("file".into(), path)]);
        assert!(readings[2].value > 1.7e9);
        assert_eq!(readings[0].help, "Metric read from worker.prom");
        assert_eq!(textfiles.errors(), 0);
    }

    #[test]
    fn a_bad_file_is_counted_and_stops_no_other() {
        let big = "a 1\n".repeat(300_000);
        let (dir, mut textfiles) = dir(&[
            ("a.prom", "good 1\n"),
            ("b.prom", "half 12"),
            ("c.prom", "good 2\n"),
            ("d.prom", &big),
            ("e.prom", "also_good 5\n"),
        ]);
        fs::write(dir.path().join("f.prom"), b"x{l=\"\xff\"} 1\n").unwrap();
        fs::create_dir(dir.path().join("g.prom")).unwrap();
        let names = names(&mut textfiles);
        let values: Vec<_> = names.iter().filter(|n| n.contains("good")).collect();
        assert_eq!(values, ["good 1", "also_good 5"]);
        assert_eq!(names.last().unwrap(), "node_textfile_scrape_error 1");
        assert_eq!(textfiles.errors(), 5);
        let why: Vec<_> = ["b", "c", "d", "f", "g"]
            .map(|name| textfiles.bad[&dir.path().join(format!("{name}.prom"))].clone())
            .into();
        assert!(why[0].contains("does not end") && why[1].contains("another file"), "{why:?}");
        assert!(why[2].contains("bytes") && why[3].contains("UTF-8") && why[4].contains("regular"));
    }

    #[test]
    fn samples_are_bounded_over_all_files() {
        let many = |prefix: &str| {
            let lines: Vec<_> = (0..6000).map(|i| format!("{prefix}{i} 1\n")).collect();
            lines.concat()
        };
        let (_dir, mut textfiles) =
            dir(&[("a.prom", &many("a")), ("b.prom", &many("b")), ("c.prom", "c 1\n")]);
        let names = names(&mut textfiles);
        assert_eq!(names.iter().filter(|n| n.starts_with(['a', 'b', 'c'])).count(), 6001);
        assert_eq!(textfiles.errors(), 1);
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error_and_no_end() {
        let mut textfiles = TextfileDir::new("/nowhere/at/all".into());
        assert_eq!(names(&mut textfiles), ["node_textfile_scrape_error 1"]);
        assert_eq!(textfiles.errors(), 1);
        assert!(textfiles.bad[Path::new("/nowhere/at/all")].starts_with("--textfile-dir: "));
    }

    #[test]
    fn a_series_of_the_agent_itself_is_not_replaced() {
        let (_dir, mut textfiles) = dir(&[("a.prom", "node_load1 99\n")]);
        let mut out = Readings::default();
        out.gauge("node_load1", "1m load average.", &[], 1.0);
        let mut readings = out.into_vec();
        textfiles.collect(&mut readings);
        assert_eq!(readings.iter().filter(|r| r.name == "node_load1").count(), 1);
        assert_eq!(textfiles.errors(), 1);
    }
}
