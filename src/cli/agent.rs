//! The flags of `noetl-metrics agent`. Each has an environment variable; the flag wins.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser as _};

use super::scrape::ScrapeArgs;
use super::tls::ClientTlsArgs;
use super::values::{bytes, duration};
use crate::agent::{AgentConfig, SpoolConfig};
use crate::client::ServerUrl;
use crate::host::HostPaths;
use crate::model::is_component_kind;

const DEFAULT_SERVER: &str = "http://127.0.0.1:8082";
/// Shorter intervals would measure the agent rather than the machine.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
const LONGEST_INTERVAL: Duration = Duration::from_hours(24);
/// A smaller spool would hold next to nothing.
const SMALLEST_SPOOL: usize = 64 << 10;

/// Report this host, and a worker on it, to the server
#[derive(Args, Clone, Debug)]
pub struct AgentArgs {
    /// Address of the server that takes the reports
    ///
    /// It may end in `/` or in `/api`. Where neither this nor its variable is given,
    /// `NOETL_SERVER_URL` is taken, else `http://127.0.0.1:8082`.
    #[arg(long, env = "NOETL_METRICS_SERVER_URL", value_name = "URL")]
    pub server_url: Option<String>,

    // The guide's variable, which may mean NoETL's own server: it comes second.
    #[arg(long, env = "NOETL_SERVER_URL", value_name = "URL", hide = true)]
    guide_server_url: Option<String>,

    /// TLS.
    #[command(flatten)]
    pub tls: ClientTlsArgs,

    /// Pool of the worker that the agent stands for; becomes the label `pool_name`
    ///
    /// With a pool or a worker id the agent is registered as a `worker_pool`, else as a
    /// `node_agent`.
    #[arg(long, env = "NOETL_WORKER_POOL_NAME", value_name = "NAME")]
    pub pool_name: Option<String>,

    /// Name under which the agent is registered and reports [default: the node's name]
    #[arg(long, env = "NOETL_WORKER_ID", value_name = "NAME")]
    pub worker_id: Option<String>,

    /// Kind of component it is registered as, whatever the pool and the worker id say
    ///
    /// As a `node_agent` its percentages are of the node; as any other, of its own cgroup limit
    /// where there is one.
    #[arg(long, env = "NOETL_METRICS_COMPONENT_TYPE", value_name = "KIND", value_parser = component_type)]
    pub component_type: Option<String>,

    /// Time between reports: seconds, or with a unit (60s, 5m)
    #[arg(long, env = "NOETL_WORKER_METRICS_INTERVAL", value_name = "DURATION", default_value = "60s",
        value_parser = interval)]
    pub metrics_interval: Duration,

    /// Time between heartbeats: seconds, or with a unit (15s, 1m)
    #[arg(long, env = "NOETL_WORKER_HEARTBEAT_INTERVAL", value_name = "DURATION", default_value = "15s",
        value_parser = interval)]
    pub heartbeat_interval: Duration,

    /// Directory of `*.prom` files, in the Prometheus text format, that are reported too
    ///
    /// Write to a temporary name and rename. Files of up to 1 MiB, 10000 samples together.
    #[arg(long, env = "NOETL_METRICS_TEXTFILE_DIR", value_name = "DIR", value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub textfile_dir: Option<PathBuf>,

    /// File with the bearer token to send; read again for each request
    #[arg(long, env = "NOETL_METRICS_AUTH_TOKEN_FILE", value_name = "FILE", value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub auth_token_file: Option<PathBuf>,

    /// Memory for reports while the server is away, in bytes or with a unit (64MiB)
    ///
    /// Reports are held compressed. When it is full the oldest is dropped. With --spool-dir it holds
    /// those of the last interval, and the others only while the disk fails.
    #[arg(long, env = "NOETL_METRICS_BUFFER_BYTES", value_name = "SIZE", default_value = "64MiB",
        value_parser = bytes)]
    pub buffer_bytes: usize,

    /// Directory where reports are kept while the server is away, and when the agent stops
    ///
    /// It is made where it is missing, and belongs to one agent. While the server answers nothing is
    /// written. A disk that is full, read-only or fails is said, and reports stay in memory.
    #[arg(long, env = "NOETL_METRICS_SPOOL_DIR", value_name = "DIR", value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub spool_dir: Option<PathBuf>,

    /// Bytes that the files in --spool-dir may take, or with a unit (64MiB)
    ///
    /// When they take as much, the oldest file goes: a 32nd of it. At least 64KiB.
    #[arg(long, env = "NOETL_METRICS_SPOOL_MAX_SIZE", value_name = "SIZE", default_value = "64MiB",
        value_parser = spool_size)]
    pub spool_max_size: usize,

    /// Samples a second that are sent of what was kept, once the server is back
    ///
    /// The oldest first. Reports that come meanwhile are sent at once, whatever this says.
    #[arg(long, env = "NOETL_METRICS_DRAIN_RATE", value_name = "SAMPLES", default_value_t = 1000,
        value_parser = clap::value_parser!(u32).range(1..))]
    pub drain_rate: u32,

    /// The host's `/`; in a container, where that is mounted
    #[arg(long = "path.rootfs", env = "NOETL_METRICS_PATH_ROOTFS", value_name = "DIR", default_value = "/")]
    pub path_rootfs: PathBuf,

    /// The host's `/proc` [default: `proc` below --path.rootfs]
    #[arg(long = "path.procfs", env = "NOETL_METRICS_PATH_PROCFS", value_name = "DIR", value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub path_procfs: Option<PathBuf>,

    /// The host's `/sys` [default: `sys` below --path.rootfs]
    #[arg(long = "path.sysfs", env = "NOETL_METRICS_PATH_SYSFS", value_name = "DIR", value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub path_sysfs: Option<PathBuf>,

    /// What is scraped.
    #[command(flatten)]
    pub scrape: ScrapeArgs,
}

/// Flags of `prepare-spool`.
#[derive(Args, Clone, Debug)]
pub struct PrepareSpoolArgs {
    /// The directory; it has to be there.
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// The number of the group that agents run with.
    #[arg(long, value_name = "GID")]
    pub group: u32,
}

impl AgentArgs {
    /// What the agent is told. A variable that is set to nothing counts as not set.
    ///
    /// # Errors
    /// A sentence that names the flag and what is wrong with its value.
    pub fn into_config(self) -> Result<AgentConfig, String> {
        let server_url = given(self.server_url)
            .or_else(|| given(self.guide_server_url))
            .unwrap_or_else(|| DEFAULT_SERVER.to_owned());
        let server_url = ServerUrl::parse(&server_url).map_err(|e| format!("--server-url: {e}"))?;
        Ok(AgentConfig {
            tls: self.tls.into_config(&server_url)?,
            server_url,
            pool_name: given(self.pool_name),
            worker_id: given(self.worker_id),
            component_type: given(self.component_type),
            metrics_interval: self.metrics_interval,
            heartbeat_interval: self.heartbeat_interval,
            textfile_dir: given_path(self.textfile_dir),
            auth_token_file: given_path(self.auth_token_file),
            paths: HostPaths::new(
                self.path_rootfs,
                given_path(self.path_procfs),
                given_path(self.path_sysfs),
            ),
            buffer_bytes: self.buffer_bytes,
            spool: given_path(self.spool_dir)
                .map(|dir| SpoolConfig { dir, max_bytes: self.spool_max_size as u64 }),
            drain_rate: self.drain_rate,
            scrape: self.scrape.into_config()?,
        })
    }
}

fn given(value: Option<String>) -> Option<String> {
    value.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

fn given_path(path: Option<PathBuf>) -> Option<PathBuf> {
    path.filter(|path| !path.as_os_str().is_empty())
}

pub(super) fn interval(s: &str) -> Result<Duration, String> {
    let interval = duration(s)?;
    if (SHORTEST_INTERVAL..=LONGEST_INTERVAL).contains(&interval) {
        Ok(interval)
    } else {
        Err("it must be from 1s to 24h".to_owned())
    }
}

fn spool_size(s: &str) -> Result<usize, String> {
    let size = bytes(s)?;
    if size >= SMALLEST_SPOOL { Ok(size) } else { Err("it must be at least 64KiB".to_owned()) }
}

/// As the server takes them: letters, digits, `_`, `-` and `.`.
fn component_type(s: &str) -> Result<String, String> {
    // An empty variable is as good as none.
    if s.is_empty() || is_component_kind(s) {
        Ok(s.to_owned())
    } else {
        Err("it must have at most 255 letters, digits, _, - or .".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser};

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        agent: AgentArgs,
    }

    fn parse(args: &[&str]) -> Result<AgentConfig, String> {
        let cli = Cli::try_parse_from(["test"].iter().chain(args)).map_err(|e| e.to_string())?;
        cli.agent.into_config()
    }

    /// Other tests of this process must not see changes to the environment, and changing it is not
    /// safe; so what is read from it is looked up in the command itself.
    fn variable(flag: &str) -> String {
        let command = Cli::command();
        let arg = command.get_arguments().find(|arg| arg.get_long() == Some(flag)).unwrap();
        arg.get_env().unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn every_flag_has_its_variable() {
        for (flag, name) in [
            ("server-url", "NOETL_METRICS_SERVER_URL"),
            ("guide-server-url", "NOETL_SERVER_URL"),
            ("noetl-server-url", "NOETL_METRICS_NOETL_SERVER_URL"),
            ("scrape", "NOETL_METRICS_SCRAPE"),
            ("pool-name", "NOETL_WORKER_POOL_NAME"),
            ("worker-id", "NOETL_WORKER_ID"),
            ("metrics-interval", "NOETL_WORKER_METRICS_INTERVAL"),
            ("heartbeat-interval", "NOETL_WORKER_HEARTBEAT_INTERVAL"),
            ("tls-ca-file", "NOETL_METRICS_TLS_CA_FILE"),
            ("tls-cert-file", "NOETL_METRICS_TLS_CERT_FILE"),
            ("tls-key-file", "NOETL_METRICS_TLS_KEY_FILE"),
            ("tls-server-name", "NOETL_METRICS_TLS_SERVER_NAME"),
            ("textfile-dir", "NOETL_METRICS_TEXTFILE_DIR"),
            ("auth-token-file", "NOETL_METRICS_AUTH_TOKEN_FILE"),
            ("component-type", "NOETL_METRICS_COMPONENT_TYPE"),
            ("buffer-bytes", "NOETL_METRICS_BUFFER_BYTES"),
            ("spool-dir", "NOETL_METRICS_SPOOL_DIR"),
            ("spool-max-size", "NOETL_METRICS_SPOOL_MAX_SIZE"),
            ("drain-rate", "NOETL_METRICS_DRAIN_RATE"),
            ("path.rootfs", "NOETL_METRICS_PATH_ROOTFS"),
            ("path.procfs", "NOETL_METRICS_PATH_PROCFS"),
            ("path.sysfs", "NOETL_METRICS_PATH_SYSFS"),
        ] {
            assert_eq!(variable(flag), name);
        }
        let without: Vec<_> = Cli::command()
            .get_arguments()
            .filter(|arg| arg.get_env().is_none())
            .map(|arg| arg.get_id().to_string())
            .collect();
        assert!(without.iter().all(|id| id == "help"), "{without:?}");
    }

    #[test]
    fn defaults_are_the_guides() {
        let config = parse(&["--server-url", "http://h:1/api/"]).unwrap();
        assert_eq!(config.server_url.to_string(), "http://h:1");
        assert_eq!(config.metrics_interval, Duration::from_mins(1));
        assert_eq!(config.heartbeat_interval, Duration::from_secs(15));
        assert_eq!(config.buffer_bytes, 64 << 20);
        assert_eq!(config.paths, HostPaths::default());
        assert_eq!((config.pool_name, config.worker_id, config.component_type), (None, None, None));
    }

    #[test]
    fn the_servers_own_variable_wins_over_the_guides() {
        let url = |args: &[&str]| parse(args).unwrap().server_url.to_string();
        assert_eq!(url(&["--guide-server-url", "http://n:1"]), "http://n:1");
        assert_eq!(url(&["--guide-server-url", "http://n:1", "--server-url", "http://m:1"]), "http://m:1");
        assert_eq!(url(&["--guide-server-url", "http://n:1", "--server-url", ""]), "http://n:1");
        assert_eq!(url(&["--guide-server-url", "", "--server-url", ""]), DEFAULT_SERVER);
    }

    #[test]
    fn bare_seconds_and_units_are_taken() {
        let config = parse(&["--metrics-interval", "60", "--heartbeat-interval", "1m30s"]).unwrap();
        assert_eq!(config.metrics_interval, Duration::from_mins(1));
        assert_eq!(config.heartbeat_interval, Duration::from_secs(90));
    }

    #[test]
    fn wrong_values_are_refused_with_the_flags_name() {
        for (args, part) in [
            (["--metrics-interval", "0"], "--metrics-interval"),
            (["--metrics-interval", "10ms"], "1s to 24h"),
            (["--heartbeat-interval", "soon"], "--heartbeat-interval"),
            (["--buffer-bytes", "none"], "--buffer-bytes"),
            (["--spool-max-size", "63KiB"], "--spool-max-size"),
            (["--spool-max-size", "63KiB"], "at least 64KiB"),
            (["--drain-rate", "0"], "--drain-rate"),
            (["--component-type", "a b"], "--component-type"),
            (["--server-url", "h:1"], "--server-url"),
        ] {
            let error = parse(&args).unwrap_err();
            assert!(error.contains(part), "{args:?}: {error}");
        }
    }

    #[test]
    fn empty_variables_count_as_not_set() {
        let config = parse(&["--pool-name", "", "--worker-id", " ", "--textfile-dir", ""]).unwrap();
        assert_eq!((config.pool_name, config.worker_id, config.textfile_dir), (None, None, None));
    }

    #[test]
    fn reports_are_kept_on_disk_where_a_directory_is_given() {
        assert_eq!(parse(&[]).unwrap().spool, None);
        assert_eq!(parse(&["--spool-dir", ""]).unwrap().spool, None);
        let config = parse(&["--spool-dir", "/var/spool/a"]).unwrap();
        assert_eq!(config.spool, Some(SpoolConfig { dir: "/var/spool/a".into(), max_bytes: 64 << 20 }));
        assert_eq!(config.drain_rate, 1000);
        let config = parse(&["--spool-dir", "s", "--spool-max-size", "1MiB", "--drain-rate", "7"]).unwrap();
        assert_eq!((config.spool.unwrap().max_bytes, config.drain_rate), (1 << 20, 7));
    }

    #[test]
    fn paths_follow_the_rootfs() {
        let config = parse(&["--path.rootfs", "/host", "--path.sysfs", "/sys"]).unwrap();
        assert_eq!(config.paths, HostPaths::new("/host".into(), None, Some("/sys".into())));
    }

    #[test]
    fn the_command_is_consistent() {
        Cli::command().debug_assert();
    }
}
