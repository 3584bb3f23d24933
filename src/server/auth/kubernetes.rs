//! Tokens of ServiceAccounts, verified with the cluster's published keys.
//!
//! The keys are fetched once and then now and then, and when a token names one that is not known;
//! no request waits for the cluster. What is fetched needs no right but that every ServiceAccount
//! has (the cluster role `system:service-account-issuer-discovery`).

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use reqwest::{Certificate, Client};
use serde::Deserialize;
use tokio::sync::Notify;

use super::super::problem::{Kind, Problem};
use super::{signature, unauthenticated};

/// Keys are fetched this often.
const EVERY: Duration = Duration::from_mins(5);
/// And not more often than this, whatever tokens are sent.
const AT_MOST_EVERY: Duration = Duration::from_secs(10);
const RETRY_EVERY: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(10);
const MAX_BYTES: usize = 1 << 20;

/// Which ServiceAccounts may write, and where the cluster is.
#[derive(Clone, Debug)]
pub struct KubernetesAuth {
    /// Audience that a token must be made for.
    pub audience: String,
    /// Who may write.
    pub service_accounts: ServiceAccounts,
    /// The cluster's API.
    pub api_url: String,
    /// Folder of the server's own ServiceAccount: `token` and `ca.crt`.
    pub own_dir: PathBuf,
}

/// ServiceAccounts: `namespace/name`, `namespace/*` or `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccounts(Vec<(String, String)>);

impl FromStr for ServiceAccounts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_name =
            |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
        let one = |text: &str| match text.trim() {
            "*" => Ok(("*".to_owned(), "*".to_owned())),
            text => match text.split_once('/') {
                Some((ns, name)) if is_name(ns) && (name == "*" || is_name(name)) => {
                    Ok((ns.to_owned(), name.to_owned()))
                }
                _ => Err(format!("{text:?} is not namespace/name, namespace/* or *")),
            },
        };
        text.split(',').map(one).collect::<Result<_, _>>().map(Self)
    }
}

impl ServiceAccounts {
    fn have(&self, namespace: &str, name: &str) -> bool {
        self.0.iter().any(|(ns, n)| (ns == "*" || ns == namespace) && (n == "*" || n == name))
    }
}

/// What is checked of a token.
#[derive(Deserialize)]
struct Claims {
    sub: String,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
}

/// The keys, and by whom tokens must be issued.
struct Keys {
    issuer: String,
    set: JwkSet,
}

/// Verifies tokens.
pub(super) struct Kubernetes {
    config: KubernetesAuth,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    keys: ArcSwapOption<Keys>,
    wanted: Notify,
}

impl Drop for Kubernetes {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Kubernetes {
    /// Begins to fetch the keys; until they are there, writes are told to come back.
    pub(super) fn start(config: KubernetesAuth) -> Self {
        signature::install();
        let shared = Arc::new(Shared::default());
        let task = tokio::spawn(keep_keys(config.clone(), Arc::clone(&shared)));
        Self { config, shared, task }
    }

    /// Checks a token.
    pub(super) fn check(&self, token: &str) -> Result<(), Problem> {
        let keys = self.shared.keys.load_full().ok_or_else(|| {
            let detail = "the cluster's keys were not fetched yet";
            Problem::new(Kind::STARTING, detail).with_header("retry-after", "2")
        })?;
        let header = decode_header(token).map_err(|_| unauthenticated("the token is not known"))?;
        if !signature::ALGORITHMS.contains(&header.alg) {
            return Err(unauthenticated("the token is signed in a way that no cluster does"));
        }
        let jwk = header.kid.as_deref().and_then(|kid| keys.set.find(kid)).ok_or_else(|| {
            self.shared.wanted.notify_one();
            unauthenticated("the token is signed with a key that the cluster does not publish")
        })?;
        let key =
            DecodingKey::from_jwk(jwk).map_err(|_| unauthenticated("the cluster's key can't be used"))?;
        let mut rules = Validation::new(header.alg);
        rules.set_audience(&[&self.config.audience]);
        rules.set_issuer(&[&keys.issuer]);
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        rules.validate_nbf = true;
        rules.leeway = 10;
        let claims =
            decode::<Claims>(token, &key, &rules).map_err(|e| unauthenticated(self.why(e.kind())))?.claims;
        let account = claims.sub.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
        match account {
            Some((namespace, name)) if self.config.service_accounts.have(namespace, name) => Ok(()),
            Some((namespace, name)) => {
                let detail =
                    format!("ServiceAccount {namespace}/{name} is not among --auth-service-accounts");
                Err(Problem::new(Kind::FORBIDDEN, detail))
            }
            None => Err(unauthenticated("the token is not a ServiceAccount's")),
        }
    }

    fn why(&self, kind: &ErrorKind) -> String {
        match kind {
            ErrorKind::ExpiredSignature => "the token has expired".into(),
            ErrorKind::ImmatureSignature => "the token is not valid yet".into(),
            ErrorKind::InvalidAudience => {
                format!("the token is not made for the audience {}", self.config.audience)
            }
            ErrorKind::InvalidIssuer => "the token was issued by another cluster".into(),
            ErrorKind::InvalidSignature => "the token's signature is wrong".into(),
            _ => "the token can't be read".into(),
        }
    }
}

async fn keep_keys(config: KubernetesAuth, shared: Arc<Shared>) {
    loop {
        match fetch(&config).await {
            Ok(keys) => {
                if shared.keys.swap(Some(Arc::new(keys))).is_none() {
                    tracing::info!(url = config.api_url, "the cluster's keys were fetched");
                }
                tokio::time::sleep(AT_MOST_EVERY).await;
                let _ = tokio::time::timeout(EVERY, shared.wanted.notified()).await;
            }
            Err(reason) => {
                tracing::warn!(url = config.api_url, reason, "the cluster's keys could not be fetched");
                tokio::time::sleep(RETRY_EVERY).await;
            }
        }
    }
}

async fn fetch(config: &KubernetesAuth) -> Result<Keys, String> {
    crate::client::install_crypto();
    let mut client = Client::builder().timeout(TIMEOUT).no_proxy();
    if config.api_url.starts_with("https:") {
        let path = config.own_dir.join("ca.crt");
        let pem = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let roots = Certificate::from_pem_bundle(&pem).map_err(|e| format!("{}: {e}", path.display()))?;
        client = client.tls_certs_only(roots);
    }
    let client = client.build().map_err(|e| crate::client::causes(&e))?;
    let discovery = get(&client, config, "/.well-known/openid-configuration").await?;
    let discovery: Discovery = serde_json::from_slice(&discovery).map_err(|e| format!("the issuer: {e}"))?;
    let set = get(&client, config, "/openid/v1/jwks").await?;
    let set = serde_json::from_slice(&set).map_err(|e| format!("the keys: {e}"))?;
    Ok(Keys { issuer: discovery.issuer, set })
}

async fn get(client: &Client, config: &KubernetesAuth, path: &str) -> Result<Vec<u8>, String> {
    let own = config.own_dir.join("token");
    let token = tokio::fs::read_to_string(&own).await.map_err(|e| format!("{}: {e}", own.display()))?;
    let request = client.get(format!("{}{path}", config.api_url)).bearer_auth(token.trim());
    let mut answer = request.send().await.map_err(|e| crate::client::causes(&e))?;
    if !answer.status().is_success() {
        return Err(format!("{path} answers {}", answer.status()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|e| crate::client::causes(&e))? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_BYTES {
            return Err(format!("{path} answers more than {MAX_BYTES} bytes"));
        }
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_accounts_are_named_with_their_namespace() {
        let some: ServiceAccounts = "a/x, b/*".parse().unwrap();
        let cases = [("a", "x", true), ("a", "y", false), ("b", "y", true), ("c", "x", false)];
        for (namespace, name, may) in cases {
            assert_eq!(some.have(namespace, name), may, "{namespace}/{name}");
        }
        assert!("*".parse::<ServiceAccounts>().unwrap().have("c", "z"));
        for bad in ["", "a", "a/", "/x", "a/x/y", "*/x", "a b/x"] {
            assert!(bad.parse::<ServiceAccounts>().is_err(), "{bad}");
        }
    }
}
