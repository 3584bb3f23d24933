//! `node_memory_*`: every line of `/proc/meminfo`.

use super::paths::read;
use super::readings::Readings;
use super::{CollectError, HostPaths};

pub(super) fn collect(paths: &HostPaths, out: &mut Readings) -> Result<(), CollectError> {
    let path = paths.proc("meminfo");
    let text = read(&path)?;
    for line in text.lines() {
        let (field, value) =
            parse(line).ok_or_else(|| CollectError::malformed(&path, format!("no value in {line:?}")))?;
        let help = format!("Memory information field {field}.");
        out.gauge(format!("node_memory_{field}"), help, &[], value);
    }
    Ok(())
}

/// Field and value of a line. What the kernel calls kB is 1024 bytes; a field in it is given in
/// bytes and named so. Fields without a unit are counts.
fn parse(line: &str) -> Option<(String, f64)> {
    let (name, rest) = line.split_once(':')?;
    let mut words = rest.split_whitespace();
    let value: f64 = words.next()?.parse().ok()?;
    let field = name.replace('(', "_").replace(|c: char| !c.is_ascii_alphanumeric() && c != '_', "");
    match words.next() {
        None => Some((field, value)),
        Some("kB") => Some((format!("{field}_bytes"), value * 1024.0)),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kilobytes_become_bytes_and_counts_stay() {
        assert_eq!(
            parse("MemFree:        22014308 kB"),
            Some(("MemFree_bytes".to_owned(), 22_542_651_392.0))
        );
        assert_eq!(parse("Active(anon):       1556 kB"), Some(("Active_anon_bytes".to_owned(), 1_593_344.0)));
        assert_eq!(parse("HugePages_Total:       3"), Some(("HugePages_Total".to_owned(), 3.0)));
        assert_eq!(parse("nonsense"), None);
        assert_eq!(parse("Odd: 3 furlongs"), None);
    }
}
