//! gzip for text whose lines are like the line before, as an exposition's are: the parts that two
//! neighbours share are found by comparing the two, not by searching the last 32 KiB. Any other bytes
//! come back as well, they are only not made small.

mod bits;
mod block;
mod huffman;
#[cfg(test)]
mod tests;

use bits::Bits;
use block::{Block, LONGEST, Symbol};

/// Shorter matches are not worth their distance.
const SHORTEST: usize = 4;
/// How far back a match may lie.
const WINDOW: usize = 32_768;
/// Matches of one block, which has Huffman codes of its own.
const BLOCK: usize = 16_384;

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
        Self { bits: Bits::behind(out), crc: crc32fast::Hasher::new(), size: 0, taken: 0 }
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
        let mut out = self.bits.into_bytes();
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
        while self.line < self.body.len() && self.block.len() < BLOCK {
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
        (block.len() > 0).then_some(block)
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
