//! What every test stands on: a server of its own with a database of its own, and ways to talk to
//! both.

mod agent;
mod certificates;
mod exposition;
mod http;
pub mod postgres;
mod proxy;
mod receiver;
pub mod remote_write;
mod server;
mod store;
mod target;

use std::ffi::OsString;
use std::ops::Deref;
use std::process::Command;
use std::time::{Duration, Instant};

use noetl_metrics::model::Millis;
use serde_json::{Value, json};

pub use self::agent::Agent;
pub use self::certificates::{Authority, Pair, SecretFiles};
pub use self::http::{Answer, Http};
pub use exposition::Exposition;
pub use postgres::{Cluster, Database, free_port, programs};
pub use proxy::Proxy;
pub use receiver::Receiver;
pub use server::{Server, spawn};
pub use store::{Labels, Store};
pub use target::{Reply, Target};

/// NoETL's own table of components as NoETL makes it today, with one worker in it.
pub const NOETL_RUNTIME: &str = "create schema noetl; create table noetl.runtime (
    runtime_id bigint primary key, name text not null,
    kind text not null check (kind in ('worker_pool', 'server_api', 'broker')), uri text,
    status text not null, labels jsonb, capabilities jsonb, capacity integer, runtime jsonb,
    heartbeat timestamptz not null default now(), created_at timestamptz not null default now(),
    updated_at timestamptz not null default now());
    create unique index idx_runtime_kind_name on noetl.runtime (kind, name);
    insert into noetl.runtime (runtime_id, name, kind, status, runtime)
    values (42, 'w', 'worker_pool', 'ready', '{\"kind\": \"rust\", \"worker_public_key\": \"k\"}')";

/// What gives the tests another clock than the machine's, where they are run with one: it is all that
/// the programs under test are told of the environment.
pub fn clock() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os()
        .filter(|(name, _)| name.to_str().is_some_and(|name| name == "LD_PRELOAD" || name.contains("FAKE")))
}

/// How long tests wait for what has to happen soon; the machine may be busy.
pub const SOON: Duration = Duration::from_secs(20);

/// A server, its database, and a client of the server's.
pub struct Contract {
    pub server: Server,
    pub database: Database,
    http: Http,
    flags: Vec<String>,
}

impl Deref for Contract {
    type Target = Http;

    fn deref(&self) -> &Http {
        &self.http
    }
}

impl Contract {
    /// A server with its defaults.
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// A server with these flags beside `--listen` and `--database-url`.
    pub async fn with(flags: &[&str]) -> Self {
        let database = Cluster::shared().database().await;
        let contract = Self::on(database, flags).await;
        contract.ready().await;
        contract
    }

    /// A server on a database; it may not be ready yet.
    pub async fn on(database: Database, flags: &[&str]) -> Self {
        let flags: Vec<String> = flags.iter().map(ToString::to_string).collect();
        Self::spoken_to(database, flags, Http::new).await
    }

    /// The same, spoken to by a client that `http` makes for its address.
    pub async fn spoken_to(
        database: Database,
        flags: Vec<String>,
        http: impl FnOnce(std::net::SocketAddr) -> Http,
    ) -> Self {
        let server = Server::start("127.0.0.1:0", &database.url, &flags).await;
        let http = http(server.address);
        Self { server, database, http, flags }
    }

    /// Waits until the server can do its work.
    pub async fn ready(&self) {
        eventually("the server is ready", Duration::from_mins(1), async || {
            let answer = self.try_send(::http::Method::GET, "/readyz", &[], Vec::new()).await;
            answer.is_ok_and(|a| a.status == 200).then_some(())
        })
        .await;
    }

    /// Starts the server again at the same address; it was stopped or killed before.
    pub async fn start_again(&mut self) {
        let listen = self.server.address.to_string();
        self.server = Server::start(&listen, &self.database.url, &self.flags).await;
        self.ready().await;
    }

    /// Stops the server as an operator would, and starts it again.
    pub async fn restart(&mut self) {
        self.server.terminate();
        let status = self.server.ended(SOON).await;
        assert!(status.success(), "{status}");
        self.start_again().await;
    }

    /// Registers a worker; its id.
    pub async fn register(&self, name: &str) -> i64 {
        self.register_as(name, "worker_pool").await
    }

    /// Registers a component of a kind; its id.
    pub async fn register_as(&self, name: &str, kind: &str) -> i64 {
        let body = json!({"name": name, "component_type": kind});
        let row = self.post("/api/worker/pool/register", &body).await.ok();
        row["runtime_id"].as_i64().expect("an id")
    }

    /// Sends a report.
    pub async fn report(&self, component: &str, metrics: Value) -> Answer {
        let body = json!({"component_name": component, "metrics": metrics});
        self.post("/api/metrics/report", &body).await
    }

    /// Stored samples, newest first.
    pub async fn query(&self, parameters: &str) -> Vec<Value> {
        let reply = self.get(&format!("/api/metrics/query?{parameters}")).await.ok();
        reply["metrics"].as_array().expect("a list").clone()
    }

    /// The exposition, checked.
    pub async fn export(&self) -> Exposition {
        self.export_of("").await
    }

    /// The exposition with query parameters, checked.
    pub async fn export_of(&self, parameters: &str) -> Exposition {
        let answer = self.get(&format!("/api/metrics/prometheus{parameters}")).await.expect(200);
        Exposition::checked(answer.text())
    }

    /// Runs a statement of SQL; the rows that it changed.
    pub async fn run(&self, sql: impl Into<String>) -> u64 {
        let sql = sql.into();
        let done = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.clone())).execute(&self.database.pool).await;
        done.unwrap_or_else(|e| panic!("{sql}: {e}")).rows_affected()
    }

    /// What the database says to a statement that it refuses.
    pub async fn refused(&self, sql: impl Into<String>) -> String {
        let done = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.into())).execute(&self.database.pool).await;
        done.expect_err("refused").to_string()
    }

    /// The first column of the first row.
    pub async fn value<T>(&self, sql: impl Into<String>) -> T
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
    {
        let sql = sql.into();
        let row = sqlx::query_scalar(sqlx::AssertSqlSafe(sql.clone())).fetch_one(&self.database.pool).await;
        row.unwrap_or_else(|e| panic!("{sql}: {e}"))
    }

    /// The first column of all rows.
    pub async fn column<T>(&self, sql: impl Into<String>) -> Vec<T>
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
    {
        self.database.column(sql).await
    }
}

/// Asks again and again until there is an answer; panics when `within` is over.
#[track_caller]
pub fn eventually<T>(
    what: &str,
    within: Duration,
    mut ask: impl AsyncFnMut() -> Option<T>,
) -> impl Future<Output = T> {
    let place = std::panic::Location::caller();
    async move {
        let deadline = Instant::now() + within;
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            assert!(Instant::now() < deadline, "{place}: within {within:?} it was not so that {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Sends a signal to a process.
pub fn signal(name: &str, pid: u32) {
    let sent = Command::new("kill").args(["-s", name, &pid.to_string()]).status();
    assert!(sent.is_ok_and(|s| s.success()), "kill -s {name} {pid}");
}

/// A gauge without timestamp or labels.
pub fn gauge(name: &str, value: f64) -> Value {
    json!({"metric_name": name, "metric_type": "gauge", "metric_value": value})
}

/// A gauge at a time, in milliseconds since 1970.
pub fn gauge_at(name: &str, value: f64, at: i64) -> Value {
    json!({"metric_name": name, "metric_type": "gauge", "metric_value": value, "timestamp": time(at)})
}

/// Milliseconds since 1970.
pub fn now() -> i64 {
    Millis::now().0
}

/// RFC 3339.
pub fn time(at: i64) -> String {
    Millis(at).rfc3339()
}
