//! Decompression: its output is bounded, and what was compressed comes back.

use crate::wire::encoding::{Encoding, EncodingError, LineGzip, compress, decompress};

/// Bytes that a body may have.
const LIMIT: usize = 1 << 16;
const ALL: [Encoding; 4] = [Encoding::Identity, Encoding::Gzip, Encoding::Zstd, Encoding::Snappy];

/// The first byte says what the others are: a compressed body, or one to be compressed.
pub(super) fn encoding(data: &[u8]) {
    let Some((what, rest)) = data.split_first() else { return };
    match what % 4 {
        0 => {
            for encoding in ALL {
                unpack(encoding, rest);
            }
        }
        1 => comes_back(rest),
        2 => damaged(rest),
        _ => line_by_line(rest),
    }
}

/// Whatever a body is, what comes of it is within the limit, whichever that is.
fn unpack(encoding: Encoding, body: &[u8]) {
    let Ok(bytes) = decompress(encoding, body, LIMIT) else { return };
    assert!(bytes.len() <= LIMIT && bytes.capacity() <= 4 * LIMIT, "{} bytes of room", bytes.capacity());
    assert_eq!(decompress(encoding, body, bytes.len()).as_deref(), Ok(&*bytes), "at a limit that is reached");
    if let Some(less) = bytes.len().checked_sub(1) {
        assert_eq!(decompress(encoding, body, less), Err(EncodingError::TooLarge(less)));
    }
}

fn comes_back(body: &[u8]) {
    for encoding in ALL {
        let packed = compress(encoding, body).unwrap_or_else(|| body.to_vec());
        assert_eq!(decompress(encoding, &packed, body.len()).as_deref(), Ok(body), "{encoding:?}");
    }
}

/// A body with a byte changed that the first two point at.
fn damaged(data: &[u8]) {
    let [a, b, change, body @ ..] = data else { return };
    for encoding in ALL {
        let Some(mut packed) = compress(encoding, body) else { continue };
        let at = usize::from(u16::from_be_bytes([*a, *b])) % packed.len().max(1);
        if let Some(byte) = packed.get_mut(at) {
            *byte ^= change;
        }
        unpack(encoding, &packed);
    }
}

/// What is compressed part by part, as an exposition is, is read by others.
fn line_by_line(data: &[u8]) {
    let Some((parts, text)) = data.split_first() else { return };
    let size = text.len().div_ceil(usize::from(parts % 8) + 1).max(1);
    let mut gzip = LineGzip::with_capacity(0);
    let mut held = Vec::new();
    for part in text.chunks(size) {
        held.extend_from_slice(part);
        gzip.take(&mut held);
    }
    let packed = gzip.finish(&held);
    assert_eq!(decompress(Encoding::Gzip, &packed, text.len()).as_deref(), Ok(text));
}
