//! Memory that many requests share: who wants more than is left is told so at once.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Memory is counted in these units.
const UNIT: usize = 1024;

/// So much memory.
#[derive(Debug)]
pub(super) struct Room {
    units: Arc<Semaphore>,
}

/// What one of them holds of it, until it is dropped.
#[derive(Debug, Default)]
pub(super) struct Held {
    units: Option<OwnedSemaphorePermit>,
}

/// There is not that much left.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoRoom;

impl Room {
    /// For `count` times `bytes`.
    pub(super) fn of(count: usize, bytes: usize) -> Self {
        let units = bytes.div_ceil(UNIT).saturating_mul(count).min(Semaphore::MAX_PERMITS);
        Self { units: Arc::new(Semaphore::new(units)) }
    }

    /// Widens what is held to `bytes`; nobody waits for room while holding some.
    pub(super) fn widen(&self, held: &mut Held, bytes: usize) -> Result<(), NoRoom> {
        let has = held.units.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let wanted = u32::try_from(bytes.div_ceil(UNIT).saturating_sub(has)).unwrap_or(u32::MAX);
        if wanted == 0 {
            return Ok(());
        }
        let more = Arc::clone(&self.units).try_acquire_many_owned(wanted).map_err(|_| NoRoom)?;
        match &mut held.units {
            Some(units) => units.merge(more),
            None => held.units = Some(more),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_missing_until_it_is_given_back() {
        let room = Room::of(1, 10_000);
        let (mut one, mut other) = (Held::default(), Held::default());
        room.widen(&mut one, 1).unwrap();
        room.widen(&mut one, 6000).unwrap();
        room.widen(&mut one, 5000).unwrap();
        assert_eq!(room.widen(&mut other, 5000), Err(NoRoom));
        room.widen(&mut other, 4000).unwrap();
        assert_eq!(room.widen(&mut one, 7000), Err(NoRoom));
        drop(other);
        room.widen(&mut one, 10_000).unwrap();
    }
}
