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
        let name = json!({"name": identity.name, "component_type": identity.kind});
        Self {
            register_body: register_body(identity).to_string().into(),
            name_body: name.to_string().into(),
            name: identity.name.clone(),
            kind: identity.kind.clone(),
            state: Mutex::new(State::No),
            warnings: Quiet::new(WARN_EVERY),
        }
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
            tracing::warn!(%server, "the server does not register the agent, reports go all the same: {said}");
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

fn register_body(identity: &Identity) -> Value {
    let labels: Map<String, Value> =
        identity.pool_name.iter().map(|pool| ("pool_name".to_owned(), pool.as_str().into())).collect();
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
