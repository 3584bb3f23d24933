//! The newest warning that Kubernetes has about an object: the one place where it says why a pod
//! waits for its Secret, or why no pod may be made.
//!
//! What was heard is believed for a while, so that many objects that wait for long cost few requests.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Event;
use kube::api::ListParams;
use kube::{Api, Client};
use parking_lot::Mutex;

/// How long one question may take.
const TIMEOUT: Duration = Duration::from_secs(3);
/// How long an answer is believed.
const BELIEVED_FOR: Duration = Duration::from_secs(20);
/// Answers that are kept, at most.
const KEPT: usize = 10_000;

/// What was heard, by uid.
#[derive(Default)]
pub(super) struct Warnings(Mutex<HashMap<String, (Instant, Option<String>)>>);

impl Warnings {
    /// The newest warning about the object with this uid, where there is one and it can be read.
    pub(super) async fn about(&self, client: &Client, namespace: &str, uid: &str) -> Option<String> {
        if let Some((heard, warning)) = self.0.lock().get(uid)
            && heard.elapsed() < BELIEVED_FOR
        {
            return warning.clone();
        }
        let warning = ask(&Api::namespaced(client.clone(), namespace), uid).await;
        self.keep(uid, warning.clone());
        warning
    }

    fn keep(&self, uid: &str, warning: Option<String>) {
        let mut heard = self.0.lock();
        if heard.len() >= KEPT {
            heard.retain(|_, (when, _)| when.elapsed() < BELIEVED_FOR);
        }
        if heard.len() < KEPT {
            heard.insert(uid.to_owned(), (Instant::now(), warning));
        }
    }
}

/// The newest warning about the object with this uid, asked now.
pub(crate) async fn ask(events: &Api<Event>, uid: &str) -> Option<String> {
    let about = ListParams::default().fields(&format!("involvedObject.uid={uid},type=Warning")).limit(20);
    let list = tokio::time::timeout(TIMEOUT, events.list(&about)).await.ok()?.ok()?;
    let newest = list.items.into_iter().max_by_key(|event| {
        let seen = event.last_timestamp.as_ref().map(|time| time.0);
        seen.or_else(|| event.event_time.as_ref().map(|time| time.0))
    })?;
    newest.message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_so_many_answers_are_kept() {
        let warnings = Warnings::default();
        for n in 0..KEPT + 5 {
            warnings.keep(&n.to_string(), None);
        }
        assert_eq!(warnings.0.lock().len(), KEPT);
        assert!(warnings.0.lock().contains_key("0"));
    }
}
