//! What is refused, and what stays of a request that is partly bad.

use super::*;

const ON: (&str, &str) = ("instance", "i");

fn good(n: usize) -> Series {
    Series::new("good", &[ON, ("n", &n.to_string())]).at(now(), 1.0)
}

#[tokio::test]
async fn the_good_series_are_stored_and_the_bad_ones_named() {
    let contract = Contract::start().await;
    let at = now();
    let long = "x".repeat(4097);
    let bad: [(Series, &str, &str); 9] = [
        (Series::new("", &[ON]).at(at, 1.0), "metric_name", "__name__ is missing"),
        (Series::new("a.b", &[ON]).at(at, 1.0), "metric_name", "is not a metric name"),
        (Series::new("m", &[ON, ("a-b", "c")]).at(at, 1.0), "labels", "is not a label name"),
        (Series::new("m", &[ON, ("a", "b"), ("a", "c")]).at(at, 1.0), "labels", "occurs twice"),
        (Series::new("m", &[ON, ("a", &long)]).at(at, 1.0), "labels", "4097 bytes"),
        (Series::new("m", &[ON, ("a", "b\0")]).at(at, 1.0), "labels", "U+0000"),
        (Series::new("m", &[ON]).at(at + 3_600_000, 1.0), "timestamp", "ahead of the server's clock"),
        (Series::new("m", &[ON]).at(-1, 1.0), "timestamp", "before 1970"),
        (Series::new("noetl_component_up", &[ON]).at(at, 1.0), "metric_name", "made by the server"),
    ];
    for (content_type, encode) in MESSAGES {
        let series: Vec<Series> = bad.iter().map(|(s, ..)| s.clone()).chain([good(1), good(2)]).collect();
        // Again, when the series are known.
        for _ in 0..2 {
            let answer = send(&contract, content_type, &encode(&series)).await;
            let problem = answer.problem(400, "invalid-write");
            assert_eq!(written(&answer), ["2", "0", "0"]);
            for (n, (error, (_, field, reason))) in
                problem["errors"].as_array().unwrap().iter().zip(&bad).enumerate()
            {
                assert_eq!((&error["index"], &error["field"]), (&json!(n), &json!(field)), "{error}");
                assert!(error["reason"].as_str().unwrap().contains(reason), "{error}");
            }
            assert!(problem["detail"].as_str().unwrap().starts_with("9 of 11 series"), "{problem}");
        }
    }
    assert_eq!(contract.query("metric_name=good&label.n=1").await.len(), 2);
}

#[tokio::test]
async fn native_histograms_are_refused_by_name_and_the_rest_is_kept() {
    let contract = Contract::start().await;
    for (content_type, encode) in MESSAGES {
        let native = Series { histograms: 1, ..Series::new("latency", &[ON, ("path", "/a")]) };
        let answer = send(&contract, content_type, &encode(&[native, good(1)])).await;
        let problem = answer.problem(400, "invalid-write");
        assert_eq!(written(&answer), ["1", "0", "0"]);
        let reason = problem["errors"][0]["reason"].as_str().unwrap();
        assert!(reason.contains("latency{") && reason.contains(r#"path="/a""#), "{reason}");
        assert!(reason.contains("native histograms are not stored"), "{reason}");
    }
}

#[tokio::test]
async fn bodies_that_are_no_request_are_refused_and_the_server_goes_on() {
    let contract = Contract::start().await;
    let headers = [("content-type", V1), ("content-encoding", "snappy")];
    let packed = compress(Encoding::Snappy, &encode_v1(&[good(1)])).unwrap();
    let claims_much = b"\xff\xff\xff\xff\x0f\x00a".to_vec();
    let zeros = compress(Encoding::Snappy, &vec![0; 17 << 20]).unwrap();
    for (body, status, slug) in [
        (packed[..packed.len() - 3].to_vec(), 400, "malformed-body"),
        (b"not snappy at all".to_vec(), 400, "malformed-body"),
        (Vec::new(), 400, "malformed-body"),
        (compress(Encoding::Snappy, b"{\"metrics\": []}").unwrap(), 400, "malformed-body"),
        (claims_much, 413, "body-too-large"),
        (zeros, 413, "body-too-large"),
    ] {
        contract.send(Method::POST, "/api/v1/write", &headers, body).await.problem(status, slug);
    }
    for (encoding, name) in [(Encoding::Zstd, "zstd"), (Encoding::Gzip, "gzip")] {
        let bomb = compress(encoding, &vec![0; 17 << 20]).unwrap();
        let headers = [("content-type", V1), ("content-encoding", name)];
        contract.send(Method::POST, "/api/v1/write", &headers, bomb).await.problem(413, "body-too-large");
    }
    // A message of very many empty series, and one of very many empty symbols.
    let empty: Vec<u8> = b"\x0a\0".repeat(300_000);
    send(&contract, V1, &empty).await.problem(413, "body-too-large");
    let symbols: Vec<u8> = b"\x22\0".repeat(1_000_000);
    send(&contract, V2, &symbols).await.problem(413, "body-too-large");
    assert!(contract.server.resident_bytes() < 400 << 20, "{}", contract.server.resident_bytes());
    all_taken(&write(&contract, &[good(1)]).await, 1);
    all_taken(&write(&contract, &[]).await, 0);
}

#[tokio::test]
async fn what_can_not_be_kept_of_metadata_spoils_nothing() {
    let contract = Contract::start().await;
    all_taken(&write(&contract, &[good(1)]).await, 1);
    let long = "x".repeat(5000);
    for (family, help, unit) in [
        ("good", long.as_str(), long.as_str()),
        ("good", "a\0b", "c\0d"),
        ("a.b", "", ""),
        (&long, &long, &long),
    ] {
        let declared = Series::new(family, &[]).about(GAUGE, help, unit);
        let body = encode_v1(&[declared, good(1)]);
        let answer = send(&contract, V1, &body).await;
        assert!(matches!(answer.status, 204 | 400), "{}", answer.text());
        assert_eq!(written(&answer)[0], "1", "{family}");
    }
    let [row] = &contract.query("metric_name=good&limit=1").await[..] else { panic!("one row") };
    assert_eq!(row["unit"].as_str().map(str::len), Some(50));
}

#[tokio::test]
async fn limits_are_those_of_reports() {
    let contract =
        Contract::with(&["--max-labels", "3", "--max-component-series", "2", "--max-body-bytes", "2000"])
            .await;
    let many = Series::new("m", &[ON, ("a", "b"), ("c", "d"), ("e", "f")]).at(now(), 1.0);
    let problem = write(&contract, &[many]).await.problem(400, "invalid-write");
    assert!(problem["detail"].as_str().unwrap().contains("4 labels, at most 3"), "{problem}");
    let answer = write(&contract, &[good(1), good(2), good(3)]).await;
    let problem = answer.problem(400, "invalid-write");
    assert_eq!(written(&answer), ["2", "0", "0"]);
    assert!(problem["detail"].as_str().unwrap().contains("2 live series, its limit"), "{problem}");
    let large: Vec<Series> = (0..100).map(good).collect();
    write(&contract, &large).await.problem(413, "body-too-large");
    let status = crate::report::component(&contract, "i").await;
    assert_eq!(status["rejected_samples"], 1);
}

#[tokio::test]
async fn a_sender_is_told_to_come_back_while_the_database_is_away() {
    let contract = Contract::start().await;
    all_taken(&write(&contract, &[good(1)]).await, 1);
    contract.run("alter table noetl_metrics.block rename to block_away; alter table noetl_metrics.sample rename to sample_away").await;
    let answer = write(&contract, &[good(1)]).await;
    answer.problem(503, "unavailable");
    contract.run("alter table noetl_metrics.block_away rename to block; alter table noetl_metrics.sample_away rename to sample").await;
    all_taken(&write(&contract, &[good(1)]).await, 1);
}
