//! Sealed storage: what was packed is unpacked to its last bit and fills a page at most, and no row, however
//! damaged, does more than be refused.

use super::bits::Bits;
use super::bucket::Bucket;
use super::chunk::{Chunk, TIMES};
use super::rollup::Rollups;
use super::samples::Samples;
use super::table::Columns;
use crate::model::Millis;
use crate::store::arrays::{Doubles, Ints, read};

const HOUR: Millis = Millis(1_700_000_000_000);

/// The first byte says what the others are.
pub(crate) fn sealed(data: &[u8]) {
    let Some((what, rest)) = data.split_first() else { return };
    let mut input = Input(rest);
    match what % 4 {
        0 => come_back(&mut input),
        1 => roll_ups_come_back(&mut input),
        2 => damaged(&mut input),
        _ => sent(rest),
    }
}

/// Samples: series, time and value.
fn come_back(input: &mut Input<'_>) {
    let mut samples = Samples::of(HOUR);
    let (series, step) = (i32::from(input.byte() % 8) + 1, i64::from(input.byte()) * 100 + 1);
    let mut i = 0;
    while !input.0.is_empty() && i < 2000 {
        let (at, id) = (HOUR.plus(i / i64::from(series) * step % 3_600_000), i % i64::from(series));
        samples.push(i32::try_from(id).unwrap_or(0), at, input.value());
        i += 1;
    }
    samples.sort();
    let mut again = Samples::of(HOUR);
    for chunk in samples.pack() {
        fills_a_page(&chunk);
        let times = chunk.all_times().expect("its times are read");
        assert_eq!(chunk.last_time(), times.last().copied());
        for of in &chunk.series {
            let values = chunk.values(of).expect("its values are read");
            assert_eq!(chunk.last(of).map(f64::to_bits), values.last().map(|value| value.to_bits()));
            for (at, value) in times.iter().zip(values) {
                again.push(of.id, *at, value);
            }
        }
    }
    again.sort();
    assert_eq!(again.bits(), samples.bits());
}

fn roll_ups_come_back(input: &mut Input<'_>) {
    let mut packed = Rollups::of(HOUR);
    while !input.0.is_empty() && packed.all.len() < 300 {
        let (id, hour) = (i32::from(input.byte() % 16), i64::from(input.byte() % 24));
        let bucket = Bucket::from_fields(std::array::from_fn(|_| input.value()));
        packed.push(id, HOUR.plus(hour * 3_600_000), bucket);
    }
    packed.sort();
    let mut again = Rollups::of(HOUR);
    for chunk in packed.pack() {
        fills_a_page(&chunk);
        again.unpack(&chunk).expect("what was packed");
    }
    again.sort();
    let bits = |all: &Rollups| -> Vec<_> {
        all.all.iter().map(|(id, ms, one)| (*id, *ms, one.fields().map(f64::to_bits))).collect()
    };
    assert_eq!(bits(&again), bits(&packed));
}

/// Of the bytes of a page, 24 are the page's own.
fn fills_a_page(chunk: &Chunk) {
    let bytes = chunk.bits.len().div_ceil(8) + 8 * chunk.doubles.len() + 8 * chunk.series.len();
    assert!(bytes < 8192 - 24 && chunk.times <= TIMES, "{bytes} bytes, {} times", chunk.times);
}

/// Any numbers in all columns.
fn damaged(input: &mut Input<'_>) {
    let few = |input: &mut Input<'_>, most: u8| -> Vec<i32> {
        let n = input.byte() % most;
        (0..n).map(|_| input.int()).collect()
    };
    let columns = Columns {
        times: input.int(),
        axis: (input.int(), input.int(), input.int()),
        ids: Ints(few(input, 4)),
        shapes: Ints(few(input, 22)),
        starts: Ints(few(input, 22)),
        doubles: Doubles((0..input.byte() % 8).map(|_| input.value()).collect()),
        bits: Bits::sent(input.0).unwrap_or_default(),
    };
    let Some(chunk) = columns.chunk(HOUR) else { return };
    let few = |n: usize| assert!(n <= TIMES, "{n}");
    if let Some(times) = chunk.all_times() {
        few(times.len());
        assert_eq!(times.last().copied(), chunk.last_time());
    }
    let mut some = Vec::new();
    for of in &chunk.series {
        if let Some(values) = chunk.values(of) {
            few(values.len());
            assert_eq!(values.last().map(|value| value.to_bits()), chunk.last(of).map(f64::to_bits));
        }
        chunk.values_at(of, 0..chunk.times.min(3), &mut some);
        few(some.len());
    }
    let mut unpacked = Rollups::of(HOUR);
    if unpacked.unpack(&chunk).is_ok() {
        few(unpacked.all.len() / 4);
    }
}

/// What PostgreSQL sends: arrays and strings of bits.
fn sent(bytes: &[u8]) {
    if let Some(ints) = read(bytes, i32::from_be_bytes) {
        assert!(ints.len() * 8 <= bytes.len());
    }
    if let Some(doubles) = read(bytes, f64::from_be_bytes) {
        assert!(doubles.len() * 12 <= bytes.len());
    }
    let Some(bits) = Bits::sent(bytes) else { return };
    assert!(bits.len() <= bytes.len() * 8);
    let mut again = Bits::default();
    for at in 0..bits.len() {
        again.push(bits.get(at, 1).expect("it is within"), 1);
    }
    assert!((0..=56).all(|width| bits.get(0, width) == again.get(0, width)));
    assert_eq!(bits.get(bits.len(), 1), None);
}

/// Bytes, taken one after the other; zeros at their end.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut taken = [0; N];
        let n = N.min(self.0.len());
        let (bytes, rest) = self.0.split_at(n);
        taken[..n].copy_from_slice(bytes);
        self.0 = rest;
        taken
    }

    fn byte(&mut self) -> u8 {
        self.bytes::<1>()[0]
    }

    fn int(&mut self) -> i32 {
        match self.byte() {
            small @ 0..=249 => i32::from(small),
            _ => i32::from_le_bytes(self.bytes()),
        }
    }

    /// A double of any kind: short decimals, whole numbers, floats, bits as they come.
    fn value(&mut self) -> f64 {
        match self.byte() {
            kind @ 0..=99 => f64::from(i16::from_le_bytes(self.bytes())) / 10_f64.powi(i32::from(kind % 10)),
            100..=149 => i64::from_le_bytes(self.bytes()) as f64,
            150..=199 => f64::from(f32::from_le_bytes(self.bytes())),
            200..=219 => f64::from(self.byte()),
            _ => f64::from_le_bytes(self.bytes()),
        }
    }
}
