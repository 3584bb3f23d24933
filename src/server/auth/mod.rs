//! Who may write: callers with a token of a file, and pods with a token of their ServiceAccount.

mod kubernetes;
mod signature;
mod token_file;

use std::path::PathBuf;

use super::ServerError;
use super::problem::{Kind, Problem};
use kubernetes::Kubernetes;
pub use kubernetes::{KubernetesAuth, ServiceAccounts};
use token_file::TokenFile;

/// How callers that write are known; without any of it everyone may.
#[derive(Clone, Debug, Default)]
pub struct AuthConfig {
    /// File with one token a line.
    pub token_file: Option<PathBuf>,
    /// ServiceAccounts of the cluster that the server runs in.
    pub kubernetes: Option<KubernetesAuth>,
}

/// Who may write.
pub(super) struct Auth {
    file: Option<TokenFile>,
    kubernetes: Option<Kubernetes>,
}

impl Auth {
    /// Reads the file, and begins to fetch the cluster's keys.
    pub(super) fn open(config: &AuthConfig) -> Result<Self, ServerError> {
        let file = config.token_file.as_deref().map(TokenFile::open).transpose()?;
        let kubernetes = config.kubernetes.clone().map(Kubernetes::start);
        Ok(Self { file, kubernetes })
    }

    /// Whether anyone has to authenticate.
    pub(super) const fn is_on(&self) -> bool {
        self.file.is_some() || self.kubernetes.is_some()
    }

    /// Checks an `Authorization` header.
    pub(super) fn check(&self, header: &str) -> Result<(), Problem> {
        if !self.is_on() {
            return Ok(());
        }
        let token = match header.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
            Some(_) => return Err(unauthenticated("the Authorization header is not Bearer <token>")),
            None => {
                return Err(unauthenticated("the Authorization header is missing or is not Bearer <token>"));
            }
        };
        if self.file.as_ref().is_some_and(|file| file.has(token.as_bytes())) {
            return Ok(());
        }
        match &self.kubernetes {
            Some(kubernetes) => kubernetes.check(token),
            None => Err(unauthenticated("the token is not known")),
        }
    }
}

fn unauthenticated(detail: impl Into<String>) -> Problem {
    Problem::new(Kind::UNAUTHENTICATED, detail).with_header("www-authenticate", "Bearer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_bearer_and_a_token() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        std::fs::write(&path, "one\n").unwrap();
        let auth = Auth::open(&AuthConfig { token_file: Some(path), kubernetes: None }).unwrap();
        for good in ["Bearer one", "bearer one"] {
            assert!(auth.check(good).is_ok(), "{good}");
        }
        for bad in ["", "one", "Basic one", "Bearer three", "Bearer "] {
            assert_eq!(auth.check(bad).unwrap_err().status(), 401, "{bad}");
        }
        assert!(Auth::open(&AuthConfig::default()).unwrap().check("").is_ok());
    }
}
