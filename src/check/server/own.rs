//! What the server says of itself: which one is active, what it refuses, whether it can write.

use super::super::catalogue::{ACTIVE, COMMITS, LIMITED, REFUSED, UNAUTHORISED, UNKNOWN};
use super::super::report::{Outcome, Report, failed, left_out, listed, passed, warning};
use super::components::text;
use super::seen::{Seen, label};

/// Paths that reports come to.
const REPORTS: [&str; 3] = ["/api/metrics/report", "/api/v1/write", "/v1/metrics"];

pub(super) fn note(seen: &Seen, report: &mut Report<'_>) {
    report.note(ACTIVE, active(seen));
    report.note(UNKNOWN, answered(seen, &["404"], "reports were of components that are not registered"));
    report.note(UNAUTHORISED, answered(seen, &["401", "403"], "reports lacked a right"));
    report.note(REFUSED, refused(seen));
    report.note(LIMITED, limited(seen));
    report.note(COMMITS, commits(seen));
}

fn active(seen: &Seen) -> Outcome {
    let ready = seen.total("noetl_metrics_ready");
    match (seen.total("noetl_metrics_active"), seen.total("noetl_metrics_lease_epoch"), ready) {
        (Some(1.0), Some(epoch), _) => passed(format!("this one, since take-over {epoch}")),
        (Some(1.0), ..) => passed("this one"),
        (Some(_), ..) => passed("another one: this one forwards to it"),
        (None, ..) => left_out("it does not say"),
    }
}

/// Requests with reports that were answered with one of these codes, since the server started.
fn answered(seen: &Seen, codes: &[&str], words: &str) -> Outcome {
    let requests = seen.own("noetl_metrics_http_requests_total");
    let such = requests.filter(|r| REPORTS.contains(&label(r, "path")) && codes.contains(&label(r, "code")));
    match such.map(|reading| reading.value).sum::<f64>() {
        0.0 => passed("none since the server started"),
        count => warning(format!("{count} {words}, since the server started")),
    }
}

fn refused(seen: &Seen) -> Outcome {
    let recently = seen.total("noetl_metrics_samples_rejected_recently").unwrap_or_default();
    if recently == 0.0 {
        return passed("none over the last quarter of an hour");
    }
    let whose = seen.components.iter().filter_map(|component| {
        let reason = component["last_rejection"].as_str()?;
        Some(format!("{}: {reason}", text(component, "name")))
    });
    let whose = listed(&whose.collect::<Vec<_>>());
    warning(format!("{recently} over the last quarter of an hour. {whose}"))
}

fn limited(seen: &Seen) -> Outcome {
    let component = seen.total("noetl_metrics_reports_limited_total").unwrap_or_default();
    let all = seen.total("noetl_metrics_reports_refused_total").unwrap_or_default();
    if component + all == 0.0 {
        return passed("none was refused for its amount since the server started");
    }
    warning(format!(
        "since the server started {component} reports were refused as their component sends too much, \
         {all} as too much waited to be written"
    ))
}

fn commits(seen: &Seen) -> Outcome {
    let failures = seen.total("noetl_metrics_commit_failures_total").unwrap_or_default();
    match (seen.total("noetl_metrics_commits_total"), failures) {
        (None, _) => left_out("only the active server writes"),
        (Some(commits), 0.0) => passed(format!("{commits} commits, none failed")),
        (Some(0.0), failures) => failed(format!("all {failures} commits failed")),
        (Some(commits), failures) => {
            warning(format!("{failures} commits failed, {commits} did not, since the server started"))
        }
    }
}
