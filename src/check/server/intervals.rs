//! The guide's intervals, as an agent or a server that is started here would read them.

use std::time::Duration;

use super::super::catalogue::INTERVALS;
use super::super::report::{Outcome, Report, failed, left_out, listed, passed, warning};
use crate::cli::values::duration;

const VARIABLES: [&str; 3] =
    ["NOETL_WORKER_METRICS_INTERVAL", "NOETL_WORKER_HEARTBEAT_INTERVAL", "NOETL_SERVER_METRICS_INTERVAL"];
/// A component that reports less often than this is taken for silent in between.
const STALE_AFTER: Duration = Duration::from_mins(5);

pub(super) fn note(report: &mut Report<'_>) {
    let set = VARIABLES.iter().filter_map(|name| Some((*name, std::env::var(name).ok()?)));
    report.note(INTERVALS, of(&set.collect::<Vec<_>>()));
}

fn of(set: &[(&str, String)]) -> Outcome {
    let read: Vec<_> = set.iter().map(|(name, text)| (name, text, duration(text))).collect();
    let wrong =
        read.iter().filter_map(|(name, text, read)| Some(format!("{name}={text}: {}", read.as_ref().err()?)));
    let wrong: Vec<_> = wrong.collect();
    let long = read.iter().filter(|(.., read)| read.as_ref().is_ok_and(|d| *d >= STALE_AFTER));
    let long: Vec<_> =
        long.map(|(name, text, _)| format!("{name}={text} is longer than --stale-after (5m)")).collect();
    match (wrong.as_slice(), long.as_slice(), set) {
        ([], [], []) => left_out("none of the guide's variables is set here: the defaults hold"),
        ([], [], _) => {
            passed(listed(&set.iter().map(|(name, text)| format!("{name}={text}")).collect::<Vec<_>>()))
        }
        ([], ..) => warning(listed(&long)),
        _ => failed(listed(&wrong)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::report::Status;
    use super::*;

    #[test]
    fn what_an_agent_would_not_take_fails() {
        let of = |text: &str| of(&[("NOETL_WORKER_METRICS_INTERVAL", text.to_owned())]);
        assert_eq!([of("60").0, of("30s").0, of("10m").0], [Status::Passed, Status::Passed, Status::Warning]);
        let Outcome(status, detail) = of("a while");
        assert_eq!(status, Status::Failed);
        assert!(detail.starts_with("NOETL_WORKER_METRICS_INTERVAL=a while: "), "{detail}");
        assert_eq!(super::of(&[]).0, Status::LeftOut);
    }
}
