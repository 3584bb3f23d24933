//! How the values of one series, or the times of many, become few bits: whole numbers near a straight
//! line, and doubles as whole numbers over a common divisor. Every value can be decoded by itself, in
//! SQL as here (migration 0007 has the same in `noetl_metrics.stored`).

use super::bits::{Bits, WIDEST};

/// The largest whole number up to which a double has every one.
const EXACT: u64 = 1 << 53;

/// Numbers of which number `i` of `n` is `base + rise * i / (n - 1)`, cut towards zero, plus `width`
/// bits of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) base: i64,
    pub(super) rise: i64,
    pub(super) width: u32,
}

impl Line {
    /// The line that leaves the fewest bits: a level one, or that from the first to the last. Nothing
    /// where a number is larger than what a double holds exactly.
    pub(super) fn of(numbers: &[i64]) -> Option<Self> {
        let (first, last) = (*numbers.first()?, *numbers.last()?);
        let level = Self::along(numbers, 0)?;
        let rise = last - first;
        // A product that does not fit is no line.
        if level.width == 0 || rise.checked_mul(i64::try_from(numbers.len()).ok()?).is_none() {
            return Some(level);
        }
        // At the same width the level one decodes to the same, and its rise takes no room.
        Some(Self::along(numbers, rise).filter(|line| line.width < level.width).unwrap_or(level))
    }

    fn along(numbers: &[i64], rise: i64) -> Option<Self> {
        let mut line = Self { base: 0, rise, width: 0 };
        let (mut least, mut greatest) = (i64::MAX, i64::MIN);
        for (i, number) in numbers.iter().enumerate() {
            if number.unsigned_abs() > EXACT {
                return None;
            }
            let off = number - line.at(i, numbers.len())?;
            (least, greatest) = (least.min(off), greatest.max(off));
        }
        line.base = least;
        line.width = 64 - greatest.abs_diff(least).leading_zeros();
        (line.width <= WIDEST).then_some(line)
    }

    /// The line's number `i` of `n`, without the number's own bits; nothing where it is too large, as
    /// of a damaged row.
    fn at(&self, i: usize, n: usize) -> Option<i64> {
        let (i, n) = (i64::try_from(i).ok()?, i64::try_from(n).ok()?);
        self.base.checked_add(self.rise.checked_mul(i)? / (n - 1).max(1))
    }

    /// Appends the numbers' own bits.
    pub(super) fn write(&self, numbers: &[i64], bits: &mut Bits) {
        for (i, number) in numbers.iter().enumerate() {
            let at = self.at(i, numbers.len()).unwrap_or_default();
            bits.push(number.abs_diff(at), self.width);
        }
    }

    /// Number `i` of `n`, whose bits begin at `start`.
    pub(super) fn read(&self, bits: &Bits, start: usize, i: usize, n: usize) -> Option<i64> {
        let own = bits.get(start + i * self.width as usize, self.width)?;
        self.at(i, n)?.checked_add_unsigned(own)
    }
}

/// A divisor: a power of ten, or of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Divisor {
    /// 1 to 10^9.
    Ten(u8),
    /// 2 to 2^62.
    Two(u8),
}

impl Divisor {
    const TENS: [f64; 10] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
    const MOST_TWOS: u8 = 62;

    pub(super) fn value(self) -> f64 {
        match self {
            Self::Ten(power) => Self::TENS.get(usize::from(power)).copied().unwrap_or(1.0),
            Self::Two(power) => (1_u64 << (power & 63)) as f64,
        }
    }
}

/// Values as whole numbers over a divisor.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Whole {
    pub(super) divisor: Divisor,
    pub(super) numbers: Vec<i64>,
}

impl Whole {
    /// The smallest divisor, of ten or of two, over which every value is whole to its last bit;
    /// nothing where there is none, as with NaN.
    pub(super) fn of(values: &[f64]) -> Option<Self> {
        Self::over_ten(values).or_else(|| Self::over_two(values))
    }

    fn over_ten(values: &[f64]) -> Option<Self> {
        // The divisor that one value needs, the others need too: the search goes on from there.
        let mut power = 0;
        for value in values {
            while whole(*value, *Divisor::TENS.get(usize::from(power))?).is_none() {
                power += 1;
            }
        }
        Self::over(values, Divisor::Ten(power))
    }

    /// What once was a float of 32 bits, or a fraction of a power of two.
    fn over_two(values: &[f64]) -> Option<Self> {
        let needed = |value: &f64| {
            let exponent = i32::try_from(value.to_bits() >> 52 & 0x7ff).unwrap_or(0);
            let mantissa = value.to_bits() & ((1 << 52) - 1) | 1 << 52;
            if *value == 0.0 { 0 } else { 1075 - exponent - mantissa.trailing_zeros().cast_signed() }
        };
        let power = u8::try_from(values.iter().map(needed).max()?).ok()?;
        (1..=Divisor::MOST_TWOS).contains(&power).then(|| Self::over(values, Divisor::Two(power))).flatten()
    }

    fn over(values: &[f64], divisor: Divisor) -> Option<Self> {
        let over = divisor.value();
        let numbers = values.iter().map(|value| whole(*value, over)).collect::<Option<_>>()?;
        Some(Self { divisor, numbers })
    }

    /// The value that a number stands for, if it is one that comes back to its last bit.
    pub(super) fn exact(number: i64, divisor: Divisor) -> Option<f64> {
        (number.unsigned_abs() < EXACT).then(|| Self::value(number, divisor))
    }

    /// The value that a number stands for.
    pub(super) fn value(number: i64, divisor: Divisor) -> f64 {
        over(number, divisor.value())
    }
}

fn over(number: i64, divisor: f64) -> f64 {
    number as f64 / divisor
}

/// The whole number that is this value over the divisor, bit by bit.
#[expect(
    clippy::cast_possible_truncation,
    reason = "it is checked that the number is whole and small enough"
)]
fn whole(value: f64, divisor: f64) -> Option<i64> {
    let number = (value * divisor).round() as i64;
    // What comes back tells, also of NaN: a zero below zero is no whole number.
    (number.unsigned_abs() < EXACT && over(number, divisor).to_bits() == value.to_bits()).then_some(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_back(numbers: &[i64]) -> Option<Vec<i64>> {
        let line = Line::of(numbers)?;
        let mut bits = Bits::default();
        bits.push(1, 3);
        line.write(numbers, &mut bits);
        (0..numbers.len()).map(|i| line.read(&bits, 3, i, numbers.len())).collect()
    }

    proptest! {
        #[test]
        fn numbers_near_a_line_are_read_back(
            base in -1_i64 << 52..1 << 52, slope in -1_i64 << 40..1 << 40, off in prop::collection::vec(-1000_i64..1000, 1..300)
        ) {
            let numbers: Vec<i64> = (0..).zip(&off).map(|(i, off)| base + slope * i + off).collect();
            let line = Line::of(&numbers).unwrap();
            prop_assert!(line.width <= 12, "{line:?}");
            prop_assert_eq!(read_back(&numbers), Some(numbers));
        }

        #[test]
        fn any_numbers_are_read_back_or_refused(
            shift in 0_u32..64, numbers in prop::collection::vec(any::<i64>(), 1..50)
        ) {
            let numbers: Vec<i64> = numbers.iter().map(|number| number >> shift).collect();
            prop_assert!(read_back(&numbers).is_none_or(|read| read == numbers));
        }

        #[test]
        fn whole_numbers_are_the_values_to_their_last_bit(values in prop::collection::vec(any::<f64>(), 1..5)) {
            if let Some(whole) = Whole::of(&values) {
                for (number, value) in whole.numbers.iter().zip(&values) {
                    prop_assert_eq!(Whole::value(*number, whole.divisor).to_bits(), value.to_bits());
                }
            }
        }

        #[test]
        fn short_decimals_and_small_floats_are_whole(hundredths in -1_000_000_i32..1_000_000, small in 1e-6_f32..1e6) {
            let decimal = Whole::of(&[f64::from(hundredths) / 100.0]).unwrap();
            prop_assert!(matches!(decimal.divisor, Divisor::Ten(0..=2)));
            prop_assert!(Whole::of(&[f64::from(small)]).is_some());
        }
    }

    #[test]
    fn a_level_series_takes_no_bits_and_a_steady_counter_few() {
        assert_eq!(Line::of(&[7; 60]), Some(Line { base: 7, rise: 0, width: 0 }));
        let counter: Vec<i64> = (0..60).map(|i| 1_000_000 + i * 12_345).collect();
        assert_eq!(Line::of(&counter), Some(Line { base: 1_000_000, rise: 59 * 12_345, width: 0 }));
        assert_eq!(Line::of(&[]), None);
    }

    #[test]
    fn a_line_that_no_numbers_can_have_is_refused() {
        let bits = Bits::default();
        for (base, rise) in [(0, i64::MAX), (i64::MAX, 1 << 40), (i64::MIN, -1 << 40)] {
            assert_eq!(Line { base, rise, width: 0 }.read(&bits, 0, 50, 60), None);
        }
    }

    #[test]
    fn what_is_no_whole_number_is_refused() {
        for odd in [f64::NAN, f64::INFINITY, -0.0, 5e-324, std::f64::consts::PI * 1e-9, 1e300] {
            assert_eq!(Whole::of(&[1.0, odd]), None, "{odd}");
        }
        assert_eq!(Whole::of(&[0.1, 0.25]).unwrap().numbers, [10, 25]);
        assert_eq!(Whole::of(&[f64::from(0.1_f32), 3.0]).unwrap().divisor, Divisor::Two(27));
    }
}
