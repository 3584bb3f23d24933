//! gzip for text whose lines are like the line before, as an exposition's are: the parts that two
//! neighbours share are found by comparing the two, not by searching the last 32 KiB. Any other bytes
//! come back as well, they are only not made small.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The longest match that deflate can express.
const LONGEST: usize = 258;
/// Shorter matches are not worth their distance.
const SHORTEST: usize = 4;
/// How far back a match may lie.
const WINDOW: usize = 32_768;
/// Matches of one block, which has Huffman codes of its own.
const BLOCK: usize = 16_384;
/// End of a block, in the alphabet of literals and lengths.
const END: usize = 256;
/// Order in which the lengths of the code for code lengths are written (RFC 1951, 3.2.7).
const LENGTHS_ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// Compresses a text to one gzip member, part by part.
pub struct LineGzip {
    bits: Bits,
    crc: crc32fast::Hasher,
    size: u64,
    /// Bytes at the beginning of the text that were taken already: its last line.
    taken: usize,
}

impl LineGzip {
    /// For a text that becomes about as many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        let mut out = Vec::with_capacity(bytes);
        // No name, no time, an unknown system.
        out.extend_from_slice(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255]);
        Self { bits: Bits { out, held: 0, count: 0 }, crc: crc32fast::Hasher::new(), size: 0, taken: 0 }
    }

    /// Bytes that were taken.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Takes the lines that are whole out of `text`, all but the last, which it leaves there with what
    /// comes after. More may be added behind it.
    pub fn take(&mut self, text: &mut Vec<u8>) {
        let end = memchr::memrchr(b'\n', &text[self.taken..]).map_or(0, |n| self.taken + n);
        if end <= self.taken {
            return;
        }
        self.compress(text, end);
        let last = memchr::memrchr(b'\n', &text[..end]).unwrap_or(0);
        text.drain(..last);
        self.taken = end - last;
    }

    /// Takes the rest of `text`, and returns all.
    pub fn finish(mut self, text: &[u8]) -> Vec<u8> {
        self.compress(text, text.len());
        // An empty last block, of the fixed codes.
        self.bits.put(0b011, 3);
        self.bits.put(0, 7);
        self.bits.align();
        let mut out = self.bits.out;
        out.extend_from_slice(&self.crc.finalize().to_le_bytes());
        // The size, of which gzip has the lower half.
        let [a, b, c, d, ..] = self.size.to_le_bytes();
        out.extend_from_slice(&[a, b, c, d]);
        out
    }

    fn compress(&mut self, text: &[u8], end: usize) {
        let (body, from) = (&text[..end], self.taken);
        let mut lines = Lines { body, at: from, line: from, before: 0..from, block: Block::new(from) };
        while let Some(block) = lines.next_block() {
            block.write(body, &mut self.bits);
        }
        self.crc.update(&body[from..]);
        self.size += (end - from) as u64;
    }
}

/// Bytes as they are, then a match; one of the two may be empty.
#[derive(Clone, Copy, Debug)]
struct Piece {
    literals: u32,
    length: u16,
    distance: Symbol,
}

/// A symbol of one of deflate's alphabets, with the bits that come after it.
#[derive(Clone, Copy, Debug)]
struct Symbol {
    number: u32,
    extra: u32,
    extra_bits: u32,
}

/// Pieces that share their codes, and how often each symbol occurs in them.
struct Block {
    from: usize,
    pieces: Vec<Piece>,
    symbols: [u32; 286],
    distances: [u32; 30],
}

/// Takes a body apart, line by line. A line begins with the line feed of the one before, so that two
/// equal beginnings are one match with it.
struct Lines<'a> {
    body: &'a [u8],
    /// Up to here all is in pieces.
    at: usize,
    /// Where the line begins that is next.
    line: usize,
    /// The line before it.
    before: std::ops::Range<usize>,
    block: Block,
}

impl Lines<'_> {
    /// The next block; nothing where the body is at its end.
    fn next_block(&mut self) -> Option<Block> {
        while self.line < self.body.len() && self.block.pieces.len() < BLOCK {
            let next = memchr::memchr(b'\n', &self.body[self.line + 1..]);
            let end = next.map_or(self.body.len(), |n| self.line + 1 + n);
            self.take_line(end);
            self.before = self.line..end;
            self.line = end;
        }
        if self.line == self.body.len() {
            self.literals_to(self.line);
        }
        let next = Block::new(self.at);
        let block = std::mem::replace(&mut self.block, next);
        (!block.pieces.is_empty()).then_some(block)
    }

    /// Finds what the line up to `end` shares with the one before, word by word.
    fn take_line(&mut self, end: usize) {
        let (mut here, mut there) = (self.line, self.before.start);
        while here < end && there < self.before.end {
            let same = common(&self.body[here..end], &self.body[there..self.before.end]);
            if same >= SHORTEST && here - there <= WINDOW {
                self.matched(here, same, here - there);
            }
            (here, there) = (here + same, there + same);
            // What differs is a label's value, or the sample's: both go on behind it.
            let word = |from: usize, to: usize| {
                let ends = |b: &u8| matches!(b, b'"' | b' ' | b'{');
                self.body[from..to].iter().position(ends).map_or(to, |n| from + n)
            };
            let (here_ends, there_ends) = (word(here, end), word(there, self.before.end));
            // At the same delimiter both stand still; the words before it differ, or it does.
            (here, there) = if (here, there) == (here_ends, there_ends) {
                (here + 1, there + 1)
            } else {
                (here_ends, there_ends)
            };
        }
    }

    /// A match of `length` bytes at `from`; what lies before it and is in no piece is literal.
    fn matched(&mut self, from: usize, length: usize, distance: usize) {
        self.literals_to(from);
        let distance = Symbol::of_distance(distance);
        let mut left = length;
        while left > 0 {
            // No piece of it may be shorter than deflate's shortest match, 3.
            let part = if left > LONGEST && left < LONGEST + 3 { left - 3 } else { left.min(LONGEST) };
            self.block.add_match(part, distance);
            left -= part;
        }
        self.at = from + length;
    }

    fn literals_to(&mut self, to: usize) {
        self.block.add_literals(&self.body[self.at..to]);
        self.at = to;
    }
}

/// Bytes that two texts have in common at their beginning.
fn common(a: &[u8], b: &[u8]) -> usize {
    let words = a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0);
    let mut same = 0;
    for (a, b) in words {
        let differ = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
        if differ != 0 {
            return same + differ.trailing_zeros() as usize / 8;
        }
        same += 8;
    }
    same + a[same..].iter().zip(&b[same..]).take_while(|(a, b)| a == b).count()
}

impl Block {
    fn new(from: usize) -> Self {
        let mut symbols = [0; 286];
        symbols[END] = 1;
        Self { from, pieces: Vec::new(), symbols, distances: [0; 30] }
    }

    fn add_literals(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.symbols[usize::from(*byte)] += 1;
        }
        let Ok(literals @ 1..) = u32::try_from(bytes.len()) else { return };
        self.pieces.push(Piece { literals, length: 0, distance: Symbol::plain(0) });
    }

    fn add_match(&mut self, length: usize, distance: Symbol) {
        self.symbols[LENGTHS[length].number as usize] += 1;
        self.distances[distance.number as usize] += 1;
        let length = u16::try_from(length).unwrap_or(u16::MAX);
        match self.pieces.last_mut() {
            Some(piece) if piece.length == 0 => *piece = Piece { length, distance, ..*piece },
            _ => self.pieces.push(Piece { literals: 0, length, distance }),
        }
    }

    fn write(&self, body: &[u8], bits: &mut Bits) {
        let (symbols, distances) = (Codes::of(&self.symbols, 15), Codes::of(&self.distances, 15));
        bits.put(0b100, 3);
        write_codes(&symbols, &distances, bits);
        let mut at = self.from;
        for piece in &self.pieces {
            let literals = piece.literals as usize;
            let (threes, rest) = body[at..at + literals].as_chunks::<3>();
            for three in threes {
                let [a, b, c] = three.map(|byte| symbols.codes[usize::from(byte)]);
                bits.put_all([a, b, c]);
            }
            for byte in rest {
                symbols.put(usize::from(*byte), bits);
            }
            at += literals;
            if piece.length > 0 {
                let (length, distance) = (LENGTHS[usize::from(piece.length)], piece.distance);
                bits.put_all([
                    symbols.codes[length.number as usize],
                    (length.extra, length.extra_bits),
                    distances.codes[distance.number as usize],
                    (distance.extra, distance.extra_bits),
                ]);
                at += usize::from(piece.length);
            }
        }
        symbols.put(END, bits);
    }
}

impl Symbol {
    const fn plain(number: u32) -> Self {
        Self { number, extra: 0, extra_bits: 0 }
    }

    /// For a match of 3 to 258 bytes (RFC 1951, 3.2.5).
    const fn of_length(length: u32) -> Self {
        let n = length - 3;
        if length == 258 {
            return Self::plain(285);
        }
        if n < 8 {
            return Self::plain(257 + n);
        }
        let extra_bits = n.ilog2() - 2;
        let number = 257 + 4 * extra_bits + (n >> extra_bits);
        Self { number, extra: n & ((1 << extra_bits) - 1), extra_bits }
    }

    /// For a distance of 1 to 32,768.
    fn of_distance(distance: usize) -> Self {
        let n = u32::try_from(distance - 1).unwrap_or(u32::MAX);
        if n < 4 {
            return Self::plain(n);
        }
        let extra_bits = n.ilog2() - 1;
        let number = 2 * extra_bits + (n >> extra_bits);
        Self { number, extra: n & ((1 << extra_bits) - 1), extra_bits }
    }
}

/// The symbol of each length.
const LENGTHS: [Symbol; LONGEST + 1] = {
    let mut lengths = [Symbol::plain(0); LONGEST + 1];
    let mut length = 3;
    while length <= 258 {
        lengths[length as usize] = Symbol::of_length(length);
        length += 1;
    }
    lengths
};

/// A Huffman code: for each symbol its bits, first one lowest, and their number; none where it has 0.
struct Codes {
    codes: Vec<(u32, u32)>,
}

impl Codes {
    /// A code for symbols that occur so often, no longer than `longest` bits.
    fn of(counts: &[u32], longest: usize) -> Self {
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

    #[inline]
    fn put(&self, symbol: usize, bits: &mut Bits) {
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
fn write_codes(symbols: &Codes, distances: &Codes, bits: &mut Bits) {
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
    let code = Codes::of(&counts, 7);
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

/// Bits on their way out, the first one lowest.
struct Bits {
    out: Vec<u8>,
    held: u64,
    count: u32,
}

impl Bits {
    /// Adds bits with their numbers, at most 56 together.
    #[inline]
    fn put_all<const N: usize>(&mut self, parts: [(u32, u32); N]) {
        let (mut bits, mut count) = (0, 0);
        for (part, length) in parts {
            bits |= u64::from(part) << count;
            count += length;
        }
        self.put(bits, count);
    }

    /// Adds at most 56 bits.
    #[inline]
    fn put(&mut self, bits: u64, count: u32) {
        self.held |= bits << self.count;
        self.count += count;
        // All eight bytes, and back those that are not whole.
        let whole = self.count / 8;
        self.out.extend_from_slice(&self.held.to_le_bytes());
        self.out.truncate(self.out.len() - 8 + whole as usize);
        self.held >>= 8 * whole;
        self.count %= 8;
    }

    /// Fills up to a whole byte.
    fn align(&mut self) {
        let bytes = self.count.div_ceil(8) as usize;
        self.out.extend_from_slice(&self.held.to_le_bytes()[..bytes]);
        (self.held, self.count) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::io::{Read as _, Write as _};

    use proptest::prelude::*;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        LineGzip::with_capacity(0).finish(text)
    }

    /// The same in parts of so many bytes.
    fn gzip_parts(text: &[u8], part: usize) -> Vec<u8> {
        let (mut packed, mut buffer) = (LineGzip::with_capacity(0), Vec::new());
        for part in text.chunks(part) {
            buffer.extend_from_slice(part);
            packed.take(&mut buffer);
        }
        packed.finish(&buffer)
    }

    fn back(packed: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        flate2::read::GzDecoder::new(packed).read_to_end(&mut out).unwrap();
        out
    }

    fn exposition(series: u32) -> String {
        let mut text = String::from("# HELP noetl_jobs Jobs.\n# TYPE noetl_jobs gauge\n");
        for i in 0..series {
            let value = f64::from(i).sin() * 1000.0;
            writeln!(text, "noetl_jobs{{component=\"worker-{:03}\",component_type=\"worker_pool\",queue=\"q{}\"}} {value}", i / 50, i % 50)
                .unwrap();
        }
        text
    }

    #[test]
    fn an_exposition_is_about_as_small_as_others_make_it() {
        let text = exposition(20_000);
        let packed = gzip(text.as_bytes());
        assert_eq!(back(&packed), text.as_bytes());
        let parts = gzip_parts(text.as_bytes(), 10_000);
        assert_eq!(back(&parts), text.as_bytes());
        assert!(parts.len() < packed.len() + packed.len() / 20, "{} in parts", parts.len());
        let mut other = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        other.write_all(text.as_bytes()).unwrap();
        let other = other.finish().unwrap().len();
        assert!(packed.len() < other + other / 10, "{} here, {other} there", packed.len());
    }

    #[test]
    fn odd_texts_come_back() {
        let long = "a".repeat(70_000);
        let twice = format!("{long}\n{long}\n{long}");
        for text in ["", "\n", "\n\n\n", "a", "aaaa\naaaa\naaaa", &long, &twice, &exposition(3)] {
            assert_eq!(back(&gzip(text.as_bytes())), text.as_bytes(), "{} bytes", text.len());
        }
        for length in 250..530 {
            let text = format!("{0}x\n{0}y\n", "b".repeat(length));
            assert_eq!(back(&gzip(text.as_bytes())), text.as_bytes(), "{length}");
        }
    }

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

    proptest! {
        #[test]
        fn any_bytes_come_back(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
            prop_assert_eq!(&back(&gzip(&bytes)), &bytes);
            prop_assert_eq!(back(&gzip_parts(&bytes, 100)), bytes);
        }

        #[test]
        fn lines_come_back(
            lines in prop::collection::vec("[ab\"{} =.0-9]{0,40}", 0..60),
            again in 1_usize..400,
            part in 1_usize..5000,
        ) {
            let text = lines.join("\n").repeat(again);
            prop_assert_eq!(back(&gzip(text.as_bytes())), text.as_bytes());
            prop_assert_eq!(back(&gzip_parts(text.as_bytes(), part)), text.as_bytes());
        }
    }
}
