//! Types, help and units: declared with the series or beside them, inferred until then.

use super::*;
use crate::harness::Exposition;
use crate::harness::remote_write::{HISTOGRAM, SUMMARY};

const ON: [(&str, &str); 1] = [("instance", "i")];

fn one(name: &str, labels: &[(&str, &str)], value: f64) -> Series {
    Series::new(name, &[labels, &ON].concat()).at(now(), value)
}

/// The series of one classic histogram.
fn histogram() -> [Series; 4] {
    [
        one("h_bucket", &[("le", "1")], 2.0),
        one("h_bucket", &[("le", "+Inf")], 3.0),
        one("h_sum", &[], 4.5),
        one("h_count", &[], 3.0),
    ]
}

#[track_caller]
fn is_whole(export: &Exposition, family: &str, kind: &str) {
    assert_eq!(export.types.get(family).map(String::as_str), Some(kind), "{:?}", export.types);
}

#[tokio::test]
async fn types_come_with_the_series_in_2_0() {
    let contract = Contract::start().await;
    let mut series = histogram().map(|s| s.about(HISTOGRAM, "Help of h", "seconds")).to_vec();
    series.push(one("c", &[], 1.0).about(COUNTER, "Help of c", ""));
    series.push(one("s", &[("quantile", "0.5")], 1.0).about(SUMMARY, "", ""));
    series.push(one("s_sum", &[], 1.0).about(SUMMARY, "", ""));
    series.push(one("s_count", &[], 1.0).about(SUMMARY, "", ""));
    series.push(one("i_info", &[], 1.0).about(6, "", ""));
    all_taken(&send(&contract, V2, &encode_v2(&series)).await, 9);
    let export = contract.export().await;
    for (family, kind) in [("h", "histogram"), ("c", "counter"), ("s", "summary"), ("i_info", "gauge")] {
        is_whole(&export, family, kind);
    }
    assert_eq!(export.help.get("c").map(String::as_str), Some("Help of c"));
    let [row] = &contract.query("metric_name=h_sum").await[..] else { panic!("one row") };
    assert_eq!((&row["metric_type"], &row["unit"]), (&json!("histogram"), &json!("seconds")));
    assert_eq!(row["help_text"], "Help of h");
}

#[tokio::test]
async fn without_a_word_about_them_types_are_inferred() {
    let contract = Contract::start().await;
    let mut series = histogram().to_vec();
    // The other way round than they were made.
    series.reverse();
    series.extend([one("c_total", &[], 1.0), one("g", &[], -1.0), one("queue_count", &[], 1.0)]);
    series.extend([one("s_count", &[], 1.0), one("s_sum", &[], 1.0), one("s", &[("quantile", "0.5")], 1.0)]);
    all_taken(&write(&contract, &series).await, 10);
    let export = contract.export().await;
    for (family, kind) in [
        ("h", "histogram"),
        ("s", "summary"),
        ("c_total", "counter"),
        ("g", "gauge"),
        ("queue_count", "gauge"),
    ] {
        is_whole(&export, family, kind);
    }
}

#[tokio::test]
async fn a_histogram_whose_parts_come_one_by_one_becomes_one() {
    let mut contract = Contract::start().await;
    let mut parts = histogram();
    parts.reverse();
    for part in &parts {
        all_taken(&write(&contract, std::slice::from_ref(part)).await, 1);
    }
    is_whole(&contract.export().await, "h", "histogram");
    // Known series go on as what they have become, also after a restart.
    all_taken(&write(&contract, &histogram()).await, 4);
    contract.restart().await;
    all_taken(&write(&contract, &histogram()).await, 4);
    is_whole(&contract.export().await, "h", "histogram");
    let types = "select distinct metric_type || ' ' || family from noetl_metrics.metric_name where metric_name like 'h%'";
    assert_eq!(contract.column::<String>(types).await, ["histogram h"]);
}

#[tokio::test]
async fn what_is_declared_later_counts_for_more_than_what_was_inferred() {
    let contract = Contract::start().await;
    let series =
        [one("c", &[], 1.0), one("d_total", &[], 2.0), one("s_sum", &[], 1.0), one("s_count", &[], 1.0)];
    all_taken(&write(&contract, &series).await, 4);
    is_whole(&contract.export().await, "c", "gauge");
    for (metric, days) in [("c", 40), ("s_count", 50)] {
        let path = format!("/api/metrics/ttl/set?metric_name={metric}&ttl_days={days}");
        contract.post(&path, &json!({})).await.ok();
    }
    let declared = |name: &str, kind, help| Series {
        samples: Vec::new(),
        ..one(name, &[], 0.0).about(kind, help, "runs")
    };
    let metadata = [
        declared("c", COUNTER, "Help of c"),
        declared("d_total", GAUGE, ""),
        declared("s", SUMMARY, "Help of s"),
    ];
    let body = {
        // Metadata come in requests of their own, without series.
        use prost::Message as _;
        let mut request =
            crate::harness::remote_write::v1::WriteRequest::decode(encode_v1(&metadata).as_slice()).unwrap();
        request.timeseries.clear();
        request.encode_to_vec()
    };
    for _ in 0..2 {
        all_taken(&send(&contract, V1, &body).await, 0);
        let export = contract.export().await;
        for (family, kind) in [("c", "counter"), ("d_total", "gauge"), ("s", "summary")] {
            is_whole(&export, family, kind);
        }
        assert_eq!(export.help.get("s").map(String::as_str), Some("Help of s"));
        assert_eq!(export.get("c", &[]), Some("1"));
        // What they keep their samples for goes on.
        let kept = "select family || ' ' || extract(day from ttl) from noetl_metrics.metric where ttl is not null order by 1";
        assert_eq!(contract.column::<String>(kept).await, ["c 40", "s 50"]);
    }
    let [row] = &contract.query("metric_name=c").await[..] else { panic!("one row") };
    assert_eq!(
        (&row["metric_type"], &row["help_text"], &row["unit"]),
        (&json!("counter"), &json!("Help of c"), &json!("runs"))
    );
    // A report with the type that was declared is welcome, one with another is not.
    contract.register("w").await;
    let report = |kind: &str| json!([{"metric_name": "c", "metric_type": kind, "metric_value": 1}]);
    contract.report("w", report("counter")).await.ok();
    contract.report("w", report("gauge")).await.problem(422, "invalid-report");
}

#[tokio::test]
async fn a_report_declares_a_type_too() {
    let contract = Contract::start().await;
    all_taken(&write(&contract, &[one("m", &[], 1.0)]).await, 1);
    contract.register("w").await;
    let report =
        json!([{"metric_name": "m", "metric_type": "counter", "metric_value": 1, "help_text": "Help of m"}]);
    contract.report("w", report).await.ok();
    is_whole(&contract.export().await, "m", "counter");
    all_taken(&write(&contract, &[one("m", &[], 2.0)]).await, 1);
    assert_eq!(contract.export().await.count("m"), 2);
}
