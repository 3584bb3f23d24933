//! `node_uname_info`: the kernel and the node's name, from the `uname` system call.

use std::borrow::Cow;

use super::paths::read_value;
use super::readings::Readings;
use super::{CollectError, HostPaths};

#[expect(clippy::unnecessary_wraps, reason = "one shape for every collector")]
pub(super) fn collect(paths: &HostPaths, out: &mut Readings) -> Result<(), CollectError> {
    let uname = rustix::system::uname();
    let labels: [(&'static str, Cow<'_, str>); 6] = [
        ("domainname", uname.domainname().to_string_lossy()),
        ("machine", uname.machine().to_string_lossy()),
        ("nodename", node_name(paths).into()),
        ("release", uname.release().to_string_lossy()),
        ("sysname", uname.sysname().to_string_lossy()),
        ("version", uname.version().to_string_lossy()),
    ];
    let labels = labels.each_ref().map(|(name, value)| (*name, value.as_ref()));
    let help = "Labeled system information as provided by the uname system call.";
    out.gauge("node_uname_info", help, &labels, 1.0);
    Ok(())
}

/// The node's name.
///
/// Where the host's `/` is mounted elsewhere this is a container, whose own name is the pod's, so
/// the host's `/etc/hostname` is asked first.
pub fn node_name(paths: &HostPaths) -> String {
    let in_container = paths.rootfs != std::path::Path::new("/");
    let from_file = || read_value(&paths.on_host("/etc/hostname".as_ref()));
    let name = in_container.then(from_file).flatten().map(|name| name.trim().to_owned());
    name.filter(|name| !name.is_empty())
        .unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_a_container_the_name_is_the_hosts() {
        let dir = tempfile::tempdir().unwrap();
        let paths = HostPaths::new(dir.path().into(), None, None);
        let own = node_name(&HostPaths::default());
        assert!(!own.is_empty());
        assert_eq!(node_name(&paths), own);
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        std::fs::write(dir.path().join("etc/hostname"), "node-7\n").unwrap();
        assert_eq!(node_name(&paths), "node-7");
    }
}
