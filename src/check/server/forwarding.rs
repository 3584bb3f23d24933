//! Stores that the active server sends samples on to: who is away, behind, or refuses some.

use serde_json::Value;

use super::super::catalogue::FORWARDING;
use super::super::report::{Outcome, Report, left_out, listed, passed, warning};
use super::components::text;
use super::seen::Seen;

/// Seconds that a store may be behind before that is worth a look: what was late is there within a few.
const BEHIND: u64 = 60;

pub(super) fn note(seen: &Seen, report: &mut Report<'_>) {
    report.note(FORWARDING, forwarding(&seen.status));
}

fn forwarding(status: &Value) -> Outcome {
    let targets = status["forward"].as_array().map_or(&[][..], Vec::as_slice);
    let wrong: Vec<String> = targets.iter().filter_map(wrong).collect();
    match (targets, wrong.as_slice()) {
        ([], _) => left_out("they are sent on to none"),
        (_, []) => passed(format!("all {}", targets.len())),
        (_, wrong) => warning(listed(wrong)),
    }
}

/// What is wrong with a store.
fn wrong(target: &Value) -> Option<String> {
    let mut words = Vec::new();
    if let Some(why) = target["problem"].as_str() {
        words.push(format!("does not take what it is sent: {why}"));
    }
    if let Some(behind) = target["lag_seconds"].as_u64().filter(|behind| *behind > BEHIND) {
        words.push(format!("is {behind} s behind"));
    }
    if let Some(dropped) = target["dropped"].as_u64().filter(|dropped| *dropped > 0) {
        words.push(format!("refused {dropped} samples for good since the server started"));
    }
    let who = || format!("{} ({}) {}", text(target, "name"), text(target, "host"), words.join(", "));
    (!words.is_empty()).then(who)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::report::Status;
    use super::*;

    #[test]
    fn a_store_that_is_away_or_behind_or_refuses_some_is_told() {
        let of = |lag: u64, dropped: u64, problem: Value| {
            let target = json!({"name": "t", "host": "h:1", "lag_seconds": lag, "dropped": dropped, "problem": problem});
            forwarding(&json!({"forward": [target]}))
        };
        assert_eq!(of(BEHIND, 0, Value::Null), passed("all 1"));
        assert_eq!(of(BEHIND + 1, 0, Value::Null), warning("t (h:1) is 61 s behind"));
        let refused = "t (h:1) refused 3 samples for good since the server started";
        assert_eq!(of(0, 3, Value::Null), warning(refused));
        assert_eq!(
            of(0, 0, json!("it answered 503")),
            warning("t (h:1) does not take what it is sent: it answered 503")
        );
        assert_eq!(forwarding(&json!({})).0, Status::LeftOut);
        // How far it is, is not known yet.
        let new = json!({"forward": [{"name": "t", "host": "h", "lag_seconds": null, "dropped": 0, "problem": null}]});
        assert_eq!(forwarding(&new).0, Status::Passed);
    }
}
