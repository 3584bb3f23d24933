//! History made by a fast loader: blocks of hours that are over, as a server would have left them, for
//! the program itself to seal; and the same samples for a peer.

use std::fmt::Write as _;
use std::process::Command;

use sqlx::PgConnection;

use crate::error::{BenchError, Context, Result, failed};
use crate::http::Connection;
use crate::peers::Peer;
use crate::postgres::Cluster;
use crate::server::program;
use crate::usage::{children_cpu_seconds, cpu_seconds};

/// Series of one component: they are sampled at the same times.
const TOGETHER: usize = 100;

/// What is sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    /// 30 % constants, 35 % gauges of two decimals that wander, 35 % counters of uneven speed.
    Mixed,
    /// Gauges with all the digits that a double has.
    Full,
    /// What node_exporter said of a busy machine in an hour, [captured](CAPTURED) every 15 seconds.
    Host,
}

/// A series a line: its name and labels, a tab, its values with blanks between.
const CAPTURED: &[u8] = include_bytes!("../data/host.txt.zst");

/// The captured series.
pub(crate) fn captured() -> Result<Vec<Vec<f64>>> {
    let text = zstd::decode_all(CAPTURED).context("benches/data/host.txt.zst")?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let values = |line: &str| line.split_once('\t')?.1.split(' ').map(|value| value.parse().ok()).collect();
    let read: Option<Vec<Vec<f64>>> = text.lines().map(values).collect();
    read.ok_or_else(|| BenchError::Failed("benches/data/host.txt.zst has a line that is no series".into()))
}

/// Series over some hours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct History {
    pub(crate) data: Data,
    pub(crate) series: usize,
    /// Seconds from sample to sample.
    pub(crate) interval: i64,
    pub(crate) hours: i64,
}

/// What sealing took, in CPU seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sealed {
    pub(crate) samples: f64,
    pub(crate) program: f64,
    pub(crate) postgres: f64,
}

/// A series as it goes on.
struct Walk {
    kind: Kind,
    value: f64,
    random: u64,
}

enum Kind {
    Constant,
    Gauge,
    Counter,
    Full,
    /// The values that are left, and how many of them to go on for each step.
    Captured(std::vec::IntoIter<f64>, usize),
}

impl Walk {
    fn new(history: &History, number: usize, captured: &[Vec<f64>]) -> Self {
        let kind = match (history.data, number % TOGETHER) {
            (Data::Host, _) => Kind::Captured(
                captured[number % captured.len()].clone().into_iter(),
                usize::try_from(history.interval / 15).unwrap_or(1),
            ),
            (Data::Full, _) => Kind::Full,
            (Data::Mixed, 0..30) => Kind::Constant,
            (Data::Mixed, 30..65) => Kind::Gauge,
            (Data::Mixed, _) => Kind::Counter,
        };
        let value = match kind {
            Kind::Constant | Kind::Captured(..) => (number % 7) as f64 * 1.5,
            Kind::Gauge | Kind::Full => 50.0,
            Kind::Counter => 1e6,
        };
        Self { kind, value, random: (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1) }
    }

    /// A number from 0 to 1.
    fn chance(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn next(&mut self) -> f64 {
        let chance = self.chance();
        match &mut self.kind {
            Kind::Constant => {}
            Kind::Captured(values, steps) => {
                self.value = values.next().unwrap_or(self.value);
                values.by_ref().take(*steps - 1).for_each(drop);
            }
            Kind::Gauge => self.value = ((self.value + chance - 0.5) * 100.0).round() / 100.0,
            Kind::Counter => self.value += (chance * 5000.0).floor(),
            Kind::Full => self.value += chance - 0.5,
        }
        self.value
    }
}

impl History {
    /// Samples in all.
    pub(crate) fn samples(&self) -> usize {
        self.series * usize::try_from(self.hours * 3600 / self.interval).unwrap_or(0)
    }

    /// The begin of the first hour, in milliseconds; the last one ended two hours before `now`.
    fn begin(&self, now: i64) -> i64 {
        now - now.rem_euclid(3_600_000) - (self.hours + 2) * 3_600_000
    }

    /// Puts it into a database with our tables, as blocks, and into a peer.
    pub(crate) fn load(
        &self,
        cluster: &Cluster,
        database: &str,
        now: i64,
        peer: Option<&Peer>,
    ) -> Result<()> {
        self.declare(cluster, database)?;
        self.load_samples(cluster, database, now, peer)
    }

    /// Puts its series into a database with our tables.
    pub(crate) fn declare(&self, cluster: &Cluster, database: &str) -> Result<()> {
        cluster.execute(
            database,
            &format!(
                "insert into noetl_metrics.metric_name values ('bench', 'bench', 'gauge'); \
                 insert into noetl_metrics.metric values ('bench', 'gauge'); \
                 insert into noetl.runtime (runtime_id, name, kind, status) \
                   select c, 'worker-' || c, 'worker_pool', 'ready' from generate_series(0, {last}) c; \
                 insert into noetl_metrics.series \
                     (fingerprint, runtime_id, component_name, component_type, metric_name, labels, help_text, unit) \
                   select md5(i::text)::uuid, i / {TOGETHER}, 'worker-' || i / {TOGETHER}, 'worker_pool', 'bench', \
                          jsonb_build_object('component', 'worker-' || i / {TOGETHER}, 'hostname', 'worker-node-' || i / {TOGETHER}, \
                                             'series', i::text), \
                          'Seconds that the worker has spent with it', 'seconds' \
                   from generate_series(0, {last}) i order by i",
                last = self.series - 1
            ),
        )?;
        cluster.execute(database, "analyze noetl_metrics.series")
    }

    /// Puts its samples there, and into a peer.
    pub(crate) fn load_samples(
        &self,
        cluster: &Cluster,
        database: &str,
        now: i64,
        peer: Option<&Peer>,
    ) -> Result<()> {
        let captured = captured()?;
        let mut walks: Vec<Walk> =
            (0..self.series).map(|number| Walk::new(self, number, &captured)).collect();
        let mut connection = cluster.connect(database)?;
        for hour in 0..self.hours {
            let from = self.begin(now) + hour * 3_600_000;
            let mut rows = Vec::new();
            for (component, walks) in walks.chunks_mut(TOGETHER).enumerate() {
                for tick in 0..3600 / self.interval {
                    // Each component has its own moment, and is some milliseconds late at times.
                    let late = (walks[0].chance() * 20.0) as i64 + (component as i64 * 137).rem_euclid(900);
                    let at = from + tick * self.interval * 1000 + late;
                    rows.push((
                        at,
                        component * TOGETHER,
                        walks.iter_mut().map(Walk::next).collect::<Vec<f64>>(),
                    ));
                }
            }
            if let Some(peer) = peer {
                import(peer, &rows)?;
            }
            rows.sort_by_key(|(at, ..)| *at);
            cluster.wait(insert(&mut connection, &rows))?;
        }
        cluster.execute("postgres", "checkpoint")
    }
}

/// Blocks: a time, the number of the first series, and values of it and those after it.
type Rows = Vec<(i64, usize, Vec<f64>)>;

async fn insert(connection: &mut PgConnection, rows: &Rows) -> Result<()> {
    for rows in rows.chunks(2000) {
        let times: Vec<i64> = rows.iter().map(|(at, ..)| *at).collect();
        let firsts: Vec<i32> = rows.iter().map(|(_, first, _)| *first as i32 + 1).collect();
        let counts: Vec<i32> = rows.iter().map(|(.., values)| values.len() as i32).collect();
        let values: Vec<f64> = rows.iter().flat_map(|(.., values)| values).copied().collect();
        sqlx::query(
            "insert into noetl_metrics.block (\"timestamp\", least_id, greatest_id, \"values\") \
             select timestamptz 'epoch' + b.at * interval '1 ms', b.first, b.first + b.count - 1, \
                    ($4::double precision[])[b.last - b.count + 1:b.last] \
             from (select *, sum(count) over (order by number)::integer as last \
                   from unnest($1::bigint[], $2::integer[], $3::integer[]) with ordinality u(at, first, count, number)) b \
             order by b.number",
        )
        .bind(times)
        .bind(firsts)
        .bind(counts)
        .bind(values)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// The same for `VictoriaMetrics`, by its own form of JSON lines.
fn import(peer: &Peer, rows: &Rows) -> Result<()> {
    let mut connection = Connection::open(peer.address)?;
    for rows in rows.chunk_by(|a, b| a.1 == b.1) {
        let (component, series) = (rows[0].1 / TOGETHER, rows[0].2.len());
        let times: Vec<String> = rows.iter().map(|(at, ..)| at.to_string()).collect();
        let times = times.join(",");
        let mut body = String::new();
        for i in 0..series {
            let values: Vec<String> = rows.iter().map(|(.., values)| values[i].to_string()).collect();
            let _ = writeln!(
                body,
                "{{\"metric\":{{\"__name__\":\"bench\",\"component\":\"worker-{component}\",\"series\":\"{}\"}},\"values\":[{}],\"timestamps\":[{times}]}}",
                rows[0].1 + i,
                values.join(",")
            );
        }
        let head =
            format!("POST /api/v1/import HTTP/1.1\r\nhost: bench\r\ncontent-length: {}\r\n\r\n", body.len());
        let answer = connection.send((head + &body).as_bytes())?;
        if answer.status >= 300 {
            return failed(format!("VictoriaMetrics answered {} to an import", answer.status));
        }
    }
    Ok(())
}

/// An empty database with our tables.
pub(crate) fn migrated(cluster: &Cluster, database: &str) -> Result<String> {
    let url = cluster.fresh(database)?;
    run(Command::new(program()).arg("migrate").env("DATABASE_URL", &url))?;
    Ok(url)
}

/// Has the program seal all hours of a database.
pub(crate) fn seal(cluster: &Cluster, url: &str) -> Result<Sealed> {
    let before = (children_cpu_seconds()?, cpu_seconds(cluster.id())?);
    let report = maintain(url, "3650d")?;
    // Backends that ended count once the postmaster has seen it.
    std::thread::sleep(std::time::Duration::from_millis(300));
    Ok(Sealed {
        samples: report["sealed_samples"].as_f64().unwrap_or(0.0),
        program: children_cpu_seconds()? - before.0,
        postgres: cpu_seconds(cluster.id())? - before.1,
    })
}

/// One run of maintenance; returns its report.
pub(crate) fn maintain(url: &str, retention: &str) -> Result<serde_json::Value> {
    let said = run(Command::new(program())
        .args(["maintenance", "--retention-raw", retention, "-o", "json"])
        .env("DATABASE_URL", url))?;
    serde_json::from_slice(&said).map_err(|e| BenchError::Failed(format!("maintenance: {e}")))
}

fn run(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.output().context("start noetl-metrics")?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    failed(format!("noetl-metrics: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
