//! `GET /api/metrics/prometheus`: what a scraper reads, and when series come and go.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};

use crate::harness::{Contract, Exposition, SOON, eventually, gauge, gauge_at, now};

const EXPORT: &str = "/api/metrics/prometheus";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

fn metric(name: &str, kind: &str, value: f64, labels: &Value) -> Value {
    json!({"metric_name": name, "metric_type": kind, "metric_value": value, "labels": labels})
}

fn histogram(name: &str, labels: &Value) -> Value {
    json!({"metric_name": name, "metric_type": "histogram", "labels": labels,
           "buckets": {"0.5": 1, "10": 2, "+Inf": 3}, "sum": 12.5, "count": 3, "help_text": "How long.", "unit": "seconds"})
}

fn summary(name: &str) -> Value {
    json!({"metric_name": name, "metric_type": "summary", "quantiles": {"0.5": 1.5, "0.99": 4}, "sum": 9, "count": 4})
}

/// A value of the server's own `/metrics`.
pub async fn own_metric(contract: &Contract, name: &str) -> f64 {
    let text = contract.get("/metrics").await.expect(200).text().to_owned();
    let line =
        text.lines().find(|l| l.starts_with(&format!("{name} "))).unwrap_or_else(|| panic!("{name}: {text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn the_format_is_the_one_that_was_asked_for() {
    let contract = Contract::start().await;
    contract.register("w").await;
    let counter = json!({"metric_name": "done_total", "metric_type": "counter", "metric_value": 3, "help_text": "Done.", "unit": "jobs"});
    let batch = json!([
        gauge("m", 1.5),
        counter,
        metric("odd", "counter", 2.0, &json!({})),
        histogram("took_seconds", &json!({})),
        summary("size")
    ]);
    contract.report("w", batch).await.ok();
    for (accept, expected) in [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/plain", TEXT),
        ("application/openmetrics-text", OPEN_METRICS),
        (
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            OPEN_METRICS,
        ),
        ("application/openmetrics-text;version=1.0.0;q=0.1, text/plain;q=0.9", TEXT),
        ("application/openmetrics-text; version=2.0.0, text/plain", TEXT),
        ("application/json", TEXT),
    ] {
        let answer = contract.get_as(EXPORT, accept).await.expect(200);
        assert_eq!(answer.header("content-type"), expected, "{accept}");
        let vary: Vec<_> =
            answer.headers.get_all("vary").iter().map(|v| v.to_str().unwrap().to_ascii_lowercase()).collect();
        assert!(vary.join(",").contains("accept") && vary.join(",").contains("accept-encoding"), "{vary:?}");
        let read = Exposition::checked(answer.text());
        assert_eq!(answer.text().ends_with("# EOF\n"), expected == OPEN_METRICS);
        assert_eq!(read.get("m", &[]), Some("1.5"));
        assert_eq!(read.get("done_total", &[]), Some("3"));
        assert_eq!(read.types["took_seconds"], "histogram");
        assert_eq!(read.get("took_seconds_bucket", &[("le", "0.5")]), Some("1"));
        assert_eq!(read.types["size"], "summary");
        assert_eq!(read.get("size", &[("quantile", "0.99")]), Some("4"));
        if expected == OPEN_METRICS {
            assert_eq!((&*read.types["done"], &*read.types["odd"]), ("counter", "unknown"));
            assert_eq!(read.units["took_seconds"], "seconds");
            assert!(!read.units.contains_key("done"), "jobs is not the end of the name");
        } else {
            assert_eq!((&*read.types["done_total"], &*read.types["odd"]), ("counter", "counter"));
            assert_eq!(read.help["done_total"], "Done.");
        }
    }
}

/// A scraper that bounds the size of a scrape takes several, which are the whole together.
#[tokio::test]
async fn parts_are_the_whole_together_and_have_nothing_twice() {
    let contract = Contract::start().await;
    let names: Vec<String> = (0..24).map(|n| format!("w{n}")).collect();
    for name in &names {
        contract.register(name).await;
        let batch = json!([gauge("m", 1.0), histogram("took_seconds", &json!({"a": "1"})), summary("size")]);
        contract.report(name, batch).await.ok();
    }
    for accept in [TEXT, OPEN_METRICS] {
        let of = async |parameters: &str| {
            let answer = contract.get_as(&format!("{EXPORT}?{parameters}"), accept).await.expect(200);
            Exposition::checked(answer.text())
        };
        let ours = |read: &Exposition| -> Vec<(String, crate::harness::Labels)> {
            let of_ours = read.samples.iter().filter(|s| names.contains(&s.labels["component"]));
            of_ours.map(|s| (s.name.clone(), s.labels.clone())).collect()
        };
        let mut whole = ours(&of("").await);
        let mut parts = Vec::new();
        for index in 1..=3 {
            let part = ours(&of(&format!("shard={index}/3")).await);
            assert!((1..whole.len()).contains(&part.len()), "{} of {}", part.len(), whole.len());
            parts.extend(part);
        }
        whole.sort();
        parts.sort();
        assert_eq!(whole, parts);
        // A gauge, five of a histogram, four of a summary, and whether it is up.
        assert!(whole.len() >= 11 * names.len(), "{}", whole.len());
    }
}

#[tokio::test]
async fn every_character_of_a_label_comes_through() {
    let contract = Contract::start().await;
    let name = "w\"1\\\n";
    contract.register(name).await;
    let labels = json!({
        "quotes": "a\"b", "slashes": "c:\\d\\n", "lines": "x\ny\r\n", "words": "größe 🦀", "empty": "",
        "braces": "},{=\"", "tab": "\t\u{1}", "component": "other", "exported_component": "third"
    });
    let mut one = metric("m", "gauge", 1.0, &labels);
    one["help_text"] = json!("first\nsecond \\ \"third\"");
    contract.report(name, json!([one])).await.ok();
    for accept in ["text/plain", OPEN_METRICS] {
        let answer = contract.get_as(EXPORT, accept).await.expect(200);
        let read = Exposition::checked(answer.text());
        let sample = read.samples.iter().find(|s| s.name == "m").unwrap();
        for key in ["quotes", "slashes", "lines", "words", "braces", "tab"] {
            assert_eq!(sample.labels[key], labels[key].as_str().unwrap(), "{key}");
        }
        assert_eq!(sample.labels["component"], name);
        assert!(!sample.labels.contains_key("empty"), "an empty label is none");
        assert_eq!(sample.labels["exported_component"], "third");
        assert_eq!(sample.labels["exported_exported_component"], "other");
        let help = if accept == "text/plain" {
            r#"first\nsecond \\ "third""#
        } else {
            r#"first\nsecond \\ \"third\""#
        };
        assert_eq!(read.help["m"], help);
    }
}

#[tokio::test]
async fn label_sets_that_a_scraper_takes_for_equal_are_one_series() {
    let contract = Contract::start().await;
    contract.register("w").await;
    let at = now() - 10_000;
    for (step, labels) in [
        json!({"a": "1", "z": "2"}),
        json!({"z": "2", "a": "1"}),
        json!({"a": "1", "z": "2", "empty": ""}),
        json!({"a": "1", "z": "2", "component": "w"}),
        json!({"a": "1", "z": "2", "component_type": "worker_pool", "component": ""}),
    ]
    .iter()
    .enumerate()
    {
        let mut one = metric("m", "gauge", step as f64, labels);
        one["timestamp"] = json!(crate::harness::time(at + step as i64));
        contract.report("w", json!([one])).await.ok();
    }
    let read = contract.export().await;
    assert_eq!((read.count("m"), read.get("m", &[("a", "1")])), (1, Some("4")));
    // A reported label that clashes, and one that is named as the clashing one becomes.
    let other = [json!({"component": "x", "d": "1"}), json!({"exported_component": "x", "d": "1"})];
    for labels in &other {
        contract.report("w", json!([metric("clash", "gauge", 1.0, labels)])).await.ok();
    }
    assert_eq!(contract.export().await.count("clash"), 1);
}

#[tokio::test]
async fn the_order_stays_from_scrape_to_scrape() {
    let mut contract = Contract::start().await;
    for name in ["b", "a", "c"] {
        contract.register(name).await;
    }
    let batch = |value: f64| {
        let gauges =
            ["zeta", "alpha", "m_1", "M", "m"].map(|n| metric(n, "gauge", value, &json!({"k": "2"})));
        let more = [
            metric("m", "gauge", value, &json!({"k": "1"})),
            histogram("h", &json!({})),
            histogram("h", &json!({"k": "0"})),
        ];
        Value::from([gauges.to_vec(), more.to_vec()].concat())
    };
    for name in ["c", "a", "b"] {
        contract.report(name, batch(1.0)).await.ok();
    }
    let shape = async |contract: &Contract| -> Vec<String> {
        let read = contract.export().await;
        let is_own = |name: &str| ["a", "b", "c"].contains(&name);
        read.samples
            .iter()
            .filter(|s| is_own(&s.labels["component"]))
            .map(|s| format!("{} {:?}", s.name, s.labels))
            .collect()
    };
    let first = shape(&contract).await;
    for name in ["b", "c", "a"] {
        contract.report(name, batch(2.0)).await.ok();
    }
    assert_eq!(shape(&contract).await, first);
    contract.restart().await;
    assert_eq!(shape(&contract).await, first);
    let names: Vec<&str> = first.iter().map(|l| l.split(' ').next().unwrap()).collect();
    let families: Vec<&str> = names
        .iter()
        .map(|n| n.trim_end_matches("_bucket").trim_end_matches("_sum").trim_end_matches("_count"))
        .collect();
    assert!(families.is_sorted(), "{families:?}");
}

#[tokio::test]
async fn a_name_keeps_the_type_and_the_family_of_its_first_report() {
    let contract = Contract::start().await;
    contract.register("w").await;
    contract.register("v").await;
    let batch = json!([gauge("m", 1.0), histogram("h", &json!({})), summary("s"), gauge("late_sum", 1.0)]);
    contract.report("w", batch).await.ok();
    for (why, one) in [
        ("another type", metric("m", "counter", 1.0, &json!({}))),
        ("a part of a histogram", gauge("h_sum", 1.0)),
        ("a histogram's own name", gauge("h", 1.0)),
        ("a part of a summary", gauge("s_count", 1.0)),
        ("a histogram over a gauge", histogram("m", &json!({}))),
        ("a histogram over a gauge with its suffix", histogram("late", &json!({}))),
        ("a summary over a histogram", summary("h")),
        ("a histogram's part of another family", metric("m_bucket", "histogram", 1.0, &json!({"le": "1"}))),
    ] {
        for component in ["w", "v"] {
            let problem = contract.report(component, json!([one])).await.problem(422, "invalid-report");
            let error = &problem["errors"][0];
            assert_eq!(error["field"], "metric_type", "{why}");
            assert!(!error["reason"].as_str().unwrap().starts_with("metric_type"), "{why}: {error}");
        }
    }
    let read = contract.export().await;
    assert_eq!((&*read.types["m"], &*read.types["h"], &*read.types["s"]), ("gauge", "histogram", "summary"));
    // A part of a batch only.
    let reply = contract.report("v", json!([gauge("fine", 1.0), gauge("h_count", 1.0)])).await.ok();
    assert_eq!((&reply["metrics_inserted"], &reply["rejected"][0]["index"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn histograms_that_are_not_whole_are_shown_as_single_values() {
    let contract = Contract::start().await;
    contract.register("w").await;
    let part = |name: &str, value: f64, le: Option<&str>| {
        let labels = le.map_or(json!({}), |le| json!({"le": le}));
        metric(name, "histogram", value, &labels)
    };
    contract.report("w", json!([part("h_bucket", 1.0, Some("0.5")), part("h_sum", 3.0, None)])).await.ok();
    for (accept, word) in [("text/plain", "untyped"), (OPEN_METRICS, "unknown")] {
        let read = Exposition::checked(contract.get_as(EXPORT, accept).await.text());
        assert_eq!((&*read.types["h_bucket"], &*read.types["h_sum"]), (word, word));
        assert!(!read.types.contains_key("h"));
    }
    // Its missing parts arrive: it is whole.
    contract.report("w", json!([part("h_bucket", 2.0, Some("Inf")), part("h_count", 2.0, None)])).await.ok();
    let read = contract.export().await;
    assert_eq!((&*read.types["h"], read.get("h_bucket", &[("le", "+Inf")])), ("histogram", Some("2")));
    // A count that does not fit breaks it again.
    contract.report("w", json!([part("h_count", 7.0, None)])).await.ok();
    assert_eq!(contract.export().await.types["h_count"], "untyped");
}

#[tokio::test]
async fn filters_take_what_they_say() {
    let contract = Contract::start().await;
    let id = contract.register("w").await;
    contract.register("v").await;
    contract.register_as("w2", "broker").await;
    for name in ["w", "v", "w2"] {
        let batch = json!([
            metric("m", "gauge", 1.0, &json!({"l": name})),
            gauge("n", 1.0),
            histogram("h", &json!({}))
        ]);
        contract.report(name, batch).await.ok();
    }
    for (filter, m, n, buckets) in [
        ("?component_name=w".to_owned(), 1, 1, 3),
        (format!("?runtime_id={id}"), 1, 1, 3),
        (format!("?runtime_id={id}&component_name=v"), 0, 0, 0),
        ("?component_name=nobody".into(), 0, 0, 0),
        ("?match[]=m".into(), 3, 0, 0),
        ("?match[]=m&match[]=n%7Bcomponent%3D%22v%22%7D".into(), 3, 1, 0),
        ("?match[]=%7Bcomponent_type%3D%22broker%22%7D".into(), 1, 1, 3),
        ("?match[]=%7Bl%3D~%22w.*%22%7D".into(), 2, 0, 0),
        ("?match[]=%7B__name__%3D~%22h_.*%22%7D&component_name=w".into(), 0, 0, 3),
        ("?match[]=m%7Bl!%3D%22w%22%7D&component_name=w".into(), 0, 0, 0),
    ] {
        let read = contract.export_of(&filter).await;
        assert_eq!((read.count("m"), read.count("n"), read.count("h_bucket")), (m, n, buckets), "{filter}");
    }
    let up = contract.export_of("?match[]=noetl_component_up%7Bcomponent%3D%22w%22%7D").await;
    assert_eq!((up.samples.len(), up.get("noetl_component_up", &[])), (1, Some("1")));
}

#[tokio::test]
async fn timestamps_are_shown_when_asked_for() {
    let contract = Contract::start().await;
    contract.register("w").await;
    let at = now() - 3000;
    contract.report("w", json!([gauge_at("m", 1.0, at)])).await.ok();
    let timestamp =
        |read: &Exposition| read.samples.iter().find(|s| s.name == "m").unwrap().timestamp.clone();
    assert_eq!(timestamp(&contract.export().await), None);
    assert_eq!(timestamp(&contract.export_of("?timestamps=0").await), None);
    assert_eq!(timestamp(&contract.export_of("?timestamps=1").await), Some(at.to_string()));
    let open = contract.get_as(&format!("{EXPORT}?timestamps=1"), OPEN_METRICS).await;
    let expected = format!("{}.{:03}", at / 1000, at % 1000);
    assert_eq!(timestamp(&Exposition::checked(open.text())), Some(expected));
}

#[tokio::test]
async fn compressed_replies_hold_the_same_bytes() {
    let contract = Contract::start().await;
    contract.register("w").await;
    let many: Vec<Value> =
        (0..3000).map(|i| metric("m", "gauge", f64::from(i), &json!({"i": i.to_string()}))).collect();
    contract.report("w", many.into()).await.ok();
    // The server's own values move on; those of one component stay.
    let path = format!("{EXPORT}?match[]=m");
    let plain = contract.get(&path).await.expect(200);
    assert_eq!(plain.header("content-encoding"), "");
    for (accept, encoding) in [
        ("gzip", "gzip"),
        ("zstd", "zstd"),
        ("gzip, zstd", "zstd"),
        ("gzip;q=1, zstd;q=0.5", "gzip"),
        ("br", ""),
        ("gzip;q=0", ""),
    ] {
        let packed = contract.send(Method::GET, &path, &[("accept-encoding", accept)], Vec::new()).await;
        assert_eq!(packed.header("content-encoding"), encoding, "{accept}");
        let body = noetl_metrics::wire::encoding::decompress(
            noetl_metrics::wire::encoding::Encoding::parse(encoding).unwrap(),
            &packed.body,
            100 << 20,
        );
        assert_eq!(body.unwrap(), plain.body, "{accept}");
    }
    let head = contract.send(Method::HEAD, &path, &[], Vec::new()).await.expect(200);
    assert_eq!((head.body.len(), head.header("content-type")), (0, TEXT));
}

#[tokio::test]
async fn silent_components_leave_by_a_timer_and_return_with_their_next_report() {
    let mut contract = Contract::with(&["--stale-after", "2s"]).await;
    for name in ["quiet", "busy"] {
        contract.register(name).await;
        let batch = json!([
            metric("done_total", "counter", 5.0, &json!({})),
            gauge("load", 1.0),
            histogram("h", &json!({}))
        ]);
        contract.report(name, batch).await.ok();
    }
    let live = own_metric(&contract, "noetl_metrics_live_series").await;
    let began = Instant::now();
    // Nobody scrapes: the server's own counter of live series tells when they left.
    eventually("the silent component's seven series leave", SOON, async || {
        contract.report("busy", json!([gauge("load", 2.0)])).await.ok();
        tokio::time::sleep(Duration::from_millis(100)).await;
        (own_metric(&contract, "noetl_metrics_live_series").await <= live - 7.0).then_some(())
    })
    .await;
    assert!(began.elapsed() > Duration::from_millis(1500), "not before its time");
    let read = contract.export().await;
    assert_eq!(read.of("quiet").len(), 0);
    assert_eq!(
        read.get("noetl_component_up", &[("component", "quiet")]),
        Some("0"),
        "its silence is visible"
    );
    // The other one did not report its counter again, and keeps it.
    assert_eq!(read.get("done_total", &[("component", "busy")]), Some("5"));
    assert_eq!(read.types["h"], "histogram");
    // Silence is not a farewell, neither now nor after a restart.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(crate::report::component(&contract, "quiet").await["status"], "silent");
    contract.restart().await;
    assert_eq!(crate::report::component(&contract, "quiet").await["status"], "silent");
    contract.report("quiet", json!([gauge("load", 3.0)])).await.ok();
    let read = contract.export().await;
    assert_eq!(read.get("load", &[("component", "quiet")]), Some("3"));
    assert_eq!(read.get("noetl_component_up", &[("component", "quiet")]), Some("1"));
}

#[tokio::test]
async fn a_restarted_server_exports_what_it_did_before() {
    let mut contract = Contract::start().await;
    contract.register("w").await;
    let at = now() - 2000;
    let mut described = gauge_at("m", 1.0, at);
    described["help_text"] = json!("What it is.");
    contract
        .report("w", json!([described, histogram("h", &json!({})), gauge_at("late", 1.0, at)]))
        .await
        .ok();
    contract.report("w", json!([gauge_at("late", 2.0, at), gauge_at("m", 9.0, at - 60_000)])).await.ok();
    let of = |read: &Exposition| -> Vec<String> {
        read.of("w").iter().map(|s| format!("{} {:?} {}", s.name, s.labels, s.value)).collect()
    };
    let before = contract.export().await;
    contract.restart().await;
    let after = contract.export().await;
    assert_eq!(of(&after), of(&before));
    assert_eq!(after.get("late", &[]), Some("2"));
    assert_eq!((&after.types["h"], &after.help["m"]), (&"histogram".to_owned(), &"What it is.".to_owned()));
    // Also after a crash, for a component that the server had no time to write down.
    contract.register("new").await;
    contract.report("new", json!([gauge("fresh", 1.0)])).await.ok();
    contract.server.kill();
    contract.start_again().await;
    assert_eq!(contract.export().await.get("fresh", &[]), Some("1"));
}

#[tokio::test]
async fn samples_inserted_by_sql_are_exported_within_a_sweep() {
    let contract = Contract::with(&["--stale-after", "4s"]).await;
    let id = contract.register("w").await;
    let insert = |name: &str, value: f64, ago: u32| {
        format!(
            "insert into noetl.metrics (runtime_id, metric_name, metric_type, metric_value, labels, help_text, timestamp) \
             values ({id}, '{name}', 'gauge', {value}, '{{\"by\": \"sql\"}}', 'By SQL.', now() - interval '{ago} s')"
        )
    };
    contract.run(insert("m", 1.0, 0)).await;
    contract.run(insert("old", 1.0, 60)).await;
    eventually("the inserted sample is exported", SOON, async || {
        (contract.export().await.get("m", &[("by", "sql")]) == Some("1")).then_some(())
    })
    .await;
    let read = contract.export().await;
    assert_eq!(read.help["m"], "By SQL.");
    assert_eq!(read.count("old"), 0, "too old to be anybody's newest value now");
    contract.run(insert("m", 2.0, 0)).await;
    eventually("the next one replaces it", SOON, async || {
        (contract.export().await.get("m", &[]) == Some("2")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_report_in_the_moment_of_expiry_is_not_lost_from_the_export() {
    let contract = Contract::with(&["--stale-after", "1s"]).await;
    let names: Vec<String> = (0..20).map(|i| format!("w{i:02}")).collect();
    for name in &names {
        contract.register(name).await;
    }
    for round in 0..4 {
        // Each reports about when it expires, some a little before, some a little after.
        let sent = names.iter().enumerate().map(async |(i, name)| {
            tokio::time::sleep(Duration::from_millis(1000 + 15 * i as u64)).await;
            contract.report(name, json!([gauge("m", f64::from(round))])).await.ok();
            (name, Instant::now())
        });
        let sent = futures_util::future::join_all(sent).await;
        let read = contract.export().await;
        let missing: Vec<_> = sent
            .iter()
            .filter(|(_, at)| at.elapsed() < Duration::from_millis(800))
            .filter(|(name, _)| read.get("m", &[("component", name)]) != Some(&*round.to_string()))
            .collect();
        assert!(missing.is_empty(), "round {round}: {missing:?} reported less than a second ago");
    }
}

#[tokio::test]
async fn who_reads_nothing_of_an_answer_is_not_waited_for() {
    let contract = Contract::start().await;
    contract.register("w").await;
    // More than the sockets of both sides hold.
    let long = "x".repeat(4000);
    for part in 0..8 {
        let label = |i: i32| json!({"i": format!("{part}-{i}-{long}")});
        let samples: Vec<Value> = (0..1000).map(|i| metric("m", "gauge", 1.0, &label(i))).collect();
        contract.report("w", samples.into()).await.ok();
    }
    let mut stream = std::net::TcpStream::connect(&contract.server.address).unwrap();
    std::io::Write::write_all(&mut stream, format!("GET {EXPORT} HTTP/1.1\r\nhost: h\r\n\r\n").as_bytes())
        .unwrap();
    // As the system lists it, of the server's side.
    let ports =
        [stream.peer_addr().unwrap(), stream.local_addr().unwrap()].map(|a| format!(":{:04X}", a.port()));
    let is_there = || {
        let listed = std::fs::read_to_string("/proc/net/tcp").unwrap();
        listed.lines().any(|line| {
            let mut words = line.split_whitespace().skip(1);
            ports.iter().all(|port| words.next().is_some_and(|address| address.ends_with(port)))
        })
    };
    assert!(is_there());
    let began = Instant::now();
    eventually("the connection is given up", Duration::from_mins(2), async || (!is_there()).then_some(()))
        .await;
    assert!(began.elapsed() > Duration::from_secs(20), "it had its time: {:?}", began.elapsed());
    // Nobody else is kept waiting.
    contract.get(&format!("{EXPORT}?component_name=none")).await.expect(200);
}
