//! ServiceAccounts of a cluster: their tokens are verified with the cluster's published keys, flags say
//! what each may, and by choice the API server is asked as well.
//!
//! With the review a token that is made for the API server, as scrapers send it by default, is good for
//! reading too; everything else needs one for the server's own audience.

mod accounts;
mod cache;
mod cluster;
#[cfg(any(test, feature = "fuzzing"))]
#[path = "../../../../fuzz/tokens.rs"]
pub(crate) mod fuzz;
mod keys;
mod review;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;

use self::cluster::Cluster;
use self::keys::Keys;
use self::review::Review;
use super::super::problem::{Kind, Problem};
use super::caller::{Caller, Identity, Names};
use super::rights::{Right, Rights};
use super::{Asked, signature, unauthenticated};
pub use accounts::ServiceAccounts;

/// Clocks of a cluster and the server may be this far apart, in seconds.
const LEEWAY: u64 = 10;

/// What ServiceAccounts may do, and where the cluster is.
#[derive(Clone, Debug)]
pub struct KubernetesAuth {
    /// Audience that a token must be made for.
    pub audience: String,
    /// Who must have issued it; without it whom the cluster names.
    pub issuer: Option<String>,
    /// Who may read.
    pub readers: ServiceAccounts,
    /// Who may write.
    pub writers: ServiceAccounts,
    /// Who may administer.
    pub admins: ServiceAccounts,
    /// A ServiceAccount may speak only for components that have its name or its pod's.
    pub own_component: bool,
    /// But these for every component.
    pub any_component: ServiceAccounts,
    /// Ask the API server as well, and let its answers hold for this long.
    pub review: Option<Duration>,
    /// The cluster's API.
    pub api_url: String,
    /// Folder of the server's own ServiceAccount: `token` and `ca.crt`.
    pub own_dir: PathBuf,
}

impl KubernetesAuth {
    fn rights(&self, account: &Account) -> Rights {
        let lists =
            [(Right::Read, &self.readers), (Right::Write, &self.writers), (Right::Admin, &self.admins)];
        let given = lists.into_iter().filter(|(_, list)| list.have(&account.namespace, &account.name));
        given.fold(Rights::default(), |rights, (right, _)| rights.and(right))
    }

    fn names(&self, account: &Account) -> Names {
        if !self.own_component || self.any_component.have(&account.namespace, &account.name) {
            return Names::Any;
        }
        Names::Only(account.pod.iter().chain([&account.name]).cloned().collect())
    }
}

/// What is read of a token.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    aud: Audiences,
    #[serde(rename = "kubernetes.io", default)]
    bound: Bound,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audiences {
    One(String),
    Many(Vec<String>),
}

impl Audiences {
    fn have(&self, audience: &str) -> bool {
        match self {
            Self::One(one) => one == audience,
            Self::Many(many) => many.iter().any(|one| one == audience),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Bound {
    pod: Option<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

/// A ServiceAccount, and the pod that its token is bound to.
struct Account {
    namespace: String,
    name: String,
    pod: Option<String>,
}

/// Verifies tokens.
pub(super) struct Kubernetes {
    config: KubernetesAuth,
    keys: Keys,
    review: Option<Review>,
}

impl Kubernetes {
    /// Begins to fetch the keys; until they are there, callers are told to come back.
    pub(super) fn start(config: KubernetesAuth) -> Self {
        signature::install();
        let cluster = Arc::new(Cluster::new(config.api_url.clone(), config.own_dir.clone()));
        let review = config.review.map(|holds| Review::new(Arc::clone(&cluster), holds));
        Self { keys: Keys::start(cluster, config.issuer.clone()), config, review }
    }

    /// The caller whose token this is, where it may do what is asked.
    pub(super) async fn caller(&self, token: &str, right: Right, asked: Asked) -> Result<Caller, Problem> {
        let claims = self.verify(token)?;
        let is_ours = claims.aud.have(&self.config.audience);
        let may_be_the_api_s = right == Right::Read && self.review.is_some();
        if !(is_ours || may_be_the_api_s) {
            return Err(unauthenticated(self.why(&ErrorKind::InvalidAudience)));
        }
        let account = account(&claims)?;
        let mut rights = self.config.rights(&account);
        if let Some(review) = &self.review {
            let audience = is_ours.then_some(self.config.audience.as_str());
            let user = review.user(token, audience).await?;
            if user.username != claims.sub {
                return Err(unauthenticated("the API server knows the token as somebody else's"));
            }
            if !rights.have(right) && review.allows(&user, asked).await? {
                rights = rights.and(right);
            }
        }
        let pod = account.pod.as_ref().map(|pod| format!(" (pod {pod})")).unwrap_or_default();
        let who = format!("ServiceAccount {}/{}{pod}", account.namespace, account.name);
        let names = self.config.names(&account);
        Identity { who, rights, names }.with(right, &self.hint(right, asked))
    }

    /// Checks signature, time and issuer.
    fn verify(&self, token: &str) -> Result<Claims, Problem> {
        let keys = self.keys.published().ok_or_else(|| {
            let detail = "the cluster's keys were not fetched yet";
            Problem::new(Kind::STARTING, detail).with_header("retry-after", "2")
        })?;
        let header = decode_header(token).map_err(|_| unauthenticated("the token is not known"))?;
        if !signature::ALGORITHMS.contains(&header.alg) {
            return Err(unauthenticated("the token is signed in a way that no cluster does"));
        }
        let jwk = header.kid.as_deref().and_then(|kid| keys.set.find(kid)).ok_or_else(|| {
            self.keys.want();
            unauthenticated("the token is signed with a key that the cluster does not publish")
        })?;
        let key =
            DecodingKey::from_jwk(jwk).map_err(|_| unauthenticated("the cluster's key can't be used"))?;
        let mut rules = Validation::new(header.alg);
        rules.set_issuer(&[&keys.issuer]);
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        rules.validate_nbf = true;
        // The caller decides which audiences will do.
        rules.validate_aud = false;
        rules.leeway = LEEWAY;
        let token = decode::<Claims>(token, &key, &rules).map_err(|e| unauthenticated(self.why(e.kind())))?;
        Ok(token.claims)
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

    /// How a caller could be let.
    fn hint(&self, right: Right, asked: Asked) -> String {
        let flag = match right {
            Right::Read => "--auth-readers",
            Right::Write => "--auth-service-accounts",
            Right::Admin => "--auth-admins",
        };
        let by_role = self.review.as_ref().map_or_else(String::new, |_| {
            let verb = asked.method.to_ascii_lowercase();
            let paths = review::stands_for(asked.path).join(" or ");
            format!(", nor has it a ClusterRole that may {verb} the nonResourceURL {paths}")
        });
        format!("it is not among {flag}{by_role}")
    }
}

/// Whose token it is.
fn account(claims: &Claims) -> Result<Account, Problem> {
    let account = claims.sub.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
    let (namespace, name) = account.ok_or_else(|| unauthenticated("the token is not a ServiceAccount's"))?;
    Ok(Account {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        pod: claims.bound.pod.as_ref().map(|pod| pod.name.clone()),
    })
}
