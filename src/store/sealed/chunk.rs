//! A chunk: samples of an hour, of some series that were all sampled at the same times. One row of
//! `noetl_metrics.chunk`, which fills a page at most, so that nothing of it is stored elsewhere.

use super::bits::Bits;
use super::code::{Divisor, Line, Whole};
use crate::model::Millis;

/// Bytes that the arrays of a row may take: a page of 8 KiB without its and the row's headers, the
/// single columns, and what comes before the elements of the arrays.
const ROOM: usize = 8192 - 24 - 4 - 256;
/// Times of one chunk at most: even as doubles, one series has room.
pub(super) const TIMES: usize = 720;
/// Bytes of a series in the array of ids.
const ID: usize = 4;
/// Bytes of what a series has of values in the arrays of shapes and starts.
const HEAD: usize = 8;

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Chunk {
    /// First millisecond of the hour.
    pub(super) hour: Millis,
    /// How many times there are.
    pub(super) times: usize,
    /// The times, in milliseconds of the hour; their bits are the first.
    pub(super) axis: Line,
    pub(super) series: Vec<Packed>,
    pub(super) bits: Bits,
    /// Values of series that are no whole numbers over a divisor.
    pub(super) doubles: Vec<f64>,
}

/// Where a series of a chunk has its values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Packed {
    pub(super) id: i32,
    pub(super) shape: Shape,
    /// The first bit, or the first double.
    pub(super) start: usize,
}

/// What the values of a series are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// One double for all times.
    Same,
    /// A double for each time.
    Doubles,
    /// Whole numbers: the bits have base, rise, and what each number has of its own.
    Whole { divisor: Divisor, width: u32, base_width: u32, rise_width: u32 },
}

/// Series sampled at the same times: ids, each with a value for each time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Group {
    pub(super) times: Vec<i32>,
    pub(super) series: Vec<(i32, Vec<f64>)>,
}

impl Group {
    /// The chunks that hold it.
    pub(super) fn pack(&self, hour: Millis) -> Vec<Chunk> {
        let mut chunks = Vec::new();
        for from in (0..self.times.len()).step_by(TIMES) {
            let range = from..(from + TIMES).min(self.times.len());
            let times: Vec<i64> =
                self.times.get(range.clone()).unwrap_or(&[]).iter().map(|t| i64::from(*t)).collect();
            let mut chunk = Chunk::new(hour, &times);
            for (id, values) in &self.series {
                let values = values.get(range.clone()).unwrap_or(&[]);
                if !chunk.add(*id, values) {
                    chunks.push(std::mem::replace(&mut chunk, Chunk::new(hour, &times)));
                    // Alone it has room.
                    chunk.add(*id, values);
                }
            }
            chunks.push(chunk);
        }
        chunks.retain(|chunk| !chunk.series.is_empty());
        chunks
    }
}

/// Values on their way into a chunk.
struct Encoded<'a> {
    shape: Shape,
    whole: Option<(Line, Vec<i64>)>,
    doubles: &'a [f64],
}

impl<'a> Encoded<'a> {
    fn of(values: &'a [f64]) -> Self {
        let whole = Whole::of(values).and_then(|whole| Some((Line::of(&whole.numbers)?, whole)));
        if let Some((line, Whole { divisor, numbers })) = whole {
            let shape = Shape::Whole {
                divisor,
                width: line.width,
                base_width: signed_width(line.base),
                rise_width: signed_width(line.rise),
            };
            return Self { shape, whole: Some((line, numbers)), doubles: &[] };
        }
        let same = values.windows(2).all(|pair| matches!(pair, [a, b] if a.to_bits() == b.to_bits()));
        let (shape, doubles) =
            if same { (Shape::Same, values.get(..1).unwrap_or(&[])) } else { (Shape::Doubles, values) };
        Self { shape, whole: None, doubles }
    }
}

impl Chunk {
    pub(super) fn new(hour: Millis, times: &[i64]) -> Self {
        let axis = Line::of(times).unwrap_or_default();
        let mut bits = Bits::default();
        axis.write(times, &mut bits);
        Self { hour, times: times.len(), axis, series: Vec::new(), bits, doubles: Vec::new() }
    }

    /// Adds a series, unless it has no room.
    fn add(&mut self, id: i32, values: &[f64]) -> bool {
        self.add_all(id, &[values])
    }

    /// Adds a series that has several values for each time, unless all of them together have no room.
    /// Those that are the same share their place.
    pub(super) fn add_all(&mut self, id: i32, all: &[&[f64]]) -> bool {
        let same = |a: &[f64], b: &[f64]| a.iter().map(|v| v.to_bits()).eq(b.iter().map(|v| v.to_bits()));
        let twin =
            |i: usize| all.iter().take(i).position(|earlier| all.get(i).is_some_and(|v| same(earlier, v)));
        let encoded: Vec<Result<Encoded<'_>, usize>> = all
            .iter()
            .enumerate()
            .map(|(i, values)| twin(i).map_or_else(|| Ok(Encoded::of(values)), Err))
            .collect();
        let own = || encoded.iter().flatten();
        let bits = self.bits.len() + own().map(|one| one.shape.bits(self.times)).sum::<usize>();
        let doubles = self.doubles.len() + own().map(|one| one.doubles.len()).sum::<usize>();
        let heads = HEAD * (self.series.len() + all.len()) + ID * (self.series.len() / all.len().max(1) + 1);
        if bits.div_ceil(8) + 8 * doubles + heads > ROOM {
            return false;
        }
        let begin = self.series.len();
        for one in &encoded {
            let packed = match one {
                Ok(one) => Some(self.put(id, one)),
                Err(twin) => self.series.get(begin + twin).copied(),
            };
            self.series.extend(packed);
        }
        true
    }

    fn put(&mut self, id: i32, one: &Encoded<'_>) -> Packed {
        let start = if one.doubles.is_empty() { self.bits.len() } else { self.doubles.len() };
        self.doubles.extend(one.doubles);
        if let (Some((line, numbers)), Shape::Whole { base_width, rise_width, .. }) = (&one.whole, one.shape)
        {
            push_signed(&mut self.bits, line.base, base_width);
            push_signed(&mut self.bits, line.rise, rise_width);
            line.write(numbers, &mut self.bits);
        }
        Packed { id, shape: one.shape, start }
    }

    /// Its times, in order. Nothing where the row is damaged.
    pub(super) fn all_times(&self) -> Option<Vec<Millis>> {
        (0..self.times).map(|i| self.time(i)).collect()
    }

    /// Its last time.
    pub(super) fn last_time(&self) -> Option<Millis> {
        self.time(self.times.checked_sub(1)?)
    }

    /// The values of one of its series at its times.
    pub(super) fn values(&self, of: &Packed) -> Option<Vec<f64>> {
        let value = self.reader(of)?;
        (0..self.times).map(value).collect()
    }

    /// The values of one of its series at some of its times.
    pub(super) fn values_at(
        &self,
        of: &Packed,
        times: std::ops::Range<usize>,
        into: &mut Vec<f64>,
    ) -> Option<()> {
        let value = self.reader(of)?;
        into.clear();
        for i in times {
            into.push(value(i)?);
        }
        Some(())
    }

    /// The value of one of its series at its last time.
    pub(super) fn last(&self, of: &Packed) -> Option<f64> {
        self.reader(of)?(self.times.checked_sub(1)?)
    }

    fn time(&self, i: usize) -> Option<Millis> {
        Some(self.hour.plus(self.axis.read(&self.bits, 0, i, self.times)?))
    }

    /// What reads value number `i` of a series.
    fn reader(&self, of: &Packed) -> Option<impl Fn(usize) -> Option<f64>> {
        let &Packed { shape, start, .. } = of;
        let whole = match shape {
            Shape::Whole { divisor, width, base_width, rise_width } => {
                let base = signed(&self.bits, start, base_width)?;
                let rise = signed(&self.bits, start + base_width as usize, rise_width)?;
                Some((Line { base, rise, width }, divisor, start + (base_width + rise_width) as usize))
            }
            Shape::Same | Shape::Doubles => None,
        };
        Some(move |i| match whole {
            Some((line, divisor, from)) => {
                Some(Whole::value(line.read(&self.bits, from, i, self.times)?, divisor))
            }
            None => self.doubles.get(start + if shape == Shape::Same { 0 } else { i }).copied(),
        })
    }
}

impl Shape {
    /// Bits that a series of this shape and so many times takes.
    fn bits(self, times: usize) -> usize {
        match self {
            Self::Same | Self::Doubles => 0,
            Self::Whole { width, base_width, rise_width, .. } => {
                (base_width + rise_width) as usize + width as usize * times
            }
        }
    }

    /// The shape as a number: 8 bits say what the values are, then each width has 6.
    pub(super) fn to_code(self) -> i32 {
        let code = match self {
            Self::Same => 0,
            Self::Doubles => 1,
            Self::Whole { divisor, width, base_width, rise_width } => {
                let kind = match divisor {
                    Divisor::Ten(power) => 2 + u32::from(power),
                    Divisor::Two(power) => 11 + u32::from(power),
                };
                kind | width << 8 | base_width << 14 | rise_width << 20
            }
        };
        code.cast_signed()
    }

    /// The shape that a number stands for; nothing where there is none.
    pub(super) fn from_code(code: i32) -> Option<Self> {
        let code = code.cast_unsigned();
        let widths = (code >> 8 & 63, code >> 14 & 63, code >> 20 & 63);
        let (width, base_width, rise_width) = widths;
        let divisor = match u8::try_from(code & 255).ok()? {
            0 => return Some(Self::Same),
            1 => return Some(Self::Doubles),
            kind @ 2..=11 => Divisor::Ten(kind - 2),
            kind @ 12..=73 => Divisor::Two(kind - 11),
            _ => return None,
        };
        Some(Self::Whole { divisor, width, base_width, rise_width })
    }
}

/// Bits that a number takes with its sign: none for zero.
fn signed_width(number: i64) -> u32 {
    if number == 0 { 0 } else { 65 - number.unsigned_abs().leading_zeros() }
}

/// A number that may be negative, moved up by half of what its bits can hold.
fn push_signed(bits: &mut Bits, number: i64, width: u32) {
    bits.push((number + half(width)).cast_unsigned(), width);
}

fn signed(bits: &Bits, at: usize, width: u32) -> Option<i64> {
    Some(bits.get(at, width)?.cast_signed() - half(width))
}

fn half(width: u32) -> i64 {
    (1_i64 << width.min(62)) / 2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Millis = Millis(1_700_000_000_000);

    fn unpacked(chunks: &[Chunk]) -> Vec<(i32, i64, u64)> {
        let mut all = Vec::new();
        for chunk in chunks {
            let times = chunk.all_times().unwrap();
            for of in &chunk.series {
                assert_eq!(Shape::from_code(of.shape.to_code()), Some(of.shape));
                let values = chunk.values(of).unwrap();
                all.extend(times.iter().zip(values).map(|(at, value)| (of.id, at.0, value.to_bits())));
            }
        }
        all.sort_unstable();
        all
    }

    fn given(group: &Group) -> Vec<(i32, i64, u64)> {
        let of = |(id, values): &(i32, Vec<f64>)| {
            let times = group.times.iter().map(|ms| HOUR.0 + i64::from(*ms));
            times.zip(values.clone()).map(|(at, value)| (*id, at, value.to_bits())).collect::<Vec<_>>()
        };
        let mut all: Vec<_> = group.series.iter().flat_map(of).collect();
        all.sort_unstable();
        all
    }

    fn bytes(chunk: &Chunk) -> usize {
        chunk.bits.len().div_ceil(8) + 8 * chunk.doubles.len() + (ID + HEAD) * chunk.series.len()
    }

    fn values(n: usize) -> impl Strategy<Value = Vec<f64>> {
        prop_oneof![
            prop::collection::vec(any::<f64>(), n),
            prop::collection::vec((-10_000_i32..10_000).prop_map(|v| f64::from(v) / 100.0), n),
            prop::collection::vec(any::<f32>().prop_map(f64::from), n),
            any::<f64>().prop_map(move |v| vec![v; n]),
            prop::collection::vec(any::<u64>().prop_map(f64::from_bits), n),
            prop::collection::vec((-1_i64 << 53..1 << 53).prop_map(|v| v as f64), n),
        ]
    }

    proptest! {
        #[test]
        fn every_double_comes_back_bit_by_bit(
            group in prop::collection::btree_set(0..3_600_000, 1..60).prop_flat_map(|times| {
                let n = times.len();
                prop::collection::vec((any::<i32>(), values(n)), 1..12)
                    .prop_map(move |series| Group { times: times.iter().copied().collect(), series })
            })
        ) {
            let chunks = group.pack(HOUR);
            prop_assert!(chunks.iter().all(|chunk| bytes(chunk) <= ROOM));
            prop_assert_eq!(unpacked(&chunks), given(&group));
        }
    }

    #[test]
    fn a_large_group_is_several_chunks_each_of_a_page() {
        let times: Vec<i32> = (0..5000).map(|i| i * 700).collect();
        let value =
            |t: &i32, id: i32| if id % 50 == 0 { f64::from(t + id).sqrt() } else { f64::from(t * id) };
        let series = (0..300).map(|id| (id, times.iter().map(|t| value(t, id)).collect())).collect();
        let group = Group { times, series };
        let chunks = group.pack(HOUR);
        assert!(chunks.iter().all(|chunk| bytes(chunk) <= ROOM && chunk.times <= TIMES));
        assert_eq!(unpacked(&chunks), given(&group));
        let few = Group { times: vec![1], series: (0..3000).map(|id| (id, vec![0.5])).collect() };
        assert!(few.pack(HOUR).iter().rev().skip(1).all(|chunk| bytes(chunk) > ROOM - 20));
    }

    #[test]
    fn a_code_that_stands_for_nothing_is_refused() {
        assert_eq!(Shape::from_code(74), None);
        assert_eq!(Shape::from_code(-1), None);
    }
}
