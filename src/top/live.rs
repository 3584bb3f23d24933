//! The live view: the terminal, its keys, and the looks at the server beside it.
//!
//! The server is asked in a task of its own, so that keys do something while it hangs. The terminal is
//! as it was before, however this ends: at its end, by a signal, by a panic.

use std::time::Duration;

use crossterm::event::{Event, EventStream};
use futures_util::StreamExt as _;
use ratatui::DefaultTerminal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use super::TopConfig;
use super::draw::{Palette, draw};
use super::fetch::Server;
use super::keys;
use super::state::{State, Update, Wanted};
use crate::client::backoff::Backoff;

/// Puts the terminal back, also where something in between failed.
struct Screen(DefaultTerminal);

impl Screen {
    fn new() -> Result<Self, String> {
        // Where it panics, its hook puts the terminal back before anything is said.
        ratatui::try_init().map(Self).map_err(|e| {
            ratatui::restore();
            format!("the terminal can't be used: {e}; --once needs none")
        })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.0.show_cursor();
        ratatui::restore();
    }
}

/// Shows the server until a key, or `stop`, ends it.
pub(super) async fn run(config: TopConfig, stop: impl Future<Output = ()>) -> Result<(), String> {
    let mut state = State::new(&config);
    let (wants, wanted) = watch::channel(Wanted::default());
    let (updates, mut updated) = mpsc::channel(1);
    let interval = config.interval;
    let looking = tokio::spawn(look(Server::new(config)?, interval, wanted, updates));
    let mut hung_up = signal(SignalKind::hangup()).map_err(|e| e.to_string())?;
    let mut quit = signal(SignalKind::quit()).map_err(|e| e.to_string())?;
    let mut stop = std::pin::pin!(stop);
    // From its first poll on it listens, which has to be before the terminal is changed.
    tokio::select! {
        biased;
        () = &mut stop => return Ok(()),
        () = std::future::ready(()) => {}
    }
    let palette = Palette::of_environment();
    let mut screen = Screen::new()?;
    let mut events = EventStream::new();
    let ended = loop {
        if let Err(e) = screen.0.draw(|frame| draw(frame, &mut state, palette)) {
            break Err(format!("the terminal can't be written to: {e}"));
        }
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(Event::Key(key))) => {
                    if let Some(action) = keys::action(key, state.typing) {
                        state.apply(action);
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(e)) => break Err(format!("the terminal can't be read: {e}")),
                None => break Ok(()),
            },
            update = updated.recv() => match update {
                Some(update) => state.take(update),
                None => break Err("looking at the server ended".into()),
            },
            () = &mut stop => break Ok(()),
            _ = hung_up.recv() => break Ok(()),
            _ = quit.recv() => break Ok(()),
        }
        if state.has_ended() {
            break Ok(());
        }
        wants.send_if_modified(|before| {
            let now = state.wanted();
            let is_new = *before != now;
            *before = now;
            is_new
        });
    };
    looking.abort();
    ended
}

/// Looks at the server again and again: each interval, and at once when something else is wanted. While
/// it is away, less and less often.
async fn look(
    mut server: Server,
    interval: Duration,
    mut wanted: watch::Receiver<Wanted>,
    updates: mpsc::Sender<Update>,
) {
    let mut backoff = Backoff::default();
    loop {
        let Wanted { detail } = wanted.borrow_and_update().clone();
        let seen = match server.look().await {
            Ok(mut snapshot) => {
                let detail = match detail {
                    Some((id, words)) => server.detail(id, &words).await.map(Some),
                    None => Ok(None),
                };
                // It may have been removed; the others are there all the same.
                let detail = detail.unwrap_or_else(|away| {
                    snapshot.notices.insert(0, away.why);
                    None
                });
                Ok(Update::Seen(Box::new(snapshot), detail))
            }
            Err(away) => Err(away),
        };
        let (update, wait) = match seen {
            Ok(update) => {
                backoff = Backoff::default();
                (update, interval)
            }
            Err(away) => {
                let wait = backoff.next(away.asked).max(interval);
                (Update::Away(format!("{}; next try in {:.0} s", away.why, wait.as_secs_f64().ceil())), wait)
            }
        };
        if updates.send(update).await.is_err() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            changed = wanted.changed() => if changed.is_err() { return },
        }
    }
}
