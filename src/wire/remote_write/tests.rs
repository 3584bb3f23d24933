#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::collections::HashSet;

use foldhash::quality::RandomState;
use proptest::prelude::*;
use prost::Message as _;

use super::{Message, RemoteWriteError, read};
use crate::fuzzing::remote_write::sender::{self, COUNTER, HISTOGRAM, Series, encode_v1, encode_v2};
use crate::model::{Limits, MetricType};

/// What is read of a body, in the form of what was encoded. `about` is of 2.0 only.
fn read_back(message: Message, body: &[u8]) -> Result<Vec<Series>, RemoteWriteError> {
    let write = read(message, body, &Limits::default())?;
    let owned = |pairs: Vec<crate::model::Label<'_>>| -> Vec<(String, String)> {
        pairs.into_iter().map(|(k, v)| (k.into_owned(), v.into_owned())).collect()
    };
    let numbers = [
        None,
        Some(MetricType::Counter),
        Some(MetricType::Gauge),
        Some(MetricType::Histogram),
        None,
        Some(MetricType::Summary),
    ];
    Ok(write
        .series
        .iter()
        .map(|series| {
            let about = write.about(series);
            let number = numbers.iter().position(|kind| *kind == about.kind).unwrap_or(0);
            let given = about.kind.is_some().then(|| {
                let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
                (i32::try_from(number).unwrap(), text(about.help), text(about.unit))
            });
            Series {
                labels: owned(write.labels(series).unwrap()),
                samples: write.samples(series).iter().map(|s| (s.at.0, s.value)).collect(),
                exemplars: write
                    .exemplars(series)
                    .iter()
                    .map(|e| (owned(write.exemplar_labels(e).unwrap()), e.sample.at.0, e.sample.value))
                    .collect(),
                histograms: series.histograms,
                about: given,
            }
        })
        .collect())
}

#[test]
fn a_golden_body_of_1_0_is_read() {
    // WriteRequest{timeseries: {labels: __name__=up, job=a; samples: 1 @1700000000000}}
    let body = b"\x0a\x2c\x0a\x0e\x0a\x08__name__\x12\x02up\x0a\x08\x0a\x03job\x12\x01a\
        \x12\x10\x09\0\0\0\0\0\0\xf0\x3f\x10\x80\xd0\x95\xff\xbc\x31";
    let series = read_back(Message::V1, body).unwrap();
    let expected = Series::new("up", &[("job", "a")]).at(1_700_000_000_000, 1.0);
    assert_eq!(series, std::slice::from_ref(&expected));
    assert_eq!(encode_v1(&[expected]), body);
}

#[test]
fn a_golden_body_of_2_0_is_read() {
    // Request{symbols: "", __name__, up_total, Help; timeseries: {labels: 1, 2; samples: 2 @1; counter, help 3}}
    let body = b"\x22\0\x22\x08__name__\x22\x08up_total\x22\x04Help\
        \x2a\x17\x0a\x02\x01\x02\x12\x0b\x09\0\0\0\0\0\0\0\x40\x10\x01\x2a\x04\x08\x01\x18\x03";
    let series = read_back(Message::V2, body).unwrap();
    let expected = Series::new("up_total", &[]).at(1, 2.0).about(COUNTER, "Help", "");
    assert_eq!(series, std::slice::from_ref(&expected));
    assert_eq!(encode_v2(&[expected]), body);
}

#[test]
fn refs_that_are_not_packed_are_read_too() {
    let body = b"\x22\0\x22\x08__name__\x22\x02up\x2a\x06\x08\x01\x08\x02\x12\0";
    assert_eq!(read_back(Message::V2, body).unwrap(), [Series::new("up", &[]).at(0, 0.0)]);
}

#[test]
fn labels_with_something_between_them_are_read() {
    let one = |label: &[u8]| [b"\x0a".as_slice(), &[u8::try_from(label.len()).unwrap()], label].concat();
    let name = one(b"\x0a\x08__name__\x12\x02up");
    let job = one(b"\x0a\x03job\x12\x01a");
    let series = [name.as_slice(), b"\x12\0", &job].concat();
    assert_eq!(
        read_back(Message::V1, &one(&series)).unwrap(),
        [Series::new("up", &[("job", "a")]).at(0, 0.0)]
    );
}

#[test]
fn metadata_of_1_0_is_read() {
    let body = encode_v1(&[
        Series::new("a", &[]).about(HISTOGRAM, "Help", "seconds"),
        Series::new("b", &[]).about(4, "", ""),
    ]);
    let write = read(Message::V1, &body, &Limits::default()).unwrap();
    let [a, b] = write.metadata.as_slice() else { panic!("{:?}", write.metadata) };
    assert_eq!(
        (a.family, a.kind, a.help, a.unit),
        ("a", Some(MetricType::Histogram), Some("Help"), Some("seconds"))
    );
    assert_eq!((b.family, b.kind, b.help, b.unit), ("b", None, None, None));
}

#[test]
fn a_body_of_the_other_message_is_empty() {
    let series = [Series::new("a", &[("b", "c")]).at(1, 1.0)];
    assert_eq!(read_back(Message::V1, &encode_v2(&series)).unwrap(), []);
    assert_eq!(read_back(Message::V2, &encode_v1(&series)).unwrap(), []);
}

#[test]
fn content_types_name_the_message() {
    for (header, expected) in [
        ("", Some(Message::V1)),
        ("application/x-protobuf", Some(Message::V1)),
        ("application/x-protobuf;proto=prometheus.WriteRequest", Some(Message::V1)),
        ("Application/X-Protobuf; charset=x; Proto=\"io.prometheus.write.v2.Request\"", Some(Message::V2)),
        ("application/x-protobuf;proto=io.prometheus.write.v3.Request", None),
        ("application/json", None),
    ] {
        assert_eq!(Message::of_content_type(header), expected, "{header}");
    }
}

#[test]
fn what_is_too_much_or_of_another_type_is_named() {
    let limits = Limits { samples: 2, ..Limits::default() };
    let too_many = |what, most| Some(RemoteWriteError::TooMany(what, most));
    let one = Series::new("a", &[]).at(1, 1.0);
    for body in
        [vec![one.clone(); 3], vec![Series::new("a", &[]); 3], vec![one.clone().at(2, 1.0).at(3, 1.0)]]
    {
        assert_eq!(read(Message::V1, &encode_v1(&body), &limits).err(), too_many("samples", 2));
        assert_eq!(read(Message::V2, &encode_v2(&body), &limits).err(), too_many("samples", 2));
    }
    let symbols =
        sender::v2::Request { symbols: vec![String::new(); 9], timeseries: Vec::new() }.encode_to_vec();
    assert_eq!(read(Message::V2, &symbols, &limits).err(), too_many("symbols", 8));
    for (message, body) in [
        (Message::V1, b"\x08\x01".as_slice()),
        (Message::V1, b"\x0a\x02\x08\x01"),
        (Message::V1, b"\x0a\x05\x12\x03\x10\x01\x0d"),
        (Message::V1, b"\x0b\x0c"),
        (Message::V2, b"\x2a\x02\x28\x01"),
        (Message::V2, b"\x20\x01"),
    ] {
        assert!(matches!(read_back(message, body), Err(RemoteWriteError::Malformed(_))), "{body:?}");
    }
}

#[test]
fn a_ref_to_no_symbol_spoils_only_its_series() {
    let good = sender::v2::TimeSeries { labels_refs: vec![1, 2], ..Default::default() };
    for labels_refs in [vec![1, 9], vec![1], vec![u32::MAX, 2]] {
        let bad = sender::v2::TimeSeries { labels_refs, ..Default::default() };
        let symbols = ["", "__name__", "a"].map(str::to_owned).to_vec();
        let body = sender::v2::Request { symbols, timeseries: vec![good.clone(), bad] }.encode_to_vec();
        let write = read(Message::V2, &body, &Limits::default()).unwrap();
        assert!(write.labels(&write.series[0]).is_ok());
        assert_eq!(write.labels(&write.series[1]).unwrap_err().0, "labels");
    }
}

fn any_labels() -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::vec(("[a-z_]{0,9}", "[^\\x00]{0,9}"), 0..5)
}

fn any_value() -> impl Strategy<Value = (i64, f64)> {
    (any::<i64>(), any::<f64>().prop_filter("is equal to itself", |v| !v.is_nan()))
}

fn any_series() -> impl Strategy<Value = Series> {
    let exemplars = prop::collection::vec((any_labels(), any_value()), 0..3);
    let about = prop::option::of((prop::sample::select(vec![1, 2, 3, 5]), "[a-z ]{0,9}", "[a-z]{0,5}"));
    (any_labels(), prop::collection::vec(any_value(), 0..4), exemplars, 0_usize..2, about).prop_map(
        |(labels, samples, exemplars, histograms, about)| Series {
            labels: [vec![("__name__".to_owned(), "a".to_owned())], labels].concat(),
            samples,
            exemplars: exemplars.into_iter().map(|(labels, (at, value))| (labels, at, value)).collect(),
            histograms,
            about,
        },
    )
}

proptest! {
    #[test]
    fn what_was_encoded_is_read(series in prop::collection::vec(any_series(), 0..6)) {
        prop_assert_eq!(&read_back(Message::V2, &encode_v2(&series)).unwrap(), &series);
        let without: Vec<Series> = series.into_iter().map(|s| Series { about: None, ..s }).collect();
        prop_assert_eq!(&read_back(Message::V1, &encode_v1(&without)).unwrap(), &without);
    }

    #[test]
    fn keys_tell_series_apart_and_do_not_depend_on_the_request(series in prop::collection::vec(any_series(), 1..6)) {
        let hasher = RandomState::default();
        for (message, encode) in [(Message::V1, encode_v1 as fn(&[Series]) -> Vec<u8>), (Message::V2, encode_v2)] {
            let body = encode(&series);
            let together = read(message, &body, &Limits::default()).unwrap().keys(&hasher);
            let of = |s: &Series| (s.labels.clone(), (message == Message::V2).then(|| s.about.as_ref().map_or(0, |a| a.0)));
            for (one, key) in series.iter().zip(&together) {
                let alone = encode(std::slice::from_ref(one));
                prop_assert_eq!(&read(message, &alone, &Limits::default()).unwrap().keys(&hasher)[0], key);
            }
            let different: HashSet<_> = series.iter().map(of).collect();
            let keys: HashSet<_> = together.iter().map(|key| key.unwrap().0).collect();
            prop_assert_eq!(different.len(), keys.len());
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for message in [Message::V1, Message::V2] {
            let Ok(write) = read(message, &bytes, &Limits::default()) else { continue };
            for series in &write.series {
                let _ = (write.labels(series), write.about(series), write.samples(series));
            }
        }
    }

    #[test]
    fn a_cut_body_is_read_or_refused(series in prop::collection::vec(any_series(), 1..4), cut in any::<prop::sample::Index>()) {
        for (message, body) in [(Message::V1, encode_v1(&series)), (Message::V2, encode_v2(&series))] {
            let _ = read_back_lossy(message, &body[..cut.index(body.len())]);
        }
    }
}

/// Reads as much as there is; a body that is cut between two fields is a shorter one.
fn read_back_lossy(message: Message, body: &[u8]) -> Option<usize> {
    let write = read(message, body, &Limits::default()).ok()?;
    Some(write.series.iter().filter(|series| write.labels(series).is_ok()).count())
}
