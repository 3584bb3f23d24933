//! Where the host's files are: an agent in a container reads them below a mount of the host's `/`.

use std::fs;
use std::path::{Path, PathBuf};

use super::CollectError;

/// Where the host's filesystems are mounted.
///
/// On the host itself the defaults are right. In a container, mount the host's `/` read-only with
/// `HostToContainer` propagation and give that as `rootfs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPaths {
    /// The host's `/`.
    pub rootfs: PathBuf,
    /// The host's `/proc`.
    pub procfs: PathBuf,
    /// The host's `/sys`.
    pub sysfs: PathBuf,
}

impl Default for HostPaths {
    /// This machine's own `/`, `/proc` and `/sys`.
    fn default() -> Self {
        Self::new("/".into(), None, None)
    }
}

impl HostPaths {
    /// Paths below `rootfs`; `procfs` and `sysfs` are `<rootfs>/proc` and `<rootfs>/sys` unless
    /// given.
    pub fn new(rootfs: PathBuf, procfs: Option<PathBuf>, sysfs: Option<PathBuf>) -> Self {
        Self {
            procfs: procfs.unwrap_or_else(|| rootfs.join("proc")),
            sysfs: sysfs.unwrap_or_else(|| rootfs.join("sys")),
            rootfs,
        }
    }

    /// A file of the host's `/proc`.
    pub(super) fn proc(&self, relative: &str) -> PathBuf {
        self.procfs.join(relative)
    }

    /// A file of the host's `/sys`.
    pub(super) fn sys(&self, relative: &str) -> PathBuf {
        self.sysfs.join(relative)
    }

    /// Where a path of the host is seen from here.
    pub(super) fn on_host(&self, absolute: &Path) -> PathBuf {
        self.rootfs.join(absolute.strip_prefix("/").unwrap_or(absolute))
    }

    /// A file of `/proc/net`, of the network the host's first process sees where that can be
    /// read: `/proc/net` itself is the reader's own network, which in a container without
    /// `hostNetwork` is the pod's.
    pub(super) fn net(&self, relative: &str) -> PathBuf {
        let of_init = self.procfs.join("1/net").join(relative);
        if fs::metadata(&of_init).is_ok() { of_init } else { self.procfs.join("net").join(relative) }
    }
}

/// The text of a file. Bytes that are no UTF-8 (a mount point may hold any) are replaced.
pub(super) fn read(path: &Path) -> Result<String, CollectError> {
    match fs::read(path) {
        Ok(bytes) => {
            Ok(String::from_utf8(bytes)
                .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
        }
        Err(e) => Err(CollectError::from_io(path, e)),
    }
}

/// The text of a file with one value in it, as most of `/sys` has; `None` where the file is not
/// there or the kernel refuses to read it (the speed of an interface that is down, for one).
pub(super) fn read_value(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim_end_matches('\n').to_owned())
}

/// The number in a file with one number in it, or `None`, as in [`read_value`].
pub(super) fn read_number(path: &Path) -> Option<f64> {
    read_value(path)?.trim().parse().ok()
}

/// The directories (or links to such) in `dir` whose name starts with `prefix`, by name.
pub(super) fn entries(dir: &Path, prefix: &str) -> Result<Vec<(String, PathBuf)>, CollectError> {
    let listing = fs::read_dir(dir).map_err(|e| CollectError::from_io(dir, e))?;
    let mut found: Vec<_> = listing
        .flatten()
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .filter(|(name, _)| name.starts_with(prefix))
        .collect();
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_follow_the_rootfs_unless_given() {
        let paths = HostPaths::new("/host".into(), None, Some("/sys-of-host".into()));
        assert_eq!(paths.proc("stat"), Path::new("/host/proc/stat"));
        assert_eq!(paths.sys("class/net"), Path::new("/sys-of-host/class/net"));
        assert_eq!(paths.on_host(Path::new("/var/lib")), Path::new("/host/var/lib"));
        assert_eq!(paths.on_host(Path::new("/")), Path::new("/host/"));
    }

    #[test]
    fn a_missing_file_is_told_apart_from_an_unreadable_one() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(read(&dir.path().join("absent")), Err(CollectError::Missing(_))));
        assert!(matches!(read(dir.path()), Err(CollectError::Unreadable { .. })));
    }

    #[test]
    fn bytes_that_are_no_utf8_are_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("mounts");
        fs::write(&file, b"a\xffb").unwrap();
        assert_eq!(read(&file).unwrap(), "a\u{fffd}b");
    }

    #[test]
    fn the_network_of_init_is_preferred() {
        let dir = tempfile::tempdir().unwrap();
        let paths = HostPaths::new(dir.path().into(), Some(dir.path().into()), None);
        assert_eq!(paths.net("dev"), dir.path().join("net/dev"));
        fs::create_dir_all(dir.path().join("1/net")).unwrap();
        fs::write(dir.path().join("1/net/dev"), "").unwrap();
        assert_eq!(paths.net("dev"), dir.path().join("1/net/dev"));
    }
}
