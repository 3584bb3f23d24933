//! Which kinds the cluster has. Asked again and again, since a scraper's operator may come or go.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kube::Client;

use super::kinds::Kind;
use crate::crd::{GROUP, PLURAL, VERSION};

/// How long one question may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The optional kinds that are there. A group that cannot be asked keeps what `before` says of it,
/// so that an API server that is away for a moment does not make scrape objects vanish.
pub(super) async fn optional_kinds(client: &Client, before: &BTreeSet<Kind>) -> BTreeSet<Kind> {
    let mut groups: BTreeMap<String, Vec<Kind>> = BTreeMap::new();
    for kind in Kind::OPTIONAL {
        groups.entry(kind.api_version()).or_default().push(*kind);
    }
    let mut present = BTreeSet::new();
    for (api_version, kinds) in groups {
        match plurals(client, &api_version).await {
            Ok(found) => present.extend(kinds.into_iter().filter(|kind| found.contains(kind.plural()))),
            Err(error) => {
                tracing::debug!(api_version, error, "cannot ask which kinds there are");
                present.extend(kinds.into_iter().filter(|kind| before.contains(kind)));
            }
        }
    }
    present
}

/// Whether the cluster has the resource NoetlMetrics; an error says why that is not known.
pub(super) async fn has_noetl_metrics(client: &Client) -> Result<bool, String> {
    Ok(plurals(client, &format!("{GROUP}/{VERSION}")).await?.contains(PLURAL))
}

/// Plurals of a group's resources; empty where there is no such group.
async fn plurals(client: &Client, api_version: &str) -> Result<BTreeSet<String>, String> {
    match tokio::time::timeout(TIMEOUT, client.list_api_group_resources(api_version)).await {
        Ok(Ok(list)) => Ok(list.resources.into_iter().map(|resource| resource.name).collect()),
        // By its code: a group that is not there is answered without a Status.
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => Ok(BTreeSet::new()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer in {} s", TIMEOUT.as_secs())),
    }
}
