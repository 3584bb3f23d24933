//! Buckets of histograms as Prometheus' classic ones have them: each counts all up to its bound.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::metrics::v1::{ExponentialHistogramDataPoint, HistogramDataPoint};

/// Powers of two that bound the buckets of a converted exponential histogram: from a thousandth to 2^32.
/// All are always there, whatever has been seen: one that came and went would break the sum of the others.
const SMALLEST: i32 = -10;
const LARGEST: i32 = 32;

/// Upper bounds with how many values lie at or below each; the last one is infinite.
pub(super) type Buckets = Vec<(f64, u64)>;

/// The buckets of a histogram, of no more than `most` bounds; one without bounds has only that of all values.
pub(super) fn explicit(point: &HistogramDataPoint, most: usize) -> Result<Buckets, String> {
    let (bounds, counts) = (&point.explicit_bounds, &point.bucket_counts);
    if bounds.len() > most {
        return Err(format!("{} explicit_bounds, at most {most} are allowed", bounds.len()));
    }
    if counts.len() != bounds.len() + 1 && !(counts.is_empty() && bounds.is_empty()) {
        return Err(format!("{} bucket_counts do not fit {} explicit_bounds", counts.len(), bounds.len()));
    }
    if !bounds.is_sorted_by(|a, b| a < b) || bounds.iter().any(|bound| !bound.is_finite()) {
        return Err("explicit_bounds must be finite and rise".into());
    }
    let mut below = 0_u64;
    let mut buckets: Buckets = bounds
        .iter()
        .zip(counts)
        .map(|(bound, count)| {
            below = below.saturating_add(*count);
            (*bound, below)
        })
        .collect();
    let all = counts.last().map_or(point.count, |last| below.saturating_add(*last));
    buckets.push((f64::INFINITY, all.max(point.count)));
    Ok(buckets)
}

/// The buckets of an exponential histogram, brought to powers of two: a finer scale is merged, and what
/// is negative or nearly nothing lies at or below 0.
pub(super) fn exponential(point: &ExponentialHistogramDataPoint) -> Buckets {
    let negative = point.negative.iter().flat_map(|buckets| &buckets.bucket_counts);
    let mut below = negative.fold(point.zero_count, |sum, count| sum.saturating_add(*count));
    let mut by_power: BTreeMap<i64, u64> = BTreeMap::new();
    if let Some(buckets) = &point.positive {
        for (at, count) in (0_i64..).zip(&buckets.bucket_counts) {
            let power = power(i64::from(buckets.offset) + at, point.scale);
            let power = power.clamp(SMALLEST.into(), i64::from(LARGEST) + 1);
            let sum = by_power.entry(power).or_default();
            *sum = sum.saturating_add(*count);
        }
    }
    let mut buckets = vec![(0.0, below)];
    for power in SMALLEST..=LARGEST {
        below = below.saturating_add(by_power.get(&power.into()).copied().unwrap_or_default());
        buckets.push((2_f64.powi(power), below));
    }
    let beyond = by_power.range(i64::from(LARGEST) + 1..);
    let all = beyond.fold(below, |sum, (_, count)| sum.saturating_add(*count));
    buckets.push((f64::INFINITY, all.max(point.count)));
    buckets
}

/// The power of two that the upper bound of a bucket is, or the next one above it.
fn power(index: i64, scale: i32) -> i64 {
    match u32::try_from(scale) {
        Ok(scale) => (index >> scale.min(62)) + 1,
        Err(_) => (index + 1).saturating_mul(1_i64 << scale.unsigned_abs().min(32)),
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets as Exponential;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn explicit_buckets_count_all_up_to_their_bound() {
        let mut point = HistogramDataPoint {
            count: 6,
            bucket_counts: vec![1, 2, 3],
            explicit_bounds: vec![0.5, 2.0],
            ..HistogramDataPoint::default()
        };
        assert_eq!(explicit(&point, 1000).unwrap(), [(0.5, 1), (2.0, 3), (f64::INFINITY, 6)]);
        point.explicit_bounds = vec![2.0, 0.5];
        assert!(explicit(&point, 1000).unwrap_err().contains("rise"));
        point.explicit_bounds.pop();
        assert!(explicit(&point, 1000).unwrap_err().contains("do not fit"));
        let none = HistogramDataPoint { count: 4, ..HistogramDataPoint::default() };
        assert_eq!(explicit(&none, 1000).unwrap(), [(f64::INFINITY, 4)]);
    }

    fn exponential_of(scale: i32, offset: i32, counts: &[u64]) -> ExponentialHistogramDataPoint {
        ExponentialHistogramDataPoint {
            scale,
            count: counts.iter().sum::<u64>() + 1,
            zero_count: 1,
            positive: Some(Exponential { offset, bucket_counts: counts.to_vec() }),
            ..ExponentialHistogramDataPoint::default()
        }
    }

    /// How many lie at or below each bound, where that changes.
    fn steps(point: &ExponentialHistogramDataPoint) -> Buckets {
        let mut buckets = exponential(point);
        assert_eq!(buckets.len(), usize::try_from(LARGEST - SMALLEST).unwrap() + 3);
        buckets.dedup_by_key(|(_, count)| *count);
        buckets
    }

    #[test]
    fn exponential_buckets_become_powers_of_two() {
        // Of scale 1: bounds at powers of the square root of two, the first above 1.
        assert_eq!(steps(&exponential_of(1, 0, &[1, 1, 1])), [(0.0, 1), (2.0, 3), (4.0, 4)]);
        // Of scale -1: bounds at powers of four.
        assert_eq!(steps(&exponential_of(-1, 0, &[2, 3])), [(0.0, 1), (4.0, 3), (16.0, 6)]);
        // What is smaller and larger than all bounds.
        let small = 2_f64.powi(SMALLEST);
        assert_eq!(steps(&exponential_of(0, -40, &[7])), [(0.0, 1), (small, 8)]);
        assert_eq!(steps(&exponential_of(0, 40, &[7])), [(0.0, 1), (f64::INFINITY, 8)]);
    }

    proptest! {
        #[test]
        fn whatever_the_scale_nothing_is_lost_and_counts_rise(
            scale in any::<i32>(), offset in any::<i32>(),
            counts in prop::collection::vec(0_u64..1000, 0..40)
        ) {
            let point = exponential_of(scale, offset, &counts);
            let buckets = exponential(&point);
            prop_assert!(buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1));
            prop_assert_eq!(buckets.last(), Some(&(f64::INFINITY, point.count)));
        }
    }
}
