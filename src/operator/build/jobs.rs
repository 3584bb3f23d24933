//! The Job that brings the schema forward, and the CronJob that enforces retention.
//!
//! There is no CronJob for partitions: the active server makes them ahead.

use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, Job, JobSpec, JobTemplateSpec};
use k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{metadata, pod, some, some_of};
use crate::crd::{Resources, Runtime};
use crate::operator::names::Component;
use crate::operator::validate::Checked;

/// The Job of this version of image and database. It stays as the record that it succeeded.
pub(super) fn migrate(checked: &Checked) -> Job {
    let name = checked.names.migrate(&checked.schema_version);
    // The Job has an end; copying what was there before may take longer, and the server does it.
    let runtime = match checked.spec.database.runtime {
        Runtime::Own => "--runtime=own",
        Runtime::Shared => "--runtime=shared",
    };
    // A database that is installed at the same moment has no address for some seconds; a Job tries
    // again later and later.
    let args = ["migrate", "--adopt-later", "--wait=30s", runtime].map(str::to_owned).to_vec();
    Job {
        metadata: metadata(checked, &name, Component::Migrate),
        spec: Some(JobSpec {
            backoff_limit: Some(3),
            active_deadline_seconds: Some(900),
            ..job(checked, Component::Migrate, args)
        }),
        ..Job::default()
    }
}

/// The CronJob.
pub(super) fn retention(checked: &Checked) -> CronJob {
    let retention = &checked.spec.retention;
    let mut args = vec!["maintenance".to_owned(), format!("--retention-raw={}", retention.raw)];
    args.extend(retention.hourly.iter().map(|age| format!("--retention-hourly={age}")));
    args.extend(retention.max_size.iter().map(|size| format!("--retention-max-size={size}")));
    let labels = checked.names.labels(Component::Retention);
    CronJob {
        metadata: metadata(checked, &checked.names.retention, Component::Retention),
        spec: Some(CronJobSpec {
            schedule: retention.schedule.clone(),
            time_zone: Some("Etc/UTC".to_owned()),
            concurrency_policy: Some("Forbid".to_owned()),
            starting_deadline_seconds: Some(600),
            successful_jobs_history_limit: Some(1),
            failed_jobs_history_limit: Some(1),
            job_template: JobTemplateSpec {
                metadata: Some(ObjectMeta { labels: Some(labels), ..ObjectMeta::default() }),
                spec: Some(JobSpec {
                    backoff_limit: Some(1),
                    active_deadline_seconds: Some(3600),
                    ..job(checked, Component::Retention, args)
                }),
            },
            ..CronJobSpec::default()
        }),
        ..CronJob::default()
    }
}

fn job(checked: &Checked, component: Component, mut args: Vec<String>) -> JobSpec {
    let placement = &checked.spec.server.placement;
    let database = pod::database(checked);
    args.extend(database.args);
    let mut container = pod::container(checked, component.as_str(), args);
    container.env = some_of(database.env);
    container.volume_mounts = Some(database.mounts);
    container.resources = Some(pod::resources(
        // Requests are small; limits are the servers', which a quota may ask for.
        &Resources { limits: checked.spec.server.resources.limits.clone(), ..Resources::default() },
        &[("cpu", "20m"), ("memory", "48Mi")],
        &[("memory", "256Mi")],
    ));
    JobSpec {
        template: PodTemplateSpec {
            metadata: Some(ObjectMeta {
                labels: Some(checked.names.labels(component)),
                ..ObjectMeta::default()
            }),
            spec: Some(PodSpec {
                containers: vec![container],
                volumes: Some(database.volumes),
                restart_policy: Some("Never".to_owned()),
                service_account_name: Some(checked.names.server.clone()),
                automount_service_account_token: Some(false),
                security_context: Some(pod::security()),
                image_pull_secrets: pod::pull_secrets(checked),
                enable_service_links: Some(false),
                node_selector: some(placement.node_selector.clone()),
                tolerations: some_of(placement.tolerations.clone()),
                priority_class_name: placement.priority_class_name.clone(),
                ..PodSpec::default()
            }),
        },
        ..JobSpec::default()
    }
}
