//! What keeps a pod from running, in a sentence for people.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};
use kube::ResourceExt;

use crate::operator::dereference::{Seen, is_part};
use crate::operator::names::Component;

/// As much of a container's last words as goes into a condition.
const LAST_WORDS_MAX: usize = 400;

/// Label of a Job's pods with the Job's name.
pub(crate) const JOB_LABEL: &str = "batch.kubernetes.io/job-name";

/// What keeps the servers' pods from running.
pub(super) fn trouble(seen: &Seen) -> Option<String> {
    newest(seen.pods.iter().filter(|pod| is_part(*pod, Component::Server.as_str())).collect(), seen)
}

/// What keeps the pods of one Job from running, or kept them from succeeding.
pub(super) fn trouble_of_job(seen: &Seen, job: &str) -> Option<String> {
    newest(
        seen.pods.iter().filter(|pod| pod.labels().get(JOB_LABEL).is_some_and(|name| name == job)).collect(),
        seen,
    )
}

/// What the newest pod says that says something.
fn newest(mut pods: Vec<&Pod>, seen: &Seen) -> Option<String> {
    pods.sort_by_key(|pod| std::cmp::Reverse(pod.creation_timestamp().map(|t| t.0)));
    pods.iter().find_map(|pod| {
        let why = of_pod(pod).or_else(|| seen.warnings.get(&pod.uid()?).map(|w| one_line(w)))?;
        Some(format!("pod {}: {why}", pod.name_any()))
    })
}

/// What keeps one pod from running, as far as its own status says.
pub(crate) fn of_pod(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let unscheduled = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    if let Some(condition) = unscheduled {
        return Some(format!(
            "not scheduled: {}",
            one_line(condition.message.as_deref().unwrap_or("no reason given"))
        ));
    }
    status.container_statuses.iter().flatten().find_map(of_container)
}

fn of_container(container: &ContainerStatus) -> Option<String> {
    let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
    let waits_for = waiting.and_then(|w| w.reason.as_deref());
    let ended =
        container.state.as_ref().and_then(ended).or_else(|| container.last_state.as_ref().and_then(ended));
    match (waits_for, ended) {
        (_, Some(ended)) => Some(ended),
        (None | Some("ContainerCreating" | "PodInitializing"), None) => None,
        (Some(reason), None) => {
            let message = waiting.and_then(|w| w.message.as_deref()).unwrap_or_default();
            Some(format!("{reason} {}", one_line(message)).trim_end().to_owned())
        }
    }
}

/// What a container that failed said last.
fn ended(state: &ContainerState) -> Option<String> {
    let ended = state.terminated.as_ref().filter(|ended| ended.exit_code != 0)?;
    let reason = ended.reason.as_deref().unwrap_or("Error");
    let words = ended.message.as_deref().unwrap_or_default();
    let last = words.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    Some(match one_line(last) {
        last if last.is_empty() => format!("{reason}, exit code {}", ended.exit_code),
        last => format!("{reason}: {last}"),
    })
}

/// Text on one line, cut to what fits into a condition.
fn one_line(text: &str) -> String {
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.len() > LAST_WORDS_MAX {
        let end = (0..=LAST_WORDS_MAX).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
        line.truncate(end);
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn seen(status: &Value) -> Seen {
        let pod = json!({
            "metadata": {"name": "p", "uid": "u", "labels": {"app.kubernetes.io/component": "server", "batch.kubernetes.io/job-name": "j"}},
            "status": status,
        });
        Seen { pods: vec![serde_json::from_value(pod).unwrap()], ..Seen::default() }
    }

    fn container(state: &Value) -> Value {
        json!({"containerStatuses": [{"name": "server", "image": "", "imageID": "", "ready": false, "restartCount": 1, "state": state}]})
    }

    #[test]
    fn the_last_words_of_a_container_are_told() {
        let state = json!({"terminated": {"exitCode": 1, "reason": "Error", "message": "a\nnoetl-metrics: cannot connect\n\n"}});
        let told = trouble(&seen(&container(&state)));
        assert_eq!(told.as_deref(), Some("pod p: Error: noetl-metrics: cannot connect"));
    }

    #[test]
    fn an_image_that_cannot_be_pulled_is_told() {
        let state = json!({"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling\nimage"}});
        let told = trouble(&seen(&container(&state)));
        assert_eq!(told.as_deref(), Some("pod p: ImagePullBackOff Back-off pulling image"));
    }

    #[test]
    fn a_pod_that_waits_for_its_secret_is_told_by_its_event() {
        let mut seen = seen(&container(&json!({"waiting": {"reason": "ContainerCreating"}})));
        assert_eq!(trouble(&seen), None);
        seen.warnings.insert("u".into(), "MountVolume.SetUp failed: secret \"db\" not found".into());
        let told = trouble(&seen).unwrap();
        assert!(told.ends_with("secret \"db\" not found"), "{told}");
        assert_eq!(trouble_of_job(&seen, "j"), Some(told));
        assert_eq!(trouble_of_job(&seen, "other"), None);
    }

    #[test]
    fn a_pod_that_finds_no_node_is_told() {
        let status =
            json!({"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes"}]});
        assert_eq!(trouble(&seen(&status)).as_deref(), Some("pod p: not scheduled: 0/3 nodes"));
    }

    #[test]
    fn long_words_are_cut() {
        assert!(one_line(&"ä ".repeat(1000)).len() <= LAST_WORDS_MAX + 3);
    }
}
