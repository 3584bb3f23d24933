//! Where a target is in what was stored, by looks at the database.

use crate::model::Millis;
use crate::store::{Look, Place};

/// Looks that are remembered.
const MOST: usize = 1000;

/// Finds for the lowest transaction that is under way a time after which it, and all above it, got
/// their numbers: that of the newest look at which no such number was given out.
#[derive(Debug)]
pub(super) struct Clock(Vec<(i64, Millis)>);

impl Clock {
    pub(super) fn new(kept: Place) -> Self {
        Self(vec![(kept.xid, kept.at)])
    }

    /// The place at a look: all that was visible then is before it.
    pub(super) fn place(&mut self, look: &Look) -> Place {
        self.0.push((look.next, look.at));
        let newest = self.0.iter().rposition(|(next, _)| *next <= look.lowest).unwrap_or(0);
        self.0.drain(..newest);
        if self.0.len() > MOST {
            // A transaction is under way for very long: every other look is close enough.
            let mut number = 0;
            self.0.retain(|_| {
                number += 1;
                number % 2 == 1
            });
        }
        Place { xid: look.lowest, at: self.0[0].1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(lowest: i64, next: i64, at: i64) -> Look {
        Look { lowest, next, at: Millis(at), hours: Vec::new() }
    }

    #[test]
    fn a_place_is_no_later_than_the_transactions_that_are_not_before_it() {
        let mut clock = Clock::new(Place { xid: 10, at: Millis(100) });
        let mut place = |lowest, next, at| {
            let Place { xid, at } = clock.place(&look(lowest, next, at));
            (xid, at.0)
        };
        assert_eq!(place(20, 20, 200), (20, 200), "none is under way");
        assert_eq!(place(21, 30, 300), (21, 200), "21 began after the look at 200");
        assert_eq!(place(21, 40, 400), (21, 200));
        // Two that overlapped: 35 began before it was the lowest one.
        assert_eq!(place(35, 50, 500), (35, 300));
        assert_eq!(place(60, 60, 600), (60, 600));
        for n in (0_i64..).take(2 * MOST) {
            assert_eq!(place(60, 61 + n, 700 + n).1, 600);
        }
        assert!(clock.0.len() <= MOST, "{}", clock.0.len());
    }
}
