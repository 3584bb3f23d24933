//! Unsigned numbers of any width, one after the other in a string of bits: PostgreSQL's `varbit`,
//! whose first bit is the highest of the first byte.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo, PgValueRef};
use sqlx::{Decode, Encode, Postgres, Type};

/// The widest number that [`Bits::push`] takes.
pub(super) const WIDEST: u32 = 56;

/// A string of bits that grows at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bits {
    bytes: Vec<u8>,
    len: usize,
}

impl Bits {
    /// A string as PostgreSQL sends it: its length, then its bits.
    pub(super) fn sent(bytes: &[u8]) -> Option<Self> {
        let (len, bytes) = bytes.split_first_chunk::<4>()?;
        let len = usize::try_from(i32::from_be_bytes(*len)).ok()?;
        (len.div_ceil(8) == bytes.len()).then(|| Self { bytes: bytes.to_vec(), len })
    }

    /// Number of bits.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Appends the lowest `width` bits of a number, the highest of them first.
    pub(super) fn push(&mut self, number: u64, width: u32) {
        debug_assert!(width <= WIDEST && number >> width == 0, "{number} in {width} bits");
        let mut left = width;
        while left > 0 {
            let used = u32::try_from(self.len % 8).unwrap_or(0);
            if used == 0 {
                self.bytes.push(0);
            }
            let room = 8 - used;
            let taken = room.min(left);
            left -= taken;
            let part = (number >> left) & ((1 << taken) - 1);
            if let Some(last) = self.bytes.last_mut() {
                *last |= u8::try_from(part << (room - taken)).unwrap_or(0);
            }
            self.len += taken as usize;
        }
    }

    /// The number of `width` bits that begins at bit `at`; nothing where the string ends before.
    pub(super) fn get(&self, at: usize, width: u32) -> Option<u64> {
        let end = at.checked_add(width as usize)?;
        if end > self.len || width > WIDEST {
            return None;
        }
        // At most 56 bits lie in at most 8 bytes.
        let mut bytes = [0; 8];
        let from = self.bytes.get(at / 8..end.div_ceil(8))?;
        bytes.get_mut(..from.len())?.copy_from_slice(from);
        let shifted = u64::from_be_bytes(bytes) << (at % 8);
        Some(if width == 0 { 0 } else { shifted >> (64 - width) })
    }
}

/// By its fixed number: by name, the driver would ask the catalogue first.
impl Type<Postgres> for Bits {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(1562))
    }
}

impl Encode<'_, Postgres> for Bits {
    fn encode_by_ref(&self, out: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        out.extend_from_slice(&i32::try_from(self.len)?.to_be_bytes());
        out.extend_from_slice(&self.bytes);
        Ok(IsNull::No)
    }
}

impl Decode<'_, Postgres> for Bits {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        Self::sent(value.as_bytes()?).ok_or_else(|| "a string of bits of another length than it says".into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_pushed_is_found_again(numbers in prop::collection::vec((any::<u64>(), 0..=WIDEST), 0..200)) {
            let kept = |(number, width): &(u64, u32)| (number & ((1_u64 << width) - 1), *width);
            let numbers: Vec<(u64, u32)> = numbers.iter().map(kept).collect();
            let mut bits = Bits::default();
            for (number, width) in &numbers {
                bits.push(*number, *width);
            }
            let mut at = 0;
            for (number, width) in &numbers {
                prop_assert_eq!(bits.get(at, *width), Some(*number));
                at += *width as usize;
            }
            prop_assert_eq!(at, bits.len());
            prop_assert_eq!(bits.get(at, 1), None);
        }
    }

    #[test]
    fn the_first_bit_is_the_highest_of_the_first_byte() {
        let mut bits = Bits::default();
        bits.push(0b1, 1);
        bits.push(0b01_1111_1111, 10);
        assert_eq!(bits.bytes, [0b1011_1111, 0b1110_0000]);
    }
}
