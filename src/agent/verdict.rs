//! What follows from the answer to a report.

use std::time::Duration;

use serde::Deserialize;

use super::api::Answer;

/// What follows from the answer to a report.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The server has it. It may have refused some of its samples.
    Taken(Vec<Rejected>),
    /// The server will never take it, for what it holds.
    Refused {
        /// What the server said.
        why: String,
    },
    /// The server does not know the component: register, then send again.
    Unregistered {
        /// What the server said.
        why: String,
    },
    /// Send it again later.
    Later {
        /// What the server said.
        why: String,
        /// The wait that the server asks for.
        after: Option<Duration>,
    },
}

/// A sample that the server refused.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Rejected {
    /// Its place in the report.
    pub(super) index: usize,
    /// The field that is wrong.
    #[serde(default)]
    pub(super) field: String,
    /// What is wrong with it.
    #[serde(default)]
    pub(super) reason: String,
}

/// Sorts the answer to a report.
pub(super) fn of_report(answer: &Answer) -> Verdict {
    #[derive(Default, Deserialize)]
    struct Taken {
        #[serde(default)]
        rejected: Vec<Rejected>,
    }
    let why = || said(answer);
    match answer.status {
        200..=299 => {
            let taken: Taken = serde_json::from_slice(&answer.body).unwrap_or_default();
            Verdict::Taken(taken.rejected)
        }
        // A server that does not know the path says the same; the report is as good as before
        // either way, so it is kept.
        404 => Verdict::Unregistered { why: why() },
        // Credentials, time and load: nothing that the report itself could be blamed for.
        401 | 403 | 408 | 429 => Verdict::Later { why: why(), after: answer.retry_after },
        // The same report is being stored: what becomes of it is not known yet.
        409 if answer.retry_after.is_some() => Verdict::Later { why: why(), after: answer.retry_after },
        400..=499 => Verdict::Refused { why: why() },
        _ => Verdict::Later { why: why(), after: answer.retry_after },
    }
}

/// What the server said, in one line: the status, and the `detail` of its problem.
pub(super) fn said(answer: &Answer) -> String {
    let hint = match answer.status {
        401 | 403 => "; --auth-token-file names the token to send",
        300..=399 => "; redirects are not followed, --server-url should be the address itself",
        _ => "",
    };
    format!("{} {}{hint}", answer.status, crate::client::answer::said(&answer.body))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, retry_after: Some(Duration::from_secs(2)), body: body.as_bytes().to_vec() }
    }

    #[test]
    fn a_report_is_only_dropped_for_what_it_holds() {
        for status in [400, 413, 415, 422] {
            assert!(matches!(of_report(&answer(status, "")), Verdict::Refused { .. }), "{status}");
        }
        for status in [301, 401, 403, 408, 409, 429, 500, 502, 503, 504, 507] {
            let verdict = of_report(&answer(status, ""));
            assert!(matches!(verdict, Verdict::Later { after: Some(_), .. }), "{status}");
        }
        assert!(matches!(of_report(&answer(404, "")), Verdict::Unregistered { .. }));
        let ambiguous = Answer { retry_after: None, ..answer(409, "") };
        assert!(matches!(of_report(&ambiguous), Verdict::Refused { .. }));
    }

    #[test]
    fn rejected_samples_of_a_taken_report_are_named() {
        let body = r#"{"status":"ok","runtime_id":1,"metrics_inserted":2,
            "rejected":[{"index":1,"field":"labels","reason":"too many"}]}"#;
        let expected = Rejected { index: 1, field: "labels".into(), reason: "too many".into() };
        assert_eq!(of_report(&answer(200, body)), Verdict::Taken(vec![expected]));
        assert_eq!(of_report(&answer(200, r#"{"status":"ok"}"#)), Verdict::Taken(vec![]));
        assert_eq!(of_report(&answer(204, "")), Verdict::Taken(vec![]));
    }

    #[test]
    fn what_the_server_said_is_one_short_line() {
        assert_eq!(said(&answer(422, r#"{"detail":"metrics: is\nbad"}"#)), "422 metrics: is bad");
        assert_eq!(said(&answer(404, r#"{"detail":{"status":"unknown"}}"#)), r#"404 {"status":"unknown"}"#);
        assert!(said(&answer(401, "")).contains("--auth-token-file"));
        assert!(said(&answer(500, &"x".repeat(5000))).len() < 400);
    }
}
