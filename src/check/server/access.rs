//! Who may write. Asked by a heartbeat of nobody: whoever may send one is told that it has no name,
//! and nothing is changed.

use reqwest::StatusCode;
use serde_json::json;

use super::super::catalogue::{TOKEN, WRITING_CLOSED, WRONG_TOKEN};
use super::super::report::{Outcome, Report, failed, left_out, passed, warning};
use super::caller::{Answer, Caller};

const PATH: &str = "/api/worker/pool/heartbeat";
/// As no server has it in a file.
const WRONG: &str = "noetl-metrics-check.is-no-token";

/// All three questions; whether this caller may write.
pub(super) async fn note(caller: &Caller, report: &mut Report<'_>) -> bool {
    let nobody = caller.post(PATH, &json!({}), None).await;
    let closed = nobody.as_ref().is_ok_and(|answer| answer.status == StatusCode::UNAUTHORIZED);
    report.note(WRITING_CLOSED, open(&nobody, caller.is_loopback()));
    let wrong = if closed {
        caller.post(PATH, &json!({}), Some(WRONG)).await.map(|answer| refused(&answer)).map_err(failed)
    } else {
        Ok(left_out("no token is asked for"))
    };
    report.note(WRONG_TOKEN, wrong);
    let token = match (caller.token(), nobody) {
        (Some(token), _) => {
            caller.post(PATH, &json!({}), Some(token)).await.map(|answer| taken(&answer)).map_err(failed)
        }
        (None, Ok(answer)) if answer.is_denied() => Err(failed(format!("none is sent. {}", answer.said()))),
        (None, Ok(_)) => Ok(left_out("none is needed, none is sent")),
        (None, Err(why)) => Err(failed(why)),
    };
    report.note(TOKEN, token)
}

fn open(answer: &Result<Answer, String>, loopback: bool) -> Outcome {
    match answer {
        Ok(answer) if answer.is_denied() => passed(answer.said()),
        Ok(_) if loopback => left_out("it asks for none; it is reached at this machine's own address"),
        Ok(_) => warning("whoever reaches this address may write"),
        Err(why) => failed(why.clone()),
    }
}

fn refused(answer: &Answer) -> Outcome {
    if answer.is_denied() { passed(answer.said()) } else { failed(answer.said()) }
}

fn taken(answer: &Answer) -> Outcome {
    if answer.is_denied() { failed(answer.said()) } else { passed("it is taken") }
}
