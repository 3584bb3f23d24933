//! How much this machine lets its programs run. Where other work takes the processors, what must happen
//! within a time has that much more of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};

use crate::board::Board;
use crate::system::{LEASE, TAKE_OVER};

const EVERY: Duration = Duration::from_millis(50);
/// What each beat uses of a processor.
const WORK: Duration = Duration::from_millis(1);
/// So much later is no delay yet.
const USUAL: Duration = Duration::from_millis(5);

/// Beats that came late, and by how much.
#[derive(Default)]
pub struct Pulse {
    late: Mutex<Vec<(Instant, Duration)>>,
}

impl Pulse {
    /// Beats in a thread of its own until the run is over.
    pub fn start(board: &Arc<Board>) {
        let board = Arc::clone(board);
        std::thread::spawn(move || {
            while board.go_on.load(Ordering::Relaxed) {
                let began = Instant::now();
                std::thread::sleep(EVERY);
                let used = processor_time();
                while processor_time() < used + WORK {}
                let late = began.elapsed().saturating_sub(EVERY + WORK);
                if late > USUAL {
                    board.pulse.late.lock().push((Instant::now(), late));
                }
            }
        });
    }

    /// How much of this time was lost.
    pub fn lost(&self, from: Instant, to: Instant) -> Duration {
        let late = self.late.lock();
        late.iter().filter(|(end, by)| *end >= from && *end <= to + *by).map(|(_, by)| *by).sum()
    }

    /// Whether this explains a gap: a server may have lost its lease since there was too little time to
    /// renew it, and another one takes over as after a fault.
    pub fn explains(&self, from: Instant, to: Instant) -> bool {
        let lost = self.lost(from.checked_sub(LEASE).unwrap_or(from), to);
        lost > LEASE / 3 && to.saturating_duration_since(from) <= TAKE_OVER + lost * 2
    }
}

/// What this thread has used of a processor.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or_default(), time.tv_nsec.try_into().unwrap_or_default())
}
