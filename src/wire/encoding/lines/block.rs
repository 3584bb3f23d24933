//! A block of deflate: literals and matches, and how they are written with codes of their own
//! (RFC 1951, 3.2.5 and 3.2.7).

use super::bits::Bits;
use super::huffman::{Codes, write_codes};

/// The longest match that deflate can express.
pub(super) const LONGEST: usize = 258;
/// End of a block, in the alphabet of literals and lengths.
const END: usize = 256;

/// Bytes as they are, then a match; one of the two may be empty.
#[derive(Clone, Copy, Debug)]
struct Piece {
    literals: u32,
    length: u16,
    distance: Symbol,
}

/// A symbol of one of deflate's alphabets, with the bits that come after it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Symbol {
    number: u32,
    extra: u32,
    extra_bits: u32,
}

/// Pieces that share their codes, and how often each symbol occurs in them.
pub(super) struct Block {
    from: usize,
    pieces: Vec<Piece>,
    symbols: [u32; 286],
    distances: [u32; 30],
}

impl Block {
    pub(super) fn new(from: usize) -> Self {
        let mut symbols = [0; 286];
        symbols[END] = 1;
        Self { from, pieces: Vec::new(), symbols, distances: [0; 30] }
    }

    /// How many pieces it has.
    pub(super) fn len(&self) -> usize {
        self.pieces.len()
    }

    pub(super) fn add_literals(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.symbols[usize::from(*byte)] += 1;
        }
        let Ok(literals @ 1..) = u32::try_from(bytes.len()) else { return };
        self.pieces.push(Piece { literals, length: 0, distance: Symbol::plain(0) });
    }

    pub(super) fn add_match(&mut self, length: usize, distance: Symbol) {
        self.symbols[LENGTHS[length].number as usize] += 1;
        self.distances[distance.number as usize] += 1;
        let length = u16::try_from(length).unwrap_or(u16::MAX);
        match self.pieces.last_mut() {
            Some(piece) if piece.length == 0 => *piece = Piece { length, distance, ..*piece },
            _ => self.pieces.push(Piece { literals: 0, length, distance }),
        }
    }

    /// Writes it, and the body that it is of from where it begins.
    pub(super) fn write(&self, body: &[u8], bits: &mut Bits) {
        let (symbols, distances) = (Codes::new(&self.symbols, 15), Codes::new(&self.distances, 15));
        bits.put(0b100, 3);
        write_codes(&symbols, &distances, bits);
        let mut at = self.from;
        for piece in &self.pieces {
            let literals = piece.literals as usize;
            let (threes, rest) = body[at..at + literals].as_chunks::<3>();
            for three in threes {
                let [a, b, c] = three.map(|byte| symbols.of_symbol(usize::from(byte)));
                bits.put_all([a, b, c]);
            }
            for byte in rest {
                symbols.put(usize::from(*byte), bits);
            }
            at += literals;
            if piece.length > 0 {
                let (length, distance) = (LENGTHS[usize::from(piece.length)], piece.distance);
                bits.put_all([
                    symbols.of_symbol(length.number as usize),
                    (length.extra, length.extra_bits),
                    distances.of_symbol(distance.number as usize),
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
    pub(super) fn of_distance(distance: usize) -> Self {
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
