//! Which filesystems are reported.
//!
//! Mount points and types are left out as `node_exporter` does by default, and with them the
//! mounts of pods and containers, of which a busy node has hundreds that live as long as a pod.
//! Of the rest only filesystems that this machine itself holds are looked at: asking a network
//! filesystem whose server is gone would block the reader for as long as that takes.

/// Whether a mount point is one of the system's own or of a container.
pub(super) fn is_excluded_mount_point(path: &str) -> bool {
    // The directory itself and all below it.
    const TREES: [&str; 3] = ["/dev", "/proc", "/sys"];
    // Only what is below: the directory itself may be a disk of its own.
    const BELOW: [&str; 7] = [
        "/run/credentials",
        "/run/containerd",
        "/run/k3s/containerd",
        "/var/lib/docker",
        "/var/lib/containerd",
        "/var/lib/containers/storage",
        "/var/lib/kubelet",
    ];
    TREES.iter().any(|tree| path == *tree || is_below(path, tree))
        || BELOW.iter().any(|dir| is_below(path, dir))
}

fn is_below(path: &str, dir: &str) -> bool {
    path.strip_prefix(dir).and_then(|rest| rest.strip_prefix('/')).is_some_and(|rest| !rest.is_empty())
}

/// Whether a type has no blocks and files of its own to count.
pub(super) fn is_excluded_type(fs_type: &str) -> bool {
    matches!(
        fs_type,
        "autofs"
            | "binfmt_misc"
            | "bpf"
            | "cgroup"
            | "cgroup2"
            | "configfs"
            | "debugfs"
            | "devpts"
            | "devtmpfs"
            | "erofs"
            | "fusectl"
            | "hugetlbfs"
            | "iso9660"
            | "mqueue"
            | "nsfs"
            | "overlay"
            | "proc"
            | "procfs"
            | "pstore"
            | "rpc_pipefs"
            | "securityfs"
            | "selinuxfs"
            | "squashfs"
            | "sysfs"
            | "tracefs"
    )
}

/// Whether a filesystem of this type is held by this machine, so that asking it cannot hang on
/// another. A type that is not known is not asked.
pub(super) fn is_local_type(fs_type: &str) -> bool {
    matches!(
        fs_type,
        "apfs"
            | "bcachefs"
            | "btrfs"
            | "exfat"
            | "ext2"
            | "ext3"
            | "ext4"
            | "f2fs"
            | "fuseblk"
            | "hfs"
            | "hfsplus"
            | "jffs2"
            | "jfs"
            | "msdos"
            | "nilfs2"
            | "ntfs"
            | "ntfs3"
            | "ramfs"
            | "reiserfs"
            | "rootfs"
            | "tmpfs"
            | "ubifs"
            | "udf"
            | "ufs"
            | "vfat"
            | "virtiofs"
            | "xfs"
            | "zfs"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_of_the_system_and_of_containers_are_left_out() {
        for path in [
            "/dev",
            "/dev/shm",
            "/proc",
            "/proc/sys/fs/binfmt_misc",
            "/sys/fs/cgroup",
            "/run/credentials/systemd-sysusers.service",
            "/run/containerd/io.containerd.runtime.v2.task/k8s.io/x/rootfs",
            "/var/lib/docker/overlay2/abc/merged",
            "/var/lib/kubelet/pods/x/volumes/y",
        ] {
            assert!(is_excluded_mount_point(path), "{path}");
        }
        for path in [
            "/",
            "/boot",
            "/run",
            "/run/user/1000",
            "/var/lib/docker",
            "/var/lib/kubelet",
            "/device",
            "/system",
            "/mnt/data",
            "/var/lib/dockerx/y",
        ] {
            assert!(!is_excluded_mount_point(path), "{path}");
        }
    }

    #[test]
    fn network_filesystems_are_never_asked() {
        for remote in [
            "nfs",
            "nfs4",
            "cifs",
            "smb3",
            "ceph",
            "fuse.sshfs",
            "fuse.glusterfs",
            "9p",
            "lustre",
            "afs",
            "beegfs",
            "something_new",
        ] {
            assert!(!is_local_type(remote), "{remote}");
        }
        for local in ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "vfat"] {
            assert!(is_local_type(local) && !is_excluded_type(local), "{local}");
        }
        assert!(is_excluded_type("overlay") && is_excluded_type("squashfs"));
    }
}
