//! NoETL's registration, heartbeats and farewells, as its workers send them.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::harness::{Contract, SOON, eventually, gauge, now};
use crate::report::component;

const REGISTER: &str = "/api/worker/pool/register";
const HEARTBEAT: &str = "/api/worker/pool/heartbeat";
const DEREGISTER: &str = "/api/worker/pool/deregister";

#[tokio::test]
async fn both_of_noetl_s_workers_can_register() {
    let contract = Contract::start().await;
    let rust = json!({
        "name": "worker-rust-pool", "component_type": "worker_pool", "runtime": "rust", "status": "ready",
        "capacity": 4, "labels": {"host": "n1"}, "pid": 7, "hostname": "n1", "base_url": "http://n1:9090"
    });
    let row = contract.post(REGISTER, &rust).await.ok();
    assert_eq!(row["kind"], "worker_pool");
    assert_eq!(row["uri"], "http://n1:9090");
    assert_eq!(row["runtime"], json!({"type": "rust", "pid": 7, "hostname": "n1"}));
    let python = json!({
        "name": "worker-cpu", "kind": "worker_pool", "uri": null, "runtime": {"type": "python"},
        "labels": ["cpu"], "unknown": [1, {"a": null}]
    });
    let first = contract.post(REGISTER, &python).await.ok();
    assert_eq!((&first["labels"], &first["status"]), (&json!(["cpu"]), &json!("ready")));
    let again = contract.post(REGISTER, &json!({"name": "worker-cpu", "status": "busy"})).await.ok();
    assert_eq!((&again["runtime_id"], &again["status"]), (&first["runtime_id"], &json!("busy")));
    assert_eq!(
        contract.value::<i64>("select count(*) from noetl.runtime where kind = 'worker_pool'").await,
        2
    );
}

#[tokio::test]
async fn registered_components_are_listed_by_filters() {
    let contract = Contract::start().await;
    for name in ["a-1", "a-2", "b-1"] {
        contract.register(name).await;
    }
    contract.register_as("a-3", "broker").await;
    let names = async |filter: &str| -> Vec<String> {
        let list = contract.get(&format!("/api/worker/pools?{filter}")).await.ok();
        let mut names: Vec<String> =
            list.as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(names("kind=worker_pool").await, ["a-1", "a-2", "b-1"]);
    assert_eq!(names("name=a-").await, ["a-1", "a-2", "a-3"]);
    assert_eq!(names("name=%25").await, [""; 0], "no pattern, just a part of the name");
    assert_eq!(names("status=offline").await, [""; 0]);
}

#[tokio::test]
async fn a_heartbeat_carries_metrics_and_says_what_became_of_them() {
    let contract = Contract::start().await;
    let id = contract.register("w").await;
    for path in [HEARTBEAT, "/heartbeat"] {
        let reply = contract.post(path, &json!({"name": "w"})).await.ok();
        assert_eq!(
            reply,
            json!({"status": "ok", "message": "Heartbeat recorded", "name": "w", "runtime_id": id})
        );
        let body = json!({"name": "w", "metrics": [gauge("m", 1.0), {"metric_name": "m"}, gauge("n", 1.0)]});
        let reply = contract.post(path, &body).await.ok();
        assert_eq!(reply["metrics_inserted"], 2);
        assert_eq!(reply["rejected"][0]["index"], 1, "{reply}");
        assert_eq!(reply["rejected"][0]["field"], "metric_type", "{reply}");
    }
    let body = json!({"name": "w", "metrics": [{"metric_name": "m"}]});
    let problem = contract.post(HEARTBEAT, &body).await.problem(422, "invalid-report");
    assert_eq!(problem["errors"][0]["field"], "metric_type");
    contract.post(HEARTBEAT, &json!({"name": "ghost"})).await.problem(404, "unknown-component");
    // NoETL's probe without a body.
    let empty = contract.send(Method::POST, HEARTBEAT, &[], Vec::new()).await.ok();
    assert_eq!((&empty["status"], &empty["name"]), (&json!("ok"), &Value::Null));
}

#[tokio::test]
async fn heartbeats_at_once_count_their_own_samples_only() {
    let contract = Contract::start().await;
    contract.register("w").await;
    let body = |i: usize| {
        let metrics: Vec<Value> = (0..=i).map(|k| gauge(&format!("m_{i}_{k}"), 1.0)).collect();
        json!({"name": "w", "metrics": metrics})
    };
    for _ in 0..3 {
        let bodies: Vec<Value> = (0..8).map(body).collect();
        let answers =
            futures_util::future::join_all(bodies.iter().map(|b| contract.post(HEARTBEAT, b))).await;
        for (i, answer) in answers.into_iter().enumerate() {
            assert_eq!(answer.ok()["metrics_inserted"], i + 1);
        }
    }
}

#[tokio::test]
async fn who_deregisters_leaves_at_once_and_stays_away_until_heard_again() {
    let mut contract = Contract::with(&["--stale-after", "8s"]).await;
    for (name, method) in [("rust", Method::POST), ("python", Method::DELETE)] {
        contract.register(name).await;
        let at = now() - 1000;
        // Twice, so that one is among the late samples, which the sweeper looks at.
        for value in [1.0, 2.0] {
            let metric = crate::harness::gauge_at("m", value, at);
            contract.report(name, json!([metric])).await.ok();
        }
        assert_eq!(contract.export().await.of(name).len(), 1);
        let body = json!({"name": name, "component_type": "worker_pool"}).to_string().into_bytes();
        contract.send(method, DEREGISTER, &[("content-type", "application/json")], body).await.ok();
        assert_eq!(contract.export().await.of(name).len(), 0, "{name} left at once");
        assert_eq!(component(&contract, name).await["status"], "offline");
    }
    // Several sweeps later, and after a restart, that is still so.
    tokio::time::sleep(Duration::from_millis(4500)).await;
    let still_away = async |contract: &Contract, when: &str| {
        for name in ["rust", "python"] {
            let export = contract.export().await;
            assert_eq!(export.of(name).len(), 0, "{name} {when}");
            // Nobody is woken for it.
            assert_eq!(export.get("noetl_component_up", &[("component", name)]), None, "{name} {when}");
            assert_eq!(component(contract, name).await["status"], "offline", "{name} {when}");
            let sql = format!("select status from noetl.runtime where name = '{name}'");
            assert_eq!(contract.value::<String>(sql).await, "offline", "{name} {when}");
        }
    };
    still_away(&contract, "after sweeps").await;
    // As after an hour, in which it would be taken for silent.
    let earlier = "update noetl.runtime set heartbeat = heartbeat - interval '1 hour', updated_at = updated_at - interval '1 hour'";
    contract.run(earlier).await;
    contract.restart().await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    still_away(&contract, "after a restart").await;
    contract.report("rust", json!([gauge("m", 3.0)])).await.ok();
    assert_eq!(contract.export().await.of("rust").len(), 1);
    assert_eq!(component(&contract, "rust").await["status"], "up");
    eventually("it is not offline in the database either", SOON, async || {
        let status = contract.value::<String>("select status from noetl.runtime where name = 'rust'").await;
        (status == "ready").then_some(())
    })
    .await;
    let away = contract.post(DEREGISTER, &json!({"name": "ghost"})).await;
    away.problem(404, "unknown-component");
}

#[tokio::test]
async fn heartbeats_that_another_server_writes_down_count() {
    let contract = Contract::with(&["--stale-after", "2s"]).await;
    let id = contract.register("w").await;
    contract
        .run(format!(
            "insert into noetl.runtime (runtime_id, name, kind, status) values ({}, 'by-sql', 'server_api', 'ready')",
            id + 1
        ))
        .await;
    eventually("a component that another server registered is listed", SOON, async || {
        let list = contract.get("/api/metrics/components").await.ok();
        list["components"].as_array().unwrap().iter().any(|c| c["name"] == "by-sql").then_some(())
    })
    .await;
    for _ in 0..20 {
        contract.run("update noetl.runtime set heartbeat = now() where name in ('w', 'by-sql')").await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for name in ["w", "by-sql"] {
        assert_eq!(component(&contract, name).await["status"], "up", "{name}");
        let sql = format!("select status from noetl.runtime where name = '{name}'");
        assert_eq!(contract.value::<String>(sql).await, "ready", "{name}");
    }
    eventually("a silent component is marked in the database", SOON, async || {
        let status = contract.value::<String>("select status from noetl.runtime where name = 'w'").await;
        (status == "offline").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_component_that_was_purged_and_came_back_is_one_component() {
    let contract = Contract::with(&["--stale-after", "8s"]).await;
    let histogram = json!({"metric_name": "h", "metric_type": "histogram", "buckets": {"1": 1, "+Inf": 2}, "sum": 3, "count": 2});
    let first = contract.register("w").await;
    contract.report("w", json!([gauge("m", 1.0), histogram])).await.ok();
    contract.run("delete from noetl.runtime where name = 'w'").await;
    let second = contract.register("w").await;
    assert_ne!(first, second);
    contract.report("w", json!([gauge("m", 2.0), histogram])).await.ok();
    let export = contract.export().await;
    assert_eq!(export.get("m", &[]), Some("2"));
    assert_eq!(export.get("h_count", &[]), Some("2"));
    assert_eq!(export.count("noetl_component_up"), 2, "this one and the server itself");
    let list = contract.get("/api/metrics/components").await.ok();
    assert_eq!(list["components"].as_array().unwrap().iter().filter(|c| c["name"] == "w").count(), 1);
    let old = json!({"runtime_id": first, "metrics": [gauge("m", 3.0)]});
    contract.post("/api/metrics/report", &old).await.problem(404, "unknown-component");
    // The server's own may come between the two that are compared.
    eventually("as many series are live as are exported", SOON, async || {
        let export = contract.export().await;
        let live = crate::export::own_metric(&contract, "noetl_metrics_live_series").await;
        let made =
            export.count("noetl_component_up") + export.count("noetl_component_last_report_age_seconds");
        (live as usize == export.samples.len() - made).then_some(())
    })
    .await;
}

#[tokio::test]
async fn bad_registrations_are_refused_by_field() {
    let contract = Contract::start().await;
    for (body, field) in [
        (json!({}), "name"),
        (json!({"name": ""}), "name"),
        (json!({"name": 1}), "name"),
        (json!({"name": "x".repeat(256)}), "name"),
        (json!({"name": "a\u{0}"}), "name"),
        (json!({"name": "a", "kind": "two words"}), "kind"),
        (json!({"name": "a", "component_type": ""}), "component_type"),
        (json!({"name": "a", "capacity": 1.5}), "capacity"),
        (json!({"name": "a", "capacity": 3_000_000_000_u64}), "capacity"),
        (json!({"name": "a", "labels": "x"}), "labels"),
        (json!({"name": "a", "labels": {"k": "\u{0}"}}), "labels"),
        (json!({"name": "a", "runtime": 7}), "runtime"),
        (json!({"name": "a", "uri": "x".repeat(2049)}), "uri"),
        (json!([]), "body"),
    ] {
        let problem = contract.post(REGISTER, &body).await.problem(422, "invalid-report");
        assert_eq!(problem["errors"][0]["field"], field, "{body}");
    }
    contract.send(Method::POST, REGISTER, &[], b"{".to_vec()).await.problem(400, "malformed-body");
    assert_eq!(
        contract.value::<i64>("select count(*) from noetl.runtime where kind <> 'server_api'").await,
        0
    );
}
