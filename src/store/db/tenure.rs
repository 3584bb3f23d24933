//! Under what a server writes: its hold of the lease, and what it has seen of the database.

use std::sync::atomic::{AtomicI32, AtomicI64, Ordering};

/// A server's hold of the lease ([`crate::store::Claim`]), and what it has seen of the database since: one that
/// lacks it was put back to an earlier state.
#[derive(Debug)]
pub struct Tenure {
    /// Counts the take-overs.
    pub epoch: i64,
    /// How often the lease was renewed.
    pub(in crate::store) renewals: AtomicI64,
    /// The newest series that memory has of it, 0 where it has none. Series are made one after the
    /// other and never deleted: where this one is there, all are.
    pub(in crate::store) series: AtomicI32,
}

impl Tenure {
    pub(in crate::store) fn new(epoch: i64, renewals: i64) -> Self {
        Self { epoch, renewals: renewals.into(), series: 0.into() }
    }

    pub(super) fn fence(&self) -> Fence {
        Fence {
            epoch: self.epoch,
            renewals: self.renewals.load(Ordering::Relaxed),
            series: self.series.load(Ordering::Relaxed),
        }
    }
}

/// What a write has to find in the database.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Fence {
    /// The epoch of the lease.
    pub(in crate::store) epoch: i64,
    /// How often it was renewed, at least.
    pub(in crate::store) renewals: i64,
    /// The newest series, 0 where it does not matter.
    pub(in crate::store) series: i32,
}
