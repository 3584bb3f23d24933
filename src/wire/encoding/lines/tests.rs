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
        writeln!(
            text,
            "noetl_jobs{{component=\"worker-{:03}\",component_type=\"worker_pool\",queue=\"q{}\"}} {value}",
            i / 50,
            i % 50
        )
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
