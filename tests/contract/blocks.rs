//! Samples of open hours as blocks: they read like any.

use serde_json::{Value, json};

use crate::harness::{Contract, gauge_at, now, time};

const HOUR: i64 = 3_600_000;
const VALUES: &str =
    "select metric_value from noetl.metrics where metric_name = 'm' order by labels->>'i', \"timestamp\"";
/// More than one block of samples, with ids and without.
pub const MANY: usize = 600;

/// A report's metrics: `MANY` series with the values from `first` on, all of one time.
pub fn many(first: usize, at: i64) -> Value {
    (0..MANY)
        .map(|i| {
            let mut one = gauge_at("m", (first + i) as f64, at);
            one["labels"] = json!({"i": i.to_string()});
            one
        })
        .collect()
}

/// Samples that are rows of an hour, and those that are in blocks, without the server's own.
async fn places(contract: &Contract) -> (i64, i64) {
    let of = "join noetl_metrics.series s using (series_id) where s.metric_name !~ '^noetl_'";
    let rows = contract.value(format!("select count(*) from noetl_metrics.sample {of}")).await;
    let blocks = format!(
        "select count(*) from (select series_id from noetl_metrics.unsealed except all select series_id from noetl_metrics.sample) u {of}"
    );
    (rows, contract.value(blocks).await)
}

/// All that readers see of `m`: in SQL, and by the API.
pub async fn shown(contract: &Contract) -> (Vec<String>, Vec<String>) {
    let sql = "select (to_jsonb(m) - 'created_at')::text from noetl.metrics m where metric_name = 'm' order by metric_id";
    let mut rows: Vec<String> =
        contract.query("metric_name=m&limit=10000").await.iter().map(ToString::to_string).collect();
    rows.sort();
    (contract.column(sql).await, rows)
}

/// Moves all blocks but the server's own back by some hours, and makes the hour that they are then in.
pub async fn move_back(contract: &Contract, hours: i64) -> String {
    let hour = now() - hours * HOUR;
    let of_others = "exists (select from noetl_metrics.series s join unnest(b.\"values\") with ordinality u(value, place) \
       on s.series_id = noetl_metrics.block_series(b.series_ids, b.least_id, u.place) where s.metric_name !~ '^noetl_')";
    contract.run(format!("delete from noetl_metrics.block b where not {of_others}")).await;
    contract.run(format!("select noetl_metrics.create_partitions('{}', 1)", time(hour))).await;
    contract
        .run(format!(
            "update noetl_metrics.block b set \"timestamp\" = '{}'::timestamptz + (\"timestamp\" - date_trunc('hour', \"timestamp\")) where {of_others}",
            time(hour - hour.rem_euclid(HOUR))
        ))
        .await;
    let at = time(hour);
    format!("sample_{}{}{}_{}", &at[..4], &at[5..7], &at[8..10], &at[11..13])
}

#[tokio::test]
async fn samples_of_one_time_are_blocks_and_read_like_any() {
    let contract = Contract::start().await;
    contract.register("w").await;
    let at = now();
    let reply = contract.report("w", many(0, at)).await.ok();
    assert_eq!(reply["metrics_inserted"], MANY);
    assert_eq!(places(&contract).await, (0, MANY as i64), "in blocks");
    // A few of another time are rows, and both are there.
    contract.report("w", json!([gauge_at("few", 1.0, at + 1)])).await.ok();
    assert_eq!(places(&contract).await, (1, MANY as i64));
    let (sql, api) = shown(&contract).await;
    assert_eq!((sql.len(), api.len()), (MANY, MANY));
    let one = contract.query("metric_name=m&label.i=399").await;
    assert_eq!((one.len(), &one[0]["metric_value"]), (1, &json!(399.0)));
    assert_eq!(one[0]["timestamp"], time(at));
    assert_eq!(contract.export().await.count("m"), MANY);
}

#[tokio::test]
async fn a_block_has_ids_only_where_they_do_not_follow_one_on_the_other() {
    let mut contract = Contract::start().await;
    contract.register("w").await;
    let at = now();
    contract.report("w", many(0, at - 2)).await.ok();
    let mut turned = many(1000, at - 1);
    turned.as_array_mut().unwrap().reverse();
    contract.report("w", turned).await.ok();
    let mut without_one = many(2000, at);
    without_one.as_array_mut().unwrap().remove(7);
    contract.report("w", without_one).await.ok();
    let stored: Vec<String> = contract
        .column(
            "select concat_ws(' ', cardinality(\"values\"), cardinality(series_ids)) from noetl_metrics.block b \
             where b.\"timestamp\" in (select \"timestamp\" from noetl.metrics where metric_name = 'm') \
             order by \"timestamp\", cardinality(\"values\") desc",
        )
        .await;
    // Of the last the first 320 have a gap, and the others none.
    assert_eq!(stored, ["500", "100", "320 320", "280 280", "320 320", "279"]);
    let wanted = |i: usize| {
        let mut all = vec![(at - 2, i), (at - 1, 1000 + i), (at, 2000 + i)];
        all.truncate(if i == 7 { 2 } else { 3 });
        all.iter().map(|(at, value)| (json!(time(*at)), json!(*value as f64))).collect::<Vec<_>>()
    };
    for i in [0, 6, 7, 8, 319, 320, 321, 499, 500, 599] {
        let mut rows = contract.query(&format!("metric_name=m&label.i={i}")).await;
        rows.sort_by_key(|row| row["timestamp"].to_string());
        let shown: Vec<_> =
            rows.iter().map(|r| (r["timestamp"].clone(), r["metric_value"].clone())).collect();
        assert_eq!(shown, wanted(i), "series {i}");
    }
    let open = shown(&contract).await;
    assert_eq!((open.0.len(), open.1.len()), (3 * MANY - 1, 3 * MANY - 1));
    contract.restart().await;
    let export = contract.export().await;
    assert_eq!(export.get("m", &[("i", "7")]), Some("1007"));
    assert_eq!(export.get("m", &[("i", "8")]), Some("2008"));
    let before: Vec<f64> = contract.column(VALUES).await;
    move_back(&contract, 3).await;
    crate::maintenance::maintain(&contract, &[]).await;
    assert_eq!(places(&contract).await, (0, 0), "sealed");
    assert_eq!(contract.column::<f64>(VALUES).await, before);
}

#[tokio::test]
async fn blocks_get_their_ids_for_a_version_that_needs_them() {
    let contract = Contract::start().await;
    contract.register("w").await;
    contract.report("w", many(0, now())).await.ok();
    let before = shown(&contract).await;
    // As docs/operate.md says it.
    contract
        .run(
            "update noetl_metrics.block set series_ids = array(select generate_series(least_id, greatest_id)) \
             where series_ids is null",
        )
        .await;
    let without = "select count(*) from noetl_metrics.block where series_ids is null";
    assert_eq!(contract.value::<i64>(without).await, 0);
    assert_eq!(shown(&contract).await, before);
}

#[tokio::test]
async fn a_value_that_is_sent_again_overrides_its_block() {
    let contract = Contract::start().await;
    contract.register("w").await;
    let at = now();
    contract.report("w", many(0, at)).await.ok();
    contract.report("w", many(1000, at)).await.ok();
    let values: Vec<f64> =
        contract.column("select metric_value from noetl.metrics where metric_name = 'm' order by 1").await;
    assert_eq!(values, (1000..1000 + MANY).map(|v| v as f64).collect::<Vec<_>>());
}

#[tokio::test]
async fn values_are_kept_bit_by_bit() {
    let contract = Contract::start().await;
    contract.register("w").await;
    let at = now();
    let odd = json!([
        "NaN",
        "+Inf",
        "-Inf",
        0.1,
        -0.0,
        5e-324,
        1.797_693_134_862_315_7e308,
        9_007_199_254_740_993_i64,
        1,
        2
    ]);
    let metrics: Value = odd
        .as_array()
        .unwrap()
        .iter()
        .enumerate()
        .map(|(i, value)| {
            let mut one = gauge_at(&format!("odd_{i}"), 0.0, at);
            one["metric_value"] = value.clone();
            one
        })
        .collect();
    contract.report("w", metrics).await.ok();
    assert_eq!(places(&contract).await, (0, 10));
    let texts: Vec<String> = contract
        .column("select metric_value::text from noetl.metrics where metric_name ~ 'odd' order by metric_name")
        .await;
    let expected = [
        "NaN",
        "Infinity",
        "-Infinity",
        "0.1",
        "-0",
        "5e-324",
        "1.7976931348623157e+308",
        "9.007199254740992e+15",
        "1",
        "2",
    ];
    assert_eq!(texts, expected);
}

#[tokio::test]
async fn a_server_that_starts_knows_the_newest_values_of_blocks() {
    let mut contract = Contract::start().await;
    contract.register("w").await;
    let at = now();
    contract.report("w", many(0, at - 2)).await.ok();
    contract.report("w", many(1000, at - 1)).await.ok();
    // One series goes on as a row, in the same open hour.
    let mut one = gauge_at("m", 7.0, at);
    one["labels"] = json!({"i": "5"});
    contract.report("w", json!([one])).await.ok();
    contract.restart().await;
    let export = contract.export().await;
    assert_eq!(export.count("m"), MANY);
    assert_eq!(export.get("m", &[("i", "5")]), Some("7"), "the row is newer");
    assert_eq!(export.get("m", &[("i", "6")]), Some("1006"), "the newest block");
    // What it knows keeps a sample of the same time from being there twice.
    contract.report("w", many(2000, at - 1)).await.ok();
    let count = "select count(*) from noetl.metrics where metric_name = 'm' and labels->>'i' = '6'";
    assert_eq!(contract.value::<i64>(count).await, 2);
    assert_eq!(contract.export().await.get("m", &[("i", "6")]), Some("2006"));
}

#[tokio::test]
async fn retention_takes_blocks_with_their_hour_and_keeps_what_has_longer() {
    let contract = Contract::start().await;
    contract.register("w").await;
    let at = now();
    let mut metrics = many(0, at);
    metrics.as_array_mut().unwrap().extend((0..10).map(|i| gauge_at(&format!("long_{i}"), 1.0, at)));
    contract.report("w", metrics).await.ok();
    contract.post("/api/metrics/ttl/set?metric_name=long_3&ttl_days=30", &json!({})).await.ok();
    let hour = move_back(&contract, 50).await;
    let report = crate::maintenance::maintain(&contract, &["--retention-raw", "1d", "--dry-run"]).await;
    assert_eq!((&report["dropped_partitions"], &report["kept_samples"]), (&json!([hour]), &json!(1)));
    assert_eq!(places(&contract).await.1, (MANY + 10) as i64, "nothing is done yet");
    let report = crate::maintenance::maintain(&contract, &["--retention-raw", "1d"]).await;
    assert_eq!((&report["dropped_partitions"], &report["kept_samples"]), (&json!([hour]), &json!(1)));
    let left: Vec<String> =
        contract.column("select metric_name::text from noetl.metrics where metric_name !~ '^noetl_'").await;
    assert_eq!(left, ["long_3"]);
    assert_eq!(places(&contract).await, (0, 0));
}

#[tokio::test]
async fn retention_that_ends_within_an_open_hour_takes_nothing_of_it() {
    let contract = Contract::start().await;
    contract.register("w").await;
    let metrics: Value = (0..10).map(|i| gauge_at(&format!("long_{i}"), 1.0, now())).collect();
    contract.report("w", metrics).await.ok();
    contract.post("/api/metrics/ttl/set?metric_name=long_3&ttl_days=30", &json!({})).await.ok();
    move_back(&contract, 3).await;
    let begin = now() - 3 * HOUR - (now() - 3 * HOUR).rem_euclid(HOUR);
    contract.run(format!("update noetl_metrics.block set \"timestamp\" = '{}'", time(begin + 1000))).await;
    let retention = format!("{}s", (now() - begin - HOUR / 2) / 1000);
    let report = crate::maintenance::maintain(&contract, &["--retention-raw", &retention]).await;
    assert_eq!(report["dropped_partitions"], json!([]));
    let left = "select count(*) from noetl.metrics where metric_name ~ '^long_'";
    assert_eq!(contract.value::<i64>(left).await, 10);
}
