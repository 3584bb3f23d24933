//! `node_time_seconds`: the clock, for the skew between machines.

use std::time::{SystemTime, UNIX_EPOCH};

use super::readings::Readings;
use super::{CollectError, HostPaths};

#[expect(clippy::unnecessary_wraps, reason = "one shape for every collector")]
pub(super) fn collect(_: &HostPaths, out: &mut Readings) -> Result<(), CollectError> {
    // A clock before 1970 has no time worth reporting.
    if let Ok(now) = SystemTime::now().duration_since(UNIX_EPOCH) {
        let help = "System time in seconds since epoch (1970).";
        out.gauge("node_time_seconds", help, &[], now.as_secs_f64());
    }
    Ok(())
}
