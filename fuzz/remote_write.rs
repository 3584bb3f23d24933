//! Remote write 1.0 and 2.0, and what OpenTelemetry sends: within the limits, as another library reads it, and the same once written again.

use foldhash::quality::FixedState;
use prost::Message as _;

use crate::model::{Label, Limits, Millis, check_exemplar, check_labels, export_line, labels_of_line};
use crate::wire::otlp;
use crate::wire::remote_write::{Message, RemoteWrite, Written, identify, infer, read};

#[path = "../tests/contract/harness/remote_write.rs"]
#[allow(clippy::pedantic, clippy::expect_used, missing_docs, reason = "a file of the tests")]
pub(crate) mod sender;

use sender::{Series, encode_v1, encode_v2, v1, v2};

/// The first byte says which message the others are.
pub(super) fn remote_write(data: &[u8]) {
    let Some((version, body)) = data.split_first() else { return };
    if version & 2 != 0 {
        let form = if version & 1 == 0 { otlp::Form::Protobuf } else { otlp::Form::Json };
        return open_telemetry(form, body);
    }
    let message = if version & 1 == 0 { Message::V1 } else { Message::V2 };
    let limits = Limits { samples: 100, ..Limits::default() };
    let Ok(write) = read(message, body, &limits) else { return };
    keeps_limits(&write, &limits);
    for series in &write.series {
        names_a_series(&write, series, &limits);
    }
    let Some(all) = write.series.iter().map(|series| whole(&write, series)).collect::<Option<Vec<_>>>()
    else {
        return;
    };
    agrees(message, body, &all);
    for (message, body) in [(Message::V1, encode_v1(&all)), (Message::V2, encode_v2(&all))] {
        let again = read(message, &body, &Limits::default()).expect("what was written is read");
        let again: Option<Vec<_>> = again.series.iter().map(|series| whole(&again, series)).collect();
        assert!(again.is_some_and(|again| same(&again, &all)), "{message:?} of {all:?}");
    }
}

/// What OpenTelemetry sends becomes series within the limits, each of a point or of its resource.
fn open_telemetry(form: otlp::Form, body: &[u8]) {
    let limits = Limits { samples: 100, ..Limits::default() };
    if otlp::memory(form, body, &limits).is_err() {
        return;
    }
    let Ok(request) = otlp::read(form, body) else { return };
    let Ok(translated) = otlp::translate(&request, &limits, Millis(1_000)) else { return };
    let write = translated.made.write();
    keeps_limits(&write, &limits);
    assert_eq!(write.series.len(), translated.point_of.len());
    let points =
        translated.point_of.iter().flatten().chain(translated.refused.iter().map(|(point, _)| point));
    assert!(points.max().is_none_or(|point| *point < translated.points));
    for series in &write.series {
        assert_eq!(write.samples(series).len(), 1);
        names_a_series(&write, series, &limits);
        for exemplar in write.exemplars(series) {
            // Of a text with U+0000 nothing is stored.
            let labels = write.exemplar_labels(exemplar);
            assert!(labels.is_err() || labels.is_ok_and(|mut labels| check_exemplar(&mut labels).is_ok()));
        }
    }
}

fn keeps_limits(write: &RemoteWrite<'_>, limits: &Limits) {
    let samples: usize = write.series.iter().map(|series| write.samples(series).len()).sum();
    let exemplars: usize = write.series.iter().map(|series| write.exemplars(series).len()).sum();
    for many in [write.series.len(), write.metadata.len(), samples, exemplars] {
        assert!(many <= limits.samples, "{many}");
    }
    let hasher = FixedState::default();
    let keys = write.keys(&hasher);
    assert_eq!(keys.len(), write.series.len());
    assert_eq!(keys, write.keys(&hasher));
    for (key, series) in keys.iter().zip(&write.series) {
        assert!(key.is_none_or(|key| key.0 > 0));
        assert!(key.is_some() || write.labels(series).is_err(), "a series without a key has no labels");
    }
}

/// What is taken for a series keeps the rules of one, and its line says all of it.
fn names_a_series(write: &RemoteWrite<'_>, series: &Written<'_>, limits: &Limits) {
    let Ok(labels) = write.labels(series) else { return };
    assert!(labels.iter().all(|(name, value)| !name.contains('\0') && !value.contains('\0')));
    let Ok(mut identity) = identify(labels, limits) else { return };
    let (kind, _) = infer(&identity.metric, &identity.labels, write.about(series).kind);
    if check_labels(&identity.metric, kind, &mut identity.labels, limits).is_err() {
        return;
    }
    assert!(identity.labels.len() <= limits.labels && identity.metric.len() <= limits.name_bytes);
    let mut line = Vec::new();
    export_line(&mut line, &identity.metric, "\u{1}component", "\u{1}kind", &identity.labels);
    let given =
        |(name, value): &Label<'_>| (name.trim_start_matches("exported_").to_owned(), value.to_string());
    let mut expected: Vec<_> = identity.labels.iter().map(given).collect();
    let mut found: Vec<_> = labels_of_line(&line)
        .into_iter()
        .skip(2)
        .map(|(name, value)| (name.trim_start_matches("exported_").to_owned(), value))
        .collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
}

/// A series as a sender has it; nothing where its labels can't be read.
fn whole(write: &RemoteWrite<'_>, series: &Written<'_>) -> Option<Series> {
    let owned = |pairs: Vec<Label<'_>>| -> Vec<(String, String)> {
        pairs.into_iter().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
    };
    let exemplars = write
        .exemplars(series)
        .iter()
        .map(|one| Some((owned(write.exemplar_labels(one).ok()?), one.sample.at.0, one.sample.value)));
    Some(Series {
        labels: owned(write.labels(series).ok()?),
        samples: write.samples(series).iter().map(|sample| (sample.at.0, sample.value)).collect(),
        exemplars: exemplars.collect::<Option<_>>()?,
        histograms: series.histograms,
        about: None,
    })
}

/// The other library, where it reads the bytes too, finds the same in them.
fn agrees(message: Message, body: &[u8], all: &[Series]) {
    let other: Option<Vec<Series>> = match message {
        Message::V1 => v1::WriteRequest::decode(body).ok().map(|read| {
            let labels = |all: &[v1::Label]| all.iter().map(|l| (l.name.clone(), l.value.clone())).collect();
            let series = |one: &v1::TimeSeries| Series {
                labels: labels(&one.labels),
                samples: one.samples.iter().map(|sample| (sample.timestamp, sample.value)).collect(),
                exemplars: one.exemplars.iter().map(|e| (labels(&e.labels), e.timestamp, e.value)).collect(),
                histograms: one.histograms.len(),
                about: None,
            };
            read.timeseries.iter().map(series).collect()
        }),
        Message::V2 => v2::Request::decode(body).ok().and_then(|read| {
            let labels = |refs: &[u32]| -> Option<Vec<(String, String)>> {
                let text = |place: &u32| read.symbols.get(usize::try_from(*place).ok()?).cloned();
                refs.chunks(2).map(|pair| Some((text(pair.first()?)?, text(pair.get(1)?)?))).collect()
            };
            let series = |one: &v2::TimeSeries| {
                let exemplars =
                    one.exemplars.iter().map(|e| Some((labels(&e.labels_refs)?, e.timestamp, e.value)));
                Some(Series {
                    labels: labels(&one.labels_refs)?,
                    samples: one.samples.iter().map(|sample| (sample.timestamp, sample.value)).collect(),
                    exemplars: exemplars.collect::<Option<_>>()?,
                    histograms: one.histograms.len(),
                    about: None,
                })
            };
            read.timeseries.iter().map(series).collect()
        }),
    };
    assert!(other.as_ref().is_none_or(|other| same(other, all)), "{other:?} is not {all:?}");
}

/// Whether they are the same, bit by bit: NaN is not equal to itself. Only -0 may have become 0: what
/// writes the messages leaves out a value that equals its default.
fn same(some: &[Series], others: &[Series]) -> bool {
    let bits_of = |value: f64| (value + 0.0).to_bits();
    let bits = |all: &[Series]| -> Vec<_> {
        let of = |one: &Series| {
            let samples: Vec<_> = one.samples.iter().map(|(at, value)| (*at, bits_of(*value))).collect();
            let exemplars: Vec<_> = one
                .exemplars
                .iter()
                .map(|(labels, at, value)| (labels.clone(), *at, bits_of(*value)))
                .collect();
            (one.labels.clone(), samples, exemplars, one.histograms)
        };
        all.iter().map(of).collect()
    };
    bits(some) == bits(others)
}
