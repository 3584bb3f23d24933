//! Samples of one hour on their way into chunks.

use std::collections::HashMap;

use super::bucket::Bucket;
use super::chunk::{Chunk, Group};
use crate::model::Millis;

/// Samples of an hour, in the order in which each overrides those of the same series and time before.
#[derive(Debug, Default)]
pub(super) struct Samples {
    hour: Millis,
    all: Vec<(i32, i32, f64)>,
}

impl Samples {
    pub(super) fn of(hour: Millis) -> Self {
        Self { hour, all: Vec::new() }
    }

    /// Adds a sample; its time is of the hour.
    pub(super) fn push(&mut self, series: i32, at: Millis, value: f64) {
        let ms = i32::try_from(at.since(self.hour)).unwrap_or(i32::MAX);
        self.all.push((series, ms, value));
    }

    /// Adds others of the hour, which override these.
    pub(super) fn append(&mut self, mut others: Self) {
        self.all.append(&mut others.all);
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Their series, each once, in order.
    pub(super) fn series(&self) -> Vec<i32> {
        let mut ids: Vec<i32> = self.all.iter().map(|(id, ..)| *id).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Takes out those of some series.
    pub(super) fn remove(&mut self, series: &std::collections::HashSet<i32>) -> u64 {
        let before = self.all.len();
        self.all.retain(|(id, ..)| !series.contains(id));
        (before - self.all.len()) as u64
    }

    /// Puts them in the order of series and time, each time of a series once.
    pub(super) fn sort(&mut self) {
        self.all.sort_by_key(|(id, ms, _)| (*id, *ms));
        // Of those with one series and time, the last: the later one is moved over the earlier.
        self.all.dedup_by(|later, kept| {
            let same = (later.0, later.1) == (kept.0, kept.1);
            if same {
                kept.2 = later.2;
            }
            same
        });
    }

    /// What the samples of each of some series come to. They are [in order](Self::sort), and so are
    /// the ids.
    pub(super) fn buckets(&self, ids: &[i32]) -> Vec<(i32, Bucket)> {
        let of = |one: &[(i32, i32, f64)]| {
            let (id, ..) = one.first()?;
            ids.binary_search(id).ok()?;
            let values: Vec<f64> = one.iter().map(|(.., value)| *value).collect();
            Some((*id, Bucket::of_rounded(&values)?))
        };
        self.all.chunk_by(|a, b| a.0 == b.0).filter_map(of).collect()
    }

    /// Series, time and the bits of the value of each.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn bits(&self) -> Vec<(i32, i32, u64)> {
        self.all.iter().map(|(id, ms, value)| (*id, *ms, value.to_bits())).collect()
    }

    /// The chunks that hold them. They are [in order](Self::sort).
    pub(super) fn pack(&self) -> Vec<Chunk> {
        let mut groups: Vec<Group> = Vec::new();
        let mut by_times: HashMap<Vec<i32>, usize> = HashMap::new();
        for one in self.all.chunk_by(|a, b| a.0 == b.0) {
            let Some((id, ..)) = one.first() else { continue };
            let times: Vec<i32> = one.iter().map(|(_, ms, _)| *ms).collect();
            let place = *by_times.entry(times).or_insert_with_key(|times| {
                groups.push(Group { times: times.clone(), series: Vec::new() });
                groups.len() - 1
            });
            if let Some(group) = groups.get_mut(place) {
                group.series.push((*id, one.iter().map(|(.., value)| *value).collect()));
            }
        }
        groups.iter().flat_map(|group| group.pack(self.hour)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_one_series_and_time_stays_and_series_of_the_same_times_go_together() {
        let mut samples = Samples::of(Millis(3_600_000));
        for (id, ms, value) in
            [(2, 20, 1.0), (1, 10, 1.0), (1, 10, 2.0), (2, 10, 3.0), (1, 20, 4.0), (3, 5, 5.0)]
        {
            samples.push(id, Millis(3_600_000 + ms), value);
        }
        assert_eq!(samples.series(), [1, 2, 3]);
        samples.sort();
        let chunks = samples.pack();
        assert_eq!((chunks.len(), samples.len()), (2, 5));
        let [(1, one), (3, three)] = samples.buckets(&[1, 3])[..] else { panic!("two are asked for") };
        assert_eq!((one.count, one.first, one.increase, three.sum), (2.0, 2.0, 2.0, 5.0));
        let of = |chunk: &Chunk| -> Vec<(i32, Vec<f64>)> {
            chunk.series.iter().map(|of| (of.id, chunk.values(of).unwrap())).collect()
        };
        assert_eq!(of(&chunks[0]), [(1, vec![2.0, 4.0]), (2, vec![3.0, 1.0])]);
        assert_eq!(chunks[0].all_times().unwrap(), [Millis(3_600_010), Millis(3_600_020)]);
        assert_eq!(of(&chunks[1]), [(3, vec![5.0])]);
    }
}
