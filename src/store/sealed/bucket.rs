//! What samples of a series over a while come to: enough for every aggregate of it, and of longer
//! whiles that are made of such. The rules for NaN and infinities are PostgreSQL's.

use super::code::Whole;

/// What one or more samples come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::store) struct Bucket {
    /// How many samples. A whole number; where it is zero, the rest means nothing.
    pub(in crate::store) count: f64,
    pub(in crate::store) sum: f64,
    pub(in crate::store) min: f64,
    pub(in crate::store) max: f64,
    /// The oldest value.
    pub(in crate::store) first: f64,
    /// The newest value.
    pub(in crate::store) last: f64,
    /// By how much a counter grew from the oldest to the newest.
    pub(in crate::store) increase: f64,
}

/// How many numbers a bucket is.
pub(super) const FIELDS: usize = 7;

impl Bucket {
    /// Says that there are no samples.
    pub(super) const NONE: Self =
        Self { count: 0.0, sum: 0.0, min: 0.0, max: 0.0, first: 0.0, last: 0.0, increase: 0.0 };

    /// Of one sample.
    pub(in crate::store) const fn of_one(value: f64) -> Self {
        Self { count: 1.0, sum: value, min: value, max: value, first: value, last: value, increase: 0.0 }
    }

    /// Of samples in order of time; nothing where there are none.
    pub(in crate::store) fn of(values: &[f64]) -> Option<Self> {
        let (first, others) = values.split_first()?;
        let mut bucket = Self::of_one(*first);
        for value in others {
            bucket.append(&Self::of_one(*value));
        }
        Some(bucket)
    }

    /// The same; sums of short decimals are rounded once and not at each step, so that they are short
    /// too.
    pub(super) fn of_rounded(values: &[f64]) -> Option<Self> {
        let mut bucket = Self::of(values)?;
        if let Some(Whole { divisor, numbers }) = Whole::of(values) {
            let sum = numbers.iter().try_fold(0, |sum: i64, number| sum.checked_add(*number));
            let rises = numbers.windows(2).filter_map(|pair| {
                let [from, to] = pair else { return None };
                Some(if to >= from { to - from } else { *to })
            });
            let increase = rises.into_iter().try_fold(0, i64::checked_add);
            let short = |number: Option<i64>| number.and_then(|number| Whole::exact(number, divisor));
            bucket.sum = short(sum).unwrap_or(bucket.sum);
            bucket.increase = short(increase).unwrap_or(bucket.increase);
        }
        Some(bucket)
    }

    /// Adds samples that are newer.
    pub(in crate::store) fn append(&mut self, newer: &Self) {
        self.increase += rise(self.last, newer.first) + newer.increase;
        self.count += newer.count;
        self.sum += newer.sum;
        self.min = if is_below(self.min, newer.min) { self.min } else { newer.min };
        self.max = if is_below(newer.max, self.max) { self.max } else { newer.max };
        self.last = newer.last;
    }

    /// Its numbers, in the order in which they are stored.
    pub(super) const fn fields(&self) -> [f64; FIELDS] {
        [self.count, self.sum, self.min, self.max, self.first, self.last, self.increase]
    }

    pub(super) const fn from_fields(fields: [f64; FIELDS]) -> Self {
        let [count, sum, min, max, first, last, increase] = fields;
        Self { count, sum, min, max, first, last, increase }
    }
}

/// By how much a counter grew from one sample to the next; a fall is a restart at zero.
pub(in crate::store) fn rise(from: f64, to: f64) -> f64 {
    if is_below(to, from) { to } else { to - from }
}

/// PostgreSQL's order: NaN is equal to itself, and greater than all others.
fn is_below(a: f64, b: f64) -> bool {
    !a.is_nan() && (b.is_nan() || a < b)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn close(a: f64, b: f64, scale: f64) -> bool {
        a.to_bits() == b.to_bits() || (a - b).abs() <= 1e-9 * scale
    }

    proptest! {
        #[test]
        fn parts_come_to_the_same_as_the_whole(
            values in prop::collection::vec((-100_000_i32..100_000).prop_map(|v| f64::from(v) / 100.0), 1..60),
            cut in 1_usize..59
        ) {
            let all = Bucket::of(&values).unwrap();
            let scale = values.iter().map(|v| v.abs()).sum::<f64>().max(1.0);
            let mut parts = values.chunks(cut).filter_map(Bucket::of_rounded);
            let mut joined = parts.next().unwrap();
            for part in parts {
                joined.append(&part);
            }
            for (i, (joined, all)) in joined.fields().into_iter().zip(all.fields()).enumerate() {
                let exact = i != 1 && i != 6;
                let same = if exact { joined.to_bits() == all.to_bits() } else { close(joined, all, scale) };
                prop_assert!(same, "number {}: {} instead of {}", i, joined, all);
            }
        }
    }

    #[test]
    fn sums_of_short_decimals_are_short() {
        let tenths = [0.1; 60];
        assert!(Bucket::of(&tenths).unwrap().sum.to_bits() != 6.0_f64.to_bits());
        let rounded = Bucket::of_rounded(&tenths).unwrap();
        assert_eq!((rounded.sum, rounded.count, rounded.increase), (6.0, 60.0, 0.0));
        let counter = Bucket::of_rounded(&[0.1, 0.4, 0.2, 0.3]).unwrap();
        assert_eq!((counter.increase, counter.first, counter.last), (0.6, 0.1, 0.3));
    }

    #[test]
    fn what_is_no_number_is_greatest() {
        let of = |values: &[f64]| Bucket::of_rounded(values).unwrap();
        let nan = of(&[1.0, f64::NAN, 2.0]);
        assert_eq!((nan.min, nan.last), (1.0, 2.0));
        assert!(nan.max.is_nan() && nan.sum.is_nan() && nan.increase.is_nan());
        assert_eq!(of(&[f64::NAN, 1.0]).increase, 1.0, "a fall");
        assert!(of(&[f64::NAN, f64::NAN]).min.is_nan());
        let infinite = of(&[1.0, f64::INFINITY, 2.0]);
        assert_eq!(
            (infinite.max, infinite.sum, infinite.increase),
            (f64::INFINITY, f64::INFINITY, f64::INFINITY)
        );
    }
}
