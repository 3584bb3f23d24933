//! The Secrets that the resource names: whether they are there. Only their metadata is asked for;
//! whether a key is in them, events of the pods that mount them tell.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;

use super::super::report::{Outcome, Status, failed, listed, passed};
use super::reading::{Read, unread};
use super::resource::Installation;
use crate::operator::names::Component;

/// Whether all of them are there.
pub(super) async fn there(it: &Installation) -> Read<Outcome> {
    let api = it.space.api::<Secret>();
    let mut missing = Vec::new();
    for name in named(it) {
        match api.get_metadata_opt(&name).await {
            Ok(Some(_)) => {}
            Ok(None) => missing.push(format!("there is no Secret {name}")),
            Err(error) => return Ok(without_right(it, unread(&error)).await),
        }
    }
    missing.extend(mounts(it).await);
    Ok(if missing.is_empty() {
        passed(listed(&named(it).into_iter().collect::<Vec<_>>()))
    } else {
        failed(listed(&missing))
    })
}

/// Without a right on Secrets, what events say.
async fn without_right(it: &Installation, unread: Outcome) -> Outcome {
    match mounts(it).await.as_slice() {
        [] => Outcome(unread.0, format!("{}; no event says that one is missing", unread.1)),
        told if unread.0 == Status::LeftOut => failed(listed(told)),
        _ => unread,
    }
}

/// What events say of Secrets that pods can't mount.
async fn mounts(it: &Installation) -> Vec<String> {
    let mut told = BTreeSet::new();
    for part in [Component::Server, Component::Migrate, Component::Retention, Component::Agent] {
        for pod in it.pods(part).await.unwrap_or_default().iter().filter(|pod| is_waiting(pod)).take(2) {
            let warning = it.warning(pod.metadata.uid.as_deref()).await;
            told.extend(
                warning
                    .filter(|w| w.to_lowercase().contains("secret"))
                    .map(|w| format!("pod {}: {w}", pod.name_any())),
            );
        }
    }
    told.into_iter().collect()
}

fn is_waiting(pod: &k8s_openapi::api::core::v1::Pod) -> bool {
    pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Pending"))
}

/// Every Secret that the spec names.
fn named(it: &Installation) -> BTreeSet<String> {
    let spec = &it.resource.spec;
    let database = &spec.database;
    let keys = [&database.ca_secret_ref, &spec.server.auth.token_secret_ref, &spec.scrape.token_secret_ref];
    let mut names: BTreeSet<String> = keys.into_iter().flatten().map(|key| key.name.clone()).collect();
    names.extend(database.secret_ref.iter().map(|secret| secret.name.clone()));
    names.extend(database.password_secret_ref.iter().map(|secret| secret.name.clone()));
    names.extend(spec.image.iter().flat_map(|image| image.pull_secrets.clone()));
    for target in &spec.server.forward {
        let keys = [&target.token_secret_ref, &target.headers_secret_ref, &target.ca_secret_ref];
        names.extend(keys.into_iter().flatten().map(|key| key.name.clone()));
    }
    if let Some(tls) = &spec.server.tls {
        names.insert(tls.secret_name.clone());
        names.extend(tls.client_secret_name.clone());
    }
    names
}
