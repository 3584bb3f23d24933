//! `noetl.metrics` and `noetl.metric`: the documented table, for those who speak SQL.

use serde_json::json;
use sqlx::Row as _;

use crate::harness::{Contract, gauge, gauge_at, now, time};
use crate::maintenance::maintain;
use crate::report::values;

const COLUMNS: &str =
    "runtime_id, metric_name, metric_type, metric_value, labels, help_text, unit, timestamp";

#[tokio::test]
async fn both_names_have_the_documented_columns() {
    let contract = Contract::start().await;
    for (table, expected) in [("metrics", "metrics"), ("metric", "metric")] {
        let columns = contract
            .column::<String>(format!(
                "select column_name || ' ' || data_type || coalesce('(' || character_maximum_length || ')', '') \
                 from information_schema.columns where table_schema = 'noetl' and table_name = '{table}' order by ordinal_position"
            ))
            .await;
        assert_eq!(
            columns,
            [
                "metric_id bigint",
                "runtime_id bigint",
                "metric_name character varying(255)",
                "metric_type character varying(50)",
                "metric_value double precision",
                "labels jsonb",
                "help_text text",
                "unit character varying(50)",
                "timestamp timestamp with time zone",
                "created_at timestamp with time zone",
            ],
            "noetl.{expected}"
        );
    }
}

#[tokio::test]
async fn an_inserted_sample_is_there_under_the_id_that_came_back() {
    let contract = Contract::start().await;
    let id = contract.register("w").await;
    for (table, name) in [("metrics", "plural"), ("metric", "singular")] {
        let sql = format!(
            "insert into noetl.{table} (metric_id, {COLUMNS}) values \
             (1, {id}, '{name}', 'counter', 7.5, '{{\"a\": \"b\"}}', 'Help.', 's', '2024-01-01 12:00:00.0009Z') returning metric_id"
        );
        let metric_id = contract.value::<i64>(sql).await;
        assert_ne!(metric_id, 1, "a made up id is replaced");
        let rows = contract.query(&format!("metric_name={name}")).await;
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0]["metric_id"], metric_id);
        assert_eq!(rows[0]["timestamp"], "2024-01-01T12:00:00.000Z");
        assert_eq!((&rows[0]["labels"], &rows[0]["unit"]), (&json!({"a": "b"}), &json!("s")));
        for view in ["metrics", "metric"] {
            let stored = format!("select metric_id from noetl.{view} where metric_name = '{name}'");
            assert_eq!(contract.value::<i64>(stored).await, metric_id);
        }
    }
    let least = format!(
        "insert into noetl.metrics (runtime_id, metric_name, metric_type, metric_value) values ({id}, 'least', 'gauge', 1)"
    );
    contract.run(least).await;
    let age = contract.value::<f64>("select extract(epoch from now() - timestamp)::float8 from noetl.metrics where metric_name = 'least'").await;
    assert!((0.0..60.0).contains(&age), "without a timestamp it is now: {age}");
}

#[tokio::test]
async fn many_rows_can_be_inserted_at_once_and_selected_as_from_any_table() {
    let contract = Contract::start().await;
    let id = contract.register("w").await;
    let inserted = contract
        .run(format!(
            "insert into noetl.metrics ({COLUMNS}) select {id}, 'm', 'gauge', i, jsonb_build_object('i', (i % 10)::text), null, null, \
             now() - i * interval '1 minute' from generate_series(1, 500) i"
        ))
        .await;
    assert_eq!(inserted, 500);
    let rows = "select count(*) from noetl.metrics where metric_name = 'm' and labels->>'i' = '3' and timestamp > now() - interval '100 minutes'";
    assert_eq!(contract.value::<i64>(rows).await, 10);
    assert_eq!(contract.query("metric_name=m&label.i=3&limit=1000").await.len(), 50);
    let copied = "select count(distinct metric_id) from noetl.metric where metric_name = 'm'";
    assert_eq!(contract.value::<i64>(copied).await, 500);
}

#[tokio::test]
async fn the_same_series_and_time_again_overwrites() {
    let contract = Contract::start().await;
    let id = contract.register("w").await;
    let at = now() - 5000;
    let insert = |value: f64| {
        format!(
            "insert into noetl.metrics (runtime_id, metric_name, metric_type, metric_value, timestamp) \
             values ({id}, 'm', 'gauge', {value}, '{}')",
            time(at)
        )
    };
    contract.report("w", json!([gauge_at("m", 1.0, at)])).await.ok();
    for value in [2.0, 3.0] {
        contract.run(insert(value)).await;
        assert_eq!(values(&contract, "m").await, [value]);
    }
    contract.report("w", json!([gauge_at("m", 4.0, at)])).await.ok();
    assert_eq!(values(&contract, "m").await, [4.0]);
}

#[tokio::test]
async fn what_breaks_a_rule_is_refused_by_field() {
    let contract = Contract::start().await;
    let id = contract.register("w").await;
    contract.report("w", json!([gauge("taken", 1.0)])).await.ok();
    let good = [
        ("runtime_id", id.to_string()),
        ("metric_name", "'m'".into()),
        ("metric_type", "'gauge'".into()),
        ("metric_value", "1".into()),
        ("labels", "null".into()),
        ("timestamp", "now()".into()),
    ];
    for (field, value) in [
        ("runtime_id", "null"),
        ("runtime_id", "1"),
        ("metric_name", "null"),
        ("metric_name", "'a-b'"),
        ("metric_name", "''"),
        ("metric_name", "'noetl_component_up'"),
        ("metric_type", "null"),
        ("metric_type", "'Gauge'"),
        ("metric_value", "null"),
        ("labels", "'[]'"),
        ("labels", "'\"a\"'"),
        ("labels", "'{\"a\": 1}'"),
        ("labels", "'{\"a-b\": \"c\"}'"),
        ("labels", "'{\"__a\": \"c\"}'"),
        ("timestamp", "now() + interval '1 hour'"),
        ("timestamp", "'1969-01-01'"),
        ("timestamp", "'2100-01-01'"),
        ("timestamp", "'infinity'"),
    ] {
        let names: Vec<&str> = good.iter().map(|(name, _)| *name).collect();
        let values: Vec<&str> =
            good.iter().map(|(name, good)| if *name == field { value } else { good }).collect();
        let sql = format!("insert into noetl.metrics ({}) values ({})", names.join(", "), values.join(", "));
        let error = contract.refused(sql).await;
        assert!(error.contains(&format!("{field}: ")), "{field} = {value}: {error}");
    }
    let clash = format!(
        "insert into noetl.metric (runtime_id, metric_name, metric_type, metric_value) values ({id}, 'taken', 'counter', 1)"
    );
    let error = contract.refused(clash).await;
    assert!(error.contains("metric_type: taken is a gauge"), "{error}");
    let stored = "select count(*) from noetl.metrics where metric_name = 'm'";
    assert_eq!(contract.value::<i64>(stored).await, 0);
    for change in ["update noetl.metrics set metric_value = 1", "delete from noetl.metrics"] {
        let error = contract.refused(change).await;
        assert!(error.contains("cannot"), "only INSERT adds samples: {error}");
    }
}

#[tokio::test]
async fn series_reference_components_and_history_outlives_them() {
    let contract = Contract::start().await;
    let id = contract.register("w").await;
    contract.report("w", json!([gauge("m", 1.0)])).await.ok();
    let key = "select confrelid::regclass::text from pg_constraint where conrelid = 'noetl_metrics.series'::regclass and contype = 'f' \
               and confrelid = 'noetl.runtime'::regclass";
    assert_eq!(contract.value::<String>(key).await, "noetl.runtime");
    let error = contract.refused("update noetl_metrics.series set runtime_id = 7").await;
    assert!(error.contains("foreign key"), "{error}");
    assert_eq!(contract.run(format!("delete from noetl.runtime where runtime_id = {id}")).await, 1);
    let rows = contract.query("component_name=w&metric_name=m").await;
    assert_eq!(rows.len(), 1, "history stays, with the component's name");
    assert_eq!((&rows[0]["runtime_id"], &rows[0]["component_type"]), (&json!(null), &json!("worker_pool")));
    let kept = "select count(*) from noetl.metrics where metric_name = 'm' and runtime_id is null";
    assert_eq!(contract.value::<i64>(kept).await, 1);
}

#[tokio::test]
async fn hours_are_found_from_every_time_zone() {
    let contract = Contract::start().await;
    contract.register("w").await;
    let hour = (now() / 3_600_000 - 3) * 3_600_000;
    let times: Vec<i64> = (0..6).map(|part| hour + part * 600_000 + 1).collect();
    contract.report("w", times.iter().map(|at| gauge_at("m", 1.0, *at)).collect()).await.ok();
    assert_eq!(
        maintain(&contract, &["--retention-raw", "90d"]).await["merged_samples"],
        6,
        "they are sealed"
    );
    for zone in ["UTC", "Asia/Kolkata", "America/St_Johns", "Asia/Kathmandu"] {
        for (passed, from) in times.iter().enumerate() {
            let sql = format!(
                "begin; set local timezone = '{zone}'; select count(*) from noetl.metrics_between('{}', '{}') where metric_name = 'm'; commit",
                time(*from),
                time(hour + 3_600_000)
            );
            let rows =
                sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).fetch_all(&contract.database.pool).await.unwrap();
            let found: i64 = rows[0].get(0);
            assert_eq!(found, 6 - passed as i64, "{zone} from {}", time(*from));
        }
    }
}
