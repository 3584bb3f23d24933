//! The limits of the control group that this process runs in, versions 1 and 2.
//!
//! Always read from the process's own `/proc/self/cgroup` and `/sys/fs/cgroup`: seen through a
//! mount of the host's, the same path means another group.

use std::fs;
use std::path::{Path, PathBuf};

use procfs::{FromRead, ProcessCGroups};

/// CPU of a limited group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct CpuUse {
    /// CPU seconds used since the group was made.
    pub(super) used_seconds: f64,
    /// The limit, in CPUs.
    pub(super) cpus: f64,
}

/// Memory of a limited group, in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct MemoryUse {
    /// What is used and could not be given back at once: without the inactive file cache, as the
    /// kubelet counts.
    pub(super) used: f64,
    /// The limit.
    pub(super) limit: f64,
}

/// How far below the root the kubelet puts the groups of pods: kubepods, its class, the pod; and as
/// far again where the kubelet itself is in a group.
const POD_DEPTH: usize = 5;
/// Parts of names of groups that hold those of pods.
const POD_HOLDERS: [&str; 6] =
    ["kubepods", "kubelet", "burstable", "besteffort", "guaranteed", "system.slice"];

/// Where the process's group is.
#[derive(Debug)]
pub(super) struct OwnCgroup {
    cpu: Option<Group>,
    memory: Option<Group>,
}

/// A group in one hierarchy.
#[derive(Debug, Clone)]
struct Group {
    version: Version,
    /// Where the hierarchy is mounted.
    mount: PathBuf,
    /// The group's own directory.
    dir: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

impl OwnCgroup {
    /// The group of this process.
    pub(super) fn find() -> Self {
        Self::of(&fs::read_to_string("/proc/self/cgroup").unwrap_or_default())
    }

    /// The group of the process whose `/proc/<pid>/cgroup` has this text, as this process sees it.
    pub(super) fn of(text: &str) -> Self {
        Self::from_text(text, Path::new("/sys/fs/cgroup"))
    }

    /// The group of a pod, looked for by its uid under the host's hierarchies: what
    /// `/proc/<pid>/cgroup` says is relative to the reader's own group.
    pub(super) fn of_pod(mounts: &Path, names: &[String]) -> Self {
        let is_v2 = mounts.join("cgroup.controllers").exists();
        let find = |controller: &str| {
            let (version, mount) =
                if is_v2 { (Version::V2, mounts.to_owned()) } else { (Version::V1, mounts.join(controller)) };
            let dir = descend(&mount, POD_DEPTH, names)?;
            // No group above it: the limit of all pods together is none of this one.
            Some(Group { version, mount: dir.clone(), dir })
        };
        Self { cpu: find("cpu"), memory: find("memory") }
    }

    fn from_text(text: &str, mounts: &Path) -> Self {
        let groups = ProcessCGroups::from_read(text.as_bytes()).map(|g| g.0).unwrap_or_default();
        let find = |controller: &str| {
            let of_v1 = groups.iter().find(|g| g.controllers.iter().any(|c| c == controller));
            let of_v2 = groups.iter().find(|g| g.hierarchy == 0 && g.controllers.is_empty());
            let (version, mount, path) = match (of_v1, of_v2) {
                (Some(g), _) => (Version::V1, mounts.join(controller), &g.pathname),
                (None, Some(g)) => (Version::V2, mounts.to_owned(), &g.pathname),
                (None, None) => return None,
            };
            let dir = mount.join(path.trim_start_matches('/'));
            Some(Group { version, mount, dir })
        };
        Self { cpu: find("cpu"), memory: find("memory") }
    }

    /// CPU of the nearest group up the tree that has a limit; `None` where none has.
    pub(super) fn cpu(&self) -> Option<CpuUse> {
        self.cpu.as_ref()?.ancestors().find_map(|(version, dir)| match version {
            Version::V1 => cpu_v1(dir),
            Version::V2 => cpu_v2(dir),
        })
    }

    /// Memory of the nearest group up the tree that has a limit below `node_total`; `None` where
    /// none has.
    pub(super) fn memory(&self, node_total: f64) -> Option<MemoryUse> {
        self.memory.as_ref()?.ancestors().find_map(|(version, dir)| {
            let (limit, current, stat, cache) = match version {
                Version::V1 => {
                    ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat", "total_inactive_file")
                }
                Version::V2 => ("memory.max", "memory.current", "memory.stat", "inactive_file"),
            };
            // Version 1 says "no limit" with a number larger than any machine's memory.
            let limit = number(&dir.join(limit)).filter(|limit| *limit < node_total)?;
            let current = number(&dir.join(current))?;
            let cache = field(&dir.join(stat), cache).unwrap_or(0.0);
            Some(MemoryUse { used: (current - cache).max(0.0), limit })
        })
    }
}

/// A directory below `dir` whose name has one of `names` in it, at most so many levels down, and only
/// among those that hold pods.
fn descend(dir: &Path, levels: usize, names: &[String]) -> Option<PathBuf> {
    let below = fs::read_dir(dir).ok()?.flatten().filter(|entry| entry.path().is_dir());
    let mut holders = Vec::new();
    for entry in below {
        let name = entry.file_name().to_string_lossy().into_owned();
        if names.iter().any(|wanted| name.contains(wanted.as_str())) {
            return Some(entry.path());
        }
        if POD_HOLDERS.iter().any(|holder| name.contains(holder)) {
            holders.push(entry.path());
        }
    }
    let levels = levels.checked_sub(1)?;
    holders.iter().find_map(|holder| descend(holder, levels, names))
}

impl Group {
    /// The group's directory and those above it, up to the mount. Directories that are not there
    /// (a container may see the path of its group from outside) are the caller's to pass over.
    fn ancestors(&self) -> impl Iterator<Item = (Version, &Path)> {
        self.dir.ancestors().take_while(|dir| dir.starts_with(&self.mount)).map(|dir| (self.version, dir))
    }
}

fn cpu_v2(dir: &Path) -> Option<CpuUse> {
    let max = fs::read_to_string(dir.join("cpu.max")).ok()?;
    let (quota, period) = max.trim().split_once(' ')?;
    let cpus = cpus(quota.parse().ok()?, period.parse().ok()?)?;
    let microseconds = field(&dir.join("cpu.stat"), "usage_usec")?;
    Some(CpuUse { used_seconds: microseconds / 1e6, cpus })
}

fn cpu_v1(dir: &Path) -> Option<CpuUse> {
    let quota = number(&dir.join("cpu.cfs_quota_us"))?;
    let cpus = cpus(quota, number(&dir.join("cpu.cfs_period_us"))?)?;
    // Mostly mounted together with `cpu`, under either name.
    let beside = PathBuf::from(dir.to_string_lossy().replacen("/cgroup/cpu", "/cgroup/cpuacct", 1));
    let nanoseconds = [dir, &beside].iter().find_map(|dir| number(&dir.join("cpuacct.usage")))?;
    Some(CpuUse { used_seconds: nanoseconds / 1e9, cpus })
}

/// A quota of -1 is none.
fn cpus(quota: f64, period: f64) -> Option<f64> {
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

fn number(path: &Path) -> Option<f64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn field(path: &Path, name: &str) -> Option<f64> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Tree(tempfile::TempDir);

    impl Tree {
        fn new(files: &[(&str, &str)]) -> Self {
            let dir = tempfile::tempdir().unwrap();
            for (path, text) in files {
                let path = dir.path().join("cgroup").join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            Self(dir)
        }

        fn own(&self, proc_self_cgroup: &str) -> OwnCgroup {
            OwnCgroup::from_text(proc_self_cgroup, &self.0.path().join("cgroup"))
        }
    }

    const NODE: f64 = 64e9;

    #[test]
    fn a_pods_group_is_found_by_its_uid_whatever_the_driver() {
        let names = ["0a-1".to_owned(), "0a_1".to_owned()];
        let systemd = "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0a_1.slice";
        for (root, dir) in
            [("", "kubepods/burstable/pod0a-1"), ("", systemd), ("memory/", "kubelet/kubepods/pod0a-1")]
        {
            let version_1 = !root.is_empty();
            let (max, current) = if version_1 {
                ("memory.limit_in_bytes", "memory.usage_in_bytes")
            } else {
                ("memory.max", "memory.current")
            };
            let controllers = if version_1 { "other" } else { "cgroup.controllers" };
            let tree = Tree::new(&[
                (controllers, "cpu memory\n"),
                (&format!("{root}{dir}/{max}"), "1000\n"),
                (&format!("{root}{dir}/{current}"), "700\n"),
                // All pods together.
                (&format!("{root}kubepods/{max}"), "5000\n"),
                (&format!("{root}kubepods/{current}"), "4000\n"),
            ]);
            let mounts = tree.0.path().join("cgroup");
            let found = OwnCgroup::of_pod(&mounts, &names).memory(NODE);
            assert_eq!(found, Some(MemoryUse { used: 700.0, limit: 1000.0 }), "{dir}");
            assert_eq!(OwnCgroup::of_pod(&mounts, &["0b".to_owned()]).memory(NODE), None, "{dir}");
        }
    }

    #[test]
    fn version_2_gives_the_limits_of_the_group() {
        let tree = Tree::new(&[
            ("a/b/cpu.max", "50000 100000\n"),
            ("a/b/cpu.stat", "usage_usec 2500000\nuser_usec 1\n"),
            ("a/b/memory.max", "1000\n"),
            ("a/b/memory.current", "700\n"),
            ("a/b/memory.stat", "anon 1\ninactive_file 200\n"),
        ]);
        let own = tree.own("0::/a/b\n");
        assert_eq!(own.cpu(), Some(CpuUse { used_seconds: 2.5, cpus: 0.5 }));
        assert_eq!(own.memory(NODE), Some(MemoryUse { used: 500.0, limit: 1000.0 }));
    }

    #[test]
    fn a_limit_above_counts_and_no_limit_is_none() {
        let tree = Tree::new(&[
            ("a/cpu.max", "200000 100000\n"),
            ("a/cpu.stat", "usage_usec 1000000\n"),
            ("a/b/cpu.max", "max 100000\n"),
            ("a/b/cpu.stat", "usage_usec 500000\n"),
            ("a/b/memory.max", "max\n"),
        ]);
        let own = tree.own("0::/a/b\n");
        assert_eq!(own.cpu(), Some(CpuUse { used_seconds: 1.0, cpus: 2.0 }));
        assert_eq!(own.memory(NODE), None);
        assert_eq!(tree.own("0::/\n").cpu(), None);
        assert_eq!(tree.own("").cpu(), None);
    }

    #[test]
    fn version_1_has_a_hierarchy_for_each_controller() {
        let tree = Tree::new(&[
            ("cpu/x/cpu.cfs_quota_us", "150000\n"),
            ("cpu/x/cpu.cfs_period_us", "100000\n"),
            ("cpuacct/x/cpuacct.usage", "3000000000\n"),
            ("memory/x/memory.limit_in_bytes", "1000\n"),
            ("memory/x/memory.usage_in_bytes", "700\n"),
            ("memory/x/memory.stat", "inactive_file 1\ntotal_inactive_file 300\n"),
        ]);
        let own = tree.own("4:memory:/x\n2:cpuacct:/x\n1:cpu:/x\n0::/\n");
        assert_eq!(own.cpu(), Some(CpuUse { used_seconds: 3.0, cpus: 1.5 }));
        assert_eq!(own.memory(NODE), Some(MemoryUse { used: 400.0, limit: 1000.0 }));
    }

    #[test]
    fn a_path_seen_from_outside_falls_back_to_the_mounts_root() {
        let tree = Tree::new(&[
            ("memory/memory.limit_in_bytes", "1000\n"),
            ("memory/memory.usage_in_bytes", "100\n"),
        ]);
        let own = tree.own("4:memory:/docker/0123\n");
        assert_eq!(own.memory(NODE), Some(MemoryUse { used: 100.0, limit: 1000.0 }));
    }

    #[test]
    fn a_limit_beyond_the_node_is_none() {
        let tree = Tree::new(&[
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("memory/memory.usage_in_bytes", "100\n"),
        ]);
        assert_eq!(tree.own("4:memory:/\n").memory(NODE), None);
    }
}
