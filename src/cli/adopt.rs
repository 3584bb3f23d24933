//! The copying of tables that were there before, as `migrate` does it: with a bar on a terminal, with
//! a line now and then elsewhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::store::{self, Adoption, Database, StoreError};

/// A line comes this often where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Pause while somebody else copies the last table.
const WAIT: Duration = Duration::from_millis(200);

/// Copies until all is done; `say` is told what was found and, at the end, what was done.
pub async fn adopt(database: &Database, say: impl Fn(&str)) -> Result<(), StoreError> {
    let Some(mut state) = store::adoption(database).await? else { return Ok(()) };
    if state.finished {
        return Ok(());
    }
    say("copying the tables noetl.metrics and noetl.metric that were there before");
    let bar = ProgressBar::new(state.pages).with_style(style());
    let mut said = Instant::now();
    while !state.finished {
        if !store::adopt(database).await? {
            tokio::time::sleep(WAIT).await;
        }
        if let Some(now) = store::adoption(database).await? {
            state = now;
        }
        bar.set_position(state.pages_done);
        bar.set_message(state.adopted.to_string());
        if bar.is_hidden() && said.elapsed() >= LINE_EVERY {
            said = Instant::now();
            say(&format!("{} of {} pages, {} rows", state.pages_done, state.pages, state.adopted));
        }
    }
    bar.finish_and_clear();
    say(&ended(&state));
    Ok(())
}

/// Pages done, of how many, and rows.
fn style() -> ProgressStyle {
    ProgressStyle::with_template("{bar:40} {pos}/{len} pages, {msg} rows, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn ended(state: &Adoption) -> String {
    let kept = "the tables noetl_metrics.adopted_* are left as they are";
    match (&state.refusal, state.refused) {
        (Some(why), refused @ 1..) => {
            format!("copied {} rows; {refused} can't be kept, the first since {why}; {kept}", state.adopted)
        }
        _ => format!("copied {} rows; {kept}", state.adopted),
    }
}
