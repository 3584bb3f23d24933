//! The conditions, from facts. Ready = Available and DatabaseReady; what else is wrong is Degraded.

use k8s_controller::conditions::{ConditionStatus, DesiredCondition};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::Facts;
use super::pods::{trouble, trouble_of_job};
use crate::crd::{RulesKind, ScrapeKind};
use crate::operator::kinds::{Kind, SCRAPE_ORDER};
use crate::operator::migration::Migration;
use crate::operator::validate::wants_certificates;

/// How long agents may take to start before that is something to look at.
const AGENTS_MAY_START: SignedDuration = SignedDuration::from_secs(120);
/// Failures that one message lists, at most.
const LISTED: usize = 3;

const TRUE: ConditionStatus = ConditionStatus::True;
const FALSE: ConditionStatus = ConditionStatus::False;
const UNKNOWN: ConditionStatus = ConditionStatus::Unknown;

fn condition(
    type_: &str,
    status: ConditionStatus,
    reason: &str,
    message: impl Into<String>,
) -> DesiredCondition {
    DesiredCondition::new(type_, status, reason, message)
}

/// All conditions of a resource that was built.
pub(super) fn all(facts: &Facts<'_>) -> Vec<DesiredCondition> {
    let available = available(facts);
    let database = database(facts);
    let scrape = scrape(facts);
    let retention = retention(facts);
    let ready = ready(&available, &database);
    let degraded = degraded(facts, &scrape, &retention);
    vec![ready, available, progressing(facts), degraded, database, scrape, retention]
}

/// The conditions of a resource that cannot be built.
pub(super) fn invalid(reason: &str) -> Vec<DesiredCondition> {
    let reason = format!("nothing was changed: {reason}");
    vec![
        condition("Ready", FALSE, "Invalid", reason.clone()),
        condition("Degraded", TRUE, "Invalid", reason.clone()),
        condition("Progressing", FALSE, "Invalid", reason),
    ]
}

fn ready(available: &DesiredCondition, database: &DesiredCondition) -> DesiredCondition {
    match [available, database].into_iter().find(|condition| condition.status != TRUE) {
        None => condition("Ready", TRUE, "Ready", "servers answer and the database is reached"),
        Some(first) => condition("Ready", FALSE, &first.reason, first.message.clone()),
    }
}

fn available(facts: &Facts<'_>) -> DesiredCondition {
    let (wanted, _, ready) = facts.servers();
    if ready > 0 {
        let message = format!("{ready} of {wanted} servers are ready");
        return condition("Available", TRUE, "ServersReady", message);
    }
    let (reason, message) = match facts.applied.migration {
        Migration::Running if facts.server.is_none() => ("Migrating", migrating(facts)),
        Migration::Failed | Migration::Retry if facts.server.is_none() => {
            ("MigrationFailed", migrating(facts))
        }
        _ => ("NoServerReady", no_server(facts)),
    };
    condition("Available", FALSE, reason, message)
}

fn no_server(facts: &Facts<'_>) -> String {
    let why = trouble(facts.seen)
        .or_else(|| of_deployment(facts, "ReplicaFailure", "True"))
        .or_else(|| not_ready(facts));
    why.map_or_else(|| "no server is ready yet".to_owned(), |why| format!("no server is ready: {why}"))
}

/// What a server itself says keeps it from being ready.
fn not_ready(facts: &Facts<'_>) -> Option<String> {
    facts.seen.answers.iter().find_map(|answer| match &answer.checks {
        Ok(checks) => checks
            .iter()
            .find_map(|(name, reason)| Some(format!("{} says of {name}: {}", answer.pod, reason.as_ref()?))),
        Err(reason) => Some(format!("{} {reason}", answer.pod)),
    })
}

fn migrating(facts: &Facts<'_>) -> String {
    let name = facts.checked.names.migrate(&facts.checked.schema_version);
    let why = trouble_of_job(facts.seen, &name).or_else(|| job_warning(facts, &name));
    match (facts.applied.migration, why) {
        (Migration::Running, None) => format!("Job {name} brings the database's schema forward"),
        (Migration::Running, Some(why)) => {
            format!("Job {name}, which brings the database's schema forward, does not get on: {why}")
        }
        (_, why) => {
            let why = why.unwrap_or_else(|| "its pods say no reason".to_owned());
            format!(
                "Job {name}, which brings the database's schema forward, failed and is tried again: {why}"
            )
        }
    }
}

/// What an event says of a Job that gets no pods.
fn job_warning(facts: &Facts<'_>, name: &str) -> Option<String> {
    let job = facts.seen.jobs.iter().find(|job| job.metadata.name.as_deref() == Some(name))?;
    facts.seen.warnings.get(job.metadata.uid.as_deref()?).cloned()
}

fn of_deployment(facts: &Facts<'_>, type_: &str, status: &str) -> Option<String> {
    let conditions = facts.server.as_ref()?.status.as_ref()?.conditions.as_ref()?;
    let found = conditions.iter().find(|c| c.type_ == type_ && c.status == status)?;
    found.message.clone()
}

fn progressing(facts: &Facts<'_>) -> DesiredCondition {
    if facts.checked.spec.paused {
        return condition("Progressing", FALSE, "Paused", "spec.paused is true: nothing is changed");
    }
    match facts.applied.migration {
        Migration::Running | Migration::Failed | Migration::Retry => {
            return condition("Progressing", TRUE, "Migrating", migrating(facts));
        }
        Migration::Done => {}
    }
    if let Some(message) = servers_roll(facts) {
        return condition("Progressing", TRUE, "ServersRolling", message);
    }
    if let Some(message) = agents_roll(facts) {
        return condition("Progressing", TRUE, "AgentsRolling", message);
    }
    condition("Progressing", FALSE, "Complete", "everything is as the spec asks for")
}

fn servers_roll(facts: &Facts<'_>) -> Option<String> {
    let Some(server) = &facts.server else {
        return Some("the servers' Deployment is not there yet".to_owned());
    };
    let status = server.status.clone().unwrap_or_default();
    let (wanted, replicas, ready) = facts.servers();
    let updated = status.updated_replicas.unwrap_or(0);
    let stale = server.metadata.generation > status.observed_generation;
    let overdue = of_deployment(facts, "Progressing", "False").is_some();
    let rolling = stale || updated < wanted || replicas > updated || (ready < wanted && !overdue);
    rolling.then(|| format!("{updated} of {wanted} servers are up to date, {ready} are ready"))
}

fn agents_roll(facts: &Facts<'_>) -> Option<String> {
    let agent = facts.agent.as_ref()?;
    let status = agent.status.clone().unwrap_or_default();
    let (desired, ready) = facts.agents();
    let updated = status.updated_number_scheduled.unwrap_or(0);
    let stale = agent.metadata.generation > status.observed_generation;
    let young = agents_are_young(facts);
    (stale || updated < desired || (ready < desired && young))
        .then(|| format!("{updated} of {desired} agents are up to date, {ready} are ready"))
}

fn agents_are_young(facts: &Facts<'_>) -> bool {
    let made = facts.agent.as_ref().and_then(|agent| agent.metadata.creation_timestamp.as_ref());
    made.is_some_and(|made| is_within(made.0, facts.now, AGENTS_MAY_START))
}

fn is_within(since: Timestamp, now: Timestamp, limit: SignedDuration) -> bool {
    now.duration_since(since) < limit
}

fn database(facts: &Facts<'_>) -> DesiredCondition {
    let said: Vec<_> =
        facts.seen.answers.iter().filter_map(|a| Some((&a.pod, a.check("database")?))).collect();
    if said.iter().any(|(_, result)| result.is_ok()) {
        return condition("DatabaseReady", TRUE, "Reached", "a server reaches the database");
    }
    if let Some((pod, Err(reason))) = said.first() {
        return condition("DatabaseReady", FALSE, "NotReached", format!("{pod} says: {reason}"));
    }
    let starting = facts.seen.answers.iter().find_map(|a| Some((&a.pod, a.check("started")?.err()?)));
    if let Some((pod, reason)) = starting {
        return condition("DatabaseReady", FALSE, "NotReached", format!("{pod} says: {reason}"));
    }
    let (_, _, ready) = facts.servers();
    if ready > 0 {
        // A server is ready only while it reaches the database, also where it cannot be asked.
        return condition(
            "DatabaseReady",
            TRUE,
            "Reached",
            "a server is ready, which it is only with the database",
        );
    }
    if migration_fails(facts) {
        return condition("DatabaseReady", FALSE, "MigrationFailed", migrating(facts));
    }
    let why = trouble(facts.seen);
    let message = why.unwrap_or_else(|| "no server runs that could say".to_owned());
    condition("DatabaseReady", UNKNOWN, "NoServer", message)
}

/// Whether the schema cannot be brought forward, as far as can be seen.
fn migration_fails(facts: &Facts<'_>) -> bool {
    match facts.applied.migration {
        Migration::Done => false,
        Migration::Failed | Migration::Retry => true,
        Migration::Running => {
            let name = facts.checked.names.migrate(&facts.checked.schema_version);
            trouble_of_job(facts.seen, &name).is_some()
        }
    }
}

fn scrape(facts: &Facts<'_>) -> DesiredCondition {
    let wanted = facts.checked.spec.scrape.kind;
    let name = &facts.checked.names.server;
    let failure =
        |kind| facts.applied.failures.iter().find(|failure| failure.kind == kind && failure.name == *name);
    match (wanted, facts.checked.scrape) {
        (ScrapeKind::None, _) => condition("ScrapeReady", TRUE, "NotWanted", "spec.scrape.kind is None"),
        (ScrapeKind::Auto, None) => {
            let kinds: Vec<_> = SCRAPE_ORDER.iter().map(|kind| kind.name()).collect();
            let message = format!(
                "the cluster has none of {}: install a scraper's operator or its definitions, or set spec.scrape.kind to None",
                kinds.join(", ")
            );
            condition("ScrapeReady", FALSE, "MonitoringKindMissing", message)
        }
        (_, None) => {
            let kind = Kind::of_scrape(wanted).map_or("the kind", Kind::name);
            let message =
                format!("the cluster has no {kind}: install its definition, or set spec.scrape.kind to Auto");
            condition("ScrapeReady", FALSE, "MonitoringKindMissing", message)
        }
        (_, Some(kind)) => match (failure(kind), refused_by_scraper(facts, kind)) {
            (Some(failure), _) => condition(
                "ScrapeReady",
                FALSE,
                "ApplyFailed",
                format!("{} {name}: {}", kind.name(), failure.reason),
            ),
            (None, Some(reason)) => {
                condition("ScrapeReady", FALSE, "Rejected", format!("{} {name}: {reason}", kind.name()))
            }
            (None, None) => condition(
                "ScrapeReady",
                TRUE,
                kind.name(),
                format!("{} {name} covers /api/metrics/prometheus and /metrics of each server", kind.name()),
            ),
        },
    }
}

/// What the scraper's operator says against the scrape object, where it says so.
fn refused_by_scraper(facts: &Facts<'_>, kind: Kind) -> Option<String> {
    let live = facts.applied.live.get(&(kind, facts.checked.names.server.clone()))?;
    let status = live.data.get("status")?;
    matches!(status["updateStatus"].as_str(), Some("failed"))
        .then(|| status["reason"].as_str().unwrap_or("the scraper's operator refuses it").to_owned())
}

fn retention(facts: &Facts<'_>) -> DesiredCondition {
    let suspended = facts.seen.cron_job.as_ref().and_then(|cron| cron.spec.as_ref()?.suspend) == Some(true);
    match facts.last_retention() {
        Some((job, false, _)) => {
            let name = job.metadata.name.as_deref().unwrap_or_default();
            let why = trouble_of_job(facts.seen, name).unwrap_or_else(|| "its pods say no reason".to_owned());
            condition("RetentionHealthy", FALSE, "LastRunFailed", format!("Job {name} failed: {why}"))
        }
        _ if suspended => {
            condition("RetentionHealthy", FALSE, "Suspended", "the CronJob is suspended: nothing is dropped")
        }
        Some((job, true, _)) => {
            let name = job.metadata.name.as_deref().unwrap_or_default();
            condition("RetentionHealthy", TRUE, "LastRunSucceeded", format!("Job {name} succeeded"))
        }
        None => condition("RetentionHealthy", UNKNOWN, "NoRunYet", "retention has not run yet"),
    }
}

fn degraded(facts: &Facts<'_>, scrape: &DesiredCondition, retention: &DesiredCondition) -> DesiredCondition {
    let failures: Vec<_> = facts.applied.failures.iter().filter(|failure| !failure.passing).collect();
    if !failures.is_empty() {
        let list: Vec<_> = failures
            .iter()
            .take(LISTED)
            .map(|failure| format!("{} {}: {}", failure.kind.name(), failure.name, failure.reason))
            .collect();
        let more = failures.len().saturating_sub(LISTED);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        return condition("Degraded", TRUE, "ApplyFailed", format!("{}{more}", list.join("; ")));
    }
    // Before what follows from it: pods that wait for a Secret that nobody makes.
    if wants_certificates(&facts.checked.spec) && !facts.checked.certificates {
        let message = "spec.server.tls.issuerRef names an issuer of cert-manager, and the cluster has no Certificate of cert-manager.io/v1: install cert-manager, or leave issuerRef out and make the Secret by other means";
        return condition("Degraded", TRUE, "CertificateKindMissing", message);
    }
    if migration_fails(facts) {
        return condition("Degraded", TRUE, "MigrationFailed", migrating(facts));
    }
    if let Some(message) = of_deployment(facts, "ReplicaFailure", "True") {
        return condition("Degraded", TRUE, "ReplicaFailure", message);
    }
    if of_deployment(facts, "Progressing", "False").is_some() {
        return condition("Degraded", TRUE, "ServersNotProgressing", no_progress(facts));
    }
    if let Some(message) = agents_missing(facts) {
        return condition("Degraded", TRUE, "AgentsNotReady", message);
    }
    match [scrape, retention].into_iter().find(|condition| condition.status == FALSE) {
        Some(first) => condition("Degraded", TRUE, &first.reason, first.message.clone()),
        None if rules_are_missing(facts) => {
            let message = "the cluster has not the kind that spec.rules.kind names: install its definition, or set it to Auto or None";
            condition("Degraded", TRUE, "RulesKindMissing", message)
        }
        None => condition("Degraded", FALSE, "AsExpected", "nothing is wrong"),
    }
}

/// Whether a named kind of rules is not there; `Auto` takes what there is.
fn rules_are_missing(facts: &Facts<'_>) -> bool {
    facts.checked.rules.is_none()
        && !matches!(facts.checked.spec.rules.kind, RulesKind::Auto | RulesKind::None)
}

fn no_progress(facts: &Facts<'_>) -> String {
    let (wanted, _, ready) = facts.servers();
    let why = trouble(facts.seen).or_else(|| not_ready(facts));
    let why = why.unwrap_or_else(|| "its pods say no reason".to_owned());
    format!("the servers' Deployment does not get on, {ready} of {wanted} are ready: {why}")
}

fn agents_missing(facts: &Facts<'_>) -> Option<String> {
    let agent = facts.agent.as_ref()?;
    let (desired, ready) = facts.agents();
    let warning = agent.metadata.uid.as_ref().and_then(|uid| facts.seen.warnings.get(uid));
    let missing = ready < desired && (!agents_are_young(facts) || warning.is_some());
    let missing = missing && agents_roll(facts).is_none_or(|_| warning.is_some());
    missing.then(|| {
        let why = warning.map(|warning| format!(": {warning}")).unwrap_or_default();
        format!("{ready} of {desired} agents are ready{why}")
    })
}
