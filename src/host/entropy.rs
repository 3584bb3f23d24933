//! `node_entropy_*`: the kernel's pool of randomness, from `/proc/sys/kernel/random`.

use super::paths::read_number;
use super::readings::Readings;
use super::{CollectError, HostPaths};

pub(super) fn collect(paths: &HostPaths, out: &mut Readings) -> Result<(), CollectError> {
    let path = paths.proc("sys/kernel/random/entropy_avail");
    let Some(available) = read_number(&path) else {
        return Err(CollectError::Missing(path));
    };
    out.gauge("node_entropy_available_bits", "Bits of available entropy.", &[], available);
    if let Some(size) = read_number(&paths.proc("sys/kernel/random/poolsize")) {
        out.gauge("node_entropy_pool_size_bits", "Bits of entropy pool.", &[], size);
    }
    Ok(())
}
