//! The flags of what is scraped, shared by `agent` and `demo`.

use std::time::Duration;

use clap::Args;

use super::values::{bytes, duration};
use crate::agent::{Keep, PodsConfig, ScrapeConfig, TargetSpec};
use crate::client::ServerUrl;

/// Flags of what is scraped.
#[derive(Args, Clone, Debug)]
pub struct ScrapeArgs {
    /// Address of a NoETL worker's or server's metrics to scrape; several by commas or by repetition
    ///
    /// Such as http://127.0.0.1:9090/metrics, where /metrics may be left out. What is known of the
    /// component can follow: 'http://10.0.0.7:9090;name=worker-1;pool=cpu' (also kind=worker_pool).
    /// Without a name it is the process's WORKER_ID where it runs on this machine, else host:port.
    #[arg(long = "scrape", env = "NOETL_METRICS_SCRAPE", value_name = "URL", value_delimiter = ',')]
    pub targets: Vec<String>,

    /// Scrape pods of this node that have these labels, as 'component in (server,worker)'
    ///
    /// Pods are watched by the Kubernetes API, with the pod's own token or a kubeconfig; that needs
    /// the right to list and watch pods in the namespaces.
    #[arg(long, env = "NOETL_METRICS_SCRAPE_PODS", value_name = "SELECTOR")]
    pub scrape_pods: Option<String>,

    /// Name of the node that --scrape-pods looks on
    #[arg(long, env = "NODE_NAME", value_name = "NODE")]
    pub scrape_pods_node: Option<String>,

    /// Namespaces that --scrape-pods looks in; several by commas or by repetition
    #[arg(
        long,
        env = "NOETL_METRICS_SCRAPE_PODS_NAMESPACE",
        value_name = "NAMESPACE",
        value_delimiter = ','
    )]
    pub scrape_pods_namespace: Vec<String>,

    /// Names or numbers of the ports of --scrape-pods
    #[arg(
        long,
        env = "NOETL_METRICS_SCRAPE_PODS_PORT",
        value_name = "PORT",
        default_value = "metrics,http,cmdbus-lag",
        value_delimiter = ','
    )]
    pub scrape_pods_port: Vec<String>,

    /// Path of the metrics of --scrape-pods
    #[arg(long, env = "NOETL_METRICS_SCRAPE_PODS_PATH", value_name = "PATH", default_value = "/metrics")]
    pub scrape_pods_path: String,

    /// Address of NoETL's own server
    ///
    /// Its metrics are scraped, and it is asked for its workers (/api/worker/pools) and its status
    /// (/api/status).
    #[arg(long, env = "NOETL_METRICS_NOETL_SERVER_URL", value_name = "URL")]
    pub noetl_server_url: Option<String>,

    /// Time between two scrapes of a target: seconds, or with a unit (15s, 1m)
    #[arg(long, env = "NOETL_METRICS_SCRAPE_INTERVAL", value_name = "DURATION", default_value = "15s",
        value_parser = super::agent::interval)]
    pub scrape_interval: Duration,

    /// The longest that one scrape may take [default: 10s, or the interval where that is shorter]
    #[arg(long, env = "NOETL_METRICS_SCRAPE_TIMEOUT", value_name = "DURATION", value_parser = duration)]
    pub scrape_timeout: Option<Duration>,

    /// Metric families to keep: names, or patterns with *; several by commas or by repetition
    ///
    /// `default` stands for the families that say how workers, servers and queues are doing; * for
    /// all. Samples with a label that names one run, such as execution_id, are never kept.
    #[arg(
        long,
        env = "NOETL_METRICS_SCRAPE_KEEP",
        value_name = "PATTERN",
        default_value = "default",
        value_delimiter = ','
    )]
    pub scrape_keep: Vec<String>,

    /// The most samples of one scrape, before families are left out; more fail it
    #[arg(long, env = "NOETL_METRICS_SCRAPE_SAMPLE_LIMIT", value_name = "N", default_value = "10000",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub scrape_sample_limit: u32,

    /// The most bytes of one scrape, as sent and decompressed; more fail it
    #[arg(long, env = "NOETL_METRICS_SCRAPE_BODY_LIMIT", value_name = "SIZE", default_value = "4MiB",
        value_parser = bytes)]
    pub scrape_body_limit: usize,
}

impl ScrapeArgs {
    /// What is scraped. A variable that is set to nothing counts as not set.
    ///
    /// # Errors
    /// A sentence that names the flag and what is wrong with its value.
    pub fn into_config(self) -> Result<ScrapeConfig, String> {
        let pods = self.pods()?;
        let noetl_server = self.noetl_server_url.filter(|url| !url.trim().is_empty());
        let noetl_server = noetl_server.map(|url| ServerUrl::parse(&url)).transpose();
        let longest = self.scrape_interval;
        let timeout = self.scrape_timeout.unwrap_or(ScrapeConfig::default().timeout.min(longest));
        if timeout > longest {
            return Err(format!("--scrape-timeout: it must not be longer than the interval, {longest:?}"));
        }
        Ok(ScrapeConfig {
            targets: targets(&self.targets)?,
            pods,
            noetl_server: noetl_server.map_err(|e| format!("--noetl-server-url: {e}"))?,
            interval: self.scrape_interval,
            timeout,
            keep: Keep::parse(&self.scrape_keep).map_err(|e| format!("--scrape-keep: {e}"))?,
            sample_limit: usize::try_from(self.scrape_sample_limit).unwrap_or(usize::MAX),
            body_limit: self.scrape_body_limit,
        })
    }

    fn pods(&self) -> Result<Option<PodsConfig>, String> {
        let Some(selector) = self.scrape_pods.clone().filter(|s| !s.trim().is_empty()) else {
            return Ok(None);
        };
        let node = self.scrape_pods_node.clone().filter(|node| !node.is_empty());
        let node =
            node.ok_or("--scrape-pods-node (or NODE_NAME) is missing: --scrape-pods looks on one node")?;
        let namespaces: Vec<String> =
            self.scrape_pods_namespace.iter().filter(|namespace| !namespace.is_empty()).cloned().collect();
        if namespaces.is_empty() {
            return Err("--scrape-pods-namespace is missing".into());
        }
        let (ports, path) = (self.scrape_pods_port.clone(), self.scrape_pods_path.clone());
        if !path.starts_with('/') {
            return Err("--scrape-pods-path: it must begin with /".into());
        }
        Ok(Some(PodsConfig { selector, node, namespaces, ports, path }))
    }
}

fn targets(texts: &[String]) -> Result<Vec<TargetSpec>, String> {
    let mut targets: Vec<TargetSpec> = Vec::new();
    for text in texts.iter().filter(|text| !text.trim().is_empty()) {
        let target = TargetSpec::parse(text).map_err(|e| format!("--scrape: {e}"))?;
        if targets.iter().any(|other| other.label() == target.label()) {
            return Err(format!("--scrape: {} is given twice", target.label()));
        }
        targets.push(target);
    }
    Ok(targets)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        scrape: ScrapeArgs,
    }

    fn parse(args: &[&str]) -> Result<ScrapeConfig, String> {
        let cli = Cli::try_parse_from(["test"].iter().chain(args)).map_err(|e| e.to_string())?;
        cli.scrape.into_config()
    }

    fn labels(args: &[&str]) -> Vec<String> {
        parse(args).unwrap().targets.iter().map(TargetSpec::label).collect()
    }

    #[test]
    fn targets_come_by_commas_and_by_repetition() {
        let given = labels(&["--scrape", "a:1,b:2;name=x", "--scrape", "c:3/m", "--scrape", ""]);
        assert_eq!(given, ["http://a:1/metrics", "http://b:2/metrics", "http://c:3/m"]);
        assert_eq!(labels(&[]), [""; 0]);
    }

    #[test]
    fn the_defaults_are_the_libraries() {
        let (given, default) = (parse(&[]).unwrap(), ScrapeConfig::default());
        assert_eq!((given.interval, given.timeout), (default.interval, default.timeout));
        assert_eq!((given.sample_limit, given.body_limit), (default.sample_limit, default.body_limit));
        assert_eq!(given.keep, default.keep);
        let short = parse(&["--scrape-interval", "2s"]).unwrap();
        assert_eq!(short.timeout, Duration::from_secs(2));
    }

    #[test]
    fn wrong_values_are_refused_with_the_flags_name() {
        for (args, part) in [
            (&["--scrape", "ftp://h"][..], "--scrape:"),
            (&["--scrape", "h:1,http://h:1/metrics"], "twice"),
            (&["--scrape-keep", "a b"], "--scrape-keep"),
            (&["--noetl-server-url", "h:1"], "--noetl-server-url"),
            (&["--scrape-interval", "10ms"], "1s to 24h"),
            (&["--scrape-timeout", "16s"], "--scrape-timeout"),
            (&["--scrape-sample-limit", "0"], "--scrape-sample-limit"),
            (&["--scrape-pods", "a=b", "--scrape-pods-namespace", "n"], "--scrape-pods-node"),
            (&["--scrape-pods", "a=b", "--scrape-pods-node", "n"], "--scrape-pods-namespace"),
            (
                &[
                    "--scrape-pods",
                    "a=b",
                    "--scrape-pods-node",
                    "n",
                    "--scrape-pods-namespace",
                    "n",
                    "--scrape-pods-path",
                    "m",
                ],
                "--scrape-pods-path",
            ),
        ] {
            let error = parse(args).unwrap_err();
            assert!(error.contains(part), "{args:?}: {error}");
        }
    }
}
