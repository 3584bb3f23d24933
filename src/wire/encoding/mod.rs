//! Content encodings of HTTP bodies: plain, gzip, zstd, snappy; bounded before and after decompression.

mod lines;

use std::io::{Read, Write};

pub use lines::LineGzip;

/// An encoding that both sides understand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// Snappy's block format, as remote write has it.
    Snappy,
}

/// Why a body could not be decompressed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodingError {
    /// An encoding that is not supported.
    #[error("Content-Encoding {0:?} is not supported: identity, gzip, zstd and snappy are")]
    Unsupported(String),
    /// The bytes are not what the header says.
    #[error("the body is not valid {0}")]
    Corrupt(&'static str),
    /// More than the limit.
    #[error("the body has more than {0} bytes after decompression")]
    TooLarge(usize),
}

impl Encoding {
    /// Reads a `Content-Encoding` header.
    pub fn parse(header: &str) -> Result<Self, EncodingError> {
        match header.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            "snappy" => Ok(Self::Snappy),
            other => Err(EncodingError::Unsupported(other.chars().take(40).collect())),
        }
    }

    /// The encoding to answer with: what `Accept-Encoding` prefers, zstd before gzip at a tie.
    pub fn accepted(header: &str) -> Self {
        let mut best = (Self::Identity, 0.0_f32);
        for entry in header.split(',') {
            let mut parts = entry.split(';');
            let name = parts.next().unwrap_or_default().trim();
            let weight =
                parts.find_map(|p| p.trim().strip_prefix("q=")).and_then(|q| q.parse().ok()).unwrap_or(1.0);
            let encoding = match name {
                "zstd" => Self::Zstd,
                "gzip" | "*" => Self::Gzip,
                _ => continue,
            };
            if weight > best.1 || (weight > 0.0 && weight == best.1 && encoding == Self::Zstd) {
                best = (encoding, weight);
            }
        }
        best.0
    }

    /// The name in headers; `None` for identity, which is not named.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
            Self::Snappy => Some("snappy"),
        }
    }
}

/// Decompresses `body`, stopping at `limit` bytes of output.
pub fn decompress(encoding: Encoding, body: &[u8], limit: usize) -> Result<Vec<u8>, EncodingError> {
    match encoding {
        Encoding::Identity => {
            if body.len() > limit {
                Err(EncodingError::TooLarge(limit))
            } else {
                Ok(body.to_vec())
            }
        }
        Encoding::Gzip => read_bounded(flate2::read::MultiGzDecoder::new(body), "gzip", limit),
        Encoding::Zstd => {
            let mut decoder =
                zstd::stream::read::Decoder::new(body).map_err(|_| EncodingError::Corrupt("zstd"))?;
            // A frame may ask for any window; 8 MiB is what the format says decoders must take.
            decoder.window_log_max(23).map_err(|_| EncodingError::Corrupt("zstd"))?;
            read_bounded(decoder, "zstd", limit)
        }
        Encoding::Snappy => {
            // A block says how long it is; nothing is allocated before that is known to be allowed.
            let corrupt = |_| EncodingError::Corrupt("snappy");
            if snap::raw::decompress_len(body).map_err(corrupt)? > limit {
                return Err(EncodingError::TooLarge(limit));
            }
            snap::raw::Decoder::new().decompress_vec(body).map_err(corrupt)
        }
    }
}

fn read_bounded(reader: impl Read, name: &'static str, limit: usize) -> Result<Vec<u8>, EncodingError> {
    let mut out = Vec::new();
    let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    reader.take(bound).read_to_end(&mut out).map_err(|_| EncodingError::Corrupt(name))?;
    if out.len() > limit { Err(EncodingError::TooLarge(limit)) } else { Ok(out) }
}

/// Compresses `body` at the fastest level; a body that can't be compressed comes back as it is.
pub fn compress(encoding: Encoding, body: &[u8]) -> Option<Vec<u8>> {
    match encoding {
        Encoding::Identity => None,
        Encoding::Gzip => {
            let out = Vec::with_capacity(body.len() / 6);
            let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::fast());
            encoder.write_all(body).ok()?;
            encoder.finish().ok()
        }
        Encoding::Zstd => zstd::bulk::compress(body, 1).ok(),
        Encoding::Snappy => snap::raw::Encoder::new().compress_vec(body).ok(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_best_accepted_encoding_is_chosen() {
        for (header, expected) in [
            ("", Encoding::Identity),
            ("gzip", Encoding::Gzip),
            ("gzip, deflate, br, zstd", Encoding::Zstd),
            ("zstd;q=0.5, gzip", Encoding::Gzip),
            ("gzip;q=0", Encoding::Identity),
            ("br", Encoding::Identity),
            ("*", Encoding::Gzip),
        ] {
            assert_eq!(Encoding::accepted(header), expected, "{header}");
        }
    }

    #[test]
    fn a_bomb_is_stopped_at_the_limit() {
        let zeros = vec![0; 10 << 20];
        for encoding in [Encoding::Gzip, Encoding::Zstd, Encoding::Snappy] {
            let bomb = compress(encoding, &zeros).unwrap();
            assert!(bomb.len() < 600_000, "{} bytes", bomb.len());
            assert_eq!(decompress(encoding, &bomb, 1 << 20), Err(EncodingError::TooLarge(1 << 20)));
        }
    }

    proptest! {
        #[test]
        fn what_was_compressed_comes_back(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            for encoding in [Encoding::Gzip, Encoding::Zstd, Encoding::Snappy] {
                let packed = compress(encoding, &bytes).unwrap();
                prop_assert_eq!(decompress(encoding, &packed, 2000), Ok(bytes.clone()));
            }
        }

        #[test]
        fn any_bytes_decompress_or_fail(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            for encoding in [Encoding::Gzip, Encoding::Zstd, Encoding::Snappy] {
                let _ = decompress(encoding, &bytes, 1000);
            }
        }
    }
}
