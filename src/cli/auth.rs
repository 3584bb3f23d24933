//! Flags of `server` that say who may do what.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::FalseyValueParser;

use super::values::{base_url, duration};
use crate::server::{AuthConfig, KubernetesAuth, ReadAccess, ServiceAccounts};

/// Who may do what.
#[derive(Args, Clone, Debug)]
pub struct AuthArgs {
    /// Who may read where callers are known, which --auth-token-file or --auth-kubernetes-audience
    /// makes them.
    #[arg(long, env = "NOETL_METRICS_AUTH_READ", value_enum, default_value_t)]
    pub auth_read: ReadAccess,
    /// File with tokens, one a line, that callers send as Authorization: Bearer <token>. Behind a token
    /// there may be rights=read,write,admin (read,write where that is missing) and components=a,b-* that
    /// it is bound to. Read again when it changes.
    #[arg(long, env = "NOETL_METRICS_AUTH_TOKEN_FILE")]
    pub auth_token_file: Option<PathBuf>,
    /// Know ServiceAccounts by tokens made for this audience, as noetl-metrics. The cluster's published
    /// keys verify them. The flags below say what each may.
    #[arg(long, env = "NOETL_METRICS_AUTH_KUBERNETES_AUDIENCE")]
    pub auth_kubernetes_audience: Option<String>,
    /// Who must have issued these tokens; without it, whom the cluster names.
    #[arg(long, env = "NOETL_METRICS_AUTH_KUBERNETES_ISSUER", requires = "auth_kubernetes_audience")]
    pub auth_kubernetes_issuer: Option<String>,
    /// ServiceAccounts that may write: namespace/name, namespace/* or *, separated by commas.
    #[arg(long, env = "NOETL_METRICS_AUTH_SERVICE_ACCOUNTS", requires = "auth_kubernetes_audience")]
    pub auth_service_accounts: Option<ServiceAccounts>,
    /// ServiceAccounts that may read.
    #[arg(long, env = "NOETL_METRICS_AUTH_READERS", requires = "auth_kubernetes_audience")]
    pub auth_readers: Option<ServiceAccounts>,
    /// ServiceAccounts that may administer: clean up, make partitions, set times to live.
    #[arg(long, env = "NOETL_METRICS_AUTH_ADMINS", requires = "auth_kubernetes_audience")]
    pub auth_admins: Option<ServiceAccounts>,
    /// A ServiceAccount speaks only for the component that has its name or its pod's.
    #[arg(long, env = "NOETL_METRICS_AUTH_OWN_COMPONENT", requires = "auth_kubernetes_audience", value_parser = FalseyValueParser::new())]
    pub auth_own_component: bool,
    /// ServiceAccounts that speak for every component nevertheless, as agents do for what they scrape.
    #[arg(long, env = "NOETL_METRICS_AUTH_ANY_COMPONENT", requires = "auth_kubernetes_audience")]
    pub auth_any_component: Option<ServiceAccounts>,
    /// Ask the API server too: whether a token still holds (TokenReview), and where the flags give no
    /// right, whether a role does (SubjectAccessReview on /noetl-metrics and the endpoint's path). Who
    /// may get /metrics may get the export, with a token for the API server itself.
    #[arg(long, env = "NOETL_METRICS_AUTH_KUBERNETES_REVIEW", requires = "auth_kubernetes_audience", value_parser = FalseyValueParser::new())]
    pub auth_kubernetes_review: bool,
    /// How long an answer of the API server holds.
    #[arg(long, env = "NOETL_METRICS_AUTH_REVIEW_TTL", default_value = "60s", value_parser = duration)]
    pub auth_review_ttl: Duration,
    /// API of the cluster whose ServiceAccounts these are.
    #[arg(long, env = "NOETL_METRICS_KUBERNETES_URL", default_value = "https://kubernetes.default.svc", value_parser = base_url)]
    pub kubernetes_url: String,
    /// Folder with the token and ca.crt of the server's own ServiceAccount.
    #[arg(
        long,
        env = "NOETL_METRICS_SERVICE_ACCOUNT_DIR",
        default_value = "/var/run/secrets/kubernetes.io/serviceaccount"
    )]
    pub service_account_dir: PathBuf,
}

impl AuthArgs {
    /// The configuration, checked.
    pub fn into_config(self) -> Result<AuthConfig, String> {
        let lists = [&self.auth_service_accounts, &self.auth_readers, &self.auth_admins];
        let lets_nobody_in = lists.iter().all(|list| list.is_none()) && !self.auth_kubernetes_review;
        if self.auth_kubernetes_audience.is_some() && lets_nobody_in {
            return Err("--auth-kubernetes-audience lets nobody in: give --auth-service-accounts, \
                        --auth-readers, --auth-admins or --auth-kubernetes-review"
                .into());
        }
        if self.auth_read == ReadAccess::Required
            && self.auth_token_file.is_none()
            && self.auth_kubernetes_audience.is_none()
        {
            return Err("--auth-read required needs --auth-token-file or --auth-kubernetes-audience".into());
        }
        let kubernetes = self.auth_kubernetes_audience.map(|audience| KubernetesAuth {
            audience,
            issuer: self.auth_kubernetes_issuer,
            readers: self.auth_readers.unwrap_or_default(),
            writers: self.auth_service_accounts.unwrap_or_default(),
            admins: self.auth_admins.unwrap_or_default(),
            own_component: self.auth_own_component,
            any_component: self.auth_any_component.unwrap_or_default(),
            review: self.auth_kubernetes_review.then_some(self.auth_review_ttl),
            api_url: self.kubernetes_url,
            own_dir: self.service_account_dir,
        });
        Ok(AuthConfig { read: self.auth_read, token_file: self.auth_token_file, kubernetes })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        auth: AuthArgs,
    }

    fn config(flags: &[&str]) -> Result<AuthConfig, String> {
        let words = std::iter::once(&"x").chain(flags);
        let only = Only::try_parse_from(words).map_err(|e| e.to_string())?;
        only.auth.into_config()
    }

    #[test]
    fn flags_that_make_no_sense_are_refused() {
        let bad: [(&[&str], &str); 5] = [
            (&["--auth-read", "required"], "needs --auth-token-file"),
            (&["--auth-kubernetes-audience", "a"], "lets nobody in"),
            (&["--auth-admins", "a/b"], "--auth-kubernetes-audience"),
            (&["--auth-own-component"], "--auth-kubernetes-audience"),
            (&["--auth-kubernetes-audience", "a", "--auth-readers", "b"], "namespace/name"),
        ];
        for (flags, reason) in bad {
            let error = config(flags).unwrap_err();
            assert!(error.contains(reason), "{flags:?}: {error}");
        }
        let on = config(&["--auth-kubernetes-audience", "a", "--auth-kubernetes-review"]).unwrap();
        assert_eq!(on.kubernetes.unwrap().review, Some(Duration::from_mins(1)));
        assert!(config(&[]).unwrap().kubernetes.is_none());
    }
}
