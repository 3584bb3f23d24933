//! `node_filesystem_*`: size and free space of each filesystem, from the mount table and
//! `statvfs`.
//!
//! Network filesystems are not asked, as one whose server is gone would block this reader: see
//! [`fs_rules`](super::fs_rules).

use rustix::fs::{StatVfs, StatVfsMountFlags, statvfs};

use super::mounts::{Mount, mounts};
use super::readings::Readings;
use super::{CollectError, HostPaths};

pub(super) fn collect(paths: &HostPaths, out: &mut Readings) -> Result<(), CollectError> {
    for mount in mounts(paths)? {
        let answer = statvfs(paths.on_host(mount.point.as_ref())).ok();
        emit(&mount, answer.as_ref(), out);
    }
    Ok(())
}

fn emit(mount: &Mount, answer: Option<&StatVfs>, out: &mut Readings) {
    let labels = [
        ("device", mount.device.as_str()),
        ("fstype", mount.fs_type.as_str()),
        ("mountpoint", mount.point.as_str()),
    ];
    out.gauge(
        "node_filesystem_device_error",
        "Whether an error occurred while getting statistics for the given device.",
        &labels,
        f64::from(u8::from(answer.is_none())),
    );
    let Some(stat) = answer else { return };
    let block = stat.f_frsize as f64;
    let read_only = mount.read_only || stat.f_flag.contains(StatVfsMountFlags::RDONLY);
    let values = [
        ("size_bytes", "Filesystem size in bytes.", stat.f_blocks as f64 * block),
        ("free_bytes", "Filesystem free space in bytes.", stat.f_bfree as f64 * block),
        (
            "avail_bytes",
            "Filesystem space available to non-root users in bytes.",
            stat.f_bavail as f64 * block,
        ),
        ("files", "Filesystem total file nodes.", stat.f_files as f64),
        ("files_free", "Filesystem total free file nodes.", stat.f_ffree as f64),
        ("readonly", "Filesystem read-only status.", f64::from(u8::from(read_only))),
    ];
    for (metric, help, value) in values {
        out.gauge(format!("node_filesystem_{metric}"), help, &labels, value);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::lines;
    use super::*;

    #[test]
    fn a_filesystem_that_does_not_answer_is_marked() {
        let mount = Mount {
            device: "/dev/sdz1".to_owned(),
            point: "/gone".to_owned(),
            fs_type: "ext4".to_owned(),
            read_only: false,
        };
        assert_eq!(
            lines(|out| emit(&mount, None, out)),
            [r#"node_filesystem_device_error{device="/dev/sdz1",fstype="ext4",mountpoint="/gone"} 1"#]
        );
    }
}
