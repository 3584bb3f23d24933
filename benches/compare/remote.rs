//! Bodies of remote write 1.0, as a sender makes them.

use std::fmt::Write as _;
use std::ops::Range;

use crate::fleet::Series;
use crate::sender;

/// Bytes of a time of this century.
const TIME_BYTES: usize = 6;
/// A time whose bytes are as many.
const SOME_TIME: i64 = 1 << 40;

/// A body before it is compressed, with the places of times and values.
pub(crate) struct Body {
    pub(crate) bytes: Vec<u8>,
    pub(crate) times: Vec<usize>,
    pub(crate) values: Vec<usize>,
}

/// The body with one sample of each of these series.
pub(crate) fn body(series: Range<usize>) -> Body {
    let mut body = Body { bytes: Vec::new(), times: Vec::new(), values: Vec::new() };
    for number in series {
        let labels = Series(number).written_labels();
        let labels = labels.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let one = sender::Series { labels, samples: vec![(SOME_TIME, 1.0)], ..sender::Series::default() };
        body.bytes.extend(sender::encode_v1(&[one]));
        // A sample is the last of its series: key and value, key and time.
        let end = body.bytes.len();
        body.times.push(end - TIME_BYTES);
        body.values.push(end - TIME_BYTES - 1 - 8);
    }
    body
}

/// The bytes of a time.
pub(crate) fn time(at: i64) -> [u8; TIME_BYTES] {
    std::array::from_fn(|place| {
        let more = if place + 1 < TIME_BYTES { 0x80 } else { 0 };
        (at.cast_unsigned() >> (7 * place) & 0x7f) as u8 | more
    })
}

/// The whole request: head, and the compressed body.
pub(crate) fn pack(body: &[u8], request: &mut Vec<u8>) {
    let packed = snap::raw::Encoder::new().compress_vec(body).unwrap_or_default();
    let mut head = String::with_capacity(256);
    let _ = write!(
        head,
        "POST /api/v1/write HTTP/1.1\r\nhost: bench\r\ncontent-type: application/x-protobuf\r\n\
         content-encoding: snappy\r\nx-prometheus-remote-write-version: 0.1.0\r\ncontent-length: {}\r\n\r\n",
        packed.len()
    );
    request.clear();
    request.extend_from_slice(head.as_bytes());
    request.extend_from_slice(&packed);
}
