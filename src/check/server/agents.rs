//! What agents say: the targets that they scrape, metrics that are absent, spools, text files.

use serde_json::Value;

use super::super::catalogue::{ABSENT, SPOOLS, TARGETS, TEXTFILES};
use super::super::report::{Outcome, Report, left_out, listed, passed, warning};
use super::components::text;
use super::seen::{Seen, label};
use crate::model::Reading;

pub(super) fn note(seen: &Seen, report: &mut Report<'_>) {
    let targets = seen.status["targets"].as_array().map_or(&[][..], Vec::as_slice);
    report.note(TARGETS, answering(targets));
    report.note(ABSENT, absent(targets));
    report.note(SPOOLS, spools(seen));
    report.note(TEXTFILES, textfiles(seen));
}

fn answering(targets: &[Value]) -> Outcome {
    let down: Vec<_> = targets
        .iter()
        .filter(|t| t["up"] == false)
        .map(|target| {
            let why = target["errors"].as_array().map_or(&[][..], Vec::as_slice);
            let why: Vec<_> = why.iter().filter_map(|pair| pair[0].as_str()).collect();
            format!("{} of {} is down ({})", text(target, "target"), text(target, "agent"), why.join(", "))
        })
        .collect();
    match (targets, down.as_slice()) {
        ([], _) => left_out("agents scrape nothing"),
        (_, []) => passed(format!("all {}", targets.len())),
        (_, down) => warning(listed(down)),
    }
}

fn absent(targets: &[Value]) -> Outcome {
    let absent: Vec<_> = targets
        .iter()
        .flat_map(|target| {
            let absent = target["absent"].as_array().map_or(&[][..], Vec::as_slice);
            absent.iter().filter(|pair| !explains_itself(pair[1].as_str())).map(move |pair| {
                format!(
                    "{} of {}: {}",
                    pair[0].as_str().unwrap_or_default(),
                    text(target, "target"),
                    pair[1].as_str().unwrap_or_default()
                )
            })
        })
        .collect();
    match (targets, absent.as_slice()) {
        ([], _) => left_out("agents scrape nothing"),
        (_, []) => passed("none that could be there"),
        (_, absent) => warning(listed(absent)),
    }
}

/// Reasons for which nothing is to be done: the target is down, which is told; another one has it; the
/// next scrape brings it.
fn explains_itself(reason: Option<&str>) -> bool {
    matches!(reason, Some("target_down" | "shared_queue" | "first_look"))
}

fn whose<'a>(readings: impl Iterator<Item = &'a Reading>, words: &str) -> Vec<String> {
    readings.map(|reading| format!("{} {words}", label(reading, "component"))).collect()
}

fn spools(seen: &Seen) -> Outcome {
    if seen.of_agents("noetl_agent_spool_up").next().is_none() {
        return left_out("no agent has a spool");
    }
    let mut wrong =
        whose(seen.of_agents("noetl_agent_spool_up").filter(|r| r.value == 0.0), "can't use its spool");
    let lost = seen.of_agents("noetl_agent_spool_samples_dropped_total").filter(|r| r.value > 0.0);
    wrong.extend(
        lost.map(|r| format!("{} lost {} samples ({})", label(r, "component"), r.value, label(r, "reason"))),
    );
    if wrong.is_empty() { passed("all of them") } else { warning(listed(&wrong)) }
}

fn textfiles(seen: &Seen) -> Outcome {
    let errors = || seen.of_agents("node_textfile_scrape_error");
    if errors().next().is_none() {
        return left_out("no agent reads text files");
    }
    let wrong = whose(errors().filter(|r| r.value > 0.0), "could not read all of its text files");
    if wrong.is_empty() { passed("all of them") } else { warning(listed(&wrong)) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::report::{Status, failed};
    use super::*;

    #[test]
    fn a_target_that_is_down_is_told_with_its_reason() {
        let down = json!({"agent": "a", "target": "http://w:9090", "up": false, "errors": [["connect", 3]], "absent": []});
        assert_eq!(answering(&[down]), warning("http://w:9090 of a is down (connect)"));
        assert_eq!(answering(&[]).0, Status::LeftOut);
        assert_ne!(answering(&[]), failed(""));
    }

    #[test]
    fn what_explains_itself_is_not_told() {
        let target =
            |reason: &str| json!({"agent": "a", "target": "t", "up": true, "absent": [["m", reason]]});
        assert_eq!(absent(&[target("shared_queue")]).0, Status::Passed);
        assert_eq!(absent(&[target("not_asked")]), warning("m of t: not_asked"));
    }
}
