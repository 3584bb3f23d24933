//! Callers that are bound to components speak for no other one.

use http::Method;
use noetl_metrics::wire::encoding::{Encoding, compress};
use serde_json::{Value, json};

use crate::harness::remote_write::{Series, encode_v1};
use crate::harness::{Answer, Contract, gauge, now};

const REGISTER: (&str, &str) = ("POST", "/api/worker/pool/register");
const SPEAKS: &[(&str, &str)] = &[
    REGISTER,
    ("POST", "/api/metrics/report"),
    ("POST", "/api/metrics/self-report"),
    ("POST", "/api/worker/pool/heartbeat"),
    ("POST", "/heartbeat"),
    ("POST", "/api/worker/pool/deregister"),
    ("DELETE", "/api/worker/pool/deregister"),
];

/// A server with a token `all`, which is not bound, and `own`, which is.
async fn server() -> (Contract, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokens");
    std::fs::write(&path, "all\nown components=mine,mine-*\n").unwrap();
    (Contract::with(&["--auth-token-file", path.to_str().unwrap()]).await, dir)
}

async fn call(contract: &Contract, token: &str, (method, path): (&str, &str), body: &Value) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers = [("content-type", "application/json"), ("authorization", bearer.as_str())];
    let method = method.parse::<Method>().unwrap();
    contract.send(method, path, &headers, body.to_string().into_bytes()).await
}

/// Speaks for a component by every endpoint that takes its name.
async fn speak(contract: &Contract, name: &str, check: impl Fn(&str, &Answer)) {
    for (method, path) in SPEAKS {
        let query =
            if path.ends_with("self-report") { format!("?component_name={name}") } else { String::new() };
        let body = json!({"name": name, "component_name": name, "metrics": [gauge("m", 1.0)]});
        let path = format!("{path}{query}");
        check(&path, &call(contract, "own", (method, &path), &body).await);
    }
}

async fn samples(contract: &Contract) -> i64 {
    contract.value("select count(*) from noetl.metrics where metric_name = 'm'").await
}

#[tokio::test]
async fn a_token_that_is_bound_to_components_speaks_for_no_other() {
    let (contract, _dir) = server().await;
    let other = call(&contract, "all", REGISTER, &json!({"name": "other"})).await.ok()["runtime_id"].clone();
    for name in ["mine", "mine-2"] {
        speak(&contract, name, |path, answer| assert_eq!(answer.status, 200, "{path}: {}", answer.text()))
            .await;
    }
    let before = samples(&contract).await;
    for name in ["other", "min", "Mine", "unknown"] {
        speak(&contract, name, |_, answer| drop(answer.problem(403, "forbidden"))).await;
    }
    let by_id = json!({"runtime_id": other, "component_name": "mine", "metrics": [gauge("m", 1.0)]});
    call(&contract, "own", ("POST", "/api/metrics/report"), &by_id).await.problem(403, "forbidden");
    // The server's own component is another one, too.
    call(&contract, "own", ("POST", "/api/metrics/self-report"), &json!({})).await.problem(403, "forbidden");
    assert_eq!(samples(&contract).await, before);
    let strangers = "select count(*) from noetl.runtime where name in ('min', 'Mine', 'unknown')";
    assert_eq!(contract.value::<i64>(strangers).await, 0);
}

#[tokio::test]
async fn remote_write_with_a_series_of_another_component_is_refused_whole() {
    let (contract, _dir) = server().await;
    let write = async |token: &str, components: &[&str]| {
        let one = |name: &&str| Series::new("m", &[("component", name)]).at(now(), 1.0);
        let series: Vec<Series> = components.iter().map(one).collect();
        let packed = compress(Encoding::Snappy, &encode_v1(&series)).expect("packed");
        let bearer = format!("Bearer {token}");
        let headers = [("content-type", "application/x-protobuf"), ("authorization", bearer.as_str())];
        contract.send(Method::POST, "/api/v1/write", &headers, packed).await
    };
    write("own", &["mine-3"]).await.expect(204);
    write("all", &["other"]).await.expect(204);
    // Of series that are known, and of new ones.
    for foreign in [["mine-3", "other"], ["mine-3", "new"], ["mine-4", "new"], ["mine-4", "other"]] {
        write("own", &foreign).await.problem(403, "forbidden");
    }
    assert_eq!(samples(&contract).await, 2);
    let made = "select count(*) from noetl.runtime where name in ('new', 'mine-4')";
    assert_eq!(contract.value::<i64>(made).await, 0);
}
