//! `spec.database`: where PostgreSQL is and which Secret opens it. The operator never reads it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules;
use super::{DNS_NAME, SECRET_KEY};

/// The PostgreSQL that keeps components, series and samples.
///
/// Either `secretRef`, a Secret with the whole URL, or `host`, `name`, `user` and
/// `passwordSecretRef`. Secrets are mounted as files and read again when they rotate.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules(&[("has(self.secretRef) != has(self.host)", "give either secretRef (a Secret with the URL) or host, name, user and passwordSecretRef, not both and not neither"), ("!has(self.host) || (has(self.name) && has(self.user) && has(self.passwordSecretRef))", "with host, name, user and passwordSecretRef are needed too"), ("has(self.host) || !(has(self.name) || has(self.user) || has(self.passwordSecretRef))", "name, user and passwordSecretRef go with host; with secretRef the URL says them")])))]
pub struct Database {
    /// The Secret, in the resource's namespace, whose key holds
    /// `postgres://user:password@host:5432/name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<UrlSecret>,
    /// Host name or address of PostgreSQL (or of a PgBouncer before it).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-zA-Z0-9]([-.a-zA-Z0-9]*[a-zA-Z0-9])?$"))]
    pub host: Option<String>,
    /// Its port.
    #[serde(default = "postgres_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// Name of the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub name: Option<String>,
    /// User to connect as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub user: Option<String>,
    /// The Secret, in the resource's namespace, whose key holds the user's password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_secret_ref: Option<PasswordSecret>,
    /// The Secret, in the resource's namespace, whose key holds the authority that PostgreSQL's
    /// certificate has to be of. With it connections are encrypted, and the certificate and its name
    /// verified, unless a URL says another `sslmode`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<SecretKey>,
    /// Who keeps the table `noetl.runtime`, in which components are registered: `Own` where this
    /// database is for metrics, `Shared` where it is NoETL's own. It cannot be changed, since
    /// samples point at that table's rows.
    #[serde(default)]
    #[schemars(extend("x-kubernetes-validations" = rules(&[("self == oldSelf", "database.runtime cannot be changed: samples point at the rows of noetl.runtime; make a new NoetlMetrics instead")])))]
    pub runtime: Runtime,
    /// Connections to PostgreSQL of each server, at most.
    #[serde(default = "connections")]
    #[schemars(range(min = 2, max = 100))]
    pub connections: i32,
}

const fn postgres_port() -> i32 {
    5432
}

const fn connections() -> i32 {
    8
}

/// Who keeps `noetl.runtime`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum Runtime {
    /// NoETL Metrics.
    #[default]
    Own,
    /// NoETL, which uses the same database.
    Shared,
}

/// A key of a Secret that holds a URL.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub struct UrlSecret {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = DNS_NAME))]
    pub name: String,
    /// Its key.
    #[serde(default = "url_key")]
    #[schemars(length(min = 1, max = 253), regex(pattern = SECRET_KEY))]
    pub key: String,
}

/// A key of a Secret that holds a password.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub struct PasswordSecret {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = DNS_NAME))]
    pub name: String,
    /// Its key.
    #[serde(default = "password_key")]
    #[schemars(length(min = 1, max = 253), regex(pattern = SECRET_KEY))]
    pub key: String,
}

/// A key of a Secret.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub struct SecretKey {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = DNS_NAME))]
    pub name: String,
    /// Its key.
    #[schemars(length(min = 1, max = 253), regex(pattern = SECRET_KEY))]
    pub key: String,
}

fn url_key() -> String {
    "url".to_owned()
}

fn password_key() -> String {
    "password".to_owned()
}
