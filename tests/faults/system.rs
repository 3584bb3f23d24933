//! What the faults come to: three servers, each behind a door of its own to one PostgreSQL, another
//! PostgreSQL to fail over to, and an agent.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::board::Board;
use crate::clock::{self, For};
use crate::harness::{Agent, Http, Reply, Server, Target, free_port, signal};
use crate::ledger::Compared;
use crate::postgres::Instance;
use crate::proxy::Proxy;
use crate::reporters::Reporter;

pub const SERVERS: usize = 3;
/// Short, so that much happens in little time; a busy machine must still be able to renew it.
pub const LEASE: Duration = Duration::from_secs(3);
/// Within this time after a fault is over all is as before.
pub const RECOVERY: Duration = Duration::from_secs(20);
/// Within this time after SIGTERM another server exports.
pub const HAND_OVER: Duration = Duration::from_secs(5);
/// And within this time after one is gone without a word.
pub const TAKE_OVER: Duration = LEASE.saturating_add(HAND_OVER);
/// A program that is started listens, and one that is told to stop ends, within this time.
const PROCESS: Duration = Duration::from_secs(30);
/// What an agent holds is delivered within this time after the last fault.
const DRAINED: Duration = Duration::from_mins(1);
/// Number of the harness's own reporter: one that sends times.
const PROBE: u16 = 1000;

pub struct Replica {
    pub address: SocketAddr,
    /// Between it and PostgreSQL.
    pub door: Proxy,
    pub server: Option<Server>,
    http: Http,
}

pub struct System {
    pub board: Arc<Board>,
    pub replicas: Vec<Replica>,
    pub primary: Instance,
    pub spare: Instance,
    probe: Reporter,
    agent: Watched,
    logs: PathBuf,
    /// Whether clocks can be set.
    pub has_clocks: bool,
}

/// An agent that scrapes a target, which counts how often; and what it needs.
struct Watched {
    agent: Agent,
    target: Target,
    _spool: TempDir,
    _balancer: Proxy,
}

impl System {
    /// All of it, running; with clocks that can be set, where that is asked for and can be.
    pub async fn start(board: &Arc<Board>, has_clocks: bool) -> Self {
        let has_clocks = has_clocks && clock::missing().is_none();
        let (mut primary, spare) = (Instance::new("one", has_clocks), Instance::new("two", has_clocks));
        primary.init();
        primary.start().await;
        let made = primary.sql(&["create role noetl login", "create database metrics owner noetl"]).await;
        made.expect("a database");
        let mut replicas = Vec::new();
        for _ in 0..SERVERS {
            let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
            let door = Proxy::start(vec![primary.address()]).await;
            replicas.push(Replica { address, door, server: None, http: Http::new(address) });
        }
        let addresses: Vec<SocketAddr> = replicas.iter().map(|replica| replica.address).collect();
        let mut probe = Reporter::new(PROBE, &addresses, board);
        let agent = Watched::start(addresses).await;
        board.processes.lock().insert("agent".into(), vec![agent.agent.pid()]);
        let board = Arc::clone(board);
        let logs = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("faults-{}", std::process::id()));
        let _ = std::fs::create_dir_all(&logs);
        let mut system =
            Self { board, replicas, primary, spare, probe: probe.clone(), agent, logs, has_clocks };
        for number in 0..SERVERS {
            system.start_server(number).await;
        }
        probe.register().await;
        system
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.replicas.iter().map(|replica| replica.address).collect()
    }

    /// Tells the board whose memory to watch.
    fn note_processes(&self) {
        let mut processes = self.board.processes.lock();
        let pids = self.replicas.iter().filter_map(|r| Some(r.server.as_ref()?.pid())).collect();
        processes.insert("servers".into(), pids);
        processes.insert("PostgreSQL".into(), self.primary.processes());
    }

    /// Starts a server at its address; it may not be ready yet.
    pub async fn start_server(&mut self, number: usize) {
        let replica = &mut self.replicas[number];
        let url = format!("postgres://noetl@{}/metrics", replica.door.address);
        let (here, lease) = (format!("http://{}", replica.address), format!("{}s", LEASE.as_secs()));
        let flags = ["--advertise-url".into(), here, "--lease-duration".into(), lease];
        let listen = replica.address.to_string();
        let clock = &self.board.clocks[number];
        let variables = if self.has_clocks { clock.variables(For::Threads) } else { Vec::new() };
        let started = Server::start_in(&variables, &listen, &url, &flags);
        let server = timeout(PROCESS, started).await.expect("a server listens");
        clock::tidy(server.pid());
        replica.server = Some(server);
        self.note_processes();
    }

    pub fn kill_server(&mut self, number: usize) {
        if let Some(mut server) = self.replicas[number].server.take() {
            server.kill();
            self.keep_log(number, &server);
        }
    }

    /// Logs are kept apart, for whoever looks for the cause of what was found.
    fn keep_log(&self, number: usize, server: &Server) {
        let log = self.logs.join(format!("server-{number}.log"));
        let kept = std::fs::OpenOptions::new().append(true).create(true).open(log);
        let _ = kept.and_then(|mut file| writeln!(file, "{}", server.log()));
    }

    /// Ends all, and says where the logs are.
    pub fn end(mut self) -> PathBuf {
        (0..SERVERS).for_each(|number| self.kill_server(number));
        let _ = std::fs::write(self.logs.join("postgres.log"), self.primary.log());
        let _ = std::fs::write(self.logs.join("agent.log"), self.agent.agent.log());
        self.logs.clone()
    }

    pub fn signal_server(&self, number: usize, name: &str) {
        if let Some(server) = &self.replicas[number].server {
            signal(name, server.pid());
        }
    }

    /// Tells a server to stop. Where it is the active one and not alone another one has to export
    /// soon; how long that took.
    pub async fn stop_server(&mut self, number: usize) -> Option<Duration> {
        let mut server = self.replicas[number].server.take()?;
        let is_active = self.board.sight.lock().active() == Some(number);
        let others = self.replicas.iter().filter(|replica| replica.server.is_some()).count();
        let told = Instant::now();
        server.terminate();
        let mut took = None;
        if is_active && others > 0 {
            self.board.excuse(told, told + HAND_OVER);
            took = self.exports("after SIGTERM", told, Some(number), HAND_OVER).await;
        }
        let status = server.ended(PROCESS).await;
        self.keep_log(number, &server);
        if status.code() != Some(0) {
            self.board.violation(format_args!("a server told to stop ended with {status}"));
        }
        took
    }

    /// Waits until a server exports, by a scrape that began after `since`; how long it took.
    pub async fn exports(
        &self,
        what: &str,
        since: Instant,
        not: Option<usize>,
        within: Duration,
    ) -> Option<Duration> {
        loop {
            let within = within + self.board.pulse.lost(since, Instant::now()) * 2;
            let found = self.board.sight.lock().exports_since(since, not);
            if let Some(found) = found {
                if found - since > within {
                    self.board.violation(format_args!("{what}: a server exported after {:?}", found - since));
                }
                return Some(found - since);
            }
            // What is late is waited for a little, to say how late.
            if since.elapsed() > within * 2 {
                self.board.violation(format_args!("{what}: no server exports within {within:?}"));
                return None;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until all servers are ready and take reports, and all series are seen; how long it took.
    pub async fn recovers(&mut self, since: Instant, what: &str) -> Duration {
        let board = Arc::clone(&self.board);
        let lost = || board.pulse.lost(since, Instant::now()) * 2;
        let overdue = async {
            while since.elapsed() < RECOVERY + lost() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            () = self.is_well(since) => {}
            () = overdue => self.is_not_well(since, what).await,
        }
        self.note_processes();
        since.elapsed()
    }

    async fn is_well(&mut self, since: Instant) {
        for number in 0..SERVERS {
            while !self.is_ready(number).await || !self.probe.report_by(number).await {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        while !self.is_seen(since) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Whether a server exports since then, and every series that was ever seen was seen again.
    fn is_seen(&self, since: Instant) -> bool {
        let sight = self.board.sight.lock();
        sight.exports_since(since, None).is_some() && sight.missing_since(since).is_empty()
    }

    async fn is_not_well(&self, since: Instant, what: &str) {
        let mut ready = Vec::new();
        for number in 0..SERVERS {
            ready.push(self.is_ready(number).await);
        }
        let sight = self.board.sight.lock();
        let (active, missing) = (sight.active(), sight.missing_since(since));
        self.board.violation(format_args!(
            "{what}: not all is well {RECOVERY:?} after its end: ready {ready:?}, active {active:?}, not seen {missing:?}\n{}",
            self.primary.log_tail()
        ));
    }

    async fn is_ready(&self, number: usize) -> bool {
        let http = &self.replicas[number].http;
        let asked = timeout(Duration::from_secs(5), http.try_send(Method::GET, "/readyz", &[], Vec::new()));
        asked.await.is_ok_and(|answer| answer.is_ok_and(|answer| answer.status == 200))
    }

    /// Compares what was acknowledged with what is stored.
    pub async fn compare(&self, when: &str) -> Compared {
        let mut connection = self.primary.connect("noetl").await.expect("PostgreSQL is there");
        let found = self.board.ledger.compare(&mut connection, &self.board.clocks).await;
        let found = found.expect("noetl.metrics can be read");
        if !found.is_right() {
            self.board.violation(format_args!("{when}: {found:?}"));
        }
        found
    }

    /// Waits until all that the agent scraped so far is stored, each once; how much that is.
    pub async fn agent_delivers(&mut self) -> usize {
        assert!(self.agent.agent.runs(), "the agent runs");
        let scraped = self.agent.target.asked("/metrics") as i64;
        let since = Instant::now();
        loop {
            let stored = self.agent_stored().await;
            if stored.windows(2).any(|pair| pair[0] == pair[1]) {
                self.board.violation("samples of the agent are there twice");
            }
            // A target that answers too late on a busy machine was asked, and the agent says so once for
            // all that fail in a row.
            let failed = self.agent.agent.log().matches("not scraped: ").count();
            let missing: Vec<i64> =
                (1..=scraped).filter(|value| stored.binary_search(value).is_err()).collect();
            if missing.chunk_by(|a, b| a + 1 == *b).count() <= failed {
                return stored.len();
            }
            if since.elapsed() > DRAINED + self.board.pulse.lost(since, Instant::now()) * 2 {
                self.board.violation(format_args!("of {scraped} scrapes of the agent are lost: {missing:?}"));
                return stored.len();
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn agent_stored(&self) -> Vec<i64> {
        let sql =
            "select metric_value::bigint from noetl.metrics where metric_name = 'asked_total' order by 1";
        let mut connection = self.primary.connect("noetl").await.expect("PostgreSQL is there");
        sqlx::query_scalar(sql).fetch_all(&mut connection).await.expect("noetl.metrics can be read")
    }
}

impl Watched {
    async fn start(servers: Vec<SocketAddr>) -> Self {
        let target = Target::start(Reply::Counted("job_load 1\n".into())).await;
        let spool = tempfile::tempdir().expect("a directory");
        let balancer = Proxy::start(servers).await;
        let (scrape, dir) = (format!("{};name=scraped", target.url()), spool.path().to_string_lossy());
        let flags = [
            ["--metrics-interval", "1h"],
            ["--scrape-interval", "1s"],
            ["--worker-id", "agent"],
            ["--component-type", "node_agent"],
            ["--scrape-keep", "asked_total,job_load"],
            ["--scrape", &scrape],
            ["--spool-dir", &dir],
        ];
        let agent = Agent::start(balancer.address, flags.as_flattened());
        Self { agent, target, _spool: spool, _balancer: balancer }
    }
}
