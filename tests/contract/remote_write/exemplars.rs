//! Exemplars: kept beside the samples, for SQL.

use super::*;

async fn stored(contract: &Contract) -> Vec<String> {
    contract
        .column(
            "select component_name || ' ' || metric_name || ' ' || value || ' ' || (exemplar_labels->>'trace_id') \
             from noetl.exemplars order by 1",
        )
        .await
}

#[tokio::test]
async fn exemplars_can_be_read_by_sql_and_the_newest_of_a_minute_stays() {
    let contract = Contract::start().await;
    let minute = now() / 60_000 * 60_000 - 60_000;
    let series = |name: &str, at: i64, value: f64| {
        let trace = format!("t{value}");
        Series::new(name, &[("instance", "i")]).exemplar(&[("trace_id", &trace)], at, value)
    };
    for (content_type, encode) in MESSAGES {
        let with_sample = series("a_total", minute, 1.0).at(minute, 5.0);
        let body =
            encode(&[with_sample, series("b_total", minute, 2.0), series("b_total", minute + 1000, 3.0)]);
        for _ in 0..2 {
            let answer = send(&contract, content_type, &body).await.expect(204);
            assert_eq!(written(&answer), ["1", "0", "3"]);
            assert_eq!(stored(&contract).await, ["i a_total 1 t1", "i b_total 3 t3"]);
        }
    }
    let later = send(&contract, V1, &encode_v1(&[series("a_total", minute + 60_000, 4.0)])).await.expect(204);
    assert_eq!(written(&later), ["0", "0", "1"]);
    assert_eq!(stored(&contract).await, ["i a_total 1 t1", "i a_total 4 t4", "i b_total 3 t3"]);
    contract
        .run("update noetl_metrics.exemplar set \"timestamp\" = \"timestamp\" - interval '1 hour', minute = minute - 60")
        .await;
    send(&contract, V1, &encode_v1(&[series("a_total", minute, 5.0)])).await.expect(204);
    let all = ["i a_total 1 t1", "i a_total 4 t4", "i a_total 5 t5", "i b_total 3 t3"];
    assert_eq!(stored(&contract).await, all);
    crate::maintenance::maintain(&contract, &["--retention-raw", "30m"]).await;
    assert_eq!(stored(&contract).await, ["i a_total 5 t5"], "the retention ends them");
}

#[tokio::test]
async fn an_exemplar_that_breaks_a_rule_does_not_take_its_sample_along() {
    let contract = Contract::start().await;
    let series = [Series::new("a_total", &[("instance", "i")])
        .at(now(), 1.0)
        .exemplar(&[("trace_id", &"é".repeat(121))], now(), 1.0)
        .exemplar(&[("trace_id", "t")], now(), 2.0)];
    for (content_type, encode) in MESSAGES {
        let answer = send(&contract, content_type, &encode(&series)).await;
        let problem = answer.problem(400, "invalid-write");
        assert_eq!(written(&answer), ["1", "0", "1"]);
        assert_eq!(problem["errors"][0]["field"], "exemplars");
        assert!(problem["detail"].as_str().unwrap().contains("129 characters"), "{problem}");
    }
    assert_eq!(stored(&contract).await, ["i a_total 2 t"]);
}
