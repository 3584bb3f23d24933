//! `GET /api/metrics/query`: rows and aggregates, page by page, in three formats.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use noetl_metrics::model::parse_timestamp;
use serde_json::{Value, json};

use crate::harness::{Contract, gauge_at, now, time};

const QUERY: &str = "/api/metrics/query";

fn sample(name: &str, kind: &str, value: f64, at: i64, labels: &Value) -> Value {
    json!({"metric_name": name, "metric_type": kind, "metric_value": value, "timestamp": time(at), "labels": labels})
}

fn milliseconds(row: &Value, field: &str) -> i64 {
    parse_timestamp(row[field].as_str().unwrap()).unwrap().0
}

#[tokio::test]
async fn filters_and_order_and_limit() {
    let contract = Contract::start().await;
    let id = contract.register("w").await;
    contract.register("v").await;
    let t = now() - 100_000;
    let batch = json!([
        sample("a", "gauge", 1.0, t, &json!({"x": "1", "y": "1"})),
        sample("a", "gauge", 2.0, t + 1, &json!({"x": "1", "y": "2"})),
        sample("a", "gauge", 3.0, t + 2, &json!({"x": "2"})),
        sample("b", "counter", 4.0, t + 3, &json!({})),
    ]);
    contract.report("w", batch).await.ok();
    contract.report("v", json!([sample("a", "gauge", 5.0, t + 4, &json!({"x": "1"}))])).await.ok();
    let own = "component_name=w";
    for (parameters, expected) in [
        (own.to_owned(), vec![4.0, 3.0, 2.0, 1.0]),
        (format!("runtime_id={id}"), vec![4.0, 3.0, 2.0, 1.0]),
        (format!("runtime_id={id}&component_name=v"), vec![4.0, 3.0, 2.0, 1.0]),
        ("metric_name=a".into(), vec![5.0, 3.0, 2.0, 1.0]),
        (format!("{own}&metric_type=counter"), vec![4.0]),
        ("metric_name=a&label.x=1".into(), vec![5.0, 2.0, 1.0]),
        ("metric_name=a&label.x=1&label.y=2".into(), vec![2.0]),
        (format!("{own}&start_time={}&end_time={}", time(t + 1), time(t + 2)), vec![3.0, 2.0]),
        (format!("{own}&start_time={}", time(t + 3)), vec![4.0]),
        (format!("{own}&end_time={}", time(t)), vec![1.0]),
        (format!("{own}&limit=2"), vec![4.0, 3.0]),
        (format!("{own}&start_time=2001-01-01T00:00:00+02:00&limit=1"), vec![4.0]),
        ("component_name=nobody".into(), vec![]),
        ("metric_name=nothing".into(), vec![]),
        (format!("{own}&metric_name="), vec![4.0, 3.0, 2.0, 1.0]),
    ] {
        let values: Vec<f64> =
            contract.query(&parameters).await.iter().map(|r| r["metric_value"].as_f64().unwrap()).collect();
        assert_eq!(values, expected, "{parameters}");
    }
    let reply = contract.get(&format!("{QUERY}?{own}&limit=3")).await.ok();
    assert_eq!((&reply["count"], &reply["limit"]), (&json!(3), &json!(3)));
    assert!(reply["next_page_token"].is_string());
    let reply = contract.get(&format!("{QUERY}?{own}")).await.ok();
    assert_eq!((&reply["count"], &reply["limit"]), (&json!(4), &json!(1000)));
    assert!(reply.get("next_page_token").is_none());
}

/// All rows of a query, page by page.
async fn pages(contract: &Contract, parameters: &str) -> Vec<Value> {
    let mut rows: Vec<Value> = Vec::new();
    let mut token = String::new();
    loop {
        let reply = contract.get(&format!("{QUERY}?{parameters}&page_token={token}")).await.ok();
        rows.extend(reply["metrics"].as_array().unwrap().iter().cloned());
        match reply["next_page_token"].as_str() {
            Some(next) => next.clone_into(&mut token),
            None => return rows,
        }
    }
}

#[tokio::test]
async fn pages_hold_each_row_once_while_writes_go_on() {
    let contract = Contract::start().await;
    contract.register("w").await;
    let start = now() - 30 * 3_600_000;
    // Many rows share a time, and they are spread over all the windows that the server looks through.
    for block in 0..12 {
        let at = start + block * 9_000_000;
        let batch: Vec<Value> = (0..100)
            .map(|i| {
                sample(
                    "m",
                    "gauge",
                    f64::from(i),
                    at + i64::from(i / 40),
                    &json!({"i": (i % 40).to_string()}),
                )
            })
            .collect();
        contract.report("w", batch.into()).await.ok();
    }
    let ids = "select metric_id from noetl.metrics where metric_name = 'm'";
    let before: BTreeSet<i64> = contract.column::<i64>(ids).await.into_iter().collect();
    assert_eq!(before.len(), 1200);
    let done = AtomicBool::new(false);
    let write = async {
        let mut count = 0;
        while !done.load(Ordering::Relaxed) {
            count += 1;
            let fresh = sample("m", "gauge", 1.0, now(), &json!({"i": "new"}));
            let late = sample("m", "gauge", 2.0, start + count * 7777, &json!({"i": "late"}));
            let again = sample("m", "gauge", f64::from(0), start, &json!({"i": "0"}));
            contract.report("w", json!([fresh, late, again])).await.ok();
        }
    };
    let read = async {
        for limit in [7, 100, 333] {
            let rows = pages(&contract, &format!("metric_name=m&limit={limit}")).await;
            let order: Vec<(i64, i64)> = rows
                .iter()
                .map(|r| (milliseconds(r, "timestamp"), r["metric_id"].as_i64().unwrap()))
                .collect();
            assert!(order.is_sorted_by(|a, b| a > b), "newest first, no row twice");
            let found: BTreeSet<i64> = order.iter().map(|(_, id)| *id).collect();
            let missing: Vec<_> = before.difference(&found).collect();
            assert!(missing.is_empty(), "with pages of {limit} {} rows are missing", missing.len());
        }
        done.store(true, Ordering::Relaxed);
    };
    tokio::join!(write, read);
}

#[tokio::test]
async fn the_api_and_sql_show_the_same_rows() {
    let contract = Contract::start().await;
    contract.register("w").await;
    contract.register_as("v", "broker").await;
    let t = now();
    let described = json!({"metric_name": "m", "metric_type": "gauge", "metric_value": -1.5e-9, "timestamp": time(t),
        "labels": {"ü": "no"}, "help_text": "Help, \"quoted\"", "unit": "s"});
    let described = {
        let mut d = described;
        d["labels"] = json!({"b": "ü\"", "a": ""});
        d
    };
    let histogram = json!({"metric_name": "h", "metric_type": "histogram", "buckets": {"0.1": 1, "+Inf": 2}, "sum": 1, "count": 2});
    for name in ["w", "v"] {
        let batch = json!([
            described,
            histogram,
            sample("c_total", "counter", 7.0, t - 10 * 86_400_000, &json!({})),
            gauge_at("m", 0.1, t - 1)
        ]);
        contract.report(name, batch).await.ok();
    }
    contract.report("w", json!([described])).await.ok();
    let api = contract.query("limit=10000&start_time=2001-01-01T00:00:00Z").await;
    let of_ours = |r: &&Value| r["component_type"] != "server_api";
    let api: Vec<&Value> = api.iter().filter(of_ours).collect();
    let sql = contract
        .column::<String>(
            "select to_jsonb(m)::text from noetl.metrics m join noetl.runtime r using (runtime_id) \
             where r.kind <> 'server_api' order by timestamp desc, metric_id desc",
        )
        .await;
    assert_eq!(api.len(), sql.len());
    let mut ids = BTreeSet::new();
    for (api, sql) in api.into_iter().zip(sql) {
        let sql: Value = serde_json::from_str(&sql).unwrap();
        for field in ["metric_id", "runtime_id", "metric_name", "metric_type", "labels", "help_text", "unit"]
        {
            assert_eq!(api[field], sql[field], "{field}");
        }
        assert_eq!(api["metric_value"].as_f64(), sql["metric_value"].as_f64());
        for field in ["timestamp", "created_at"] {
            assert_eq!(milliseconds(api, field), milliseconds(&sql, field), "{field}");
        }
        assert!(ids.insert(api["metric_id"].as_i64().unwrap()), "metric_id is unique");
        let component = api["component_name"].as_str().unwrap();
        assert_eq!(api["component_type"], if component == "v" { "broker" } else { "worker_pool" });
    }
}

/// One series' samples: times and values.
type Line = Vec<(i64, f64)>;

/// What each step of a series has to come to.
fn model(line: &Line, step: i64, aggregate: &str) -> BTreeMap<i64, f64> {
    let mut steps: BTreeMap<i64, (Vec<f64>, f64)> = BTreeMap::new();
    let mut before: Option<f64> = None;
    for (at, value) in line {
        let entry = steps.entry(at / step * step).or_default();
        entry.0.push(*value);
        entry.1 += before.map_or(0.0, |b| if *value >= b { value - b } else { *value });
        before = Some(*value);
    }
    let sum = |v: &[f64]| v.iter().sum::<f64>();
    let of = |(values, increase): &(Vec<f64>, f64)| match aggregate {
        "avg" => sum(values) / values.len() as f64,
        "min" => values.iter().copied().fold(f64::INFINITY, f64::min),
        "max" => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        "sum" => sum(values),
        "count" => values.len() as f64,
        "last" => *values.last().unwrap(),
        _ => increase / (step as f64 / 1000.0),
    };
    steps.iter().map(|(at, step)| (*at, of(step))).collect()
}

#[tokio::test]
async fn steps_are_what_a_model_says() {
    let contract = Contract::start().await;
    contract.register("w").await;
    let start = (now() - 7_200_000) / 60_000 * 60_000;
    let mut lines: BTreeMap<String, Line> = BTreeMap::new();
    let mut random = 7_u64;
    let mut next = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    for series in ["0", "1", "2"] {
        let (mut at, mut value) = (start + i64::try_from(next(5000)).unwrap(), 0.0);
        let line = lines.entry(series.into()).or_default();
        for _ in 0..150 {
            // A counter that starts again now and then.
            value = if next(20) == 0 { next(3) as f64 } else { value + next(100) as f64 / 4.0 };
            line.push((at, value));
            at += 1 + i64::try_from(next(40_000)).unwrap();
        }
    }
    let all: Vec<Value> = lines
        .iter()
        .flat_map(|(s, line)| {
            line.iter().map(move |(at, v)| sample("c_total", "counter", *v, *at, &json!({"s": s})))
        })
        .collect();
    contract.report("w", all.into()).await.ok();
    let end = lines.values().map(|l| l.last().unwrap().0).max().unwrap();
    let range = format!("metric_name=c_total&start_time={}&end_time={}", time(start), time(end));
    for (step, ms) in [("60", 60_000), ("7s", 7000), ("5m", 300_000), ("1h", 3_600_000), ("1d", 86_400_000)] {
        for aggregate in ["avg", "min", "max", "sum", "count", "last", "rate"] {
            let agg = if aggregate == "avg" { String::new() } else { format!("&agg={aggregate}") };
            let rows = pages(&contract, &format!("{range}&step={step}{agg}&limit=50")).await;
            let mut found: BTreeMap<String, BTreeMap<i64, f64>> = BTreeMap::new();
            for row in &rows {
                assert_eq!(row["metric_id"], Value::Null);
                let series = row["labels"]["s"].as_str().unwrap().to_owned();
                let value = row["metric_value"].as_f64().unwrap();
                let twice = found.entry(series).or_default().insert(milliseconds(row, "timestamp"), value);
                assert_eq!(twice, None, "{step} {aggregate}");
            }
            for (series, line) in &lines {
                let expected = model(line, ms, aggregate);
                let found = &found[series];
                assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
                for (at, value) in &expected {
                    let close = (found[at] - value).abs() <= 1e-9 * value.abs().max(1.0);
                    assert!(close, "{step} {aggregate} at {at}: {} instead of {value}", found[at]);
                }
            }
        }
    }
}

#[tokio::test]
async fn aggregates_of_extreme_values_are_answered() {
    let contract = Contract::start().await;
    contract.register("w").await;
    let t = now() / 60_000 * 60_000 - 120_000;
    for (name, values, sum, min, max) in [
        ("large", [json!(1.7e308), json!(1.7e308)], json!("+Inf"), json!(1.7e308), json!(1.7e308)),
        ("apart", [json!(1e200), json!(-1e200)], json!(0.0), json!(-1e200), json!(1e200)),
        ("ends", [json!(-1.7e308), json!(1.7e308)], json!(0.0), json!(-1.7e308), json!(1.7e308)),
        ("infinite", [json!("+Inf"), json!("-Inf")], json!("NaN"), json!("-Inf"), json!("+Inf")),
        ("nan", [json!("NaN"), json!(1.0)], json!("NaN"), json!(1.0), json!("NaN")),
        ("tiny", [json!(5e-324), json!(5e-324)], json!(1e-323), json!(5e-324), json!(5e-324)),
    ] {
        let batch: Vec<Value> = values
            .iter()
            .enumerate()
            .map(|(i, v)| json!({"metric_name": name, "metric_type": "gauge", "metric_value": v, "timestamp": time(t + i as i64)}))
            .collect();
        contract.report("w", batch.into()).await.ok();
        for aggregate in ["avg", "min", "max", "sum", "count", "last", "rate"] {
            let path = format!("{QUERY}?metric_name={name}&step=60&agg={aggregate}&start_time={}", time(t));
            let answer = contract.get(&path).await.ok();
            assert_eq!(answer["count"], 1, "{name} {aggregate}");
            let value = &answer["metrics"][0]["metric_value"];
            let expected = match aggregate {
                "min" => &min,
                "max" => &max,
                "sum" => &sum,
                "last" => &values[1],
                _ => continue,
            };
            assert_eq!(value, expected, "{name} {aggregate}");
        }
    }
}

#[tokio::test]
async fn steps_without_a_start_go_back_over_all_history() {
    let contract = Contract::start().await;
    contract.register("w").await;
    let (now, hour) = (now(), 3_600_000);
    let ages = [0, 2 * hour, 30 * hour];
    let batch: Vec<Value> = ages
        .iter()
        .map(|age| json!({"metric_name": "m", "metric_type": "gauge", "metric_value": age, "timestamp": time(now - age)}))
        .collect();
    contract.report("w", batch.into()).await.ok();
    for step in ["1s", "1m", "1h", "1d"] {
        let answer = contract.get(&format!("{QUERY}?metric_name=m&step={step}&agg=count")).await;
        let rows = answer.ok()["metrics"].clone();
        let counted: f64 =
            rows.as_array().unwrap().iter().map(|row| row["metric_value"].as_f64().unwrap()).sum();
        assert!((counted - 3.0).abs() < 1e-9, "{step}: {rows}");
    }
}

#[tokio::test]
async fn csv_and_ndjson_hold_the_same_rows() {
    let contract = Contract::start().await;
    contract.register("w, \"1\"").await;
    let t = now() - 1000;
    let mut one = sample("m", "gauge", 0.5, t, &json!({"k": "a,\"b\"\nc"}));
    one["help_text"] = json!("two\r\nlines");
    let nan =
        json!({"metric_name": "m", "metric_type": "gauge", "metric_value": "NaN", "timestamp": time(t + 1)});
    contract.report("w, \"1\"", json!([one, nan])).await.ok();
    let path = format!("{QUERY}?metric_name=m&limit=2");
    let json = contract.get_as(&path, "application/json").await.ok();
    let rows = json["metrics"].as_array().unwrap();
    assert_eq!((rows.len(), &rows[0]["metric_value"]), (2, &serde_json::json!("NaN")));

    let ndjson = contract.get_as(&path, "application/x-ndjson").await.expect(200);
    assert_eq!(ndjson.header("content-type"), "application/x-ndjson");
    let lines: Vec<Value> = ndjson.text().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(&lines, rows);

    let csv = contract.get_as(&path, "text/csv").await.expect(200);
    assert!(csv.header("content-type").starts_with("text/csv"));
    assert_eq!(csv.header("x-next-page-token"), json["next_page_token"].as_str().unwrap());
    let table = read_csv(csv.text());
    assert_eq!(table.len(), 3);
    for (row, fields) in rows.iter().zip(&table[1..]) {
        for (name, field) in table[0].iter().zip(fields) {
            let expected = match &row[name] {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            if name == "labels" && !field.is_empty() {
                assert_eq!(serde_json::from_str::<Value>(field).unwrap(), row[name]);
            } else {
                assert_eq!(*field, expected, "{name}");
            }
        }
    }
}

/// RFC 4180: fields in quotes may hold anything, a quote in them is doubled.
fn read_csv(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut field, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => field.push(chars.next().unwrap()),
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut field)),
            '\r' if !quoted && chars.peek() == Some(&'\n') => {
                chars.next();
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            other => field.push(other),
        }
    }
    assert!(row.is_empty() && field.is_empty() && !quoted, "every row ends with CR LF");
    rows
}
