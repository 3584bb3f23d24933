//! Tables `noetl.metrics` and `noetl.metric` that were there before: nothing of them is lost.

use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::harness::{Cluster, Contract, Database, NOETL_RUNTIME, eventually, gauge};

/// The documented table.
const DOCUMENTED: &str = "create table noetl.metrics (
    metric_id bigint primary key, runtime_id bigint references noetl.runtime (runtime_id) on delete cascade,
    metric_name varchar(255) not null, metric_type varchar(50) not null, metric_value double precision not null,
    labels jsonb, help_text text, unit varchar(50), timestamp timestamptz not null,
    created_at timestamptz default now())";

/// The table at its birth, by the day.
const BY_THE_DAY: &str = "create table noetl.metric (
    metric_id bigserial, runtime_id bigint not null references noetl.runtime (runtime_id) on delete cascade,
    metric_name text not null, metric_type text not null, metric_value double precision not null,
    labels jsonb, help_text text, unit text, timestamp timestamptz not null default now(),
    created_at timestamptz not null default now(),
    expires_at timestamptz not null default now() + interval '1 day',
    primary key (metric_id, created_at)) partition by range (created_at);
    create table noetl.metric_2026_01_01 partition of noetl.metric for values from ('2026-01-01') to ('2026-01-02');
    create table noetl.metric_2026_01_02 partition of noetl.metric for values from ('2026-01-02') to ('2026-01-03')";

/// The table at its end: the time of a sample is that of its row, in UTC without saying so.
const AT_THE_END: &str = "create table noetl.metric (
    metric_id bigint primary key, runtime_id bigint not null, metric_name text not null, metric_type text not null,
    metric_value double precision not null, labels jsonb, help_text text, unit text,
    created_at timestamp without time zone not null default current_timestamp)";

async fn database(tables: &str) -> Database {
    let database = Cluster::shared().empty_database().await;
    let made = format!("{NOETL_RUNTIME}; {tables}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(made)).execute(&database.pool).await.unwrap();
    database
}

fn command(database: &Database) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--", env!("CARGO_BIN_EXE_noetl-metrics"), "migrate"])
        .args(["--database-url", &database.url])
        .env_clear()
        .envs(crate::harness::clock())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

async fn ended(child: Child) -> Output {
    tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap()
}

/// Runs `migrate` to its end; what it said.
async fn migrate(database: &Database) -> String {
    let output = ended(crate::harness::spawn(command(database))).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Rows of a table or view, each as text that is the same before and after.
async fn rows(database: &Database, table: &str, at: &str) -> Vec<String> {
    database
        .column(format!(
            "select concat_ws('|', runtime_id, metric_name, metric_type, metric_value, labels, unit, {at}) from {table} order by 1"
        ))
        .await
}

#[tokio::test]
async fn each_form_is_read_through_the_view_afterwards() {
    let many = "select n, 42, 'depth_' || n % 3, 'gauge', n / 8.0, jsonb_build_object('queue', n % 5), 'Depth.', 'items', \
                timestamptz '2026-01-01 12:00Z' + n * interval '7 s' from generate_series(1, 5000) n";
    let columns = "(metric_id, runtime_id, metric_name, metric_type, metric_value, labels, help_text, unit, ";
    for (made, table, more) in [
        (DOCUMENTED, "noetl.metrics", format!("{columns} timestamp) {many}")),
        (
            BY_THE_DAY,
            "noetl.metric",
            format!(
                "{columns} timestamp, created_at) select m.*, m.at from ({many}) m(a, b, c, d, e, f, g, h, at)"
            ),
        ),
        (
            AT_THE_END,
            "noetl.metric",
            format!(
                "{columns} created_at) select a, b, c, d, e, f, g, h, at at time zone 'UTC' from ({many}) m(a, b, c, d, e, f, g, h, at)"
            ),
        ),
    ] {
        let database = database(&format!("{made}; insert into {table} {more}")).await;
        let at = if made == AT_THE_END { "(created_at at time zone 'UTC')" } else { "timestamp" };
        // Label values are text afterwards, as in every exposition.
        let labels = |row: &String| row.replace("\"queue\": ", "\"queue\": \"").replace('}', "\"}");
        let before: Vec<String> = rows(&database, table, at).await.iter().map(labels).collect();
        assert_eq!(before.len(), 5000);
        let said = migrate(&database).await;
        assert!(said.contains("copied 5000 rows"), "{said}");
        let mut sorted = before.clone();
        sorted.sort();
        let mut after = rows(&database, "noetl.metrics", "timestamp").await;
        after.sort();
        assert_eq!(after, sorted, "{table}");
        // NoETL purges the worker: no foreign key takes the rows along.
        sqlx::raw_sql("delete from noetl.runtime").execute(&database.pool).await.unwrap();
        let aside = table.replace("noetl.", "noetl_metrics.adopted_");
        let left: Vec<i64> = database.column(format!("select count(*) from {aside}")).await;
        assert_eq!(left, [5000], "the table itself is left as it is");
        assert!(migrate(&database).await.contains("up to date"), "a second time there is nothing to do");
    }
}

#[tokio::test]
async fn what_cannot_be_kept_is_counted_with_its_reason_and_stays_where_it_is() {
    let bad = "insert into noetl.metrics values
        (1, 42, 'good', 'gauge', 1, '{\"a-b\": \"x\", \"n\": 1}', null, null, '2026-01-01Z'),
        (2, 42, 'two words', 'gauge', 1, null, null, null, '2026-01-01Z'),
        (3, 42, 'strange', 'thermometer', 1, null, null, null, '2026-01-01Z'),
        (4, 42, 'list', 'gauge', 1, '[1]', null, null, '2026-01-01Z'),
        (5, 42, 'good', 'counter', 1, null, null, null, '2026-01-01Z'),
        (6, 42, 'old', 'gauge', 1, null, null, null, '1960-01-01Z'),
        (7, 42, 'nan', 'GAUGE', 'NaN', null, null, null, '2026-01-01Z'),
        (8, null, 'nobody', 'gauge', 8, null, null, null, '2026-01-01Z'),
        (9, 42, 'good', 'gauge', 2, '{\"a-b\": \"x\", \"n\": 1}', null, null, '2026-01-02Z')";
    let database = database(&format!("{DOCUMENTED}; {bad}")).await;
    let said = migrate(&database).await;
    assert!(said.contains("copied 4 rows; 5 can't be kept"), "{said}");
    let kept: Vec<String> = database
        .column("select concat_ws('|', metric_name, metric_value, labels) from noetl.metrics order by metric_name, metric_value")
        .await;
    let labels = r#"{"n": "1", "a_b": "x"}"#;
    assert_eq!(
        kept,
        [format!("good|1|{labels}"), format!("good|2|{labels}"), "nan|NaN".into(), "nobody|8".into()]
    );
    let whose: Vec<String> =
        database.column("select component_name from noetl_metrics.series where metric_name = 'nobody'").await;
    assert_eq!(whose, ["runtime-unknown"]);
}

#[tokio::test]
async fn it_goes_on_where_a_kill_ended_it_and_nothing_is_double() {
    // Each page takes some 60 rows, each step 400 pages.
    let many = "insert into noetl.metrics select n, 42, 'depth', 'gauge', n, null, repeat('x', 100), null, \
                timestamptz '2026-01-01Z' + n * interval '1 s' from generate_series(1, 120000) n";
    let database = database(&format!("{DOCUMENTED}; {many}")).await;
    let mut child = crate::harness::spawn(command(&database));
    let adopted = "select coalesce(sum(adopted), 0)::bigint from noetl_metrics.adoption";
    eventually("some are copied", Duration::from_mins(1), async || {
        let there: Vec<bool> =
            database.column("select to_regclass('noetl_metrics.adoption') is not null").await;
        (there == [true] && database.column::<i64>(adopted).await[0] > 0).then_some(())
    })
    .await;
    child.kill().unwrap();
    child.wait().unwrap();
    let done = database.column::<i64>(adopted).await[0];
    assert!(done > 0 && done < 120_000, "{done} rows were copied at the kill");
    // A server does the rest, beside its own work.
    let contract = Contract::on(database, &[]).await;
    contract.ready().await;
    contract.report("w", json!([gauge("depth", 1.0)])).await.ok();
    eventually("all are copied", Duration::from_mins(2), async || {
        let open = "select count(*) from noetl_metrics.adoption where finished_at is null";
        (contract.value::<i64>(open).await == 0).then_some(())
    })
    .await;
    let sums = "select concat_ws('|', count(*), count(distinct timestamp), sum(metric_value)) from noetl.metrics \
                where metric_name = 'depth' and timestamp < '2026-02-01Z'";
    assert_eq!(contract.value::<String>(sums).await, format!("120000|120000|{}", 120_000_u64 * 120_001 / 2));
}
