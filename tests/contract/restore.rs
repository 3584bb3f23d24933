//! The database is put back from a dump while servers run: they notice, and go on with what it has.

use std::path::Path;
use std::process::{Command, Stdio};

use http::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Contract, Database, SOON, eventually, gauge, programs};

/// One of PostgreSQL's programs, which has to succeed.
async fn run(program: &str, args: &[&str]) {
    let mut command = Command::new(programs().join(program));
    command.args(args).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Dumps a database as docs/reliability.md says.
async fn dump(database: &Database, file: &Path) {
    run("pg_dump", &["--format=custom", "--file", file.to_str().unwrap(), &database.url]).await;
}

/// Puts it back in another database, which then takes the place of the first.
async fn put_back(database: &Database, file: &Path) {
    let admin = Database::at(database.url.replace(&database.name, "postgres"));
    let (name, next) = (&database.name, format!("{}_next", database.name));
    let sql = async |sql: String| {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&admin.pool).await.unwrap();
    };
    sql(format!("create database {next} template template0")).await;
    let url = database.url.replace(name.as_str(), &next);
    run("pg_restore", &["--single-transaction", "--dbname", &url, file.to_str().unwrap()]).await;
    sql(format!("alter database {name} allow_connections false")).await;
    sql(format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'")).await;
    eventually("its connections are gone", SOON, async || {
        let left = format!("select count(*) from pg_stat_activity where datname = '{name}'");
        (admin.column::<i64>(left).await == [0]).then_some(())
    })
    .await;
    sql(format!("alter database {name} rename to {name}_former")).await;
    sql(format!("alter database {next} rename to {name}")).await;
}

/// Sends until it is taken; until then all that may be said is that the database is not there.
async fn taken(contract: &Contract, path: &str, body: &Value) -> Answer {
    let headers = [("content-type", "application/json")];
    eventually("it is taken", SOON * 2, async || {
        let sent = contract.try_send(Method::POST, path, &headers, body.to_string().into_bytes()).await;
        let answer = sent.unwrap();
        if answer.status == 503 {
            assert!(answer.headers.contains_key("retry-after"), "{}", answer.text());
            return None;
        }
        Some(answer)
    })
    .await
}

#[tokio::test]
async fn a_database_that_was_put_back_is_noticed_and_nothing_is_mixed_up() {
    let contract = Contract::start().await;
    contract.register("w").await;
    contract.report("w", json!([gauge("old", 1.0)])).await.ok();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dump");
    dump(&contract.database, &file).await;
    // What the dump does not have: series and a component.
    contract.register("late").await;
    contract.report("late", json!([gauge("lost", 1.0)])).await.ok();
    contract.report("w", json!([gauge("known", 2.0), gauge("old", 2.0)])).await.ok();
    contract.database.pool.close().await;
    put_back(&contract.database, &file).await;

    let report = "/api/metrics/report";
    let body = |component: &str, metrics: Value| json!({"component_name": component, "metrics": metrics});
    // Series that only the server's memory knows, and new ones that could get their ids.
    taken(&contract, report, &body("w", json!([gauge("known", 3.0)]))).await.ok();
    taken(&contract, report, &body("w", json!([gauge("fresh", 4.0), gauge("newer", 5.0)]))).await.ok();
    taken(&contract, report, &body("late", json!([gauge("lost", 6.0)])))
        .await
        .problem(404, "unknown-component");
    taken(&contract, "/api/worker/pool/register", &json!({"name": "late"})).await.ok();
    taken(&contract, report, &body("late", json!([gauge("lost", 7.0)]))).await.ok();

    let now = Database::at(contract.database.url.clone());
    let rows: Vec<String> = now
        .column("select metric_name || ' ' || metric_value from noetl.metrics where metric_name !~ '^noetl' order by 1")
        .await;
    assert_eq!(rows, ["fresh 4", "known 3", "lost 7", "newer 5", "old 1"]);
    let export = contract.export().await;
    let exported = ["fresh", "known", "lost", "newer", "old"].map(|name| export.get(name, &[]));
    assert_eq!(exported, [Some("4"), Some("3"), Some("7"), Some("5"), Some("1")]);
}
