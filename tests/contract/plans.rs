//! How PostgreSQL answers what the server asks over long history: other days are passed over, and of a
//! day only what an index finds is read. The plans are those of the server's own statements, as
//! `auto_explain` writes them to PostgreSQL's log.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{Cluster, Contract, gauge_at, now, time};

const HOUR: i64 = 3_600_000;
const DAYS: i64 = 3;

/// For each hour of some days, chunks of 20 components with 300 series each, that were level.
const HISTORY: &str = "insert into noetl_metrics.chunk \
    select h, g * 300 + 1, g * 300 + 300, 60, 0, 59 * 60000, 0, \
      (select array_agg(id) from generate_series(g * 300 + 1, g * 300 + 300) id), array_fill(0, array[300]), \
      (select array_agg(i) from generate_series(0, 299) i), b'', (select array_agg(i + 0.5) from generate_series(0, 299) i) \
    from generate_series($1::timestamptz, $2::timestamptz, interval '1 hour') h, generate_series(0, 19) g";

/// A contract whose database has a history before the start of a day, which is told too, and that tells
/// the plans of all statements.
async fn with_history() -> (Contract, i64) {
    let database = Cluster::shared().database().await;
    let mut connection = database.pool.acquire().await.unwrap();
    for (name, value) in
        [("session_preload_libraries", "auto_explain"), ("auto_explain.log_min_duration", "0")]
    {
        let sql = format!("alter database {} set {name} = '{value}'", database.name);
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut *connection).await.unwrap();
    }
    // Connections that are made from now on do so.
    connection.close().await.unwrap();
    let contract = Contract::on(database, &[]).await;
    contract.ready().await;
    contract.register("w").await;
    let series: Value = (0..300)
        .map(|i| {
            let mut one = gauge_at("m", 1.0, now());
            one["labels"] = json!({"i": i.to_string()});
            one
        })
        .collect();
    contract.report("w", series).await.ok();
    let today = now() - now().rem_euclid(24 * HOUR);
    for day in 1..=DAYS {
        contract.run(format!("select noetl_metrics.create_day('{}')", time(today - day * 24 * HOUR))).await;
    }
    let sql = HISTORY.replace("$1", &format!("'{}'", time(today - DAYS * 24 * HOUR)));
    contract.run(sql.replace("$2", &format!("'{}'", time(today - HOUR)))).await;
    contract
        .run("insert into noetl_metrics.sealed_hour select hour, sum(times * cardinality(series_ids)), count(*) from noetl_metrics.chunk group by 1")
        .await;
    contract.run("analyze noetl_metrics.chunk").await;
    contract.run("analyze noetl_metrics.series").await;
    (contract, today)
}

/// The plan's lines that read days of chunks or hours of samples, of all statements since `from`.
fn reads(from: usize) -> Vec<String> {
    let log = Cluster::shared().log();
    let partition = |line: &&str| line.contains(" on chunk_") || line.contains(" on sample_2");
    log[from..].lines().filter(partition).map(|line| line.trim().to_owned()).collect()
}

/// Asks, and expects that of the history only these days were read, by an index.
async fn only(contract: &Contract, days: &[i64], what: &str, ask: impl AsyncFnOnce(&Contract) -> usize) {
    let from = Cluster::shared().log().len();
    let rows = ask(contract).await;
    assert!(rows > 0, "{what} has an answer");
    let reads = reads(from);
    let text = reads.join("\n");
    assert!(!reads.iter().any(|line| line.contains("Seq Scan on chunk_")), "{what}:\n{text}");
    let name = |day: &i64| format!("chunk_{}", time(*day)[..10].replace('-', ""));
    let expected: BTreeSet<String> = days.iter().map(name).collect();
    let word = |line: &String| line.split(" on ").nth(1)?.split(' ').next().map(str::to_owned);
    let found: BTreeSet<String> =
        reads.iter().filter_map(word).filter(|name| !name.ends_with("_idx")).collect();
    let chunks: BTreeSet<String> = found.iter().filter(|name| name.starts_with("chunk_")).cloned().collect();
    assert_eq!(chunks, expected, "{what}:\n{text}");
    let hours: Vec<&String> = found.iter().filter(|name| name.starts_with("sample_")).collect();
    assert!(hours.is_empty(), "{what}: hours that are open have nothing of that time: {hours:?}");
}

#[tokio::test]
async fn other_days_are_passed_over_and_indexes_are_used() {
    let (contract, today) = with_history().await;
    let (day, hour) = (today - 48 * HOUR, today - 48 * HOUR + 7 * HOUR);
    let of_hour = format!("start_time={}&end_time={}", time(hour), time(hour + HOUR - 1));
    let rows = async |contract: &Contract, parameters: String| contract.query(&parameters).await.len();
    only(&contract, &[day], "a series of an hour", async |c| {
        rows(c, format!("metric_name=m&label.i=7&{of_hour}")).await
    })
    .await;
    only(&contract, &[day], "a component in an hour", async |c| {
        rows(c, format!("component_name=w&limit=100&{of_hour}")).await
    })
    .await;
    only(&contract, &[day], "steps of a series", async |c| {
        rows(c, format!("metric_name=m&label.i=7&step=5m&agg=max&{of_hour}")).await
    })
    .await;
    let two = format!("start_time={}&end_time={}", time(day + 20 * HOUR), time(day + 27 * HOUR));
    only(&contract, &[day, day + 24 * HOUR], "a series over midnight", async |c| {
        rows(c, format!("metric_name=m&label.i=7&limit=10000&{two}")).await
    })
    .await;
    // The last hours of a day are still open while the next one is young.
    let all = format!("start_time={}&end_time={}", time(today - DAYS * 24 * HOUR), time(today - 3 * HOUR));
    let days = [day - 24 * HOUR, day, day + 24 * HOUR];
    only(&contract, &days, "steps of a series over all days", async |c| {
        rows(c, format!("metric_name=m&label.i=7&step=6h&{all}")).await
    })
    .await;
    only(&contract, &[day], "noetl.metrics_between", async |c| {
        let sql = format!(
            "select metric_value from noetl.metrics_between('{}', '{}') where metric_name = 'm' and labels->>'i' = '7'",
            time(hour),
            time(hour + HOUR - 1)
        );
        c.column::<f64>(sql).await.len()
    })
    .await;
}
