//! Jobs: the one that brings the schema forward, and those of retention.

use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use super::super::report::{Outcome, failed, passed, warning};
use super::reading::Read;
use super::resource::Installation;
use crate::operator::names::Component;
use crate::operator::status::pods::{JOB_LABEL, of_pod};

/// A Job of the schema that runs for longer is worth a look.
const MAY_RUN: SignedDuration = SignedDuration::from_mins(5);
/// How long after a run was due it may not have succeeded.
const MAY_LAG: SignedDuration = SignedDuration::from_hours(2);

/// How the newest Job of the schema ended.
pub(super) async fn migration(it: &Installation) -> Read<Outcome> {
    let Some(job) = newest(it, Component::Migrate).await? else {
        return Ok(warning("there is none: the operator makes it, or it is gone after its success"));
    };
    let name = job.name_any();
    let age = job.creation_timestamp().map(|made| Timestamp::now().duration_since(made.0));
    Ok(match ended(&job) {
        Some(true) => passed(format!("{name} succeeded")),
        Some(false) => failed(format!("{name} failed: {}", why(it, &job).await)),
        None => {
            let words = format!("{name} runs: {}", why(it, &job).await);
            if age.is_some_and(|age| age > MAY_RUN) { failed(words) } else { warning(words) }
        }
    })
}

/// Whether retention's CronJob is there, runs, and its last Job succeeded.
pub(super) async fn retention(it: &Installation) -> Read<Outcome> {
    let name = &it.names.retention;
    let Some(cron) = it.space.get::<CronJob>(name).await? else {
        return Ok(failed(format!("there is no CronJob {name}: nothing that is old is dropped")));
    };
    if cron.spec.as_ref().and_then(|spec| spec.suspend) == Some(true) {
        return Ok(failed(format!("{name} is suspended: nothing that is old is dropped")));
    }
    if let Some(job) = newest(it, Component::Retention).await?
        && ended(&job) == Some(false)
    {
        return Ok(failed(format!("{} failed: {}", job.name_any(), why(it, &job).await)));
    }
    let status = cron.status.unwrap_or_default();
    let (due, succeeded) = (status.last_schedule_time, status.last_successful_time);
    Ok(match (due, succeeded) {
        (None, None) => warning(format!("{name} has not run yet")),
        (Some(due), None) if Timestamp::now().duration_since(due.0) > MAY_LAG => {
            failed(format!("{name} never succeeded"))
        }
        (Some(due), Some(ok)) if due.0.duration_since(ok.0) > MAY_LAG => {
            failed(format!("{name} was due at {}, and succeeded last at {}", due.0, ok.0))
        }
        (_, Some(ok)) => passed(format!("{name} succeeded last at {}", ok.0)),
        (Some(due), None) => passed(format!("{name} runs since {}", due.0)),
    })
}

async fn newest(it: &Installation, part: Component) -> Read<Option<Job>> {
    let jobs: Vec<Job> = it.space.list(&it.labels(part)).await?;
    Ok(jobs.into_iter().max_by_key(|job| job.creation_timestamp().map(|made| made.0)))
}

/// Whether a Job that ended succeeded.
fn ended(job: &Job) -> Option<bool> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let last = conditions
        .iter()
        .find(|c| c.status == "True" && matches!(c.type_.as_str(), "Complete" | "Failed"))?;
    Some(last.type_ == "Complete")
}

/// What its pods, its conditions or an event say of a Job that does not succeed.
async fn why(it: &Installation, job: &Job) -> String {
    let pods: Vec<Pod> = it.space.list(&format!("{JOB_LABEL}={}", job.name_any())).await.unwrap_or_default();
    if let Some(why) = pods.iter().find_map(of_pod) {
        return why;
    }
    for uid in pods.iter().map(|pod| pod.metadata.uid.as_deref()).chain([job.metadata.uid.as_deref()]) {
        if let Some(why) = it.warning(uid).await {
            return why;
        }
    }
    let conditions = job.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    conditions.into_iter().find_map(|c| c.message).unwrap_or_else(|| "its pods say no reason".to_owned())
}
