//! The agent's place in the server's registry: registering, heartbeats, signing off.
//!
//! A server may not register the agent (where NoETL's own server keeps the registry, it is off).
//! Then reports are sent all the same, and the server says whether it takes them.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;

use super::api::{Answer, Api, NoAnswer};
use super::config::Identity;
use super::quiet::Quiet;
use super::verdict::said;

const REGISTER: &str = "/api/worker/pool/register";
const HEARTBEAT: &str = "/api/worker/pool/heartbeat";
const DEREGISTER: &str = "/api/worker/pool/deregister";
const WARN_EVERY: Duration = Duration::from_mins(10);

/// The agent's place in the server's registry.
#[derive(Debug)]
pub(super) struct Registration {
    register_body: Bytes,
    name_body: Bytes,
    name: String,
    kind: String,
    state: Mutex<State>,
    warnings: Quiet,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not registered, or the server has forgotten.
    No,
    /// Registered.
    Yes,
    /// The server has no such endpoint, or does not register this agent.
    Without,
}

/// A component that the agent scrapes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scraped<'a> {
    /// Its name.
    pub(super) name: &'a str,
    /// Its kind.
    pub(super) kind: &'a str,
    /// Its pool.
    pub(super) pool: Option<&'a str>,
    /// Where it is scraped.
    pub(super) url: &'a str,
    /// Name of the agent.
    pub(super) agent: &'a str,
}

/// Why the agent is not registered now, and how long the server asks it to wait.
#[derive(Debug)]
pub(super) struct Unregistered {
    pub(super) why: String,
    pub(super) after: Option<Duration>,
}

impl From<NoAnswer> for Unregistered {
    fn from(error: NoAnswer) -> Self {
        Self { why: error.to_string(), after: None }
    }
}

impl Registration {
    /// A registration that has yet to be made.
    pub(super) fn new(identity: &Identity) -> Self {
        Self::with(&identity.name, &identity.kind, register_body(identity).to_string().into(), State::No)
    }

    /// The registration of a component that may have registered itself: it is made where the
    /// server turns out not to know it, so that what it says of itself is not written over.
    pub(super) fn of_scraped(scraped: &Scraped<'_>) -> Self {
        Self::with(scraped.name, scraped.kind, scraped_body(scraped).to_string().into(), State::Yes)
    }

    /// The registration of a component whose report was kept on disk: made likewise.
    pub(super) fn of_spooled(name: &str, kind: &str, register_body: Bytes) -> Self {
        Self::with(name, kind, register_body, State::Yes)
    }

    fn with(name: &str, kind: &str, register_body: Bytes, state: State) -> Self {
        Self {
            register_body,
            name_body: json!({"name": name, "component_type": kind}).to_string().into(),
            name: name.to_owned(),
            kind: kind.to_owned(),
            state: Mutex::new(state),
            warnings: Quiet::new(WARN_EVERY),
        }
    }

    /// Name of the component.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Kind of the component.
    pub(super) fn kind(&self) -> &str {
        &self.kind
    }

    /// What it is registered by.
    pub(super) fn register_body(&self) -> &Bytes {
        &self.register_body
    }

    /// Registers, unless that is done already or the server does not do it.
    pub(super) async fn ensure(&self, api: &Api) -> Result<(), Unregistered> {
        // Held during the request: whoever else needs it waits for this one's result.
        let mut state = self.state.lock().await;
        if *state != State::No {
            return Ok(());
        }
        let answer = api.post(REGISTER, self.register_body.clone(), false).await?;
        *state = match answer.status {
            200..=299 => State::Yes,
            401 | 408 | 429 => return Err(refused(&answer)),
            400..=499 | 501 => State::Without,
            _ => return Err(refused(&answer)),
        };
        self.log(*state, &answer, api);
        Ok(())
    }

    fn log(&self, state: State, answer: &Answer, api: &Api) {
        let (name, kind, server) = (&self.name, &self.kind, api.server());
        if state == State::Yes {
            tracing::info!(%server, "registered as {name} ({kind})");
        } else if self.warnings.note(1).is_some() {
            let said = said(answer);
            tracing::warn!(%server, "the server does not register {name} ({kind}), reports go all the same: {said}");
        }
    }

    /// The server said that it does not know the component: the next [`ensure`](Self::ensure)
    /// registers again.
    pub(super) async fn lost(&self) {
        *self.state.lock().await = State::No;
    }

    /// Sends a heartbeat, or registers where that is still to be done or was forgotten.
    pub(super) async fn beat(&self, api: &Api) -> Result<(), Unregistered> {
        if *self.state.lock().await == State::No {
            return self.ensure(api).await;
        }
        let answer = api.post(HEARTBEAT, self.name_body.clone(), false).await?;
        match answer.status {
            // Whoever has registered and is unknown was forgotten. Whoever goes without has nothing
            // to renew.
            404 if *self.state.lock().await == State::Yes => {
                self.lost().await;
                self.ensure(api).await
            }
            200..=299 | 404 | 405 | 501 => Ok(()),
            _ => Err(refused(&answer)),
        }
    }

    /// Signs off, where there was a registration.
    pub(super) async fn end(&self, api: &Api) -> Result<(), NoAnswer> {
        if *self.state.lock().await == State::Yes {
            let answer = api.post(DEREGISTER, self.name_body.clone(), false).await?;
            tracing::debug!("deregistered: {}", said(&answer));
        }
        Ok(())
    }
}

fn refused(answer: &Answer) -> Unregistered {
    Unregistered { why: said(answer), after: answer.retry_after }
}

fn pool_label(pool: Option<&str>) -> Map<String, Value> {
    pool.iter().map(|pool| ("pool_name".to_owned(), (*pool).into())).collect()
}

fn scraped_body(scraped: &Scraped<'_>) -> Value {
    json!({
        "name": scraped.name,
        "component_type": scraped.kind,
        "uri": scraped.url,
        "runtime": {"kind": "scraped", "by": scraped.agent},
        "status": "ready",
        "labels": pool_label(scraped.pool),
    })
}

fn register_body(identity: &Identity) -> Value {
    let labels = pool_label(identity.pool_name.as_deref());
    json!({
        "name": identity.name,
        "component_type": identity.kind,
        "runtime": {"kind": "noetl-metrics-agent", "version": env!("CARGO_PKG_VERSION")},
        "status": "ready",
        "hostname": identity.hostname,
        "labels": labels,
        "pid": std::process::id(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_scraped_component_is_taken_for_registered_until_the_server_says_otherwise() {
        let url = "http://w-1:9090/metrics";
        let scraped = Scraped { name: "w-1", kind: "worker_pool", pool: Some("cpu"), url, agent: "node-1" };
        assert_eq!(*Registration::of_scraped(&scraped).state.lock().await, State::Yes);
        let body = scraped_body(&scraped);
        assert_eq!((&body["name"], &body["uri"]), (&json!("w-1"), &json!(url)));
        assert_eq!(body["labels"], json!({"pool_name": "cpu"}));
        assert_eq!(body["runtime"], json!({"kind": "scraped", "by": "node-1"}));
        assert!(body.get("pid").is_none() && body.get("hostname").is_none());
    }

    #[test]
    fn the_body_is_what_the_contract_says() {
        let identity = Identity {
            name: "w-1".into(),
            kind: "worker_pool".into(),
            hostname: "node-1".into(),
            pool_name: Some("worker-cpu".into()),
        };
        let body = register_body(&identity);
        assert_eq!(body["name"], "w-1");
        assert_eq!(body["component_type"], "worker_pool");
        assert_eq!(body["status"], "ready");
        assert_eq!(body["hostname"], "node-1");
        assert_eq!(body["labels"], json!({"pool_name": "worker-cpu"}));
        assert_eq!(body["pid"], std::process::id());
        assert!(body["runtime"].is_object());
        let alone = register_body(&Identity { pool_name: None, ..identity });
        assert_eq!(alone["labels"], json!({}));
    }
}
