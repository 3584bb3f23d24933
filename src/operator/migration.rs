//! How far the schema is, from the Job that brings it forward.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

/// How long a Job that failed is left, so that its reason can be read, before it is made again.
const RETRY_AFTER: SignedDuration = SignedDuration::from_secs(30);

/// How far the schema is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Migration {
    /// The Job has not ended.
    #[default]
    Running,
    /// It succeeded: servers may run.
    Done,
    /// It failed, and is left for a while.
    Failed,
    /// It failed a while ago, and is to be made again.
    Retry,
}

/// The state at the time `now`.
pub(super) fn state(job: Option<&Job>, now: Timestamp) -> Migration {
    let conditions = job.and_then(|job| job.status.as_ref()?.conditions.as_ref());
    let condition =
        |wanted: &str| conditions.into_iter().flatten().find(|c| c.type_ == wanted && c.status == "True");
    if condition("Complete").is_some() {
        return Migration::Done;
    }
    match condition("Failed") {
        None => Migration::Running,
        Some(failed) => match &failed.last_transition_time {
            Some(since) if now.duration_since(since.0) < RETRY_AFTER => Migration::Failed,
            _ => Migration::Retry,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(condition: &str) -> Job {
        serde_json::from_value(serde_json::json!({
            "metadata": {}, "status": {"conditions": [
                {"type": condition, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"},
            ]},
        }))
        .unwrap()
    }

    #[test]
    fn servers_wait_for_success() {
        let soon: Timestamp = "2026-01-01T00:00:10Z".parse().unwrap();
        let later: Timestamp = "2026-01-01T00:00:31Z".parse().unwrap();
        assert_eq!(state(None, soon), Migration::Running);
        assert_eq!(state(Some(&Job::default()), soon), Migration::Running);
        assert_eq!(state(Some(&job("Complete")), soon), Migration::Done);
        assert_eq!(state(Some(&job("FailureTarget")), soon), Migration::Running);
        assert_eq!(state(Some(&job("Failed")), soon), Migration::Failed);
        assert_eq!(state(Some(&job("Failed")), later), Migration::Retry);
    }
}
