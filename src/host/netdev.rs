//! `node_network_{receive,transmit}_*_total`: traffic of each interface, from `/proc/net/dev`.

use procfs::FromRead;
use procfs::net::{DeviceStatus, InterfaceDeviceStatus};

use super::net_rules::is_excluded;
use super::paths::read;
use super::readings::Readings;
use super::{CollectError, HostPaths};

pub(super) fn collect(paths: &HostPaths, out: &mut Readings) -> Result<(), CollectError> {
    let path = paths.net("dev");
    let InterfaceDeviceStatus(devices) = InterfaceDeviceStatus::from_read(read(&path)?.as_bytes())
        .map_err(|e| CollectError::malformed(&path, e.to_string()))?;
    let mut devices: Vec<_> = devices.into_values().collect();
    devices.sort_by(|a, b| a.name.cmp(&b.name));
    for device in devices.iter().filter(|device| !is_excluded(&device.name)) {
        emit(device, out);
    }
    Ok(())
}

fn emit(device: &DeviceStatus, out: &mut Readings) {
    let statistics = [
        ("receive_bytes", device.recv_bytes),
        ("receive_packets", device.recv_packets),
        ("receive_errs", device.recv_errs),
        ("receive_drop", device.recv_drop),
        ("receive_fifo", device.recv_fifo),
        ("receive_frame", device.recv_frame),
        ("receive_compressed", device.recv_compressed),
        ("receive_multicast", device.recv_multicast),
        ("transmit_bytes", device.sent_bytes),
        ("transmit_packets", device.sent_packets),
        ("transmit_errs", device.sent_errs),
        ("transmit_drop", device.sent_drop),
        ("transmit_fifo", device.sent_fifo),
        ("transmit_colls", device.sent_colls),
        ("transmit_carrier", device.sent_carrier),
        ("transmit_compressed", device.sent_compressed),
    ];
    for (statistic, value) in statistics {
        out.counter(
            format!("node_network_{statistic}_total"),
            format!("Network device statistic {statistic}."),
            &[("device", &device.name)],
            value as f64,
        );
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::testing::lines;
    use super::*;

    #[test]
    fn each_column_has_its_name_and_pods_are_left_out() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("proc/net")).unwrap();
        fs::write(
            dir.path().join("proc/net/dev"),
            "Inter-|   Receive                                                |  Transmit\n \
             face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets \
             errs drop fifo colls carrier compressed\n  \
             eth0:  1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n\
             vethab1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n",
        )
        .unwrap();
        let lines = lines(|out| {
            collect(&HostPaths::new(dir.path().into(), None, None), out).unwrap();
        });
        assert_eq!(lines.len(), 16);
        assert_eq!(lines[0], r#"node_network_receive_bytes_total{device="eth0"} 1"#);
        assert_eq!(lines[7], r#"node_network_receive_multicast_total{device="eth0"} 8"#);
        assert_eq!(lines[8], r#"node_network_transmit_bytes_total{device="eth0"} 9"#);
        assert_eq!(lines[14], r#"node_network_transmit_carrier_total{device="eth0"} 15"#);
    }
}
