//! What the API server says of a token (TokenReview) and of what its user may do
//! (SubjectAccessReview on a path that stands for the endpoint, and its method in small letters).
//!
//! A token is vouched for offline before it is asked about, so that junk costs the API server nothing.
//! Answers are kept for a while; where the API server is away and no answer is kept, nobody is let in
//! and nobody is turned away: 503.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Semaphore;

use super::super::super::problem::{Kind, Problem};
use super::super::{Asked, unauthenticated};
use super::cache::Cache;
use super::cluster::Cluster;

/// Tokens, and rights of users, that are remembered.
const MOST: usize = 4096;
/// A refusal is remembered for this long at most: who is let in later waits no longer.
const REFUSED_FOR: Duration = Duration::from_secs(10);
/// Questions that are asked at once.
const AT_ONCE: usize = 16;
/// How long a request waits for an answer.
const PATIENCE: Duration = Duration::from_secs(6);
/// The log says so seldom that the API server does not answer.
const WARN_EVERY: Duration = Duration::from_secs(10);
const TOKEN_REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const ACCESS_REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
/// What stands for a path of a server begins so. As it is it would not do: every cluster lets everyone
/// get `/api/*`, which there is the API server's own.
const PREFIX: &str = "/noetl-metrics";
/// What is scraped counts as metrics: who may get `/metrics`, as the default roles of scrapers may, may
/// get it.
const SCRAPED: &[&str] = &["/api/metrics/prometheus", METRICS];
const METRICS: &str = "/metrics";

/// Someone that the API server knows.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(default)]
pub(super) struct User {
    /// Name.
    pub(super) username: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

/// The paths that stand for an endpoint; one of them is enough.
pub(super) fn stands_for(path: &str) -> Vec<String> {
    let metrics = SCRAPED.contains(&path).then(|| METRICS.to_owned());
    metrics.into_iter().chain([format!("{PREFIX}{path}")]).collect()
}

#[derive(Deserialize)]
struct Answer<S> {
    status: S,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TokenStatus {
    authenticated: bool,
    user: User,
    audiences: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AccessStatus {
    allowed: bool,
}

/// A user, a method and a path that stands for an endpoint.
type Access = (String, &'static str, String);

/// Asks the API server, and remembers what it said.
pub(super) struct Review {
    cluster: Arc<Cluster>,
    holds: Duration,
    /// By a hash of the token: the token itself is not kept.
    tokens: Cache<[u8; 32], Option<Arc<User>>>,
    access: Cache<Access, bool>,
    turn: Semaphore,
    warned: Mutex<Option<Instant>>,
}

impl Review {
    /// Answers hold for `holds`.
    pub(super) fn new(cluster: Arc<Cluster>, holds: Duration) -> Self {
        Self {
            cluster,
            holds,
            tokens: Cache::new(MOST),
            access: Cache::new(MOST),
            turn: Semaphore::new(AT_ONCE),
            warned: Mutex::default(),
        }
    }

    /// Whose token it is, made for `audience`, or for the API server itself where that is `None`.
    pub(super) async fn user(&self, token: &str, audience: Option<&str>) -> Result<Arc<User>, Problem> {
        let mut key = [0; 32];
        // The audience belongs to the token: the same one is never asked about with another.
        key.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        let user = if let Some(known) = self.tokens.get(&key) {
            known
        } else {
            let user = self.patiently(self.ask_user(&key, token, audience)).await?;
            self.tokens.put(key, user.clone(), self.holds(user.is_some()));
            user
        };
        user.ok_or_else(|| unauthenticated("the API server does not know the token, or not any more"))
    }

    async fn ask_user(
        &self,
        key: &[u8; 32],
        token: &str,
        audience: Option<&str>,
    ) -> Result<Option<Arc<User>>, String> {
        let _turn = self.turn.acquire().await.map_err(|e| e.to_string())?;
        // Another request may have asked meanwhile.
        if let Some(known) = self.tokens.get(key) {
            return Ok(known);
        }
        let audiences: Vec<&str> = audience.into_iter().collect();
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": audiences},
        });
        let status = self.cluster.create::<Answer<TokenStatus>>(TOKEN_REVIEWS, &review).await?.status;
        let is_ours = audience.is_none_or(|audience| status.audiences.iter().any(|a| a == audience));
        Ok((status.authenticated && is_ours).then(|| Arc::new(status.user)))
    }

    /// Whether a user may do what is asked.
    pub(super) async fn allows(&self, user: &User, asked: Asked) -> Result<bool, Problem> {
        for path in stands_for(asked.path) {
            let access = (user.username.clone(), asked.method, path);
            let allowed = if let Some(known) = self.access.get(&access) {
                known
            } else {
                let allowed = self.patiently(self.ask_access(user, &access)).await?;
                self.access.put(access, allowed, self.holds(allowed));
                allowed
            };
            if allowed {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn ask_access(&self, user: &User, access: &Access) -> Result<bool, String> {
        let _turn = self.turn.acquire().await.map_err(|e| e.to_string())?;
        if let Some(known) = self.access.get(access) {
            return Ok(known);
        }
        let (_, method, path) = access;
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": user.username, "uid": user.uid, "groups": user.groups, "extra": user.extra,
                "nonResourceAttributes": {"path": path, "verb": method.to_ascii_lowercase()},
            },
        });
        let answer = self.cluster.create::<Answer<AccessStatus>>(ACCESS_REVIEWS, &review).await?;
        Ok(answer.status.allowed)
    }

    fn holds(&self, good: bool) -> Duration {
        if good { self.holds } else { self.holds.min(REFUSED_FOR) }
    }

    /// An answer within a request's patience, or 503.
    async fn patiently<T>(&self, ask: impl Future<Output = Result<T, String>>) -> Result<T, Problem> {
        let answer = match tokio::time::timeout(PATIENCE, ask).await {
            Ok(answer) => answer,
            Err(_) => Err("it does not answer in time".to_owned()),
        };
        answer.map_err(|reason| {
            let mut warned = self.warned.lock();
            if warned.is_none_or(|at| at.elapsed() > WARN_EVERY) {
                *warned = Some(Instant::now());
                tracing::warn!(
                    url = self.cluster.url(),
                    reason,
                    "the API server can't be asked who calls and what they may; where it answers 403, this \
                     server needs the right to create tokenreviews and subjectaccessreviews"
                );
            }
            Problem::new(Kind::UNVERIFIED, format!("the API server can't be asked who calls: {reason}"))
                .with_header("retry-after", "2")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_endpoint_is_asked_for_by_a_path_that_every_cluster_lets_everyone_get() {
        assert_eq!(stands_for("/api/metrics/query"), ["/noetl-metrics/api/metrics/query"]);
        assert_eq!(stands_for("/"), ["/noetl-metrics/"]);
        assert_eq!(stands_for("/metrics"), ["/metrics", "/noetl-metrics/metrics"]);
        assert_eq!(
            stands_for("/api/metrics/prometheus"),
            ["/metrics", "/noetl-metrics/api/metrics/prometheus"]
        );
    }
}
