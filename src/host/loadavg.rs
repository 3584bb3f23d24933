//! `node_load1`, `node_load5`, `node_load15`, from `/proc/loadavg`.

use super::paths::read;
use super::readings::Readings;
use super::{CollectError, HostPaths};

const LOADS: [(&str, &str); 3] = [
    ("node_load1", "1m load average."),
    ("node_load5", "5m load average."),
    ("node_load15", "15m load average."),
];

pub(super) fn collect(paths: &HostPaths, out: &mut Readings) -> Result<(), CollectError> {
    let path = paths.proc("loadavg");
    let loads = parse(&read(&path)?)
        .ok_or_else(|| CollectError::malformed(&path, "it does not start with three numbers"))?;
    for ((name, help), value) in LOADS.into_iter().zip(loads) {
        out.gauge(name, help, &[], value);
    }
    Ok(())
}

fn parse(text: &str) -> Option<[f64; 3]> {
    let mut numbers = text.split_whitespace().map_while(|word| word.parse().ok());
    Some([numbers.next()?, numbers.next()?, numbers.next()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_numbers_are_read() {
        assert_eq!(parse("2.62 1.69 0.78 4/150 10683\n"), Some([2.62, 1.69, 0.78]));
        assert_eq!(parse("2.62 1.69\n"), None);
    }
}
