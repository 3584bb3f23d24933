//! Runs that died: what they began is finished, or undone, and nobody waits for them.

use serde_json::json;

use super::{
    DAY, HOUR, command, detaching, is_sealed, maintain, old_sample, partition, partitions, shown, tables,
};
use crate::harness::{Contract, SOON, eventually, gauge, gauge_at, now, time};
use crate::report::values;

/// Ends the connection that detaches a partition, as the end of its client would in time.
async fn end_detaching(contract: &Contract) {
    contract
        .run("select pg_terminate_backend(pid) from pg_stat_activity where state = 'active' and query like 'alter table % detach partition %' and datname = current_database()")
        .await;
}

/// Kills a run of retention in the middle of a detach, which a reader keeps from being done.
async fn killed_while_it_detaches(contract: &Contract) {
    let mut reader = contract.database.pool.begin().await.unwrap();
    sqlx::raw_sql("select count(*) from noetl_metrics.sample").execute(&mut *reader).await.unwrap();
    let mut killed = crate::harness::spawn(command(contract, &["--retention-raw", "1d"]));
    detaching(contract).await;
    killed.kill().unwrap();
    killed.wait().unwrap();
    end_detaching(contract).await;
    reader.rollback().await.unwrap();
}

/// Detaches a partition, as soon as no other one is being detached.
async fn detach(contract: &Contract, partition: &str) {
    eventually("nothing else detaches", SOON, async || {
        let sql = format!("alter table noetl_metrics.sample detach partition noetl_metrics.{partition}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&contract.database.pool).await.ok().map(|_| ())
    })
    .await;
}

#[tokio::test]
async fn what_a_killed_run_left_is_finished_by_the_next() {
    let contract = Contract::start().await;
    contract.register("w").await;
    contract.report("w", json!([gauge("m", 0.0)])).await.ok();
    let ages = [5 * DAY, 4 * DAY, 3 * DAY];
    for age in ages {
        old_sample(&contract, "m", 1.0, now() - age).await;
    }
    killed_while_it_detaches(&contract).await;
    // Another one died between detach and drop.
    let orphan = partition(now() - 4 * DAY);
    detach(&contract, &orphan).await;
    // Its reader and the server see no trouble.
    assert_eq!(contract.query("metric_name=m").await[0]["metric_value"], 0.0);
    contract.report("w", json!([gauge("m", 2.0)])).await.ok();
    maintain(&contract, &["--retention-raw", "1d"]).await;
    let left = tables(&contract).await;
    for age in ages {
        assert!(!left.contains(&partition(now() - age)), "{age}: {left:?}");
    }
    assert_eq!(values(&contract, "m").await, [2.0, 0.0]);
}

#[tokio::test]
async fn a_run_that_died_is_shown_as_failed_once_the_next_begins() {
    let contract = Contract::start().await;
    contract
        .run("insert into noetl_metrics.maintenance_run (started_at) values (now() - interval '1 hour')")
        .await;
    maintain(&contract, &["--retention-raw", "1d"]).await;
    let unfinished = "select count(*) from noetl_metrics.maintenance_run where finished_at is null";
    assert_eq!(contract.value::<i64>(unfinished).await, 0);
    let error = contract
        .value::<String>("select error from noetl_metrics.maintenance_run order by run_id limit 1")
        .await;
    assert!(error.contains("ended before it was done"), "{error}");
    let newest = contract.value::<bool>(
        "select error is null from noetl_metrics.maintenance_run order by run_id desc limit 1",
    );
    assert!(newest.await, "the run that closes it is well");
}

#[tokio::test]
async fn what_a_killed_run_took_out_comes_back_where_the_retention_is_longer_now() {
    let contract = Contract::start().await;
    contract.register("w").await;
    contract.report("w", json!([gauge("m", 0.0)])).await.ok();
    for age in [5 * DAY, 4 * DAY, 3 * DAY] {
        old_sample(&contract, "m", 1.0, now() - age).await;
    }
    let before = shown(&contract).await;
    killed_while_it_detaches(&contract).await;
    let orphan = partition(now() - 3 * DAY);
    detach(&contract, &orphan).await;
    let done = maintain(&contract, &["--retention-raw", "30d"]).await;
    assert_eq!(done["dropped_partitions"], json!([]));
    assert_eq!(shown(&contract).await, before);
    contract.report("w", json!([gauge_at("m", 2.0, now() - 4 * DAY)])).await.ok();
}

#[tokio::test]
async fn the_server_seals_on_beside_a_detach_that_a_killed_run_began() {
    let mut contract = Contract::start().await;
    contract.register("w").await;
    contract.report("w", json!([gauge("m", 0.0)])).await.ok();
    let (killed, others) = (now() - 3 * DAY, [now() - 5 * HOUR, now() - 4 * HOUR]);
    contract.run(format!("select noetl_metrics.create_partitions('{}', 1)", time(killed))).await;
    let mut reader = contract.database.pool.begin().await.unwrap();
    sqlx::raw_sql("select count(*) from noetl_metrics.sample").execute(&mut *reader).await.unwrap();
    let detach = format!(
        "alter table noetl_metrics.sample detach partition noetl_metrics.{} concurrently",
        partition(killed)
    );
    let detached = sqlx::raw_sql(sqlx::AssertSqlSafe(detach)).execute(&contract.database.pool);
    let kill = async {
        detaching(&contract).await;
        end_detaching(&contract).await;
    };
    let (killed, ()) = tokio::join!(detached, kill);
    assert!(killed.is_err(), "it was not done");
    reader.rollback().await.unwrap();
    for at in others {
        old_sample(&contract, "m", 1.0, at).await;
    }
    contract.restart().await;
    eventually("both hours are sealed", SOON, async || {
        let sql = "select count(*) from noetl_metrics.sealed_hour";
        (contract.value::<i64>(sql).await == 2).then_some(())
    })
    .await;
    assert_eq!(values(&contract, "m").await, [0.0, 1.0, 1.0]);
    // Maintenance has it done, and then the partitions go too.
    maintain(&contract, &["--retention-raw", "90d"]).await;
    for at in others {
        assert!(is_sealed(&contract, at).await, "{:?}", partitions(&contract).await);
    }
}
