//! Who asks, and what they may do.
//!
//! An endpoint needs a right ([`rights`]), which the list of endpoints names. A caller has rights by a
//! token of a file ([`token_file`]), or by being a ServiceAccount of the cluster ([`kubernetes`]); each
//! may be bound to components ([`caller`]). Without either source everyone may do everything. A token
//! is never written anywhere.

mod caller;
mod kubernetes;
mod rights;
mod signature;
mod token_file;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use kubernetes::fuzz;

use std::borrow::Cow;
use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::ServerError;
use super::problem::{Kind, Problem};
pub(super) use caller::Caller;
use kubernetes::Kubernetes;
pub use kubernetes::{KubernetesAuth, ServiceAccounts};
pub(super) use rights::{Access, Right};
use token_file::TokenFile;

/// Who may read where callers are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ReadAccess {
    /// Everyone.
    #[default]
    Open,
    /// Who has the right to.
    Required,
}

/// How callers are known; without a source everyone may do everything.
#[derive(Clone, Debug, Default)]
pub struct AuthConfig {
    /// Who may read.
    pub read: ReadAccess,
    /// File with tokens and their rights.
    pub token_file: Option<PathBuf>,
    /// ServiceAccounts of the cluster that the server runs in.
    pub kubernetes: Option<KubernetesAuth>,
}

/// What makes a browser ask for a password: [`token`] says for what.
pub(super) const PASSWORD: &str = r#"Basic realm="NoETL Metrics", charset="UTF-8""#;

/// What is asked for: an endpoint, as the list of them has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// What it needs.
    pub(super) access: Access,
    /// Its method.
    pub(super) method: &'static str,
    /// Its path.
    pub(super) path: &'static str,
}

/// Who may do what.
pub(super) struct Auth {
    read: ReadAccess,
    file: Option<TokenFile>,
    kubernetes: Option<Kubernetes>,
}

impl Auth {
    /// Reads the file, and begins to fetch the cluster's keys.
    pub(super) fn open(config: &AuthConfig) -> Result<Self, ServerError> {
        let file = config.token_file.as_deref().map(TokenFile::open).transpose()?;
        let kubernetes = config.kubernetes.clone().map(Kubernetes::start);
        Ok(Self { read: config.read, file, kubernetes })
    }

    /// Whether callers are known at all.
    pub(super) const fn is_on(&self) -> bool {
        self.file.is_some() || self.kubernetes.is_some()
    }

    /// The caller that sent this `Authorization` header, where it may do what is asked: 401 where it is
    /// not known, 403 where it lacks the right, 503 where that can't be found out now.
    pub(super) async fn caller(&self, header: &str, asked: Asked) -> Result<Caller, Problem> {
        let Access::Needs(right) = asked.access else { return Ok(Caller::anyone()) };
        if !self.is_on() || (right == Right::Read && self.read == ReadAccess::Open) {
            return Ok(Caller::anyone());
        }
        let token = &*token(header, right)?;
        if let Some(known) = self.file.as_ref().and_then(|file| file.find(token.as_bytes())) {
            return known.with(right, "its line in --auth-token-file does not say so");
        }
        match &self.kubernetes {
            Some(kubernetes) => kubernetes.caller(token, right, asked).await,
            None => Err(unauthenticated("the token is not known")),
        }
    }
}

/// The token of a header. Browsers can ask a person for a password only, which here is the token, whatever
/// the name. They then send it with whatever another page makes them ask for, so it is for reading alone.
fn token(header: &str, right: Right) -> Result<Cow<'_, str>, Problem> {
    let wrong = |what: &str| unauthenticated(format!("the Authorization header {what} Bearer <token>"));
    match header.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim().into()),
        Some((scheme, both)) if right == Right::Read && scheme.eq_ignore_ascii_case("basic") => {
            let both = BASE64_STANDARD.decode(both.trim()).ok().and_then(|both| String::from_utf8(both).ok());
            let password =
                both.as_deref().and_then(|both| both.split_once(':')).map(|(_, password)| password);
            Ok(password.ok_or_else(|| wrong("is not a name and a password, nor"))?.to_owned().into())
        }
        Some(_) => Err(wrong("is not")),
        None => Err(wrong("is missing or is not")),
    }
}

fn unauthenticated(detail: impl Into<String>) -> Problem {
    Problem::new(Kind::UNAUTHENTICATED, detail).with_header("www-authenticate", "Bearer")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(right: Right) -> Asked {
        Asked { access: Access::Needs(right), method: "GET", path: "/x" }
    }

    #[tokio::test]
    async fn a_header_is_bearer_and_a_token() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        std::fs::write(&path, "one\n").unwrap();
        let config = AuthConfig { token_file: Some(path), ..AuthConfig::default() };
        let auth = Auth::open(&config).unwrap();
        for good in ["Bearer one", "bearer one"] {
            assert!(auth.caller(good, asked(Right::Write)).await.is_ok(), "{good}");
        }
        for bad in ["", "one", "Basic one", "Bearer three", "Bearer "] {
            assert_eq!(auth.caller(bad, asked(Right::Write)).await.unwrap_err().status(), 401, "{bad}");
        }
        assert_eq!(auth.caller("Bearer one", asked(Right::Admin)).await.unwrap_err().status(), 403);
        assert!(auth.caller("", asked(Right::Read)).await.is_ok(), "reading is open");
        let closed = Auth::open(&AuthConfig { read: ReadAccess::Required, ..config }).unwrap();
        assert_eq!(closed.caller("", asked(Right::Read)).await.unwrap_err().status(), 401);
        assert!(closed.caller("Bearer one", asked(Right::Read)).await.is_ok());
        let basic = |text: &str| format!("Basic {}", BASE64_STANDARD.encode(text));
        for good in ["any:one", ":one"] {
            assert!(closed.caller(&basic(good), asked(Right::Read)).await.is_ok(), "{good}");
            // A browser sends it with what any other page makes it ask for.
            assert_eq!(auth.caller(&basic(good), asked(Right::Write)).await.unwrap_err().status(), 401);
        }
        for bad in [&basic("one"), &basic("one:"), &basic("any:one:"), "Basic one", "Basic /w==", "Basic "] {
            assert_eq!(closed.caller(bad, asked(Right::Read)).await.unwrap_err().status(), 401, "{bad}");
        }
        let open = Asked { access: Access::Open, method: "GET", path: "/livez" };
        assert!(closed.caller("", open).await.is_ok());
        let off = Auth::open(&AuthConfig::default()).unwrap();
        assert!(off.caller("", asked(Right::Admin)).await.is_ok());
    }
}
