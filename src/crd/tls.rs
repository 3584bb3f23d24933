//! `spec.server.tls`: HTTPS, and certificates of callers. The operator never reads the Secrets.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DNS_NAME, rules};

/// TLS of the servers, which then speak nothing else.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules(&[
    ("!has(self.clientSecretName) || self.clientSecretName != self.secretName", "tls.clientSecretName must be another Secret than tls.secretName: it goes to agents and scrapers, which must not have the servers' key"),
])))]
pub struct Tls {
    /// The Secret, in the resource's namespace, with the servers' certificate (`tls.crt`, `tls.key`)
    /// and the authority that clients verify it with (`ca.crt`). The certificate has to be for
    /// `<name>-server.<namespace>.svc`.
    #[schemars(length(min = 1, max = 253), regex(pattern = DNS_NAME))]
    pub secret_name: String,
    /// Who makes these certificates by cert-manager; without it, whoever made the Secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer_ref: Option<IssuerRef>,
    /// With it callers need a certificate too (mutual TLS), of the authority in this Secret's
    /// `ca.crt`. Agents and scrapers show its `tls.crt` and `tls.key`, servers show each other their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = DNS_NAME))]
    pub client_secret_name: Option<String>,
}

/// An issuer of cert-manager.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub struct IssuerRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253), regex(pattern = DNS_NAME))]
    pub name: String,
    /// Its kind: `Issuer`, `ClusterIssuer`, or that of another group.
    #[serde(default = "issuer")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[A-Za-z0-9]+$"))]
    pub kind: String,
    /// Its group.
    #[serde(default = "cert_manager")]
    #[schemars(length(min = 1, max = 253), regex(pattern = DNS_NAME))]
    pub group: String,
}

fn issuer() -> String {
    "Issuer".to_owned()
}

fn cert_manager() -> String {
    "cert-manager.io".to_owned()
}
