use std::sync::Arc;

use kube::core::DynamicObject;
use serde_json::json;

use super::*;
use crate::operator::apply::Failure;
use crate::operator::migration::Migration;
use crate::operator::probe::Answer;
use crate::operator::testing::{checked, object};

struct World {
    checked: Checked,
    seen: Seen,
    applied: Applied,
}

fn now() -> Timestamp {
    "2026-01-01T01:00:00Z".parse().unwrap()
}

fn live(value: Value) -> Arc<DynamicObject> {
    Arc::new(serde_json::from_value(value).unwrap())
}

#[test]
fn an_issuer_without_cert_manager_is_said_before_what_follows_from_it() {
    let mut world = world("{server: {tls: {secretName: s, issuerRef: {name: i}}}}");
    let (status, reason, message) = world.told("Degraded");
    assert_eq!((status.as_str(), reason.as_str()), ("True", "CertificateKindMissing"));
    assert!(message.contains("install cert-manager"), "{message}");
    world.checked.certificates = true;
    assert_eq!(world.told("Degraded").0, "False");
    assert!(world.status().server.unwrap().url.unwrap().starts_with("https://"));
}

/// Two servers of two and three agents of three, all well.
fn world(spec: &str) -> World {
    let checked = checked(spec, &[Kind::VMPodScrape, Kind::VMRule]);
    let mut applied = Applied { migration: Migration::Done, ..Applied::default() };
    applied.live.insert(
        (Kind::Deployment, "noetl-server".into()),
        live(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "noetl-server", "namespace": "noetl", "uid": "d", "generation": 1},
            "spec": {"replicas": 2, "selector": {}, "template": {}},
            "status": {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2},
        })),
    );
    applied.live.insert(
        (Kind::DaemonSet, "noetl-agent".into()),
        live(json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": {"name": "noetl-agent", "namespace": "noetl", "uid": "a", "generation": 1,
                         "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"selector": {}, "template": {}},
            "status": {"observedGeneration": 1, "desiredNumberScheduled": 3, "currentNumberScheduled": 3,
                       "numberMisscheduled": 0, "numberReady": 3, "updatedNumberScheduled": 3},
        })),
    );
    let well = Answer { pod: "noetl-server-1".into(), checks: Ok([("database".into(), None)].into()) };
    World { checked, seen: Seen { answers: vec![well], ..Seen::default() }, applied }
}

impl World {
    fn status(&self) -> NoetlMetricsStatus {
        let facts = Facts::new(&self.checked, &self.seen, &self.applied, now());
        compute(&object("noetl", "{}"), &facts).0
    }

    /// Status, reason and message of a condition.
    fn told(&self, type_: &str) -> (String, String, String) {
        let status = self.status();
        let found = status.conditions.iter().find(|c| c.type_ == type_).unwrap();
        assert_eq!(found.observed_generation, Some(3));
        (found.status.clone(), found.reason.clone(), found.message.clone())
    }

    fn set(&mut self, kind: Kind, name: &str, pointer: &str, value: Value) {
        let key = (kind, name.to_owned());
        let mut object = serde_json::to_value(self.applied.live[&key].as_ref()).unwrap();
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        object.pointer_mut(parent).unwrap()[field] = value;
        self.applied.live.insert(key, live(object));
    }
}

#[test]
fn all_is_well() {
    let world = world("{}");
    for (type_, expected) in [
        ("Ready", "True"),
        ("Available", "True"),
        ("Progressing", "False"),
        ("Degraded", "False"),
        ("DatabaseReady", "True"),
        ("ScrapeReady", "True"),
        ("RetentionHealthy", "Unknown"),
    ] {
        let told = world.told(type_);
        assert_eq!(told.0, expected, "{type_}: {told:?}");
    }
    let status = world.status();
    assert_eq!(status.server.unwrap().summary.as_deref(), Some("2/2"));
    assert_eq!(status.agent.unwrap().summary.as_deref(), Some("3/3"));
    assert_eq!(status.scrape.unwrap().kind.as_deref(), Some("VMPodScrape"));
}

#[test]
fn a_status_is_its_own_fixed_point() {
    let world = world("{}");
    let mut object = object("noetl", "{}");
    object.status = Some(world.status());
    let facts = Facts::new(&world.checked, &world.seen, &world.applied, now());
    let (again, changes) = compute(&object, &facts);
    assert_eq!(Some(again), object.status);
    assert!(changes.is_empty(), "{changes:?}");
}

#[test]
fn the_database_that_is_away_is_told_by_a_server() {
    let mut world = world("{}");
    let reason = Some("password authentication failed for user \"noetl\"".to_owned());
    world.seen.answers[0].checks = Ok([("database".into(), reason)].into());
    let (status, reason, message) = world.told("DatabaseReady");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "NotReached"));
    assert!(message.contains("noetl-server-1 says: password authentication failed"), "{message}");
    assert_eq!(world.told("Ready").0, "False");
    assert_eq!(world.told("Degraded").0, "False");
}

#[test]
fn a_ready_server_that_cannot_be_asked_speaks_for_the_database() {
    let mut world = world("{}");
    world.seen.answers[0].checks = Err("cannot be connected to".into());
    assert_eq!(world.told("DatabaseReady").0, "True");
    world.set(Kind::Deployment, "noetl-server", "/status/readyReplicas", json!(0));
    assert_eq!(world.told("DatabaseReady").0, "Unknown");
    let (status, reason, message) = world.told("Ready");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "NoServerReady"));
    assert!(message.contains("cannot be connected to"), "{message}");
}

#[test]
fn a_migration_comes_first() {
    let mut world = world("{}");
    world.applied.live.clear();
    world.seen.answers.clear();
    world.applied.migration = Migration::Running;
    assert_eq!(world.told("Available").1, "Migrating");
    assert_eq!(world.told("Progressing").0, "True");
    world.applied.migration = Migration::Failed;
    assert_eq!(world.told("Ready").1, "MigrationFailed");
    assert_eq!(world.told("DatabaseReady").1, "MigrationFailed");
}

#[test]
fn servers_that_run_go_on_while_a_new_schema_fails() {
    let mut world = world("{}");
    world.applied.migration = Migration::Failed;
    assert_eq!((world.told("Ready").0, world.told("DatabaseReady").0), ("True".into(), "True".into()));
    assert_eq!(world.told("Degraded").1, "MigrationFailed");
}

#[test]
fn a_roll_out_is_progress_and_not_trouble() {
    let mut world = world("{}");
    world.set(Kind::Deployment, "noetl-server", "/metadata/generation", json!(2));
    assert_eq!(world.told("Progressing").1, "ServersRolling");
    assert_eq!((world.told("Ready").0, world.told("Degraded").0), ("True".into(), "False".into()));
}

#[test]
fn a_quota_is_told() {
    let mut world = world("{}");
    let condition = json!([{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: pods"}]);
    world.set(Kind::Deployment, "noetl-server", "/status/conditions", condition);
    assert_eq!(
        world.told("Degraded"),
        ("True".into(), "ReplicaFailure".into(), "exceeded quota: pods".into())
    );
    assert_eq!(world.told("Ready").0, "True");
}

#[test]
fn agents_that_are_forbidden_are_told() {
    let mut world = world("{}");
    world.set(Kind::DaemonSet, "noetl-agent", "/status/numberReady", json!(0));
    world.set(Kind::DaemonSet, "noetl-agent", "/status/updatedNumberScheduled", json!(0));
    world.seen.warnings.insert("a".into(), "violates PodSecurity \"restricted\"".into());
    let (status, reason, message) = world.told("Degraded");
    assert_eq!((status.as_str(), reason.as_str()), ("True", "AgentsNotReady"));
    assert!(message.contains("0 of 3") && message.contains("PodSecurity"), "{message}");
    assert_eq!(world.told("Ready").0, "True");
}

#[test]
fn what_cannot_be_applied_is_listed() {
    let mut world = world("{}");
    let failure = |passing| Failure {
        kind: Kind::Service,
        name: "x".into(),
        reason: "forbidden".into(),
        passing,
        kind_is_gone: false,
    };
    world.applied.failures = vec![failure(true)];
    assert_eq!(world.told("Degraded").0, "False");
    world.applied.failures = vec![failure(false); 5];
    let (status, _, message) = world.told("Degraded");
    assert_eq!(status, "True");
    assert!(message.contains("Service x: forbidden") && message.ends_with("and 2 more"), "{message}");
}

#[test]
fn a_missing_scrape_kind_is_told() {
    let mut world = world("{}");
    world.checked.scrape = None;
    let (status, reason, message) = world.told("ScrapeReady");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "MonitoringKindMissing"));
    assert!(message.contains("VMPodScrape") && message.contains("None"), "{message}");
    assert_eq!(world.told("Degraded").1, "MonitoringKindMissing");
    world.checked.spec.scrape.kind = crate::crd::ScrapeKind::None;
    assert_eq!(world.told("ScrapeReady").0, "True");
}

#[test]
fn the_last_run_of_retention_counts() {
    let run = |name: &str, type_: &str, at: &str| -> Job {
        serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {"app.kubernetes.io/component": "retention"}},
            "status": {"conditions": [{"type": type_, "status": "True", "lastTransitionTime": at}]},
        }))
        .unwrap()
    };
    let mut world = world("{}");
    world.seen.jobs =
        vec![run("r2", "Failed", "2026-01-01T00:30:00Z"), run("r1", "Complete", "2026-01-01T00:10:00Z")];
    assert_eq!(world.told("RetentionHealthy").1, "LastRunFailed");
    assert_eq!(world.told("Degraded").1, "LastRunFailed");
    world.seen.jobs.push(run("r3", "Complete", "2026-01-01T00:50:00Z"));
    assert_eq!(world.told("RetentionHealthy").0, "True");
    assert_eq!(world.status().retention.unwrap().job.as_deref(), Some("r3"));
}

#[test]
fn a_paused_resource_says_so() {
    assert_eq!(world("{paused: true}").told("Progressing").1, "Paused");
}

#[test]
fn a_refused_resource_says_why() {
    let (status, changes) = refused(&object("noetl", "{}"), &Invalid::NoImage);
    assert_eq!(changes.len(), 3);
    assert!(
        status.conditions.iter().all(|c| c.reason == "Invalid" && c.message.contains("spec.image.reference"))
    );
}
