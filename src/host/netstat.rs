//! `node_netstat_*`: counters of the network protocols, from `/proc/net/snmp`, `snmp6` and
//! `netstat`.

use super::paths::read;
use super::readings::Readings;
use super::{CollectError, HostPaths};

pub(super) fn collect(paths: &HostPaths, out: &mut Readings) -> Result<(), CollectError> {
    for file in ["snmp", "netstat"] {
        emit(columns(&read(&paths.net(file))?), out);
    }
    // Absent where IPv6 is off.
    match read(&paths.net("snmp6")) {
        Ok(text) => emit(rows(&text), out),
        Err(CollectError::Missing(_)) => {}
        Err(e) => return Err(e),
    }
    Ok(())
}

// `node_exporter` gives these without a type; here such are gauges.
fn emit<'a>(values: impl Iterator<Item = (&'a str, &'a str, f64)>, out: &mut Readings) {
    for (protocol, field, value) in values {
        if is_wanted(protocol, field) {
            let name = format!("node_netstat_{protocol}_{field}");
            out.gauge(name, format!("Statistic {protocol}{field}."), &[], value);
        }
    }
}

/// Protocol, field and value of `snmp` and `netstat`: a line of names, then one of values.
fn columns(text: &str) -> impl Iterator<Item = (&str, &str, f64)> {
    let lines: Vec<_> = text.lines().filter_map(|line| line.split_once(": ")).collect();
    let pairs: Vec<_> = lines
        .chunks_exact(2)
        .filter(|pair| pair[0].0 == pair[1].0)
        .map(|pair| (pair[0].0, pair[0].1, pair[1].1))
        .collect();
    pairs.into_iter().flat_map(|(protocol, names, values)| {
        names
            .split(' ')
            .zip(values.split(' '))
            .filter_map(move |(name, value)| Some((protocol, name, value.parse().ok()?)))
    })
}

/// Protocol, field and value of `snmp6`: one to a line, the protocol's name ending in its `6`.
fn rows(text: &str) -> impl Iterator<Item = (&str, &str, f64)> {
    text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (key, value) = (words.next()?, words.next()?.parse().ok()?);
        let (protocol, field) = key.split_at(key.find('6')? + 1);
        Some((protocol, field, value))
    })
}

/// The fields that `node_exporter` takes by default, of the several hundred there are.
fn is_wanted(protocol: &str, field: &str) -> bool {
    matches!(field, "InErrors" | "InErrs")
        || match protocol {
            "Ip" => field == "Forwarding",
            "Ip6" | "IpExt" => matches!(field, "InOctets" | "OutOctets"),
            "Icmp" | "Icmp6" => matches!(field, "InMsgs" | "OutMsgs"),
            "Tcp" => matches!(
                field,
                "ActiveOpens"
                    | "InSegs"
                    | "OutSegs"
                    | "OutRsts"
                    | "PassiveOpens"
                    | "RetransSegs"
                    | "CurrEstab"
            ),
            "TcpExt" => {
                field.starts_with("Listen")
                    || field.starts_with("Syncookies")
                    || matches!(field, "TCPSynRetrans" | "TCPTimeouts" | "TCPOFOQueue" | "TCPRcvQDrop")
            }
            "Udp" | "Udp6" => {
                matches!(field, "InDatagrams" | "OutDatagrams" | "NoPorts" | "RcvbufErrors" | "SndbufErrors")
            }
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::super::testing::lines;
    use super::*;

    #[test]
    fn names_and_values_are_matched_by_column() {
        let text = "Ip: Forwarding DefaultTTL InReceives\nIp: 2 64 14049\n\
            IcmpMsg: InType3\nIcmpMsg: 1\n\
            Tcp: MaxConn ActiveOpens InErrs\nTcp: -1 49 0\n\
            TcpExt: SyncookiesSent TW ListenDrops TCPSynRetrans\nTcpExt: 3 17 1 2\n";
        assert_eq!(
            lines(|out| emit(columns(text), out)),
            [
                "node_netstat_Ip_Forwarding 2",
                "node_netstat_Tcp_ActiveOpens 49",
                "node_netstat_Tcp_InErrs 0",
                "node_netstat_TcpExt_SyncookiesSent 3",
                "node_netstat_TcpExt_ListenDrops 1",
                "node_netstat_TcpExt_TCPSynRetrans 2",
            ]
        );
    }

    #[test]
    fn the_protocols_name_ends_at_the_first_six() {
        let text = "Ip6InOctets                     128\nIcmp6InType135  4\nIcmp6InMsgs  1\n\
            UdpLite6InErrors 2\nbroken\n";
        assert_eq!(
            lines(|out| emit(rows(text), out)),
            [
                "node_netstat_Ip6_InOctets 128",
                "node_netstat_Icmp6_InMsgs 1",
                "node_netstat_UdpLite6_InErrors 2",
            ]
        );
    }
}
