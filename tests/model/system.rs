//! The real thing: what a server is made of, on a real PostgreSQL, with a clock that a history moves.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use noetl_metrics::live::Live;
use noetl_metrics::model::{Component, Label, Limits, Millis, Point, RuntimeId};
use noetl_metrics::store::{
    Components, Database, DatabaseSource, Inserted, MaintenanceReport, NewSample, Partitions, Registration,
    Retention, SeriesIndex, WriteError, Writer,
};
use sqlx::Row as _;

use crate::harness;
use crate::history::COMPONENTS;
use crate::reference::{Key, Rows, Sample, component_name, kind, metric_name};

/// Hours of partitions that a server keeps ahead.
const AHEAD: i32 = 3;
/// Nobody falls silent.
const STALE_AFTER: i64 = 1 << 40;
/// How far back a server looks for samples that SQL inserted.
pub const RECENT: i64 = 300_000;

/// PostgreSQL's now() is the history's, also as a default.
const CLOCK: &str = "create schema clock; \
    create table clock.reading (at timestamptz not null); \
    insert into clock.reading values ('epoch'); \
    create function clock.now() returns timestamptz language sql stable as 'select at from clock.reading'; \
    set search_path = clock, pg_catalog; \
    alter table noetl_metrics.sample_late alter created_at set default now()";

/// To compile a plan takes longer than to run it on the few rows of a history. Who waits for a lock is
/// in PostgreSQL's log.
const SETTINGS: &str = "alter database {} set search_path = clock, pg_catalog, public; alter database {} set jit = off; \
    alter database {} set log_lock_waits = on; alter database {} set deadlock_timeout = '100ms'";

/// Databases whose history came to its end: to make one takes longer than to empty it.
static LEFT: Mutex<Vec<String>> = Mutex::new(Vec::new());

const EMPTY: &str = "do $$ declare of record; begin \
    for of in select relname from pg_class where relnamespace = 'noetl_metrics'::regnamespace and relkind = 'r' \
                and (relispartition or relname ~ '_[0-9]{8}') loop \
      execute format('drop table noetl_metrics.%I', of.relname); \
    end loop; \
    for of in select relname from pg_class where relnamespace = 'noetl_metrics'::regnamespace and relkind = 'r' \
                and relname not in ('migration', 'lease') loop \
      execute format('truncate noetl_metrics.%I restart identity cascade', of.relname); \
    end loop; \
  end $$; truncate noetl.runtime cascade";

/// What [`System::read`] wants of a row of `noetl.metrics`.
pub const COLUMNS: &str = "metric_id, runtime_id, metric_name, metric_type, metric_value, labels->>'i' as label, \
    (extract(epoch from \"timestamp\") * 1000000)::bigint as micros";

/// A result whose error says what is wrong.
pub type Checked<T = ()> = Result<T, String>;

/// A database with its own clock, and the server on it.
pub struct System {
    pub db: harness::Database,
    pub server: Server,
    now: Cell<i64>,
}

/// What a server is made of.
pub struct Server {
    pub database: Database,
    pub index: SeriesIndex,
    pub live: Arc<Live>,
    partitions: Arc<Partitions>,
    components: Components,
    ids: HashMap<u8, RuntimeId>,
    writer: Writer,
    task: tokio::task::JoinHandle<()>,
    inserted: Inserted,
}

pub fn fault(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl System {
    pub async fn start(now: i64) -> Checked<Self> {
        let left = LEFT.lock().map_err(fault)?.pop();
        let db = match left {
            Some(url) => harness::Database::at(url),
            None => make().await?,
        };
        set_clock(&db, now).await?;
        let server = Server::open(&db.url).await?;
        Ok(Self { db, server, now: Cell::new(now) })
    }

    pub const fn now(&self) -> i64 {
        self.now.get()
    }

    /// Time passes.
    pub async fn pass(&self, ms: i64) -> Checked {
        self.now.set(self.now() + ms);
        set_clock(&self.db, self.now()).await
    }

    /// The server is stopped, and started again.
    pub async fn restart(self) -> Checked<Self> {
        let Self { db, server, now } = self;
        let Server { writer, task, database, .. } = server;
        drop(writer);
        task.await.map_err(fault)?;
        database.close().await;
        let server = Server::open(&db.url).await?;
        Ok(Self { db, server, now })
    }

    /// The server is killed: whatever its connections do ends with it. Another one starts.
    pub async fn crash(self) -> Checked<Self> {
        let Self { db, server, now } = self;
        server.task.abort();
        let _ = server.task.await;
        let others =
            "from pg_stat_activity where datname = current_database() and application_name = 'noetl-metrics'";
        let end = format!("select pg_terminate_backend(pid) {others}");
        let deadline = Instant::now() + Duration::from_secs(20);
        // Again, since a transaction that was about to begin begins in a task of its own, which in a
        // process that is killed would be gone.
        while db.column::<i64>(format!("select count(*) {others}")).await != [0] {
            db.column::<bool>(&end).await;
            if Instant::now() > deadline {
                return Err("connections of a server that was killed do not end".into());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        server.database.close().await;
        let server = Server::open(&db.url).await?;
        Ok(Self { db, server, now })
    }

    /// The end: the database is left for another history.
    pub async fn end(self) -> Checked {
        let Self { db, server, .. } = self;
        server.task.abort();
        server.database.close().await;
        sqlx::raw_sql(EMPTY).execute(&db.pool).await.map_err(fault)?;
        db.pool.close().await;
        LEFT.lock().map_err(fault)?.push(db.url);
        Ok(())
    }

    /// Everything that `noetl.metrics` shows.
    pub async fn rows(&self) -> Checked<Rows> {
        let sql = format!("select {COLUMNS} from noetl.metrics");
        let found = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(&self.db.pool).await.map_err(fault)?;
        self.read(&found, &self.series_ids().await?)
    }

    /// Rows of `noetl.metrics`; each series has one at a time.
    pub fn read(&self, found: &[sqlx::postgres::PgRow], ids: &HashMap<Key, i32>) -> Checked<Rows> {
        let mut rows = Rows::new();
        for row in found {
            let (key, at) = (self.key(row)?, millis(row)?);
            let (id, value): (i64, f64) =
                (row.try_get(0).map_err(fault)?, row.try_get("metric_value").map_err(fault)?);
            let kind: &str = row.try_get("metric_type").map_err(fault)?;
            if kind != key.kind().as_str() || ids.get(&key).map(|of| i64::from(*of) << 41 | at) != Some(id) {
                return Err(format!("{key:?} at {at} is a {kind} with the metric_id {id}"));
            }
            if rows.entry(key).or_default().insert(at, value.to_bits()).is_some() {
                return Err(format!("{key:?} at {at} is there twice"));
            }
        }
        Ok(rows)
    }

    fn key(&self, row: &sqlx::postgres::PgRow) -> Checked<Key> {
        let id: i64 = row.try_get("runtime_id").map_err(fault)?;
        let component = self.server.ids.iter().find(|(_, known)| known.0 == id).map(|(number, _)| *number);
        let (metric, label): (&str, &str) =
            (row.try_get("metric_name").map_err(fault)?, row.try_get("label").map_err(fault)?);
        let name = component.map(component_name).unwrap_or_default();
        Key::of(&name, metric, label)
            .ok_or_else(|| format!("{id} {metric} {label} is no series of the history"))
    }

    /// Ids of series.
    pub async fn series_ids(&self) -> Checked<HashMap<Key, i32>> {
        let sql = "select series_id, component_name, metric_name, labels->>'i' from noetl_metrics.series";
        let rows = sqlx::query(sql).fetch_all(&self.db.pool).await.map_err(fault)?;
        let mut ids = HashMap::new();
        for row in rows {
            let key = Key::of(row.get(1), row.get(2), row.get(3)).ok_or("a series of no history")?;
            ids.insert(key, row.get(0));
        }
        Ok(ids)
    }

    /// INSERT INTO `noetl.metrics`.
    pub async fn insert(&self, rows: &[Sample]) -> Checked {
        let mut tx = self.db.pool.begin().await.map_err(fault)?;
        for row in rows {
            let id = self.server.ids.get(&row.key.component).map(|id| id.0);
            sqlx::query(
                "insert into noetl.metrics (runtime_id, metric_name, metric_type, metric_value, labels, timestamp) \
                 values ($1, $2, $3, $4, jsonb_build_object('i', $5::text), timestamptz 'epoch' + $6 * interval '1 ms')",
            )
            .bind(id)
            .bind(row.key.metric_name())
            .bind(row.key.kind().as_str())
            .bind(row.value())
            .bind(row.key.label.to_string())
            .bind(row.at)
            .execute(&mut *tx)
            .await
            .map_err(fault)?;
        }
        tx.commit().await.map_err(fault)
    }

    /// A time to live: of a metric, or of a component.
    pub async fn set_ttl(&self, metric: Option<u8>, component: Option<u8>, days: i32) -> Checked {
        let sql = match (metric, component) {
            (Some(metric), _) => format!(
                "update noetl_metrics.metric set ttl = make_interval(days => {days}) where family = '{}'",
                metric_name(metric)
            ),
            (_, component) => format!(
                "insert into noetl_metrics.component_ttl (component_name, component_type, ttl) \
                 values ('{}', 'worker_pool', make_interval(days => {days})) \
                 on conflict (component_name, component_type) do update set ttl = excluded.ttl",
                component.map(component_name).unwrap_or_default()
            ),
        };
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&self.db.pool).await.map(|_| ()).map_err(fault)
    }
}

/// A database with a clock of its own.
async fn make() -> Checked<harness::Database> {
    let db = harness::Cluster::shared().database().await;
    let mut connection = db.pool.acquire().await.map_err(fault)?;
    for sql in [CLOCK, &SETTINGS.replace("{}", &db.name)] {
        let sql = sqlx::AssertSqlSafe(sql.to_owned());
        sqlx::raw_sql(sql).execute(&mut *connection).await.map_err(fault)?;
    }
    // The settings are for the connections that are made from now on.
    connection.close().await.map_err(fault)?;
    Ok(db)
}

impl Server {
    /// As a server starts.
    async fn open(url: &str) -> Checked<Self> {
        let database = Database::new(DatabaseSource::from(url.to_owned()), 4).map_err(fault)?;
        let partitions = Arc::new(Partitions::default());
        partitions.ensure(&database, AHEAD).await.map_err(fault)?;
        let components = Components::default();
        let mut ids = HashMap::new();
        for number in 0..COMPONENTS {
            let registration = Registration {
                name: component_name(number),
                kind: "worker_pool".into(),
                status: "ready".into(),
                ..Registration::default()
            };
            let (_, component) = components.register(&database, &registration).await.map_err(fault)?;
            ids.insert(number, component.id);
        }
        components.refresh(&database, STALE_AFTER).await.map_err(fault)?;
        let live = Arc::new(Live::default());
        let index = SeriesIndex::new(Limits::default());
        let loaded = index.load(&database, &components.all(), &live.describer()).await.map_err(fault)?;
        live.add(loaded);
        let exported = Arc::clone(&live);
        let on_commit = move |points: &[Point]| exported.apply(points);
        let (writer, task) =
            Writer::start(database.clone(), Arc::clone(&partitions), Box::new(on_commit), None);
        let inserted = Inserted::from_now();
        Ok(Self { database, index, live, partitions, components, ids, writer, task, inserted })
    }

    pub fn components(&self) -> Vec<Arc<Component>> {
        self.components.all()
    }

    /// Reports that arrive together, in this order. `acknowledged` counts those that were answered.
    pub async fn report(&self, reports: &[Vec<Sample>], acknowledged: &Rc<Cell<usize>>) -> Checked {
        let mut ready = Vec::new();
        for samples in reports.iter().filter(|samples| !samples.is_empty()) {
            let id = self.ids[&samples[0].key.component];
            let known = self.components.by_id(&self.database, id).await.map_err(fault)?;
            let component = known.ok_or("the component is gone")?;
            ready.push(self.points(&component, samples).await?);
        }
        let write = async |points: Vec<Point>| {
            let done: Result<(), WriteError> = self.writer.write(points, None).await;
            acknowledged.set(acknowledged.get() + usize::from(done.is_ok()));
            done.map_err(fault)
        };
        join_all(ready.into_iter().map(write)).await.into_iter().collect()
    }

    async fn points(&self, component: &Arc<Component>, samples: &[Sample]) -> Checked<Vec<Point>> {
        let texts: Vec<(String, String)> =
            samples.iter().map(|s| (s.key.metric_name(), s.key.label.to_string())).collect();
        let labels: Vec<[Label<'_>; 1]> =
            texts.iter().map(|(_, label)| [("i".into(), label.as_str().into())]).collect();
        let new: Vec<NewSample<'_>> = samples
            .iter()
            .zip(&texts)
            .zip(&labels)
            .map(|((sample, (name, _)), labels)| NewSample {
                name,
                kind: kind(sample.key.metric),
                inferred: false,
                labels,
                help: None,
                unit: None,
            })
            .collect();
        let series = self.index.resolve(&self.database, component, &new).await.map_err(fault)?;
        samples
            .iter()
            .zip(series)
            .map(|(sample, series)| {
                let series = series.map_err(|refused| refused.reason)?;
                Ok(Point { series, at: Millis(sample.at), value: sample.value() })
            })
            .collect()
    }

    /// Looks for rows that SQL inserted, as a server does now and then.
    pub async fn look_for_inserted(&mut self) -> Checked {
        let describe = self.live.describer();
        let found = self
            .inserted
            .read(&self.database, &self.components, &self.index, RECENT, &describe)
            .await
            .map_err(fault)?;
        for points in found {
            self.live.apply(&points);
        }
        Ok(())
    }

    pub async fn make_partitions(&self) -> Checked {
        self.partitions.ensure(&self.database, AHEAD).await.map(|_| ()).map_err(fault)
    }

    pub async fn seal(&self) -> Checked {
        self.partitions.close(&self.database).await.map(|_| ()).map_err(fault)
    }

    pub async fn maintain(&self, raw_ms: i64) -> Checked<MaintenanceReport> {
        Retention { raw_ms, hourly_ms: raw_ms.max(400 * 86_400_000), max_bytes: None, dry_run: false }
            .run(&self.database, |_| {})
            .await
            .map_err(fault)
    }

    /// Series of a component leave memory.
    pub fn forget(&self, component: u8) {
        let id = self.ids[&component];
        self.live.remove(|series| series.component.id == id);
        self.index.forget(|series| series.component.id == id);
    }

    /// The newest value of each series in memory.
    pub fn newest(&self) -> HashMap<Key, Option<(i64, u64)>> {
        let labels = |line: &[u8]| {
            let line = String::from_utf8_lossy(line).into_owned();
            let value = |name: &str| {
                let from = line.find(&format!("{name}=\""))? + name.len() + 2;
                Some(line[from..].split('"').next()?.to_owned())
            };
            Some((value("component")?, value("i")?))
        };
        self.index
            .all()
            .iter()
            .filter_map(|series| {
                let (component, label) = labels(&series.line)?;
                let key = Key::of(&component, series.metric_name(), &label)?;
                Some((key, series.newest.get().map(|(at, value)| (at.0, value.to_bits()))))
            })
            .collect()
    }
}

async fn set_clock(db: &harness::Database, now: i64) -> Checked {
    Millis::pretend(Millis(now));
    let sql = "update clock.reading set at = timestamptz 'epoch' + $1 * interval '1 ms'";
    sqlx::query(sql).bind(now).execute(&db.pool).await.map(|_| ()).map_err(fault)
}

fn millis(row: &sqlx::postgres::PgRow) -> Checked<i64> {
    let micros: i64 = row.try_get("micros").map_err(fault)?;
    if micros % 1000 != 0 {
        return Err(format!("a time of {micros} microseconds"));
    }
    Ok(micros / 1000)
}
