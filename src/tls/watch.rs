//! What is made of some files, made again when they change.
//!
//! Kubernetes replaces the files of a Secret by turning a symbolic link, others write them one after
//! the other; so what counts is what they hold. A state of them that nothing can be made of changes
//! nothing, is said once, and counted; the next state is tried again.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::PemFile;

/// How often the files are looked at, at most.
const RECHECK: Duration = Duration::from_secs(1);

type Make<T> = Box<dyn Fn(&[Vec<u8>]) -> Result<T, String> + Send + Sync>;

/// What is made of some files.
pub(crate) struct Watched<T> {
    files: Vec<PemFile>,
    make: Make<T>,
    made: ArcSwap<T>,
    seen: Mutex<Seen>,
    failures: AtomicU64,
}

/// What was tried last; an error where the files could not be read.
struct Seen {
    looked: Instant,
    held: Result<Vec<Vec<u8>>, String>,
}

impl<T> Watched<T> {
    /// Reads the files, and makes of them what they are for.
    pub(crate) fn open(
        files: Vec<PemFile>,
        make: impl Fn(&[Vec<u8>]) -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<Self, String> {
        let mut held = Vec::new();
        for file in &files {
            held.push(read(file)?);
        }
        let made = ArcSwap::from_pointee(make(&held)?);
        Ok(Self {
            files,
            make: Box::new(make),
            made,
            seen: Mutex::new(Seen { looked: Instant::now(), held: Ok(held) }),
            failures: AtomicU64::new(0),
        })
    }

    /// What the files made when they last made something.
    pub(crate) fn get(&self) -> Arc<T> {
        self.look();
        self.made.load_full()
    }

    /// States of the files that nothing could be made of.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Relaxed)
    }

    /// Makes it again where the files changed.
    fn look(&self) {
        // Who finds another one looking goes on with what there is.
        let Some(mut seen) = self.seen.try_lock() else { return };
        if seen.looked.elapsed() < RECHECK {
            return;
        }
        seen.looked = Instant::now();
        let held = self.read();
        if held == seen.held {
            return;
        }
        match held.as_ref().map_err(Clone::clone).and_then(|held| (self.make)(held)) {
            Ok(made) => {
                self.made.store(Arc::new(made));
                tracing::info!(files = ?self.paths(), "the files of TLS were read again");
            }
            Err(reason) => {
                self.failures.fetch_add(1, Relaxed);
                tracing::warn!(
                    reason,
                    "the files of TLS changed and can't be used; what was read before stays"
                );
            }
        }
        seen.held = held;
    }

    fn read(&self) -> Result<Vec<Vec<u8>>, String> {
        self.files.iter().map(read).collect()
    }

    fn paths(&self) -> Vec<&Path> {
        self.files.iter().map(|file| file.path.as_path()).collect()
    }
}

fn read(file: &PemFile) -> Result<Vec<u8>, String> {
    std::fs::read(&file.path).map_err(|e| format!("{file}: {e}"))
}

impl<T> std::fmt::Debug for Watched<T> {
    // Without what the files hold.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Watched({:?})", self.paths())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(held: &[Vec<u8>]) -> Result<u32, String> {
        String::from_utf8_lossy(&held[0]).parse().map_err(|_| "no number".to_owned())
    }

    /// As if the files had not been looked at for long.
    fn again(watched: &Watched<u32>) -> u32 {
        let long_ago = Instant::now().checked_sub(RECHECK * 2).unwrap();
        watched.seen.lock().looked = long_ago;
        *watched.get()
    }

    #[test]
    fn what_is_broken_changes_nothing_and_is_counted_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("n");
        let open = || Watched::open(vec![PemFile::new("--n", path.clone())], number);
        assert!(open().unwrap_err().starts_with("--n "), "it is not there");
        std::fs::write(&path, "x").unwrap();
        assert_eq!(open().unwrap_err(), "no number");
        std::fs::write(&path, "1").unwrap();
        let watched = open().unwrap();
        assert_eq!((again(&watched), watched.failures()), (1, 0));
        std::fs::write(&path, "x").unwrap();
        assert_eq!((again(&watched), again(&watched), watched.failures()), (1, 1, 1));
        std::fs::remove_file(&path).unwrap();
        assert_eq!((again(&watched), again(&watched), watched.failures()), (1, 1, 2));
        std::fs::write(&path, "2").unwrap();
        assert_eq!((again(&watched), watched.failures()), (2, 2));
    }

    #[test]
    fn a_link_that_is_turned_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for (folder, text) in [("a", "1"), ("b", "2")] {
            std::fs::create_dir(at(folder)).unwrap();
            std::fs::write(at(folder).join("n"), text).unwrap();
        }
        std::os::unix::fs::symlink("a", at("data")).unwrap();
        let watched = Watched::open(vec![PemFile::new("--n", at("data").join("n"))], number).unwrap();
        assert_eq!(again(&watched), 1);
        std::os::unix::fs::symlink("b", at("new")).unwrap();
        std::fs::rename(at("new"), at("data")).unwrap();
        assert_eq!(again(&watched), 2);
    }
}
