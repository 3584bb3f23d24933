//! What all pods share: restricted security, the database's Secret as a file, resources.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, Container, EnvVar, EnvVarSource, KeyToPath, LocalObjectReference, ObjectFieldSelector,
    PodSecurityContext, ResourceRequirements, SeccompProfile, SecretVolumeSource, SecurityContext, Volume,
    VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::{some, some_of};
use crate::crd::Resources;
use crate::operator::validate::Checked;

/// User and group of all pods: nobody of the image.
pub(super) const USER: i64 = 65532;
/// Where the database's Secret is.
const DATABASE_DIR: &str = "/var/run/secrets/noetl-metrics/database";

/// Where the authority of the database's certificate is.
const DATABASE_CA_DIR: &str = "/var/run/secrets/noetl-metrics/database-ca";

/// A container of our image with the given arguments, restricted.
pub(super) fn container(checked: &Checked, name: &str, args: Vec<String>) -> Container {
    let pull_policy = checked.spec.image.as_ref().and_then(|image| image.pull_policy);
    Container {
        name: name.to_owned(),
        image: Some(checked.image.clone()),
        image_pull_policy: pull_policy.map(|policy| policy.as_str().to_owned()),
        args: Some(args),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
            read_only_root_filesystem: Some(true),
            ..SecurityContext::default()
        }),
        // The end of the log is what a status can say of a failed run.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        ..Container::default()
    }
}

/// The restricted profile of pod security; the group is what lets a pod read its Secrets.
pub(super) fn security() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        run_as_group: Some(USER),
        fs_group: Some(USER),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            ..SeccompProfile::default()
        }),
        ..PodSecurityContext::default()
    }
}

/// Secrets with the registry's credentials.
pub(super) fn pull_secrets(checked: &Checked) -> Option<Vec<LocalObjectReference>> {
    let names = checked.spec.image.iter().flat_map(|image| &image.pull_secrets);
    some_of(names.map(|name| LocalObjectReference { name: name.clone() }).collect())
}

/// A pod's way to the database: arguments, variables, and the Secret as a file, which is read
/// again when it rotates.
pub(super) struct DatabaseAccess {
    pub(super) args: Vec<String>,
    pub(super) env: Vec<EnvVar>,
    pub(super) volumes: Vec<Volume>,
    pub(super) mounts: Vec<VolumeMount>,
}

/// How a pod reaches the database.
pub(super) fn database(checked: &Checked) -> DatabaseAccess {
    let database = &checked.spec.database;
    let mut args = Vec::new();
    let mut env = Vec::new();
    let (secret, key, file) = if let Some(url) = &database.secret_ref {
        args.push(format!("--database-url-file={DATABASE_DIR}/url"));
        (url.name.clone(), url.key.clone(), "url")
    } else {
        env.push(value("POSTGRES_HOST", database.host.as_deref().unwrap_or_default()));
        env.push(value("POSTGRES_PORT", &database.port.to_string()));
        env.push(value("POSTGRES_USER", database.user.as_deref().unwrap_or_default()));
        env.push(value("POSTGRES_DATABASE", database.name.as_deref().unwrap_or_default()));
        env.push(value("POSTGRES_PASSWORD_FILE", &format!("{DATABASE_DIR}/password")));
        let secret = database.password_secret_ref.as_ref();
        let part =
            |part: fn(&crate::crd::PasswordSecret) -> &String| secret.map(part).cloned().unwrap_or_default();
        (part(|s| &s.name), part(|s| &s.key), "password")
    };
    let mut volumes = vec![secret_file("database", &secret, &key, file)];
    let mut mounts = vec![mount("database", DATABASE_DIR)];
    if let Some(ca) = &database.ca_secret_ref {
        volumes.push(secret_file("database-ca", &ca.name, &ca.key, "ca.crt"));
        mounts.push(mount("database-ca", DATABASE_CA_DIR));
        // As libpq's: what holds where the URL says nothing.
        env.push(value("PGSSLMODE", "verify-full"));
        env.push(value("PGSSLROOTCERT", &format!("{DATABASE_CA_DIR}/ca.crt")));
    }
    DatabaseAccess { args, env, volumes, mounts }
}

/// One key of a Secret as the file `file` of a volume.
pub(super) fn secret_file(volume: &str, secret: &str, key: &str, file: &str) -> Volume {
    Volume {
        name: volume.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.to_owned()),
            items: Some(vec![KeyToPath { key: key.to_owned(), path: file.to_owned(), mode: None }]),
            default_mode: Some(0o440),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// A read-only mount.
pub(super) fn mount(volume: &str, path: &str) -> VolumeMount {
    VolumeMount {
        name: volume.to_owned(),
        mount_path: path.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    }
}

/// A variable with a value.
pub(super) fn value(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.to_owned()), value_from: None }
}

/// A variable with a field of the pod.
pub(super) fn field(name: &str, path: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: path.to_owned(),
                api_version: Some("v1".to_owned()),
            }),
            ..EnvVarSource::default()
        }),
    }
}

/// What the spec asks for, over defaults for what it leaves out.
pub(super) fn resources(
    asked: &Resources,
    requests: &[(&str, &str)],
    limits: &[(&str, &str)],
) -> ResourceRequirements {
    ResourceRequirements {
        requests: some(over(requests, &asked.requests)),
        limits: some(over(limits, &asked.limits)),
        claims: None,
    }
}

fn over(defaults: &[(&str, &str)], asked: &BTreeMap<String, Quantity>) -> BTreeMap<String, Quantity> {
    let mut all: BTreeMap<_, _> =
        defaults.iter().map(|(name, amount)| ((*name).to_owned(), Quantity((*amount).to_owned()))).collect();
    all.extend(asked.clone());
    all
}

/// Labels of a pod: the user's, and ours over them.
pub(super) fn labels(
    ours: BTreeMap<String, String>,
    asked: &BTreeMap<String, crate::crd::BoundedText>,
) -> BTreeMap<String, String> {
    let mut all: BTreeMap<_, _> = asked.iter().map(|(k, v)| (k.clone(), v.0.clone())).collect();
    all.extend(ours);
    all
}
