//! NoETL's own database, shared: its table `noetl.runtime` is read and never written.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use http::Method;
use serde_json::json;

use crate::harness::{Cluster, Contract, Database, NOETL_RUNTIME, SOON, eventually, gauge};
use crate::report::component;

const REGISTER: &str = "/api/worker/pool/register";
const HEARTBEAT: &str = "/api/worker/pool/heartbeat";
const DEREGISTER: &str = "/api/worker/pool/deregister";

/// The table as it was until October 2025.
const OLDER: &str = "create schema noetl; create table noetl.runtime (
    runtime_id bigint primary key, name text not null,
    component_type text not null check (component_type in ('worker_pool', 'server_api', 'broker')),
    base_url text, status text not null, labels jsonb, capabilities jsonb, capacity integer,
    runtime jsonb, last_heartbeat timestamptz not null default now(),
    created_at timestamptz not null default now(), updated_at timestamptz not null default now());
    create unique index idx_runtime_component_name on noetl.runtime (component_type, name);
    insert into noetl.runtime (runtime_id, name, component_type, base_url, status, runtime)
    values (42, 'w', 'worker_pool', 'http://w', 'ready', '{\"type\": \"cpu\"}')";

/// Every byte of NoETL's table.
const ROWS: &str =
    "select coalesce(string_agg(r::text, e'\\n' order by runtime_id), '') from noetl.runtime r";

async fn noetl(made: &'static str) -> Database {
    let database = Cluster::shared().empty_database().await;
    sqlx::raw_sql(made).execute(&database.pool).await.unwrap();
    database
}

async fn shared(made: &'static str, flags: &[&str]) -> Contract {
    let flags = [&["--runtime", "shared"], flags].concat();
    let contract = Contract::on(noetl(made).await, &flags).await;
    contract.ready().await;
    contract
}

#[tokio::test]
async fn a_whole_life_goes_on_and_leaves_no_trace_in_noetl_s_table() {
    for made in [NOETL_RUNTIME, OLDER] {
        let contract = shared(made, &["--stale-after", "1s"]).await;
        let before = contract.value::<String>(ROWS).await;
        // A worker of NoETL's: it reports, registers here too, is heard, falls silent, leaves.
        assert_eq!(contract.report("w", json!([gauge("m", 1.0)])).await.ok()["runtime_id"], 42);
        let body =
            json!({"name": "w", "component_type": "worker_pool", "status": "busy", "runtime": "other"});
        let row = contract.post(REGISTER, &body).await.ok();
        assert_eq!((row["runtime_id"].as_i64(), row["status"].as_str()), (Some(42), Some("ready")));
        contract.post(HEARTBEAT, &json!({"name": "w"})).await.ok();
        eventually("it is silent", SOON, async || {
            (component(&contract, "w").await["status"] == "silent").then_some(())
        })
        .await;
        contract.post(HEARTBEAT, &json!({"name": "w"})).await.ok();
        contract.post(DEREGISTER, &json!({"name": "w"})).await.ok();
        // Kinds that its CHECK does not take have rows of ours.
        let node = contract.register_as("n", "node_agent").await;
        contract.report("n", json!([gauge("m", 2.0)])).await.ok();
        contract.post(HEARTBEAT, &json!({"name": "n"})).await.ok();
        let own =
            contract.value::<i64>("select runtime_id from noetl_metrics.runtime where name = 'n'").await;
        assert_eq!(own, node);
        assert_eq!(
            contract.value::<String>(ROWS).await,
            before,
            "NoETL's rows are byte for byte as they were"
        );
        let listed = contract.get("/api/worker/pools").await.ok();
        let names: Vec<_> =
            listed.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
        assert!(names.contains(&"w") && names.contains(&"n"), "{names:?}");
        // NoETL purges its worker: nothing stands in the way, and the history stays.
        assert_eq!(contract.run("delete from noetl.runtime where runtime_id = 42").await, 1);
        assert_eq!(contract.query("component_name=w").await.len(), 1);
        assert_eq!(
            contract.value::<i64>("select count(*) from noetl.metrics where runtime_id = 42").await,
            1,
            "by SQL too"
        );
    }
}

#[tokio::test]
async fn a_table_that_noetl_made_keeps_noetl_s_word_on_status() {
    // Without the flag: whoever made the table keeps it.
    let contract = Contract::on(noetl(NOETL_RUNTIME).await, &["--stale-after", "1s"]).await;
    contract.ready().await;
    assert_eq!(contract.report("w", json!([gauge("m", 1.0)])).await.ok()["runtime_id"], 42);
    eventually("it is silent", SOON, async || {
        (component(&contract, "w").await["status"] == "silent").then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    let row = "select status || (runtime->>'worker_public_key') from noetl.runtime where runtime_id = 42";
    assert_eq!(contract.value::<String>(row).await, "readyk");
    contract.run("update noetl.runtime set status = 'offline' where runtime_id = 42").await;
    contract.report("w", json!([gauge("m", 2.0)])).await.ok();
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(contract.value::<String>(row).await, "offlinek");
    // NoETL purges the row: no foreign key of ours stands in its way, and the history stays.
    contract.run("delete from noetl.runtime where runtime_id = 42").await;
    assert_eq!(contract.query("metric_name=m").await.len(), 2);
}

#[tokio::test]
async fn a_worker_that_noetl_registers_or_purges_is_noticed() {
    let contract = shared(NOETL_RUNTIME, &["--stale-after", "2s"]).await;
    let late = json!([gauge("m", 1.0)]);
    contract.report("late", late.clone()).await.problem(404, "unknown-component");
    contract
        .run("insert into noetl.runtime (runtime_id, name, kind, status) values (43, 'late', 'worker_pool', 'ready')")
        .await;
    assert_eq!(contract.report("late", late.clone()).await.ok()["runtime_id"], 43);
    contract.run("delete from noetl.runtime where runtime_id = 43").await;
    eventually("it is forgotten", SOON, async || {
        (contract.post(HEARTBEAT, &json!({"name": "late"})).await.status == 404).then_some(())
    })
    .await;
    // It comes back under a new id and goes on with its series.
    contract
        .run("insert into noetl.runtime (runtime_id, name, kind, status) values (44, 'late', 'worker_pool', 'ready')")
        .await;
    assert_eq!(contract.report("late", late).await.ok()["runtime_id"], 44);
    assert_eq!(
        contract.value::<i64>("select count(*) from noetl_metrics.series where metric_name = 'm'").await,
        1
    );
}

#[tokio::test]
async fn noetl_may_change_and_drop_its_own_table() {
    let contract = shared(NOETL_RUNTIME, &["--stale-after", "2s"]).await;
    contract.report("w", json!([gauge("m", 1.0)])).await.ok();
    // What a view of ours on it would forbid.
    contract.run("alter table noetl.runtime alter column status type varchar(20)").await;
    contract.run("alter table noetl.runtime rename column heartbeat to last_heartbeat").await;
    contract.report("w", json!([gauge("m", 2.0)])).await.ok();
    let listed = contract.get("/api/worker/pools?name=w").await.ok();
    assert_eq!(listed.as_array().unwrap().iter().filter(|row| row["name"] == "w").count(), 1);
    contract.run("drop table noetl.runtime").await;
    let node = contract.register_as("n", "node_agent").await;
    assert!(node > 0);
    contract.report("n", json!([gauge("m", 3.0)])).await.ok();
    assert_eq!(contract.query("metric_name=m").await.len(), 3);
}

async fn migrate(database: &Database, flags: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_noetl-metrics"));
    command
        .args(["migrate", "--database-url", &database.url])
        .args(flags)
        .env_clear()
        .envs(crate::harness::clock());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = crate::harness::spawn(command);
    tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_table_that_is_another_s_than_said_is_an_error_that_says_what_to_do() {
    let ours = Cluster::shared().database().await;
    let theirs = noetl(NOETL_RUNTIME).await;
    let empty = Cluster::shared().empty_database().await;
    for (database, owner, wanted) in [
        (&theirs, "own", "--runtime shared"),
        (&ours, "shared", "--runtime own"),
        (&empty, "shared", "no table noetl.runtime"),
    ] {
        let output = migrate(database, &["--runtime", owner]).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(wanted), "{owner}: {said}");
    }
    for (database, owner) in [(&theirs, "shared"), (&ours, "own"), (&empty, "own")] {
        let output = migrate(database, &["--runtime", owner]).await;
        assert!(output.status.success(), "{owner}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[tokio::test]
async fn the_role_of_the_example_is_enough_and_can_write_nothing_of_noetl_s() {
    let mut database = noetl(NOETL_RUNTIME).await;
    // Roles are the whole cluster's: one for each run of this test.
    let role = format!("noetl_metrics_{}", database.name);
    let example = include_str!("../../docs/examples/shared-database-role.sql");
    let example = example
        .replace("create role noetl_metrics ", &format!("create role {role} "))
        .replace("authorization noetl_metrics", &format!("authorization {role}"))
        .replace("to noetl_metrics", &format!("to {role}"));
    sqlx::raw_sql(sqlx::AssertSqlSafe(example)).execute(&database.pool).await.unwrap();
    database.url = database.url.replace("postgres@", &format!("{role}@"));
    let contract = Contract::on(database, &["--runtime", "shared", "--stale-after", "2s"]).await;
    contract.ready().await;
    contract.run(format!("revoke create on database {} from {role}", contract.database.name)).await;
    contract.report("w", json!([gauge("m", 1.0)])).await.ok();
    contract.register_as("n", "node_agent").await;
    contract.report("n", json!([gauge("m", 1.0)])).await.ok();
    let send =
        contract.send(Method::POST, "/api/metrics/partitions/create?days_ahead=1", &[], Vec::new()).await;
    assert_eq!(send.status, 200, "{}", send.text());
    assert_eq!(contract.query("metric_name=m").await.len(), 2);
    for (privilege, allowed) in [("select", true), ("insert", false), ("update", false), ("delete", false)] {
        let sql = format!("select has_table_privilege('{role}', 'noetl.runtime', '{privilege}')");
        assert_eq!(contract.value::<bool>(sql).await, allowed, "{privilege}");
    }
}

#[tokio::test]
async fn a_right_that_is_missing_is_named_with_the_statement_that_grants_it() {
    let mut database = noetl(NOETL_RUNTIME).await;
    let role = format!("no_rights_{}", database.name);
    let make = format!(
        "create role {role} login; create schema noetl_metrics authorization {role}; \
         grant usage, create on schema noetl to {role}; grant create on database {} to {role}",
        database.name
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(make)).execute(&database.pool).await.unwrap();
    database.url = database.url.replace("postgres@", &format!("{role}@"));
    let contract = Contract::on(database, &[]).await;
    let wanted = format!("grant select on noetl.runtime to {role}");
    eventually("it is named", SOON, async || {
        let text = contract.get("/readyz?verbose").await.text().to_owned();
        text.contains(&wanted).then_some(())
    })
    .await;
    contract.run(wanted).await;
    tokio::time::timeout(Duration::from_mins(1), contract.ready()).await.expect("it goes on by itself");
}
