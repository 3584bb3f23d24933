//! The mount table: which filesystems are worth asking for their size.

use std::collections::BTreeMap;
use std::path::Path;

use super::fs_rules::{is_excluded_mount_point, is_excluded_type, is_local_type};
use super::paths::read;
use super::{CollectError, HostPaths};

/// A mounted filesystem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) device: String,
    /// As the host has it.
    pub(super) point: String,
    pub(super) fs_type: String,
    pub(super) read_only: bool,
}

/// The mounts worth asking, by mount point, as the host's first process sees them. Where its table
/// may not be read, as this process does, and then only what lies below the host's `/`: the rest
/// is the container's own.
pub(super) fn mounts(paths: &HostPaths) -> Result<Vec<Mount>, CollectError> {
    if let Ok(text) = read(&paths.proc("1/mounts")) {
        return Ok(select(&text, Path::new("/")));
    }
    Ok(select(&read(&paths.proc("self/mounts"))?, &paths.rootfs))
}

/// The mounts below `root`. Where two are on one mount point, the later hides the earlier.
fn select(table: &str, root: &Path) -> Vec<Mount> {
    let visible: BTreeMap<String, Mount> = table
        .lines()
        .filter_map(parse)
        .filter_map(|mount| {
            let below = Path::new(&mount.point).strip_prefix(root).ok()?;
            let point = Path::new("/").join(below).to_string_lossy().into_owned();
            Some((point.clone(), Mount { point, ..mount }))
        })
        .collect();
    visible.into_values().filter(is_worth_asking).collect()
}

fn is_worth_asking(mount: &Mount) -> bool {
    !is_excluded_mount_point(&mount.point)
        && !is_excluded_type(&mount.fs_type)
        && is_local_type(&mount.fs_type)
}

/// A line: device (which may be empty), mount point, type, options.
fn parse(line: &str) -> Option<Mount> {
    let mut fields = line.split(' ');
    let device = unescape(fields.next()?);
    let point = unescape(fields.next()?);
    let fs_type = unescape(fields.next()?);
    let read_only = fields.next()?.split(',').any(|option| option == "ro");
    Some(Mount { device, point, fs_type, read_only })
}

/// Undoes what the kernel does to spaces and the like, which it writes as `\` and three octal
/// digits. All of these are ASCII.
fn unescape(field: &str) -> String {
    let mut parts = field.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        if let Some(code) = code.filter(u8::is_ascii) {
            plain.push(code.into());
            plain.push_str(&part[3..]);
        } else {
            plain.push('\\');
            plain.push_str(part);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn points(table: &str, root: &str) -> Vec<String> {
        select(table, Path::new(root)).into_iter().map(|mount| mount.point).collect()
    }

    #[test]
    fn local_filesystems_are_kept_and_network_ones_not() {
        let table = "proc /proc proc rw 0 0\n\
            /dev/sda1 / ext4 rw,relatime 0 0\n\
            /dev/sdb1 /mnt/with\\040space xfs ro 0 0\n\
            server:/export /mnt/nfs nfs4 rw 0 0\n\
            overlay /var/lib/docker/overlay2/x/merged overlay rw 0 0\n \
            /run tmpfs rw 0 0\n";
        assert_eq!(points(table, "/"), ["/", "/mnt/with space", "/run"]);
        let mounts = select(table, Path::new("/"));
        assert!(mounts[1].read_only && !mounts[0].read_only);
        assert_eq!(mounts[2].device, "");
    }

    #[test]
    fn of_a_containers_own_table_only_the_hosts_part_counts() {
        let table = "overlay / overlay rw 0 0\n\
            tmpfs /run/secrets tmpfs rw 0 0\n\
            /dev/sda1 /host ext4 ro 0 0\n\
            /dev/sdb1 /host/data ext4 ro 0 0\n";
        assert_eq!(points(table, "/host"), ["/", "/data"]);
    }

    #[test]
    fn a_later_mount_hides_an_earlier_one() {
        let table = "/dev/sda1 /data ext4 rw 0 0\n/dev/sdb1 /data xfs rw 0 0\n";
        let mounts = select(table, Path::new("/"));
        assert_eq!(mounts.len(), 1);
        assert_eq!(mounts[0].device, "/dev/sdb1");
    }

    #[test]
    fn escapes_are_undone_once() {
        assert_eq!(unescape(r"a\040b\011c\134d"), "a b\tc\\d");
        assert_eq!(unescape(r"\134040"), r"\040");
        assert_eq!(unescape(r"odd\"), r"odd\");
        assert_eq!(unescape(r"odd\9é"), r"odd\9é");
    }

    proptest! {
        #[test]
        fn any_table_is_answered(table in any::<String>()) {
            let _ = points(&table, "/");
            let _ = points(&table, "/host");
        }
    }
}
