//! `node_thermal_zone_temp` and `node_cooling_device_*`, from `/sys/class/thermal`.

use std::path::Path;

use super::paths::{entries, read_number, read_value};
use super::readings::Readings;
use super::{CollectError, HostPaths};

pub(super) fn collect(paths: &HostPaths, out: &mut Readings) -> Result<(), CollectError> {
    let dir = paths.sys("class/thermal");
    let zones = entries(&dir, "thermal_zone")?;
    let devices = entries(&dir, "cooling_device")?;
    // A virtual machine has the directory and nothing in it.
    if zones.is_empty() && devices.is_empty() {
        return Err(CollectError::Missing(dir.join("thermal_zone0")));
    }
    for (name, path) in zones {
        emit_zone(name.trim_start_matches("thermal_zone"), &path, out);
    }
    for (name, path) in devices {
        emit_device(name.trim_start_matches("cooling_device"), &path, out);
    }
    Ok(())
}

fn emit_zone(zone: &str, path: &Path, out: &mut Readings) {
    let kind = read_value(&path.join("type")).unwrap_or_default();
    if let Some(millidegrees) = read_number(&path.join("temp")) {
        let labels = [("zone", zone), ("type", kind.as_str())];
        let help = "Zone temperature in Celsius";
        out.gauge("node_thermal_zone_temp", help, &labels, millidegrees / 1000.0);
    }
}

fn emit_device(name: &str, path: &Path, out: &mut Readings) {
    let kind = read_value(&path.join("type")).unwrap_or_default();
    let labels = [("name", name), ("type", kind.as_str())];
    if let Some(state) = read_number(&path.join("cur_state")) {
        let help = "Current throttle state of the cooling device";
        out.gauge("node_cooling_device_cur_state", help, &labels, state);
    }
    if let Some(state) = read_number(&path.join("max_state")) {
        let help = "Maximum throttle state of the cooling device";
        out.gauge("node_cooling_device_max_state", help, &labels, state);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::testing::lines;
    use super::*;

    #[test]
    fn zones_and_devices_are_numbered_as_the_kernel_numbers_them() {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = dir.path().join("sys/class/thermal").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("thermal_zone0/type", "x86_pkg_temp\n");
        put("thermal_zone0/temp", "47500\n");
        put("thermal_zone1/type", "asleep\n");
        put("cooling_device3/type", "Processor\n");
        put("cooling_device3/cur_state", "2\n");
        put("cooling_device3/max_state", "10\n");
        let paths = HostPaths::new(dir.path().into(), None, None);
        assert_eq!(
            lines(|out| collect(&paths, out).unwrap()),
            [
                r#"node_thermal_zone_temp{type="x86_pkg_temp",zone="0"} 47.5"#,
                r#"node_cooling_device_cur_state{name="3",type="Processor"} 2"#,
                r#"node_cooling_device_max_state{name="3",type="Processor"} 10"#,
            ]
        );
    }
}
