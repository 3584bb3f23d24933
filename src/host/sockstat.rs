//! `node_sockstat_*`: sockets by protocol, from `/proc/net/sockstat` and `sockstat6`.

use super::paths::read;
use super::readings::Readings;
use super::{CollectError, HostPaths};

pub(super) fn collect(paths: &HostPaths, out: &mut Readings) -> Result<(), CollectError> {
    emit(&read(&paths.net("sockstat"))?, out);
    // Absent where IPv6 is off.
    match read(&paths.net("sockstat6")) {
        Ok(text) => emit(&text, out),
        Err(CollectError::Missing(_)) => {}
        Err(e) => return Err(e),
    }
    Ok(())
}

fn emit(text: &str, out: &mut Readings) {
    for line in text.lines() {
        let Some((protocol, pairs)) = line.split_once(':') else {
            continue;
        };
        let mut words = pairs.split_whitespace();
        while let (Some(field), Some(value)) = (words.next(), words.next()) {
            if let Ok(value) = value.parse() {
                emit_field(protocol, field, value, out);
            }
        }
    }
}

// The kernel counts a protocol's memory in pages; it is given in bytes beside that.
fn emit_field(protocol: &str, field: &str, value: f64, out: &mut Readings) {
    let name = format!("node_sockstat_{protocol}_{field}");
    if protocol == "sockets" {
        out.gauge(name, "Number of IPv4 sockets in use.", &[], value);
        return;
    }
    if field == "mem" {
        let bytes = value * procfs::page_size() as f64;
        let help = format!("Number of {protocol} sockets in state mem_bytes.");
        out.gauge(format!("{name}_bytes"), help, &[], bytes);
    }
    out.gauge(name, format!("Number of {protocol} sockets in state {field}."), &[], value);
}

#[cfg(test)]
mod tests {
    use super::super::testing::lines;
    use super::*;

    #[test]
    fn every_pair_is_a_metric_and_memory_is_given_in_bytes_too() {
        let text = "sockets: used 19\nTCP: inuse 5 orphan 0 mem 2\nFRAG6: inuse 0 memory 0\n";
        let page = procfs::page_size();
        assert_eq!(
            lines(|out| emit(text, out)),
            [
                "node_sockstat_sockets_used 19".to_owned(),
                "node_sockstat_TCP_inuse 5".to_owned(),
                "node_sockstat_TCP_orphan 0".to_owned(),
                format!("node_sockstat_TCP_mem_bytes {}", page * 2),
                "node_sockstat_TCP_mem 2".to_owned(),
                "node_sockstat_FRAG6_inuse 0".to_owned(),
                "node_sockstat_FRAG6_memory 0".to_owned(),
            ]
        );
    }
}
