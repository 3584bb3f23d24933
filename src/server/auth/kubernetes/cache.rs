//! Answers that hold for a while, so many and no more.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Answers by what was asked.
pub(super) struct Cache<K, V> {
    most: usize,
    held: Mutex<HashMap<K, (Instant, V)>>,
}

impl<K: Eq + Hash + Clone, V: Clone> Cache<K, V> {
    /// Room for `most` answers.
    pub(super) fn new(most: usize) -> Self {
        Self { most, held: Mutex::default() }
    }

    /// An answer that still holds.
    pub(super) fn get(&self, key: &K) -> Option<V> {
        let held = self.held.lock();
        held.get(key).filter(|(until, _)| *until > Instant::now()).map(|(_, value)| value.clone())
    }

    /// Keeps an answer. Where there is no room, those that hold no longer go, else the one that would
    /// go first.
    pub(super) fn put(&self, key: K, value: V, holds: Duration) {
        let now = Instant::now();
        let mut held = self.held.lock();
        if held.len() >= self.most && !held.contains_key(&key) {
            held.retain(|_, (until, _)| *until > now);
            if held.len() >= self.most {
                let first = held.iter().min_by_key(|(_, (until, _))| *until).map(|(key, _)| key.clone());
                first.and_then(|key| held.remove(&key));
            }
        }
        held.insert(key, (now + holds, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_few_and_end() {
        let cache = Cache::new(2);
        cache.put(1, 'a', Duration::from_mins(1));
        cache.put(2, 'b', Duration::from_mins(2));
        cache.put(2, 'c', Duration::from_mins(3));
        assert_eq!((cache.get(&1), cache.get(&2)), (Some('a'), Some('c')));
        cache.put(3, 'd', Duration::from_mins(1));
        assert_eq!((cache.get(&1), cache.get(&2), cache.get(&3)), (None, Some('c'), Some('d')));
        cache.put(3, 'e', Duration::ZERO);
        assert_eq!(cache.get(&3), None);
        cache.put(4, 'f', Duration::from_secs(1));
        assert_eq!((cache.get(&2), cache.get(&4)), (Some('c'), Some('f')), "what ended went first");
    }
}
