//! The components: whether they report, how old their newest sample is, which fell silent.

use serde_json::Value;

use super::super::catalogue::{REPORTING, SELF_REPORT, SILENT};
use super::super::report::{Outcome, Report, failed, listed, passed, warning};
use super::sample;
use super::seen::Seen;
use crate::model::{Millis, parse_timestamp};

/// Kind of the server's own component.
const SERVER: &str = "server_api";

pub(super) fn note(seen: &Seen, report: &mut Report<'_>) {
    let now = Millis::now();
    let is_own = |c: &Value| c["component_type"] == SERVER && c["name"] == seen.own_name();
    report.note(SELF_REPORT, self_report(seen.components.iter().find(|c| is_own(c)), now));
    let others: Vec<_> =
        seen.components.iter().filter(|c| c["name"] != sample::COMPONENT && !is_own(c)).collect();
    report.note(REPORTING, reporting(&others, now));
    report.note(SILENT, silent(&others, now));
}

/// A field's text.
pub(super) fn text<'a>(component: &'a Value, field: &str) -> &'a str {
    component[field].as_str().unwrap_or_default()
}

/// How old its newest sample is, in words.
fn aged(component: &Value, now: Millis) -> String {
    let name = text(component, "name");
    match component["last_report"].as_str().and_then(|t| parse_timestamp(t).ok()) {
        Some(last) => format!("{name} {} s ago", now.since(last).max(0) / 1000),
        None => format!("{name} never"),
    }
}

fn self_report(own: Option<&Value>, now: Millis) -> Outcome {
    match own {
        None => warning("it has not reported yet"),
        Some(own) if own["status"] == "up" => passed(aged(own, now)),
        Some(own) => failed(format!("it is {}: {}", text(own, "status"), aged(own, now))),
    }
}

fn all_aged(components: &[&Value], now: Millis) -> Vec<String> {
    components.iter().map(|component| aged(component, now)).collect()
}

fn reporting(components: &[&Value], now: Millis) -> Outcome {
    let up: Vec<_> = components.iter().copied().filter(|c| c["status"] == "up").collect();
    let never: Vec<_> = up.iter().copied().filter(|c| c["last_report"].is_null()).collect();
    match (up.as_slice(), never.as_slice()) {
        ([], _) => warning("none but the server itself"),
        (_, [_, ..]) => warning(format!("registered, but without a sample: {}", listed(&names(&never)))),
        (up, _) => passed(format!("{} of them: {}", up.len(), listed(&all_aged(up, now)))),
    }
}

fn names(components: &[&Value]) -> Vec<String> {
    components.iter().map(|component| text(component, "name").to_owned()).collect()
}

fn silent(components: &[&Value], now: Millis) -> Outcome {
    let silent: Vec<_> = components.iter().copied().filter(|c| c["status"] == "silent").collect();
    match silent.as_slice() {
        [] => passed("none"),
        silent => warning(format!("last heard with a sample: {}", listed(&all_aged(silent, now)))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::report::Status;
    use super::*;

    fn component(status: &str, last_report: Option<Millis>) -> Value {
        json!({"name": "w", "status": status, "last_report": last_report.map(Millis::rfc3339)})
    }

    #[test]
    fn ages_are_told_by_component() {
        let now = Millis(1_800_000_000_000);
        let then = component("up", Some(Millis(now.0 - 7_000)));
        assert_eq!(reporting(&[&then], now), passed("1 of them: w 7 s ago"));
        assert_eq!(reporting(&[&component("up", None)], now).0, Status::Warning);
        assert_eq!(reporting(&[], now).0, Status::Warning);
        assert_eq!(silent(&[&component("silent", None)], now), warning("last heard with a sample: w never"));
    }

    #[test]
    fn a_server_that_does_not_report_on_itself_fails() {
        let now = Millis(1_800_000_000_000);
        assert_eq!(self_report(None, now).0, Status::Warning, "it may just have started");
        assert_eq!(self_report(Some(&component("silent", Some(now))), now).0, Status::Failed);
        assert_eq!(self_report(Some(&component("up", Some(now))), now), passed("w 0 s ago"));
    }
}
