//! Sets the clocks of servers and of PostgreSQL, and sets them right again. None of that is a reason for a gap,
//! or for another server to take over; where one goes meanwhile, another one does as always.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::faults::Done;
use crate::harness::now;
use crate::schedule::Fault;
use crate::system::{LEASE, SERVERS, System, TAKE_OVER};

/// All that a run does to the clocks of servers stays within what `--max-future` allows, 10 min, from the
/// earliest to the latest: further back what was stored is replaced, as is documented.
const MOST: u64 = 290_000;
/// PostgreSQL may go as far as it likes.
const MOST_OF_POSTGRES: u64 = u64::MAX;
/// PostgreSQL shows another time this soon, or it has no clock that can be set.
const SHOWS: i64 = 1000;

impl System {
    /// That of the active server, or of another. Often the active one goes meanwhile, so that the next one
    /// has an earlier time, or a later one, than what is stored.
    pub(crate) async fn set_one_clock(&mut self, fault: &Fault) -> Done {
        let (number, _) = self.meant(fault);
        self.board.clocks[number].set(fault.step(MOST));
        let handed_over = self.while_wrong(fault).await;
        self.board.clocks[number].set(0);
        Done { ended: Instant::now(), handed_over }
    }

    /// Those of all servers, by the same.
    pub(crate) async fn set_all_clocks(&mut self, fault: &Fault) -> Done {
        self.board.clocks.iter().for_each(|clock| clock.set(fault.step(MOST)));
        let handed_over = self.while_wrong(fault).await;
        self.board.clocks.iter().for_each(|clock| clock.set(0));
        Done { ended: Instant::now(), handed_over }
    }

    /// PostgreSQL's, by up to half an hour.
    pub(crate) async fn set_the_database_s_clock(&mut self, fault: &Fault) -> Done {
        self.set_postgres(fault.step(MOST_OF_POSTGRES)).await;
        let handed_over = self.while_wrong(fault).await;
        self.set_postgres(0).await;
        Done { ended: Instant::now(), handed_over }
    }

    async fn while_wrong(&mut self, fault: &Fault) -> Option<Duration> {
        let (from, limited, epoch) = (Instant::now(), self.limited(), self.primary.epoch().await);
        sleep(fault.lasts / 2).await;
        let handed_over = if fault.goes() { self.active_goes(fault).await } else { None };
        sleep(fault.lasts / 2).await;
        let is_busy = self.board.pulse.lost(from, Instant::now()) > LEASE / 3;
        if !fault.goes() && !is_busy && self.primary.epoch().await != epoch {
            self.board.violation("another server took over since a clock was set");
        }
        if self.limited() > limited {
            self.board.violation("reports got 429 since a clock was set");
        }
        handed_over
    }

    fn limited(&self) -> u64 {
        self.board.answers.lock().get(&429).copied().unwrap_or_default()
    }

    /// The active server is told to stop, or killed, and started again.
    async fn active_goes(&mut self, fault: &Fault) -> Option<Duration> {
        let active = self.board.sight.lock().active().unwrap_or_default() % SERVERS;
        let handed_over = if fault.active {
            self.stop_server(active).await
        } else {
            let from = Instant::now();
            self.board.excuse(from, from + TAKE_OVER);
            self.kill_server(active);
            self.exports("after SIGKILL", Instant::now(), None, TAKE_OVER).await
        };
        self.start_server(active).await;
        handed_over
    }

    async fn set_postgres(&self, ahead: i64) {
        let Some(clock) = &self.primary.clock else { return };
        clock.set(ahead);
        let asked = now() + ahead;
        let Some(shown) = self.primary.time().await else {
            return self.board.violation("PostgreSQL does not tell the time");
        };
        if !(asked - SHOWS..=now() + ahead + SHOWS).contains(&shown) {
            let off = shown - asked;
            self.board
                .violation(format_args!("PostgreSQL's clock was set by {ahead} ms and is off by {off} ms"));
        }
    }
}
