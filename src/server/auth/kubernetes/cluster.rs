//! The cluster's API as the server asks it: a few paths, with the token of its own ServiceAccount.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use reqwest::{Certificate, Client, RequestBuilder};
use serde::Serialize;
use serde::de::DeserializeOwned;

const TIMEOUT: Duration = Duration::from_secs(5);
/// An answer that is larger is refused.
const MAX_BYTES: usize = 1 << 20;

/// The cluster's API.
pub(super) struct Cluster {
    url: String,
    own_dir: PathBuf,
    /// A client, and when the certificates that it trusts were written.
    client: Mutex<Option<(Option<SystemTime>, Client)>>,
}

impl Cluster {
    /// The API at `url`; `own_dir` has the server's own `token` and `ca.crt`.
    pub(super) fn new(url: String, own_dir: PathBuf) -> Self {
        Self { url, own_dir, client: Mutex::default() }
    }

    /// Its address.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// What is at a path.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, String> {
        let client = self.client()?;
        self.ask(path, client.get(format!("{}{path}", self.url))).await
    }

    /// The object that becomes of one that is created.
    pub(super) async fn create<T: DeserializeOwned>(
        &self,
        path: &str,
        object: &impl Serialize,
    ) -> Result<T, String> {
        let body = serde_json::to_vec(object).map_err(|e| e.to_string())?;
        let request = self.client()?.post(format!("{}{path}", self.url)).body(body);
        self.ask(path, request.header("content-type", "application/json")).await
    }

    async fn ask<T: DeserializeOwned>(&self, path: &str, request: RequestBuilder) -> Result<T, String> {
        // Read each time: the kubelet replaces it.
        let own = self.own_dir.join("token");
        let token = tokio::fs::read_to_string(&own).await.map_err(|e| wrong(&own, &e))?;
        let answer = request.bearer_auth(token.trim()).send().await;
        let mut answer = answer.map_err(|e| crate::client::causes(&e))?;
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
        // Without the answer's words, which may repeat what was sent.
        serde_json::from_slice(&body)
            .map_err(|e| format!("{path} answers what can't be read, at line {}", e.line()))
    }

    /// The client; another one where the cluster's certificates have changed.
    fn client(&self) -> Result<Client, String> {
        let path = self.own_dir.join("ca.crt");
        let is_https = self.url.starts_with("https:");
        let written = std::fs::metadata(&path).and_then(|m| m.modified()).ok().filter(|_| is_https);
        let mut held = self.client.lock();
        if let Some((of, client)) = &*held
            && *of == written
        {
            return Ok(client.clone());
        }
        crate::client::install_crypto();
        let mut client = Client::builder().timeout(TIMEOUT).no_proxy();
        if is_https {
            let pem = std::fs::read(&path).map_err(|e| wrong(&path, &e))?;
            let roots = Certificate::from_pem_bundle(&pem).map_err(|e| wrong(&path, &e))?;
            client = client.tls_certs_only(roots);
        }
        let client = client.build().map_err(|e| crate::client::causes(&e))?;
        *held = Some((written, client.clone()));
        Ok(client)
    }
}

/// What is said of a file of the server's own ServiceAccount.
fn wrong(file: &Path, error: &dyn Display) -> String {
    format!("--service-account-dir {}: {error}", file.display())
}
