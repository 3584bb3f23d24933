//! The cluster's public keys: fetched at the start, then now and then, and when a token names one that
//! is not known. The last ones stay until others were fetched; no request waits for the cluster.
//!
//! Fetching needs no right but that every ServiceAccount has (the cluster role
//! `system:service-account-issuer-discovery`).

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use jsonwebtoken::jwk::JwkSet;
use serde::Deserialize;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::cluster::Cluster;

/// Keys are fetched this often.
const EVERY: Duration = Duration::from_mins(5);
/// And not more often than this, whatever tokens are sent.
const AT_MOST_EVERY: Duration = Duration::from_secs(10);
const RETRY_EVERY: Duration = Duration::from_secs(2);

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
}

/// The keys, and by whom tokens must be issued.
pub(super) struct Published {
    /// The issuer.
    pub(super) issuer: String,
    /// The keys.
    pub(super) set: JwkSet,
}

/// The keys as they were fetched last.
pub(super) struct Keys {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    published: ArcSwapOption<Published>,
    wanted: Notify,
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Keys {
    /// Begins to fetch them. Tokens are of `issuer`, or of the one that the cluster names.
    pub(super) fn start(cluster: Arc<Cluster>, issuer: Option<String>) -> Self {
        let shared = Arc::new(Shared::default());
        let task = tokio::spawn(keep(cluster, issuer, Arc::clone(&shared)));
        Self { shared, task }
    }

    /// Keys that are never fetched; to be made within a runtime.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn given(published: Published) -> Self {
        let shared = Arc::new(Shared::default());
        shared.published.store(Some(Arc::new(published)));
        Self { shared, task: tokio::spawn(async {}) }
    }

    /// The keys, once they were fetched.
    pub(super) fn published(&self) -> Option<Arc<Published>> {
        self.shared.published.load_full()
    }

    /// A token names a key that is not among them.
    pub(super) fn want(&self) {
        self.shared.wanted.notify_one();
    }
}

async fn keep(cluster: Arc<Cluster>, issuer: Option<String>, shared: Arc<Shared>) {
    let url = cluster.url();
    loop {
        match fetch(&cluster, issuer.as_deref()).await {
            Ok(published) => {
                if shared.published.swap(Some(Arc::new(published))).is_none() {
                    tracing::info!(url, "the cluster's keys were fetched");
                }
                tokio::time::sleep(AT_MOST_EVERY).await;
                let _ = tokio::time::timeout(EVERY, shared.wanted.notified()).await;
            }
            Err(reason) => {
                tracing::warn!(url, reason, "the cluster's keys could not be fetched");
                tokio::time::sleep(RETRY_EVERY).await;
            }
        }
    }
}

async fn fetch(cluster: &Cluster, issuer: Option<&str>) -> Result<Published, String> {
    let issuer = match issuer {
        Some(issuer) => issuer.to_owned(),
        None => cluster.get::<Discovery>("/.well-known/openid-configuration").await?.issuer,
    };
    Ok(Published { issuer, set: cluster.get("/openid/v1/jwks").await? })
}
