//! Another process of this machine, found by the port that it listens on, and the guide's readings
//! of it.
//!
//! Of its environment only single variables are looked up by name. What the kernel does not let
//! this process see (another user's process, another PID namespace) is `None`, like what is not
//! there.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::HostPaths;
use super::cgroup::OwnCgroup;
use super::cpu::node_seconds;
use super::paths::read;
use super::readings::Readings;
use super::usage::{Look, Usage};

/// State of a listening socket in `/proc/net/tcp`.
const LISTEN: &str = "0A";
/// The most bytes of an environment that are looked through.
const MAX_ENVIRONMENT_BYTES: usize = 1 << 20;

/// The processes that listen on this machine's TCP ports, where they can be seen. Blocks, and may
/// take a while: looks through the open files of all processes.
pub(crate) fn listeners(paths: &HostPaths) -> HashMap<u16, u32> {
    let ports: HashMap<u64, u16> = ["tcp", "tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(paths.proc("net").join(table)).ok())
        .flat_map(|text| listening(&text))
        .collect();
    let Ok(processes) = fs::read_dir(&paths.procfs) else { return HashMap::new() };
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.flat_map(|pid| sockets(&paths.proc(&format!("{pid}/fd"))).map(move |inode| (pid, inode)))
        .filter_map(|(pid, inode)| Some((*ports.get(&inode)?, pid)))
        .collect()
}

/// A process that listens on a port of this machine.
#[derive(Debug)]
pub(crate) struct ListeningProcess {
    paths: HostPaths,
    pid: u32,
    /// With the pid this is one process and no later one.
    start_ticks: u64,
    cgroup: Option<OwnCgroup>,
    limit_start: Option<Instant>,
    process_usage: Usage,
    system_usage: Usage,
}

impl ListeningProcess {
    /// The largest process of a pod, and the pod's control group. Blocks: looks through all
    /// processes. Of another user's process only memory, CPU and start are seen.
    pub(crate) fn in_pod(paths: &HostPaths, uid: &str) -> Option<Self> {
        // The systemd driver writes the uid with underscores.
        let names = [uid.to_owned(), uid.replace('-', "_")];
        let is_of_pod = |pid: &u32| {
            let group = fs::read_to_string(paths.proc(&format!("{pid}/cgroup"))).unwrap_or_default();
            names.iter().any(|name| !name.is_empty() && group.contains(name.as_str()))
        };
        let size = |pid: &u32| {
            let status = fs::read_to_string(paths.proc(&format!("{pid}/status"))).unwrap_or_default();
            kilobytes(&status, "VmRSS:").unwrap_or(0.0)
        };
        let pids = fs::read_dir(&paths.procfs).ok()?.flatten();
        let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let pid = pids.filter(is_of_pod).max_by(|a, b| size(a).total_cmp(&size(b)))?;
        let mut process = Self::of(paths, pid)?;
        process.cgroup = Some(OwnCgroup::of_pod(&paths.sys("fs/cgroup"), &names));
        Some(process)
    }

    /// A process that [`listeners`] found; `None` where it is gone.
    pub(crate) fn of(paths: &HostPaths, pid: u32) -> Option<Self> {
        let start_ticks = Stat::read(paths, pid)?.start_ticks;
        let cgroup = fs::read_to_string(paths.proc(&format!("{pid}/cgroup"))).ok();
        Some(Self {
            paths: paths.clone(),
            pid,
            start_ticks,
            cgroup: cgroup.map(|text| OwnCgroup::of(&text)),
            limit_start: None,
            process_usage: Usage::default(),
            system_usage: Usage::default(),
        })
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(&self) -> bool {
        Stat::read(&self.paths, self.pid).is_some_and(|stat| stat.start_ticks == self.start_ticks)
    }

    /// A variable of the environment it was started with; `None` where it is empty.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        let bytes = fs::read(self.file("environ")).ok()?;
        let bytes = &bytes[..bytes.len().min(MAX_ENVIRONMENT_BYTES)];
        let prefix = format!("{name}=");
        let value = bytes.split(|b| *b == 0).find_map(|entry| entry.strip_prefix(prefix.as_bytes()))?;
        String::from_utf8(value.to_vec()).ok().filter(|value| !value.is_empty())
    }

    /// Name of the file that it runs.
    pub(crate) fn program(&self) -> Option<String> {
        let file = fs::read_link(self.file("exe")).ok()?;
        Some(file.file_name()?.to_string_lossy().into_owned())
    }

    /// Its arguments, the name it was called by first.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let bytes = fs::read(self.file("cmdline")).unwrap_or_default();
        let bytes = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
        bytes.split(|b| *b == 0).map(|argument| String::from_utf8_lossy(argument).into_owned()).collect()
    }

    /// Adds the guide's readings of it, and of what it runs in: its cgroup's limit, else the node.
    /// Percentages of CPU need two looks. Blocks: files are read.
    pub(crate) fn collect(&mut self, out: &mut Readings) {
        let Some(stat) = Stat::read(&self.paths, self.pid).filter(|s| s.start_ticks == self.start_ticks)
        else {
            return;
        };
        self.collect_memory(out);
        let node = read(&self.paths.proc("stat")).ok();
        let Some(node) = node else { return };
        self.collect_cpu(&stat, &node, out);
        let boot = node.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<f64>().ok());
        let Some(boot) = boot else { return };
        let started = boot + self.start_ticks as f64 / procfs::ticks_per_second() as f64;
        let help = "When the process started, in unixtime.";
        out.gauge("noetl_process_start_time_seconds", help, &[], started);
        if let Ok(now) = SystemTime::now().duration_since(UNIX_EPOCH) {
            let help = "How long the process has run.";
            out.gauge("noetl_uptime_seconds", help, &[], (now.as_secs_f64() - started).max(0.0));
        }
    }

    fn collect_cpu(&mut self, stat: &Stat, node: &str, out: &mut Readings) {
        let now = Instant::now();
        let limited = self.cgroup.as_ref().and_then(OwnCgroup::cpu);
        let look = match limited {
            Some(cpu) => {
                let since = *self.limit_start.get_or_insert(now);
                let available = now.duration_since(since).as_secs_f64() * cpu.cpus;
                Some(Look { used: cpu.used_seconds, available })
            }
            None => node_seconds(node).map(|(used, available)| Look { used, available }),
        };
        let Some(look) = look else { return };
        if let Some(percent) = self.system_usage.look(now, look) {
            let help = "CPU used, in percent of the limit where there is one, else of the node.";
            out.gauge("noetl_system_cpu_usage_percent", help, &[], percent);
        }
        if let Some(percent) = self.process_usage.look(now, Look { used: stat.cpu_seconds, ..look }) {
            let help = "CPU used by the process, in percent of the same as \
                        noetl_system_cpu_usage_percent.";
            out.gauge("noetl_process_cpu_percent", help, &[], percent);
        }
    }

    fn collect_memory(&self, out: &mut Readings) {
        let status = fs::read_to_string(self.file("status")).unwrap_or_default();
        if let Some(rss) = kilobytes(&status, "VmRSS:") {
            let help = "Resident memory of the process.";
            out.gauge("noetl_process_memory_rss_bytes", help, &[], rss);
        }
        let meminfo = fs::read_to_string(self.paths.proc("meminfo")).unwrap_or_default();
        let Some(total) = kilobytes(&meminfo, "MemTotal:").filter(|total| *total > 0.0) else { return };
        let limited = self.cgroup.as_ref().and_then(|cgroup| cgroup.memory(total));
        let (used, total) = match limited {
            Some(memory) => (memory.used, memory.limit),
            None => match kilobytes(&meminfo, "MemAvailable:") {
                Some(available) => (total - available, total),
                None => return,
            },
        };
        let help = "Memory used and not available, of the limit where there is one, else of the node.";
        out.gauge("noetl_system_memory_usage_bytes", help, &[], used);
        let help = "Memory used, in percent of the limit where there is one, else of the node.";
        out.gauge("noetl_system_memory_usage_percent", help, &[], used / total * 100.0);
    }

    fn file(&self, name: &str) -> PathBuf {
        self.paths.proc(&format!("{}/{name}", self.pid))
    }
}

/// What is read of `/proc/<pid>/stat`.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    start_ticks: u64,
}

impl Stat {
    fn read(paths: &HostPaths, pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(paths.proc(&format!("{pid}/stat"))).ok()?)
    }

    /// The name in brackets may hold anything, brackets too; what follows the last one is numbers.
    fn parse(text: &str) -> Option<Self> {
        let columns: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |column: usize| columns.get(column)?.parse::<u64>().ok();
        let cpu_ticks = ticks(11)?.saturating_add(ticks(12)?);
        let cpu_seconds = cpu_ticks as f64 / procfs::ticks_per_second() as f64;
        Some(Self { cpu_seconds, start_ticks: ticks(19)? })
    }
}

/// Inodes and ports of the sockets that listen, of a table such as `/proc/net/tcp`.
fn listening(table: &str) -> Vec<(u64, u16)> {
    let socket = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (_, port) = columns.get(1)?.rsplit_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        if *columns.get(3)? == LISTEN { Some((columns.get(9)?.parse().ok()?, port)) } else { None }
    };
    table.lines().filter_map(socket).collect()
}

/// Inodes of the sockets among the open files of a process.
fn sockets(fds: &Path) -> impl Iterator<Item = u64> + use<> {
    let inode = |to: PathBuf| to.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok();
    let fds = fs::read_dir(fds).ok().into_iter().flatten().flatten();
    fds.filter_map(move |fd| inode(fs::read_link(fd.path()).ok()?))
}

fn kilobytes(text: &str, field: &str) -> Option<f64> {
    let value = text.lines().find_map(|line| line.strip_prefix(field))?;
    let kilobytes: f64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024.0)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::super::testing::readings;
    use super::*;

    #[test]
    fn a_process_is_found_by_its_port() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let paths = HostPaths::default();
        let pid = listeners(&paths)[&port];
        assert_eq!(pid, std::process::id());
        let mut process = ListeningProcess::of(&paths, pid).unwrap();
        assert!(process.is_alive());
        assert_eq!(process.variable("PATH"), std::env::var("PATH").ok());
        assert_eq!(process.variable("no such variable"), None);
        assert!(process.program().unwrap().starts_with("noetl_metrics"));
        assert_eq!(process.arguments().first(), std::env::args().next().as_ref());
        let first = readings(|out| process.collect(out));
        let value = |name: &str| first.iter().find(|r| r.name == name).map(|r| r.value);
        assert!(value("noetl_process_memory_rss_bytes").unwrap() > 1e6);
        assert!(value("noetl_uptime_seconds").unwrap() < 86_400.0);
        assert!(value("noetl_system_memory_usage_percent").unwrap() > 0.0);
        assert_eq!(value("noetl_process_cpu_percent"), None, "it needs two looks");
        drop(listener);
        assert!(!listeners(&paths).contains_key(&port));
    }

    #[test]
    fn a_later_process_with_the_same_pid_is_another() {
        let mut process = ListeningProcess::of(&HostPaths::default(), std::process::id()).unwrap();
        process.start_ticks += 1;
        assert!(!process.is_alive());
        assert!(readings(|out| process.collect(out)).is_empty());
    }

    #[test]
    fn names_with_brackets_move_no_column() {
        let text = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 250 50 13 14 15 16 17 18 4242 20 21\n";
        let stat = Stat::parse(text).unwrap();
        assert_eq!(stat.start_ticks, 4242);
        assert!((stat.cpu_seconds - 300.0 / procfs::ticks_per_second() as f64).abs() < 1e-9);
        assert_eq!(Stat::parse("7 (a"), None);
    }

    #[test]
    fn only_listening_sockets_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:2382 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1\n\
             1: 0100007F:2382 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 4712 1\n\
             2: 0100007F:1F92 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1\n";
        assert_eq!(listening(table), [(4711, 9090), (4713, 8082)]);
    }
}
