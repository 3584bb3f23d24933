//! `spec.server.forward`: other stores that samples are sent on to. The operator never reads the
//! Secrets.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::database::SecretKey;
use super::rules;

/// A store that all samples are sent on to as they are stored.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ForwardTo {
    /// Its name in metrics and logs, and in the database, where it is kept how far it is.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-zA-Z0-9]([-._a-zA-Z0-9]*[a-zA-Z0-9])?$"))]
    pub name: String,
    /// Where it takes Prometheus remote write 1.0, such as `http://victoria-metrics:8428/api/v1/write`.
    #[schemars(length(max = 512))]
    #[schemars(extend("x-kubernetes-validations" = rules(&[(URL, "forward.url is http:// or https:// and a host, perhaps with port, path and query; no user, no comma: secrets go into tokenSecretRef and headersSecretRef")])))]
    pub url: String,
    /// A Secret, in the resource's namespace, whose key holds the bearer token that is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_secret_ref: Option<SecretKey>,
    /// Likewise, further headers: a line for each, `Name: value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers_secret_ref: Option<SecretKey>,
    /// Likewise, the authorities that its certificate has to be of, in PEM; by default the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<SecretKey>,
}

/// What a server takes, without what would be something else in a flag or a pod's argument.
const URL: &str = "self.matches('^https?://([a-zA-Z0-9]([-.a-zA-Z0-9]*[a-zA-Z0-9])?|[[][0-9a-fA-F:.]+[]])(:[0-9]{1,5})?(/[-._~%:;+!*=&/a-zA-Z0-9]*)?([?][-._~%:;+!*=&/?a-zA-Z0-9]*)?$')";
