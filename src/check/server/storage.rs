//! What the server stores: the schema, its size, limits of series, retention.

use serde_json::Value;

use super::super::catalogue::{RETENTION, SCHEMA, SERIES, SIZE};
use super::super::report::{Outcome, Report, failed, left_out, listed, passed, warning};
use super::seen::Seen;
use crate::model::Millis;

/// Part of a limit from which on it is worth a look.
const NEAR: f64 = 0.8;
/// Retention that has not run for longer is worth a look.
const RETENTION_MAX_AGE_MS: i64 = 2 * 86_400_000;

pub(super) fn note(seen: &Seen, report: &mut Report<'_>) {
    report.note(SCHEMA, schema(&seen.status));
    report.note(SIZE, size(&seen.status));
    report.note(SERIES, series(&seen.status));
    report.note(RETENTION, retention(&seen.status, Millis::now()));
}

fn all<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}

fn schema(status: &Value) -> Outcome {
    let (applied, missing): (Vec<_>, Vec<_>) =
        all(status, "migrations").iter().partition(|step| step["applied_at_ms"].is_i64());
    let missing: Vec<_> = missing.iter().map(|step| step["version"].to_string()).collect();
    match missing.as_slice() {
        [] => passed(format!("{} steps are applied", applied.len())),
        missing => failed(format!("steps that are not applied: {}", listed(missing))),
    }
}

fn size(status: &Value) -> Outcome {
    let postgres = status["postgres_version"].as_str().unwrap_or("?");
    let Some(bytes) = status["database_bytes"].as_f64() else { return left_out("it is not known") };
    let words = format!(
        "PostgreSQL {postgres}, {:.0} MB, {} partitions of samples",
        bytes / 1e6,
        status["partitions"]["count"]
    );
    match status["retention"]["max_bytes"].as_f64() {
        Some(most) if bytes > most => {
            warning(format!("{words}; --retention-max-size is {:.0} MB", most / 1e6))
        }
        _ => passed(words),
    }
}

fn series(status: &Value) -> Outcome {
    let limits = all(status, "limits").iter().filter_map(|limit| {
        let (used, most) = (limit["used"].as_f64()?, limit["limit"].as_f64()?);
        let words = format!("{}: {used} of {most} ({})", limit["name"].as_str()?, limit["flag"].as_str()?);
        Some((used / most.max(1.0), words))
    });
    let limits: Vec<_> = limits.collect();
    let above = |part: f64| {
        limits.iter().filter(|(used, _)| *used >= part).map(|(_, w)| w.clone()).collect::<Vec<_>>()
    };
    match (above(1.0).as_slice(), above(NEAR).as_slice()) {
        ([], []) => passed(listed(&above(0.0))),
        ([], near) => warning(format!("it is near: {}", listed(near))),
        (reached, _) => failed(format!("it is reached, new series are refused: {}", listed(reached))),
    }
}

fn retention(status: &Value, now: Millis) -> Outcome {
    let Some(last) = all(&status["retention"], "runs").first() else {
        return warning("it has not run yet: nothing that is old is dropped");
    };
    let age = now.0 - last["finished_at_ms"].as_i64().unwrap_or_default();
    let words = format!("{} min ago", age / 60_000);
    match last["error"].as_str() {
        Some(why) => failed(format!("the run {words} failed: {why}")),
        None if age > RETENTION_MAX_AGE_MS => warning(format!("the last run was {words}")),
        None => passed(format!("it ran {words}, and dropped {} partitions", last["dropped_partitions"])),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::report::Status;
    use super::*;

    #[test]
    fn a_limit_that_is_near_is_worth_a_look_and_one_that_is_reached_fails() {
        let of = |used| {
            series(&json!({"limits": [{"name": "Live series", "flag": "--max-series", "used": used, "limit": 10}]})).0
        };
        assert_eq!([of(7), of(8), of(10)], [Status::Passed, Status::Warning, Status::Failed]);
    }

    #[test]
    fn retention_that_failed_or_has_not_run_is_told() {
        let now = Millis(10 * 86_400_000);
        let of = |finished: i64, error: Value| {
            let run = json!({"finished_at_ms": finished, "error": error, "dropped_partitions": 0});
            retention(&json!({"retention": {"runs": [run]}}), now).0
        };
        assert_eq!(of(now.0, Value::Null), Status::Passed);
        assert_eq!(of(0, Value::Null), Status::Warning);
        assert_eq!(of(now.0, json!("canceled")), Status::Failed);
        assert_eq!(retention(&json!({}), now).0, Status::Warning);
    }

    #[test]
    fn steps_that_are_missing_are_named() {
        let status = json!({"migrations": [{"version": 1, "applied_at_ms": 5}, {"version": 2, "applied_at_ms": null}]});
        assert_eq!(schema(&status), failed("steps that are not applied: 2"));
    }

    #[test]
    fn a_size_above_the_limit_is_told() {
        let of = |most| size(&json!({"database_bytes": 5_000_000, "retention": {"max_bytes": most}})).0;
        assert_eq!([of(4_000_000), of(6_000_000)], [Status::Warning, Status::Passed]);
    }
}
