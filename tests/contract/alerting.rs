//! Alert rules that the server evaluates: who is told what, and what stays over a restart.

use std::path::PathBuf;
use std::process::Command;

use noetl_metrics::model::{Millis, parse_timestamp};
use serde_json::{Value, json};

use crate::harness::{Cluster, Contract, Exposition, Receiver, SOON, eventually, gauge, gauge_at, now, time};

/// A rules file of a test.
pub struct Rules {
    folder: tempfile::TempDir,
}

impl Rules {
    pub fn new(text: &str) -> Self {
        let rules = Self { folder: tempfile::tempdir().unwrap() };
        rules.write(text);
        rules
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("rules.yaml")
    }

    pub fn flag(&self) -> String {
        format!("--rules-file={}", self.path().display())
    }

    /// Replaces the file as one does: whole.
    pub fn write(&self, text: &str) {
        let new = self.folder.path().join("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.path()).unwrap();
    }
}

fn above(threshold: f64, more: &str) -> String {
    format!(
        "rules: [{{name: High, metric: heat, comparison: '>', threshold: {threshold}, severity: critical, \
         summary: '{{{{ $labels.component }}}} at {{{{ $value }}}}', {more}}}]"
    )
}

/// What the process says of itself.
async fn own(contract: &Contract) -> Exposition {
    Exposition::checked(contract.get("/metrics").await.expect(200).text())
}

pub async fn number(contract: &Contract, metric: &str, labels: &[(&str, &str)]) -> Option<f64> {
    own(contract).await.get(metric, labels)?.parse().ok()
}

/// Alerts that an Alertmanager was told of, in their order.
fn alerts(receiver: &Receiver) -> Vec<Value> {
    let told = receiver.told();
    assert!(told.iter().all(|one| one.path == "/api/v2/alerts"), "{told:?}");
    told.iter().flat_map(|one| one.body.as_array().unwrap().clone()).collect()
}

fn at(alert: &Value, field: &str) -> Millis {
    parse_timestamp(alert[field].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn an_alert_fires_is_told_again_and_is_resolved() {
    let (alertmanager, webhook) = (Receiver::start().await, Receiver::start().await);
    webhook.answer(503);
    let rules = Rules::new(&above(10.0, ""));
    let contract = Contract::with(&[
        &rules.flag(),
        "--rules-interval=100ms",
        "--alert-resend-interval=300ms",
        &format!("--alertmanager-url={}", alertmanager.url()),
        &format!("--alert-webhook-url={}/hook", webhook.url()),
    ])
    .await;
    contract.register("w").await;
    contract.report("w", json!([gauge("heat", 11.5)])).await.ok();
    let told = eventually("the Alertmanager was told twice", SOON, async || {
        Some(alerts(&alertmanager)).filter(|told| told.len() >= 2)
    })
    .await;
    let labels = json!({"alertname": "High", "severity": "critical", "component": "w", "component_type": "worker_pool"});
    assert_eq!(told[0]["labels"], labels);
    assert_eq!(told[0]["annotations"], json!({"summary": "w at 11.5"}));
    assert_eq!(told[0]["startsAt"], told[1]["startsAt"]);
    assert!(at(&told[0], "endsAt") < at(&told[1], "endsAt"), "{told:?}");
    assert!(at(&told[1], "endsAt") > at(&told[1], "startsAt").plus(1000), "{told:?}");
    let firing = [("alertname", "High"), ("state", "firing")];
    assert_eq!(number(&contract, "noetl_metrics_alerts", &firing).await, Some(1.0));
    eventually("the webhook was asked again", SOON, async || (webhook.told().len() >= 2).then_some(())).await;
    webhook.answer(204);
    let receiver = [("receiver", "webhook")];
    eventually("the webhook took it", SOON, async || {
        (number(&contract, "noetl_metrics_notifications_sent_total", &receiver).await? >= 1.0).then_some(())
    })
    .await;

    contract.report("w", json!([gauge("heat", 1.0)])).await.ok();
    eventually("it does not fire any more", SOON, async || {
        (number(&contract, "noetl_metrics_alerts", &firing).await? == 0.0).then_some(())
    })
    .await;
    // One that fires ends later each time, one that is resolved has ended.
    eventually("it is told to be resolved, again and again", SOON, async || {
        let told = alerts(&alertmanager);
        let [.., before, last] = &told[..] else { return None };
        (before["endsAt"] == last["endsAt"] && at(last, "endsAt") <= Millis::now()).then_some(())
    })
    .await;
    eventually("the webhook is told", SOON, async || {
        webhook.told().iter().any(|one| one.body["status"] == "resolved").then_some(())
    })
    .await;
    let mut keys: Vec<_> = webhook.told().iter().map(|one| one.headers["idempotency-key"].clone()).collect();
    keys.dedup();
    assert_eq!(keys.len(), 2, "one key for each of the two messages: {keys:?}");
    let last = webhook.told().pop().unwrap().body;
    assert_eq!(last["alerts"][0]["labels"], labels);
    assert_eq!(last["version"], "4");
}

#[tokio::test]
async fn alerts_go_on_after_a_kill_and_nobody_is_told_twice() {
    let webhook = Receiver::start().await;
    let rules = Rules::new(
        "rules:\n- {name: Slow, metric: heat, comparison: '>', threshold: 10, for: 1h}\n\
         - {name: High, metric: heat, comparison: '>', threshold: 10}\n",
    );
    let mut contract = Contract::with(&[
        &rules.flag(),
        "--rules-interval=100ms",
        &format!("--alert-webhook-url={}", webhook.url()),
    ])
    .await;
    contract.register("w").await;
    contract.report("w", json!([gauge("heat", 11.0)])).await.ok();
    let kept = "select rule || ' ' || state || ' ' || coalesce(told, '') from noetl_metrics.alert order by 1";
    eventually("what the webhook was told is kept", SOON, async || {
        (contract.column::<String>(kept).await == ["High firing firing", "Slow pending "]).then_some(())
    })
    .await;
    let since = "select extract(epoch from active_at)::bigint from noetl_metrics.alert where rule = 'Slow'";
    let before: i64 = contract.value(since).await;
    contract.server.kill();
    contract.start_again().await;
    let pending = [("alertname", "Slow"), ("state", "pending")];
    eventually("the next server has the alerts", SOON, async || {
        (number(&contract, "noetl_metrics_alerts", &pending).await? == 1.0).then_some(())
    })
    .await;
    // Some rounds later nothing has begun anew.
    eventually("it evaluates", SOON, async || {
        let rounds = number(&contract, "noetl_metrics_rules_evaluation_duration_seconds_count", &[]).await?;
        (rounds >= 5.0).then_some(())
    })
    .await;
    let after: i64 = contract.value(since).await;
    assert!((before..before + 60).contains(&after), "{before}, then {after}");
    assert_eq!(contract.column::<String>(kept).await, ["High firing firing", "Slow pending "]);
    assert_eq!(webhook.told().len(), 1, "{:?}", webhook.told());
}

#[tokio::test]
async fn a_rules_file_is_read_again_and_a_wrong_one_keeps_the_rules() {
    let rules = Rules::new(&above(10.0, ""));
    let contract = Contract::with(&[&rules.flag(), "--rules-interval=100ms"]).await;
    contract.register("w").await;
    contract.report("w", json!([gauge("heat", 5.0)])).await.ok();
    let of = |state| [("alertname", "High"), ("state", state)];
    let becomes = async |what: &str, metric: &str, labels: &[(&str, &str)], expected: f64| {
        eventually(what, SOON, async || (number(&contract, metric, labels).await? == expected).then_some(()))
            .await;
    };
    becomes("it is quiet", "noetl_metrics_alerts", &of("firing"), 0.0).await;
    rules.write(&above(4.0, ""));
    becomes("it fires by the new threshold", "noetl_metrics_alerts", &of("firing"), 1.0).await;
    rules.write("rules: [{name: High}]");
    becomes("the file is said to be wrong", "noetl_metrics_rules_file_ok", &[], 0.0).await;
    assert_eq!(number(&contract, "noetl_metrics_alerts", &of("firing")).await, Some(1.0));
    rules.write(&above(4.0, "for: 1h"));
    becomes("the file is right again", "noetl_metrics_rules_file_ok", &[], 1.0).await;
}

#[tokio::test]
async fn a_server_does_not_start_with_rules_that_are_wrong() {
    let database = Cluster::shared().database().await;
    for (rules, expected) in [
        ("rules: [{name: A, metric: m, comparison: '>'}]", "rules[0].threshold: is missing"),
        ("rules: [{name: A, metric: m, comparison: '=>', threshold: 1}]", "rules[0].comparison"),
    ] {
        let rules = Rules::new(rules);
        let ended = Command::new(env!("CARGO_BIN_EXE_noetl-metrics"))
            .args(["server", "--listen=127.0.0.1:0", "--database-url", &database.url, &rules.flag()])
            .output()
            .unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(!ended.status.success() && said.contains("--rules-file"), "{said}");
        assert!(said.contains(expected), "{said}");
    }
}

#[tokio::test]
async fn rules_are_over_what_the_server_makes_itself_too() {
    let rules = Rules::new(
        "rules:\n- {name: Silent, metric: noetl_component_up, labels: {component: w}, comparison: '==', threshold: 0}\n\
         - {name: Rejected, metric: noetl_metrics_samples_rejected_recently, comparison: '>', threshold: 0}\n\
         - {name: Gone, metric: heat, labels: {component: w}, comparison: absent}\n",
    );
    let contract = Contract::with(&[&rules.flag(), "--rules-interval=100ms", "--stale-after=2s"]).await;
    contract.register("w").await;
    contract.report("w", json!([gauge("heat", 1.0)])).await.ok();
    let bad = json!([gauge("heat", 1.0), gauge("not a name", 1.0)]);
    assert_eq!(contract.report("w", bad).await.status, 200);
    for rule in ["Silent", "Rejected", "Gone"] {
        let labels = [("alertname", rule), ("state", "firing")];
        eventually("each of them fires", SOON, async || {
            (number(&contract, "noetl_metrics_alerts", &labels).await? == 1.0).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn history_says_when_rules_would_have_fired() {
    let rules = Rules::new(&above(10.0, "for: 1m"));
    let contract = Contract::start().await;
    contract.register("w").await;
    let begin = now() / 60_000 * 60_000 - 3_600_000;
    let values = [1.0, 20.0, 20.0, 20.0, 1.0, 1.0].into_iter().enumerate();
    let samples: Vec<_> = values.map(|(n, v)| gauge_at("heat", v, begin + 60_000 * n as i64)).collect();
    contract.report("w", json!(samples)).await.ok();
    let test = |start: i64| {
        let ended = Command::new(env!("CARGO_BIN_EXE_noetl-metrics"))
            .args(["rules", "test", &rules.flag(), "--database-url", &contract.database.url])
            .args(["--start", &time(start), "--end", &time(begin + 1_200_000), "-o", "json"])
            .output()
            .unwrap();
        (ended.status.code().unwrap(), String::from_utf8(ended.stdout).unwrap())
    };
    let (code, report) = test(begin);
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(code, 3, "{report}");
    let alert = &report["alerts"][0];
    assert_eq!(report["alerts"].as_array().unwrap().len(), 1);
    assert_eq!(alert["labels"]["component"], "w");
    assert_eq!(at(alert, "fired_at"), Millis(begin + 120_000));
    assert_eq!(at(alert, "resolved_at"), Millis(begin + 240_000));
    assert_eq!(test(begin + 600_000).0, 0);
    assert_eq!(test(now()).0, 1, "the start is after the end");
}

#[tokio::test]
async fn a_receiver_that_is_away_hurts_no_other() {
    let alertmanager = Receiver::start().await;
    let rules = Rules::new(&above(10.0, ""));
    let closed = format!("http://127.0.0.1:{}", crate::harness::free_port());
    let contract = Contract::with(&[
        &rules.flag(),
        "--rules-interval=100ms",
        "--alert-resend-interval=200ms",
        &format!("--alertmanager-url={closed},{}/prefix/", alertmanager.url()),
    ])
    .await;
    contract.register("w").await;
    contract.report("w", json!([gauge("heat", 11.0)])).await.ok();
    eventually("the one that is there is told", SOON, async || {
        (alertmanager.told().first()?.path == "/prefix/api/v2/alerts").then_some(())
    })
    .await;
    let away = [("receiver", closed.trim_start_matches("http://"))];
    eventually("the other is tried again", SOON, async || {
        let failed = number(&contract, "noetl_metrics_notifications_failed_total", &away).await?;
        let waiting = number(&contract, "noetl_metrics_notifications_waiting", &away).await?;
        (failed >= 2.0 && waiting <= 1.0).then_some(())
    })
    .await;
    assert_eq!(number(&contract, "noetl_metrics_notifications_sent_total", &away).await, Some(0.0));
}

/// The rules that are shipped are right, name what is exported, and are evaluated.
#[tokio::test]
async fn the_shipped_rules_are_evaluated() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("docs/examples/rules/noetl.yaml");
    let rules = noetl_metrics::rules::parse(&std::fs::read_to_string(&path).unwrap()).unwrap().rules;
    let described = std::fs::read_to_string(root.join("docs/metrics.md")).unwrap();
    for rule in &rules {
        assert!(
            described.contains(&format!("`{}`", rule.metric)),
            "{} is not in docs/metrics.md",
            rule.metric
        );
        if let Some(runbook) = rule.annotations.get("runbook") {
            let runbook = root.join(runbook.fill(&[].into(), 0.0));
            assert!(runbook.exists(), "{}", runbook.display());
        }
    }
    let contract = Contract::with(&[
        &format!("--rules-file={}", path.display()),
        "--rules-interval=100ms",
        "--metrics-interval=1s",
    ])
    .await;
    // All workers are silent from the beginning: there is none.
    for (rule, state) in [("NoetlWatchdog", "firing"), ("NoetlNoActiveWorker", "pending")] {
        eventually("the rules are evaluated", SOON, async || {
            let labels = [("alertname", rule), ("state", state)];
            (number(&contract, "noetl_metrics_alerts", &labels).await? == 1.0).then_some(())
        })
        .await;
    }
    let own = own(&contract).await;
    assert_eq!(own.count("noetl_metrics_rules_evaluation_failures_total"), 0);
    assert_eq!(own.get("noetl_metrics_rules", &[]).and_then(|n| n.parse().ok()), Some(rules.len()));
}
