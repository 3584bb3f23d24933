//! Bits on their way out.

/// Bits on their way out, the first one lowest.
pub(super) struct Bits {
    out: Vec<u8>,
    held: u64,
    count: u32,
}

impl Bits {
    /// Behind bytes that are out already.
    pub(super) fn behind(out: Vec<u8>) -> Self {
        Self { out, held: 0, count: 0 }
    }

    /// Adds bits with their numbers, at most 56 together.
    #[inline]
    pub(super) fn put_all<const N: usize>(&mut self, parts: [(u32, u32); N]) {
        let (mut bits, mut count) = (0, 0);
        for (part, length) in parts {
            bits |= u64::from(part) << count;
            count += length;
        }
        self.put(bits, count);
    }

    /// Adds at most 56 bits.
    #[inline]
    pub(super) fn put(&mut self, bits: u64, count: u32) {
        self.held |= bits << self.count;
        self.count += count;
        // All eight bytes, and back those that are not whole.
        let whole = self.count / 8;
        self.out.extend_from_slice(&self.held.to_le_bytes());
        self.out.truncate(self.out.len() - 8 + whole as usize);
        self.held >>= 8 * whole;
        self.count %= 8;
    }

    /// All bytes; the last one is filled up.
    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        let bytes = self.count.div_ceil(8) as usize;
        self.out.extend_from_slice(&self.held.to_le_bytes()[..bytes]);
        self.out
    }
}
