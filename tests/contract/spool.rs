//! The agent's spool: what is read while the server is away is in the database afterwards, once and in
//! order, whatever happens to the agent and its disk, and is sent no faster than it may.

use std::ops::RangeInclusive;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use futures_util::future::join_all;
use tempfile::TempDir;

use crate::harness::{Agent, Contract, Reply, Target, eventually};

/// Long enough for a busy machine.
const LONG: Duration = Duration::from_mins(2);
/// Samples of a worker's report, beside its counter.
const GAUGES: usize = 19;

/// A worker that is scraped, and an agent that scrapes it and little else.
struct Node {
    name: String,
    target: Target,
    dir: TempDir,
    flags: Vec<String>,
}

impl Node {
    async fn new(name: &str, flags: &[&str]) -> Self {
        let gauges: String =
            (0..GAUGES).flat_map(|i| ["job_load{i=\"".to_owned(), format!("{i}\"}} {i}\n")]).collect();
        let target = Target::start(Reply::Counted(gauges)).await;
        let dir = tempfile::tempdir().unwrap();
        let scrape = format!("{};name={name}", target.url());
        let own = format!("agent-of-{name}");
        let spool = dir.path().join("spool");
        let mut all: Vec<String> = ["--metrics-interval", "1h", "--scrape-interval", "1s", "--scrape-keep"]
            .into_iter()
            .chain(["asked_total,job_load", "--worker-id", &own, "--component-type", "node_agent"])
            .chain(["--scrape", &scrape, "--spool-dir", spool.to_str().unwrap()])
            .map(str::to_owned)
            .collect();
        // What is said twice is refused: the test's own comes instead.
        for pair in flags.chunks(2) {
            if let Some(at) = all.iter().position(|flag| flag == pair[0]) {
                all.drain(at..at + 2);
            }
            all.extend(pair.iter().map(ToString::to_string));
        }
        Self { name: name.to_owned(), target, dir, flags: all }
    }

    fn agent(&self, contract: &Contract) -> Agent {
        self.agent_under(&[], contract)
    }

    fn agent_under(&self, under: &[&str], contract: &Contract) -> Agent {
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        Agent::start_under(under, contract.server.address, &flags)
    }

    fn spool(&self) -> std::path::PathBuf {
        self.dir.path().join("spool")
    }

    /// Waits until the worker was scraped so often more.
    async fn scraped(&self, more: usize) {
        let until = self.target.asked("/metrics") + more;
        let within = LONG + Duration::from_secs(2) * more as u32;
        eventually("the worker is scraped", within, async || {
            (self.target.asked("/metrics") >= until).then_some(())
        })
        .await;
    }

    /// The counter's values that are stored, in the order of their times.
    async fn stored(&self, contract: &Contract) -> Vec<i64> {
        let sql = format!(
            "select metric_value::bigint from noetl.metrics join noetl.runtime r using (runtime_id) \
             where metric_name = 'asked_total' and r.name = '{}' order by \"timestamp\"",
            self.name
        );
        contract.column::<i64>(sql).await
    }

    /// Waits until it reports: the first scrape that is stored.
    async fn reports(&self, contract: &Contract) -> usize {
        eventually("it reports", LONG, async || Some(*self.stored(contract).await.first()? as usize)).await
    }

    /// Waits until these scrapes are stored but `missing` of them, each once and in order.
    async fn all_stored(&self, contract: &Contract, scrapes: RangeInclusive<usize>, missing: usize) {
        eventually("all is stored", LONG, async || {
            let stored = self.stored(contract).await;
            let among = stored.iter().filter(|value| scrapes.contains(&(**value as usize))).count();
            (among + missing >= scrapes.clone().count()).then_some(())
        })
        .await;
        let stored = self.stored(contract).await;
        assert!(stored.windows(2).all(|pair| pair[0] < pair[1]), "each once, in order: {stored:?}");
    }
}

/// Files of the log.
fn files(spool: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(spool) else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<_> =
        names.filter(|name| Path::new(name).extension().is_some_and(|ext| ext == "log")).collect();
    names.sort();
    names
}

#[tokio::test]
async fn an_outage_leaves_no_gap_though_the_agent_is_killed_in_it() {
    let mut contract = Contract::start().await;
    let node = Node::new("w-1", &["--drain-rate", "500"]).await;
    let mut agent = node.agent(&contract);
    let first = node.reports(&contract).await;
    assert!(files(&node.spool()).is_empty(), "nothing is written while the server answers");
    contract.server.kill();
    node.scraped(4).await;
    for _ in 0..2 {
        agent.kill();
        agent = node.agent(&contract);
        node.scraped(4).await;
    }
    let read = node.target.asked("/metrics");
    contract.start_again().await;
    // What a kill met on its way from the scrape to the disk is gone.
    node.all_stored(&contract, first..=read, 2).await;
    eventually("the spool is empty", LONG, async || files(&node.spool()).is_empty().then_some(())).await;
    assert!(agent.runs());
    let newest = contract.export().await.get("asked_total", &[("component", "w-1")]).map(str::to_owned);
    let newest: usize = newest.unwrap().parse().unwrap();
    assert!(newest >= read, "the export shows the newest, not what was drained: {newest} of {read}");
}

#[tokio::test]
async fn ten_agents_drain_an_outage_in_order_and_at_their_rate() {
    const RATE: usize = 200;
    // As many as an hour has of every 15 s are 240.
    let outage = std::env::var("OUTAGE").map_or(15, |scrapes| scrapes.parse().expect("OUTAGE: a number"));
    let mut contract = Contract::start().await;
    let rate = RATE.to_string();
    let nodes = join_all((0..10).map(|i| {
        let rate = rate.clone();
        async move { Node::new(&format!("w-{i}"), &["--drain-rate", &rate]).await }
    }))
    .await;
    let agents: Vec<Agent> = nodes.iter().map(|node| node.agent(&contract)).collect();
    // Where ten of them start at once, the first scrapes of one may be too late.
    let first = join_all(nodes.iter().map(|node| node.reports(&contract))).await;
    contract.server.kill();
    join_all(nodes.iter().map(|node| node.scraped(outage))).await;
    let scrapes: Vec<_> =
        first.into_iter().zip(&nodes).map(|(first, node)| first..=node.target.asked("/metrics")).collect();
    contract.start_again().await;
    for ((node, agent), scrapes) in nodes.iter().zip(&agents).zip(scrapes) {
        // On a busy machine a target answers too late now and then, and the agent says so.
        let missing = if agent.logged(&["not scraped"]) { scrapes.clone().count() / 20 } else { 0 };
        node.all_stored(&contract, scrapes, missing).await;
        // A sample that is late has a row of its own, and the time at which it came.
        let took = format!(
            "select count(*)::float8 / greatest(extract(epoch from max(l.created_at) - min(l.created_at)), 0.001)::float8 \
             from noetl_metrics.sample_late l join noetl_metrics.series s using (series_id) \
             join noetl.runtime r using (runtime_id) where r.name = '{}'",
            node.name
        );
        let rate = contract.value::<f64>(took).await;
        // The first of them comes at the beginning of the time, and each report as one.
        assert!(rate <= RATE as f64 * 1.35, "{}: {rate} samples a second", node.name);
    }
}

/// A file system of its own of 64 KiB for a directory, by a command that runs another in it; or why
/// that is not to be had.
fn small_disk(dir: &Path) -> Result<Vec<String>, String> {
    std::fs::create_dir_all(dir).unwrap();
    let script =
        format!("mount -t tmpfs -o size=64k,mode=0700 none '{}' && exec \"$@\"", dir.to_str().unwrap());
    let under = ["unshare", "--mount", "sh", "-c", &script, "sh"].map(str::to_owned).to_vec();
    let tried = Command::new(&under[0]).args(&under[1..]).arg("true").output().map_err(|e| e.to_string())?;
    if tried.status.success() {
        return Ok(under);
    }
    Err(String::from_utf8_lossy(&tried.stderr).trim().to_owned())
}

#[tokio::test]
async fn a_full_disk_costs_nothing_that_memory_can_hold() {
    let mut contract = Contract::start().await;
    let node = Node::new("w-1", &["--drain-rate", "5000", "--metrics-interval", "1s"]).await;
    let under = match small_disk(&node.spool()) {
        Ok(under) => under,
        Err(why) => {
            eprintln!("no disk of its own ({why}): its files are limited instead");
            let limit = ["prlimit", "--fsize=60000", "env", "--ignore-signal=XFSZ"];
            limit.map(str::to_owned).to_vec()
        }
    };
    let under: Vec<&str> = under.iter().map(String::as_str).collect();
    let mut agent = node.agent_under(&under, &contract);
    let first = node.reports(&contract).await;
    contract.server.kill();
    eventually("the disk is full, and that is said", LONG, async || {
        agent.logged(&["the spool fails", "cannot write"]).then_some(())
    })
    .await;
    node.scraped(4).await;
    let read = node.target.asked("/metrics");
    contract.start_again().await;
    node.all_stored(&contract, first..=read, 0).await;
    assert!(agent.runs());
    let faults = contract.export().await.get("noetl_agent_spool_faults_total", &[]).map(str::to_owned);
    assert!(faults.is_some_and(|faults| faults != "0"));
}

#[tokio::test]
async fn the_oldest_are_dropped_first_and_counted() {
    let mut contract = Contract::start().await;
    let flags = ["--spool-max-size", "64KiB", "--drain-rate", "5000", "--metrics-interval", "1s"];
    let node = Node::new("w-1", &flags).await;
    let _agent = node.agent(&contract);
    node.reports(&contract).await;
    contract.server.kill();
    let oldest =
        eventually("something is kept", LONG, async || files(&node.spool()).into_iter().next()).await;
    eventually("the oldest is dropped", LONG, async || {
        (files(&node.spool()).first().is_some_and(|first| *first != oldest)).then_some(())
    })
    .await;
    node.scraped(1).await;
    let read = node.target.asked("/metrics");
    contract.start_again().await;
    let full = [("reason", "full")];
    eventually("what was dropped is counted", LONG, async || {
        let export = contract.export().await;
        export.get("noetl_agent_spool_samples_dropped_total", &full).filter(|dropped| *dropped != "0")?;
        Some(())
    })
    .await;
    eventually("all is stored but a stretch of the outage's oldest", LONG, async || {
        let stored = node.stored(&contract).await;
        let gap = stored.windows(2).position(|pair| pair[1] > pair[0] + 1)?;
        let after = stored.get(gap + 1..)?;
        let (first, last) = (*after.first()?, *after.last()?);
        // On a busy machine a scrape fails now and then.
        let missing = last - first + 1 - after.len() as i64;
        (last >= read as i64 && missing * 5 <= last - first).then_some(())
    })
    .await;
}
