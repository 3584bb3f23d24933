//! The orders in which a component writes its series.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::SeriesKey;

/// All series of a component's last report that began with one, in their order. Programs write theirs in the
/// same order each time; one that does not is only not known by it.
#[derive(Debug, Default)]
pub struct Orders(Mutex<HashMap<SeriesKey, Arc<[SeriesKey]>>>);

/// Besides twice its series a component has so many in all orders.
const SPARE: usize = 64;

impl Orders {
    /// The report that began with this series.
    pub fn beginning_with(&self, first: SeriesKey) -> Option<Arc<[SeriesKey]>> {
        self.0.lock().get(&first).cloned()
    }

    /// A report of a component of so many series. What would take more room than they need goes.
    pub fn learn(&self, order: Vec<SeriesKey>, series: usize) {
        let Some(first) = order.first().copied() else { return };
        let most = series.saturating_mul(2).saturating_add(SPARE);
        let mut orders = self.0.lock();
        orders.remove(&first);
        if orders.values().map(|order| order.len()).sum::<usize>() + order.len() > most {
            orders.clear();
        }
        if order.len() <= most {
            orders.insert(first, order.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_has_a_bound() {
        let orders = Orders::default();
        let order = |from: u64, len: u64| (from..from + len).map(SeriesKey).collect::<Vec<_>>();
        let known = |first| orders.beginning_with(SeriesKey(first)).map(|order| order.len());
        orders.learn(Vec::new(), 10);
        for part in 1..=4 {
            orders.learn(order(part * 100, 20), 10);
        }
        assert_eq!([100, 200, 300, 400].map(known), [Some(20); 4], "84 fit");
        orders.learn(order(100, 24), 10);
        assert_eq!([known(100), known(400)], [Some(24), Some(20)]);
        orders.learn(order(500, 1), 10);
        assert_eq!([known(100), known(400), known(500)], [None, None, Some(1)]);
        orders.learn(order(600, 85), 10);
        assert_eq!([known(500), known(600)], [None, None], "more than there are series for");
    }
}
