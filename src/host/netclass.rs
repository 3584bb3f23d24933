//! `node_network_up`, `_info`, `_mtu_bytes` and the like: what each interface is, from
//! `/sys/class/net`.

use std::path::Path;

use super::net_rules::is_excluded;
use super::paths::{entries, read_number, read_value};
use super::readings::Readings;
use super::{CollectError, HostPaths};

/// File, metric, and whether it only goes up. Help is the same for all of them.
const PROPERTIES: [(&str, &str, bool); 6] = [
    ("carrier", "carrier", false),
    ("carrier_changes", "carrier_changes_total", true),
    ("ifindex", "iface_id", false),
    ("mtu", "mtu_bytes", false),
    ("tx_queue_len", "transmit_queue_length", false),
    ("type", "protocol_type", false),
];

pub(super) fn collect(paths: &HostPaths, out: &mut Readings) -> Result<(), CollectError> {
    for (device, path) in entries(&paths.sys("class/net"), "")? {
        // The bonding driver puts a file among the interfaces.
        if path.is_dir() && !is_excluded(&device) {
            emit(&device, &path, out);
        }
    }
    Ok(())
}

fn emit(device: &str, path: &Path, out: &mut Readings) {
    let text = |file| read_value(&path.join(file)).unwrap_or_default();
    let operstate = text("operstate");
    let up = f64::from(u8::from(operstate == "up"));
    let help = "Value is 1 if operstate is 'up', 0 otherwise.";
    out.gauge("node_network_up", help, &[("device", device)], up);
    out.gauge(
        "node_network_info",
        "Non-numeric data from /sys/class/net/<iface>, value is always 1.",
        &[
            ("address", &text("address")),
            ("broadcast", &text("broadcast")),
            ("device", device),
            ("duplex", &text("duplex")),
            ("ifalias", &text("ifalias")),
            ("operstate", &operstate),
        ],
        1.0,
    );
    emit_properties(device, path, out);
}

// The kernel refuses some of them for an interface that is down: then they are absent.
fn emit_properties(device: &str, path: &Path, out: &mut Readings) {
    let labels = [("device", device)];
    for (file, property, only_up) in PROPERTIES {
        let Some(value) = read_number(&path.join(file)) else {
            continue;
        };
        let name = format!("node_network_{property}");
        let help = format!("Network device property: {property}");
        if only_up {
            out.counter(name, help, &labels, value);
        } else {
            out.gauge(name, help, &labels, value);
        }
    }
    // In megabits; -1 is how a virtual card says that it has none.
    if let Some(megabits) = read_number(&path.join("speed")).filter(|speed| *speed >= 0.0) {
        let help = "Network device property: speed_bytes";
        out.gauge("node_network_speed_bytes", help, &labels, megabits * 1e6 / 8.0);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::testing::lines;
    use super::*;

    #[test]
    fn what_the_kernel_refuses_is_absent() {
        let dir = tempfile::tempdir().unwrap();
        let net = dir.path().join("sys/class/net");
        let put = |device: &str, file: &str, text: &str| {
            fs::create_dir_all(net.join(device)).unwrap();
            fs::write(net.join(device).join(file), text).unwrap();
        };
        put("eth0", "operstate", "up\n");
        put("eth0", "address", "02:fc:00:00:00:01\n");
        put("eth0", "carrier", "1\n");
        put("eth0", "carrier_changes", "2\n");
        put("eth0", "mtu", "1500\n");
        put("eth0", "speed", "1000\n");
        put("ifb0", "operstate", "down\n");
        put("ifb0", "speed", "-1\n");
        fs::write(net.join("bonding_masters"), "\n").unwrap();
        let paths = HostPaths::new(dir.path().into(), None, None);
        assert_eq!(
            lines(|out| collect(&paths, out).unwrap()),
            [
                r#"node_network_up{device="eth0"} 1"#,
                r#"node_network_info{address="02:fc:00:00:00:01",device="eth0",operstate="up"} 1"#,
                r#"node_network_carrier{device="eth0"} 1"#,
                r#"node_network_carrier_changes_total{device="eth0"} 2"#,
                r#"node_network_mtu_bytes{device="eth0"} 1500"#,
                r#"node_network_speed_bytes{device="eth0"} 125000000"#,
                r#"node_network_up{device="ifb0"} 0"#,
                r#"node_network_info{device="ifb0",operstate="down"} 1"#,
            ]
        );
    }
}
