//! Huffman codes of limited length, and how deflate writes them (RFC 1951, 3.2.2 and 3.2.7).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::bits::Bits;

/// Order in which the lengths of the code for code lengths are written (RFC 1951, 3.2.7).
const LENGTHS_ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// A Huffman code: for each symbol its bits, first one lowest, and their number; none where it has 0.
pub(super) struct Codes {
    codes: Vec<(u32, u32)>,
}

impl Codes {
    /// A code for symbols that occur so often, no longer than `longest` bits.
    pub(super) fn new(counts: &[u32], longest: usize) -> Self {
        let mut codes: Vec<(u32, u32)> =
            lengths(counts, longest).into_iter().map(|length| (0, u32::from(length))).collect();
        let mut next = 0_u32;
        for length in 1..=15 {
            next <<= 1;
            for code in codes.iter_mut().filter(|code| code.1 == length) {
                code.0 = next.reverse_bits() >> (32 - length);
                next += 1;
            }
        }
        Self { codes }
    }

    /// A symbol's bits, and their number.
    #[inline]
    pub(super) fn of_symbol(&self, symbol: usize) -> (u32, u32) {
        self.codes[symbol]
    }

    #[inline]
    pub(super) fn put(&self, symbol: usize, bits: &mut Bits) {
        let (code, length) = self.codes[symbol];
        bits.put(u64::from(code), length);
    }

    /// The lengths up to the last symbol that has one, at least `least` of them.
    fn lengths(&self, least: usize) -> impl Iterator<Item = u32> + '_ {
        let used = self.codes.iter().rposition(|code| code.1 > 0).map_or(0, |last| last + 1);
        self.codes[..used.max(least)].iter().map(|code| code.1)
    }
}

/// How many bits each symbol gets: those of Huffman's code, made shorter where they are too many.
fn lengths(counts: &[u32], longest: usize) -> Vec<u8> {
    let mut used: Vec<usize> = (0..counts.len()).filter(|s| counts[*s] > 0).collect();
    let mut lengths = vec![0; counts.len()];
    if used.len() < 2 {
        // A code of one symbol has one bit all the same.
        for symbol in used {
            lengths[symbol] = 1;
        }
        return lengths;
    }
    // How many symbols are how deep in the tree.
    let mut parents = vec![0; 2 * used.len() - 1];
    let mut heap: BinaryHeap<_> =
        used.iter().enumerate().map(|(node, symbol)| Reverse((counts[*symbol], node))).collect();
    for made in used.len()..parents.len() {
        let mut sum = 0;
        for Reverse((count, node)) in [heap.pop(), heap.pop()].into_iter().flatten() {
            sum += count;
            parents[node] = made;
        }
        heap.push(Reverse((sum, made)));
    }
    let mut depths = vec![0_usize; parents.len()];
    for node in (0..parents.len() - 1).rev() {
        depths[node] = depths[parents[node]] + 1;
    }
    let mut of_length = vec![0_usize; longest + 1];
    for depth in &depths[..used.len()] {
        of_length[(*depth).min(longest)] += 1;
    }
    // Those that were cut take more than there is: others get longer until it fits.
    let room = 1_usize << longest;
    let mut taken: usize = (1..=longest).map(|length| of_length[length] << (longest - length)).sum();
    while taken > room {
        of_length[longest] -= 1;
        if let Some(length) = (1..longest).rev().find(|length| of_length[*length] > 0) {
            of_length[length] -= 1;
            of_length[length + 1] += 2;
        }
        taken -= 1;
    }
    // The rarest get the longest.
    used.sort_by_key(|symbol| counts[*symbol]);
    let longest_first = (1..=longest).rev().flat_map(|length| std::iter::repeat_n(length, of_length[length]));
    for (symbol, length) in used.into_iter().zip(longest_first) {
        lengths[symbol] = u8::try_from(length).unwrap_or(u8::MAX);
    }
    lengths
}

/// Writes both codes, by the lengths of their symbols, which themselves have a code.
pub(super) fn write_codes(symbols: &Codes, distances: &Codes, bits: &mut Bits) {
    let (first, second): (Vec<u32>, Vec<u32>) =
        (symbols.lengths(257).collect(), distances.lengths(1).collect());
    // Each run as its symbol, the extra bits and their number.
    let mut runs: Vec<(usize, u64, u32)> = Vec::new();
    let all = [first.as_slice(), second.as_slice()].concat();
    for run in all.chunk_by(|a, b| a == b) {
        let (length, mut left) = (run[0] as usize, run.len());
        if length > 0 {
            runs.push((length, 0, 0));
            left -= 1;
        }
        while left > 0 {
            let (taken, symbol, least, count) = match (length, left) {
                (0, 11..) => (left.min(138), 18, 11, 7),
                (0, 3..) => (left, 17, 3, 3),
                (_, 3..) if length > 0 => (left.min(6), 16, 3, 2),
                _ => (1, length, 1, 0),
            };
            runs.push((symbol, (taken - least) as u64, count));
            left -= taken;
        }
    }
    let mut counts = [0; 19];
    for (symbol, ..) in &runs {
        counts[*symbol] += 1;
    }
    let code = Codes::new(&counts, 7);
    let written = LENGTHS_ORDER.iter().rposition(|s| code.codes[*s].1 > 0).map_or(4, |last| last + 1).max(4);
    bits.put((first.len() - 257) as u64, 5);
    bits.put((second.len() - 1) as u64, 5);
    bits.put((written - 4) as u64, 4);
    for symbol in &LENGTHS_ORDER[..written] {
        bits.put(u64::from(code.codes[*symbol].1), 3);
    }
    for (symbol, extra, count) in runs {
        code.put(symbol, bits);
        bits.put(extra, count);
    }
}

#[cfg(test)]
mod tests {
    use super::lengths;

    #[test]
    fn a_code_is_no_longer_than_it_may_be() {
        // Counts like these give Huffman's longest code.
        let mut counts = vec![1, 1];
        while counts.len() < 40 {
            counts.push(counts[counts.len() - 1] + counts[counts.len() - 2]);
        }
        for longest in [6, 7, 15] {
            let lengths = lengths(&counts, longest);
            assert!(lengths.iter().all(|length| (1..=longest).contains(&usize::from(*length))));
            let taken: usize = lengths.iter().map(|length| 1 << (longest - usize::from(*length))).sum();
            assert_eq!(taken, 1 << longest, "every code is used");
        }
    }
}
