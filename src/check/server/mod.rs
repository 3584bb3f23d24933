//! A server, as its clients see it: from its name in DNS to the newest sample of each component.

mod access;
mod agents;
mod caller;
mod components;
mod forwarding;
mod intervals;
mod own;
mod reach;
mod sample;
mod seen;
mod storage;

use self::caller::Caller;
use self::seen::Seen;
use super::ServerConfig;
use super::catalogue::{ANSWERS, CLOCK, INPUT, OF_SERVER, READING, READY, SERVER_VERSION};
use super::report::{Outcome, Report, failed, passed, warning};

/// All of it; what builds on something that failed is left out.
pub(super) async fn run(config: &ServerConfig, report: &mut Report<'_>) {
    if let Err(why) = look(config, report).await {
        report.leave_rest(OF_SERVER, why);
    }
}

async fn look(config: &ServerConfig, report: &mut Report<'_>) -> Result<(), &'static str> {
    let caller = match Caller::new(config) {
        Ok(caller) => caller,
        Err(why) => {
            report.note(INPUT, failed(why));
            return Err("its input can't be read");
        }
    };
    report.note(INPUT, passed(config.url.to_string()));
    intervals::note(report);
    reach::note(config, caller.tls(), report).await?;
    let answered = caller.get("/livez").await;
    let clock = answered.as_ref().ok().and_then(caller::Answer::clock);
    if !report.note(ANSWERS, answered.and_then(caller::Answer::body)) {
        return Err("the server does not answer");
    }
    report.note(SERVER_VERSION, version(&caller).await);
    if let Some(ahead) = clock {
        report.note(CLOCK, clocks(ahead));
    }
    let may_write = access::note(&caller, report).await;
    let ready = caller.get("/readyz?verbose").await.and_then(caller::Answer::body);
    if !report.note(READY, ready) {
        return Err("the server is not ready");
    }
    let seen = Seen::read(&caller).await;
    if may_write {
        sample::note(&caller, report).await;
    }
    match seen {
        Ok(seen) => {
            report.note(READING, passed("components, metrics and status can be read"));
            own::note(&seen, report);
            components::note(&seen, report);
            storage::note(&seen, report);
            forwarding::note(&seen, report);
            agents::note(&seen, report);
        }
        Err(why) => {
            report.note(READING, failed(why));
        }
    }
    Err(if may_write { "it can't be read here" } else { "this token may not write, or it can't be read" })
}

async fn version(caller: &Caller) -> Outcome {
    let ours = env!("CARGO_PKG_VERSION");
    match caller
        .json("/openapi.json")
        .await
        .map(|described| described["info"]["version"].as_str().map(str::to_owned))
    {
        Ok(Some(theirs)) if theirs == ours => passed(theirs),
        Ok(Some(theirs)) => warning(format!("the server is of version {theirs}, this program of {ours}")),
        Ok(None) => failed("it says no version: another program may answer here"),
        Err(why) => failed(why),
    }
}

/// Seconds that this clock may differ from the server's before that is worth a look, and before
/// samples are refused.
const CLOCKS_AGREE: i64 = 5;
const CLOCKS_REFUSED: i64 = 600;

/// `ahead` is how many seconds the server's clock is ahead of this one.
fn clocks(ahead: i64) -> Outcome {
    let words = format!("the server's is {} s {}", ahead.abs(), if ahead < 0 { "behind" } else { "ahead" });
    match ahead.abs() {
        ..=CLOCKS_AGREE => passed(words),
        CLOCKS_REFUSED.. => failed(words),
        _ => warning(words),
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::Status;
    use super::*;

    #[test]
    fn clocks_that_differ_by_more_than_samples_may_fail() {
        let of = |ahead| clocks(ahead).0;
        assert_eq!(
            [of(0), of(-5), of(60), of(-600)],
            [Status::Passed, Status::Passed, Status::Warning, Status::Failed]
        );
        assert!(clocks(-60).1.contains("60 s behind"));
    }
}
