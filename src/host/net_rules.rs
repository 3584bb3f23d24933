//! Which network interfaces are reported.

/// Interfaces that come and go with containers: the host's end of a pod's pair (`veth…`), and the
/// 15 hexadecimal digits by which OVN-Kubernetes names the same. On a busy node they would be most
/// of its series, each living as long as a pod.
pub(super) fn is_excluded(device: &str) -> bool {
    device.starts_with("veth")
        || (device.len() == 15 && device.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))
}

#[cfg(test)]
mod tests {
    use super::is_excluded;

    #[test]
    fn only_the_ends_of_pods_are_left_out() {
        for device in ["veth1a2b3c4", "0123456789abcde"] {
            assert!(is_excluded(device), "{device}");
        }
        for device in ["lo", "eth0", "enp0s31f6", "bond0.100", "cali123", "0123456789abcdg", "beef"] {
            assert!(!is_excluded(device), "{device}");
        }
    }
}
