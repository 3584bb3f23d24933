//! All that is stored is sent on by remote write: what is late too, what was stored while the other
//! side or the server was away, and nothing that was acknowledged is left out.

mod handover;
mod pauses;
mod seen;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{
    Cluster, Contract, Exposition, SOON, Store, eventually, free_port, gauge, gauge_at, now,
};
use crate::maintenance::maintain;

const HOUR: i64 = 3_600_000;
/// Late samples are looked for every five seconds.
const A_LOOK: Duration = Duration::from_mins(1);

/// All stored samples of component `w`, as texts: metric, label `n`, time, value. Values are whole.
async fn stored(contract: &Contract) -> BTreeSet<String> {
    let sql = "select concat_ws('|', m.metric_name, coalesce(m.labels->>'n', ''), \
                 (extract(epoch from m.\"timestamp\") * 1000)::bigint, m.metric_value::bigint) \
               from noetl.metrics m join noetl.runtime r using (runtime_id) where r.name = 'w'";
    contract.column::<String>(sql).await.into_iter().collect()
}

/// The same of what a store has, which has all labels.
fn taken(store: &Store) -> BTreeSet<String> {
    let samples = store.samples();
    let of_w = samples.iter().filter(|((labels, _), _)| labels["component"] == "w");
    let text = |((labels, at), value): (&(crate::harness::Labels, i64), &f64)| {
        assert_eq!(labels["component_type"], "worker_pool");
        let n = labels.get("n").map_or("", String::as_str);
        format!("{}|{n}|{at}|{value:.0}", labels["__name__"])
    };
    of_w.map(text).collect()
}

/// Waits until a store has all that is stored; how many samples that are.
async fn has_all(contract: &Contract, store: &Store) -> usize {
    let all = stored(contract).await;
    eventually("the store has all", A_LOOK, async || all.is_subset(&taken(store)).then_some(())).await;
    assert_eq!(taken(store), all, "and nothing else");
    all.len()
}

async fn number(contract: &Contract, metric: &str, target: &str) -> Option<f64> {
    let own = Exposition::checked(contract.get("/metrics").await.expect(200).text());
    own.get(&format!("noetl_metrics_forward_{metric}"), &[("target", target)])?.parse().ok()
}

async fn counts(contract: &Contract, metric: &str, target: &str, least: f64) {
    eventually(metric, SOON, async || (number(contract, metric, target).await? >= least).then_some(())).await;
}

fn flag(name: &str, url: &str) -> String {
    format!("--forward-url={name}={url}")
}

/// So many gauges of one time, of which each has another label.
fn many(metric: &str, samples: usize, value: f64) -> serde_json::Value {
    let one = |n: usize| {
        let mut one = gauge(metric, value);
        one["labels"] = json!({"n": n.to_string()});
        one
    };
    (0..samples).map(one).collect()
}

#[tokio::test]
async fn what_is_stored_is_sent_on_late_or_not_and_by_whomever() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "hush-hush\n").unwrap();
    let headers = folder.path().join("headers");
    std::fs::write(&headers, "X-Scope-OrgID: tenant\n").unwrap();
    let store = Store::start().await;
    let contract = Contract::with(&[
        &flag("other", &store.url()),
        &format!("--forward-token-file=other={}", token.display()),
        &format!("--forward-headers-file={}", headers.display()),
    ])
    .await;
    let id = contract.register("w").await;
    contract.report("w", many("m", 20, 1.0)).await.ok();
    contract.report("w", json!([gauge("one", 2.0)])).await.ok();
    let began = Instant::now();
    eventually("what is in time is there at once", SOON, async || (taken(&store).len() == 21).then_some(()))
        .await;
    assert!(began.elapsed() < SOON);
    // Of days ago, one that replaces another, and one by SQL.
    contract.report("w", json!([gauge_at("one", 3.0, now() - 50 * HOUR)])).await.ok();
    let at = now() - 70_000;
    contract.report("w", json!([gauge_at("one", 4.0, at)])).await.ok();
    contract.report("w", json!([gauge_at("one", 5.0, at)])).await.ok();
    contract
        .run(format!(
            "insert into noetl.metrics (runtime_id, metric_name, metric_type, metric_value) \
             values ({id}, 'by_sql', 'gauge', 6)"
        ))
        .await;
    assert_eq!(has_all(&contract, &store).await, 24);
    counts(&contract, "samples_sent_total", "other", 24.0).await;
    for metric in ["samples_failed_total", "samples_retried_total", "samples_dropped_total", "gaps_total"] {
        assert_eq!(number(&contract, metric, "other").await, Some(0.0), "{metric}");
    }
    let (_, headers) = store.requests().pop().unwrap();
    for (name, value) in [
        ("authorization", "Bearer hush-hush"),
        ("x-scope-orgid", "tenant"),
        ("content-encoding", "snappy"),
        ("x-prometheus-remote-write-version", "0.1.0"),
    ] {
        assert_eq!(headers[name], value);
    }
    assert!(!contract.server.logged(&["hush-hush"]) && !contract.server.logged(&[store.url().as_str()]));
}

/// Nothing that was acknowledged is left out, whatever happens to the server and the other side; and
/// one that is away does not hold up another one.
#[tokio::test]
async fn a_target_that_was_away_gets_all_also_from_a_server_that_was_killed() {
    let there = Store::start().await;
    let address = format!("127.0.0.1:{}", free_port());
    let flags = [flag("there", &there.url()), flag("away", &format!("http://{address}/api/v1/write"))];
    let mut contract = Contract::with(&[&flags[0], &flags[1]]).await;
    contract.register("w").await;
    for turn in 0..3 {
        contract.report("w", many("m", 40, f64::from(turn))).await.ok();
        contract.report("w", json!([gauge("lone", f64::from(turn))])).await.ok();
        has_all(&contract, &there).await;
        contract.report("w", json!([gauge_at("late", 1.0, now() - 5 * HOUR + i64::from(turn))])).await.ok();
        // What was acknowledged a moment ago is in nobody's memory any more.
        contract.server.kill();
        contract.start_again().await;
    }
    counts(&contract, "samples_failed_total", "away", 1.0).await;
    // Late samples are brought into their hour, which says nothing of when they were stored.
    let merged = maintain(&contract, &["--retention-raw", "90d"]).await;
    assert_eq!(merged["merged_samples"], 3, "{merged}");
    assert_eq!(number(&contract, "reading_database", "away").await, Some(1.0));
    let away = Store::start_at(&address).await;
    away.answer(500, &[]);
    counts(&contract, "samples_retried_total", "away", 1.0).await;
    away.answer(200, &[]);
    assert_eq!(has_all(&contract, &away).await, 3 * 42);
    assert_eq!(has_all(&contract, &there).await, 3 * 42);
    eventually("it is brought up", SOON, async || {
        (number(&contract, "reading_database", "away").await? == 0.0).then_some(())
    })
    .await;
    // From now on by memory, in time.
    contract.report("w", json!([gauge("lone", 9.0)])).await.ok();
    has_all(&contract, &away).await;
    for target in ["there", "away"] {
        assert_eq!(number(&contract, "samples_dropped_total", target).await, Some(0.0));
        assert!(number(&contract, "lag_seconds", target).await.is_some_and(|lag| lag < 10.0));
    }
}

#[tokio::test]
async fn samples_that_are_refused_for_good_are_counted_and_others_go_on() {
    let store = Store::start().await;
    store.answer(400, &[]);
    let contract = Contract::with(&[&flag("t", &store.url())]).await;
    contract.register("w").await;
    // While it is brought up it may be sent what comes twice: by the database and from memory.
    eventually("it is brought up", SOON, async || {
        (number(&contract, "reading_database", "t").await? == 0.0).then_some(())
    })
    .await;
    contract.report("w", many("m", 10, 1.0)).await.ok();
    counts(&contract, "samples_dropped_total", "t", 10.0).await;
    contract.server.says(&["samples were refused", "told so"]).await;
    store.answer(200, &[]);
    contract.report("w", json!([gauge("one", 2.0)])).await.ok();
    eventually("the next one is there", SOON, async || {
        taken(&store).iter().any(|sample| sample.starts_with("one|")).then_some(())
    })
    .await;
}

/// Whether a commit that had no answer was one is not known: the database is asked.
#[tokio::test]
async fn after_a_commit_without_an_answer_the_database_is_read() {
    let store = Store::start().await;
    let contract = Contract::with(&[&flag("t", &store.url())]).await;
    contract.register("w").await;
    contract.report("w", many("m", 10, 1.0)).await.ok();
    has_all(&contract, &store).await;
    let mut lock = contract.database.pool.begin().await.unwrap();
    sqlx::raw_sql("lock table noetl_metrics.block in access exclusive mode")
        .execute(&mut *lock)
        .await
        .unwrap();
    contract.report("w", many("m", 10, 2.0)).await.expect(503);
    // Somebody else's transaction that began before, and ends after.
    lock.commit().await.unwrap();
    counts(&contract, "gaps_total", "t", 1.0).await;
    contract.report("w", many("m", 10, 3.0)).await.ok();
    has_all(&contract, &store).await;
}

/// A transaction of SQL may end long after it began, when its time is past.
#[tokio::test]
async fn what_a_long_transaction_inserts_is_not_passed_over() {
    let store = Store::start().await;
    let mut contract = Contract::with(&[&flag("t", &store.url())]).await;
    let id = contract.register("w").await;
    let mut long = contract.database.pool.begin().await.unwrap();
    let insert = format!(
        "insert into noetl.metrics (runtime_id, metric_name, metric_type, metric_value) values ({id}, 'long', 'gauge', 1)"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(insert)).execute(&mut *long).await.unwrap();
    contract.report("w", many("m", 10, 1.0)).await.ok();
    has_all(&contract, &store).await;
    // The place moves on meanwhile, and is kept.
    contract.restart().await;
    contract.report("w", many("m", 10, 2.0)).await.ok();
    has_all(&contract, &store).await;
    long.commit().await.unwrap();
    assert!(stored(&contract).await.iter().any(|one| one.starts_with("long|")));
    has_all(&contract, &store).await;
}

/// In a database that was restored the numbers of transactions are others: then the time counts.
#[tokio::test]
async fn a_place_of_another_database_counts_by_its_time() {
    let store = Store::start().await;
    let database = Cluster::shared().database().await;
    let flags = [flag("t", &store.url())];
    let mut contract = Contract::on(database, &[&flags[0]]).await;
    contract.ready().await;
    contract.register("w").await;
    contract.report("w", many("m", 10, 1.0)).await.ok();
    has_all(&contract, &store).await;
    contract.server.terminate();
    contract.server.ended(SOON).await;
    // As a dump says it: the row is another transaction's now, whose number is far below.
    contract.run("update noetl_metrics.forward_target set since_xid = since_xid + 1000000000").await;
    let store = Store::start().await;
    contract = Contract::on(contract.database, &[&flag("t", &store.url())]).await;
    contract.ready().await;
    // Those of the open hour are sent again.
    assert_eq!(has_all(&contract, &store).await, 10);
}

#[tokio::test]
async fn wrong_flags_are_named() {
    for (flags, said) in [
        (vec!["--forward-url=ftp://h"], "--forward-url"),
        (vec!["--forward-url=http://h", "--forward-token-file=/nowhere"], "--forward-token-file /nowhere"),
        (vec!["--forward-url=https://h", "--forward-ca-file=/nowhere"], "--forward-ca-file"),
        (vec!["--forward-token-file=/nowhere"], "--forward-url"),
    ] {
        let ended = std::process::Command::new(env!("CARGO_BIN_EXE_noetl-metrics"))
            .args(["server", "--listen=127.0.0.1:0", "--database-url=postgres://127.0.0.1:1/none"])
            .args(&flags)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&ended.stderr);
        assert!(!ended.status.success() && text.contains(said), "{flags:?}: {text}");
    }
}
