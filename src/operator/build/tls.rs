//! TLS in pods and scrape objects, and the certificates that cert-manager is asked for.
//!
//! Servers are reached by the addresses of their pods as well as by their Service: whoever verifies
//! their certificate does so by the Service's name.

use k8s_openapi::api::core::v1::{KeyToPath, SecretVolumeSource, Volume, VolumeMount};
use serde_json::{Value, json};

use super::{pod, scrape, service};
use crate::crd::Tls;
use crate::operator::kinds::Kind;
use crate::operator::validate::Checked;

/// Where the servers' certificate is.
const SERVER_DIR: &str = "/var/run/secrets/noetl-metrics/tls";
/// Where the authority of callers' certificates is, in servers.
const CALLERS_DIR: &str = "/var/run/secrets/noetl-metrics/tls-callers";
/// Where the authority of the servers' certificate is, in clients.
const CA_DIR: &str = "/var/run/secrets/noetl-metrics/tls-ca";
/// Where the certificate is that clients show.
const CLIENT_DIR: &str = "/var/run/secrets/noetl-metrics/tls-client";

/// Arguments, volumes and mounts of a pod.
#[derive(Default)]
pub(super) struct Access {
    pub(super) args: Vec<String>,
    pub(super) volumes: Vec<Volume>,
    pub(super) mounts: Vec<VolumeMount>,
}

impl Access {
    fn mount(&mut self, volume: &str, secret: &str, keys: &[&str], dir: &str) {
        self.volumes.push(secret_files(volume, secret, keys));
        self.mounts.push(pod::mount(volume, dir));
    }

    fn args<const N: usize>(&mut self, args: [String; N]) {
        self.args.extend(args);
    }
}

/// How a server serves TLS, and calls the others.
pub(super) fn server(checked: &Checked) -> Access {
    let mut access = Access::default();
    let Some(tls) = &checked.spec.server.tls else { return access };
    access.mount("tls", &tls.secret_name, &["tls.crt", "tls.key", "ca.crt"], SERVER_DIR);
    access.args([
        format!("--tls-cert-file={SERVER_DIR}/tls.crt"),
        format!("--tls-key-file={SERVER_DIR}/tls.key"),
        format!("--tls-ca-file={SERVER_DIR}/ca.crt"),
        format!("--tls-server-name={}", service::host(checked)),
    ]);
    if let Some(client) = &tls.client_secret_name {
        access.mount("tls-callers", client, &["ca.crt"], CALLERS_DIR);
        access.args([format!("--tls-client-ca-file={CALLERS_DIR}/ca.crt")]);
    }
    access
}

/// How an agent calls servers. It has no key of theirs.
pub(super) fn client(checked: &Checked) -> Access {
    let mut access = Access::default();
    let Some(tls) = &checked.spec.server.tls else { return access };
    access.mount("tls-ca", &tls.secret_name, &["ca.crt"], CA_DIR);
    access.args([format!("--tls-ca-file={CA_DIR}/ca.crt")]);
    if let Some(client) = &tls.client_secret_name {
        access.mount("tls-client", client, &["tls.crt", "tls.key"], CLIENT_DIR);
        access.args([
            format!("--tls-cert-file={CLIENT_DIR}/tls.crt"),
            format!("--tls-key-file={CLIENT_DIR}/tls.key"),
        ]);
    }
    access
}

/// Adds to an endpoint of a scrape object what a scraper needs.
pub(super) fn scraped(checked: &Checked, kind: Kind, endpoint: &mut Value) {
    let Some(tls) = &checked.spec.server.tls else { return };
    let key = |secret: &str, key: &str| json!({"name": secret, "key": key});
    let within = |secret: &str, name: &str| json!({"secret": key(secret, name)});
    let mut config = json!({"ca": within(&tls.secret_name, "ca.crt"), "serverName": service::host(checked)});
    let is_google = kind == Kind::PodMonitoring;
    if let Some(client) = &tls.client_secret_name {
        config["cert"] = within(client, "tls.crt");
        if is_google {
            config["key"] = within(client, "tls.key");
        } else {
            config["keySecret"] = key(client, "tls.key");
        }
    }
    endpoint["scheme"] = json!("https");
    endpoint[if is_google { "tls" } else { "tlsConfig" }] = config;
}

/// What cert-manager is asked for, where it is there.
pub(super) fn certificates(checked: &Checked) -> Vec<(Kind, Value)> {
    let Some(tls) = checked.spec.server.tls.as_ref().filter(|_| checked.certificates) else {
        return Vec::new();
    };
    let mut all: Vec<_> = server_certificate(checked, tls).into_iter().collect();
    all.extend(client_certificate(checked, tls));
    all.into_iter().map(|object| (Kind::Certificate, object)).collect()
}

/// For the Service's names. Servers show it to each other too, as clients.
fn server_certificate(checked: &Checked, tls: &Tls) -> Option<Value> {
    let (name, host) = (&checked.names.server, service::host(checked));
    let spec = json!({
        "secretName": tls.secret_name,
        "dnsNames": [host, format!("{host}.cluster.local"), format!("{name}.{}", checked.namespace), name],
        "usages": ["digital signature", "key encipherment", "server auth", "client auth"],
        "issuerRef": tls.issuer_ref.as_ref()?,
    });
    Some(scrape::object(checked, Kind::Certificate, name, &[].into(), &spec))
}

/// What agents and scrapers show.
fn client_certificate(checked: &Checked, tls: &Tls) -> Option<Value> {
    let name = format!("{}-client", checked.names.server);
    let spec = json!({
        "secretName": tls.client_secret_name.as_ref()?,
        "commonName": "noetl-metrics-client",
        "usages": ["digital signature", "key encipherment", "client auth"],
        "issuerRef": tls.issuer_ref.as_ref()?,
    });
    Some(scrape::object(checked, Kind::Certificate, &name, &[].into(), &spec))
}

/// Some keys of a Secret as files of the same names.
fn secret_files(volume: &str, secret: &str, keys: &[&str]) -> Volume {
    let item = |key: &&str| KeyToPath { key: (*key).to_owned(), path: (*key).to_owned(), mode: None };
    Volume {
        name: volume.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.to_owned()),
            items: Some(keys.iter().map(item).collect()),
            default_mode: Some(0o440),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}
