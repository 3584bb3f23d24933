//! `node_filefd_*`: file handles of the whole system, from `/proc/sys/fs/file-nr`.

use super::paths::read;
use super::readings::Readings;
use super::{CollectError, HostPaths};

pub(super) fn collect(paths: &HostPaths, out: &mut Readings) -> Result<(), CollectError> {
    let path = paths.proc("sys/fs/file-nr");
    let (allocated, maximum) = parse(&read(&path)?)
        .ok_or_else(|| CollectError::malformed(&path, "it does not hold three numbers"))?;
    out.gauge("node_filefd_allocated", "File descriptor statistics: allocated.", &[], allocated);
    out.gauge("node_filefd_maximum", "File descriptor statistics: maximum.", &[], maximum);
    Ok(())
}

/// Allocated and maximum; the number between them has been 0 since Linux 2.6.
fn parse(text: &str) -> Option<(f64, f64)> {
    let mut words = text.split_whitespace();
    let allocated = words.next()?.parse().ok()?;
    let maximum = words.nth(1)?.parse().ok()?;
    Some((allocated, maximum))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_number_are_read() {
        assert_eq!(parse("433\t0\t2466174\n"), Some((433.0, 2_466_174.0)));
        assert_eq!(parse("433\t0\n"), None);
    }
}
