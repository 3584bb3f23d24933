//! The body of `POST /api/v1/write`: Prometheus remote write, 1.0 and 2.0.
//!
//! [`read`] finds in one pass over the bytes where each series has its labels, and takes samples and
//! exemplars out; nothing is copied. [`RemoteWrite::keys`] stands for the labels as they are written, so
//! that a series that was written like this before is known without reading them. Only of the others
//! [`RemoteWrite::labels`] makes strings, and [`identify`] says which component and metric they name.
//! Bytes that are no message fail as a whole; labels that break a rule fail with their series.

mod decode;
mod identify;
mod made;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::hash::{BuildHasher, Hasher};
use std::ops::Range;

use crate::model::{Label, Limits, MetricType, Millis, SeriesKey};
use crate::wire::protobuf::{Fields, Packed, Value};

pub use decode::read;
pub use identify::{DEFAULT_COMPONENT, DEFAULT_KIND, Identity, identify, infer, names_component};
pub use made::{Made, Said, Text};

/// Header of an answer that says how many samples were written.
pub const SAMPLES_WRITTEN: &str = "x-prometheus-remote-write-samples-written";

/// A message that a sender may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// `prometheus.WriteRequest` of remote write 1.0.
    V1,
    /// `io.prometheus.write.v2.Request` of remote write 2.0.
    V2,
}

impl Message {
    /// Reads a `Content-Type`. One that is missing is that of 1.0, whose first senders had none.
    pub fn of_content_type(header: &str) -> Option<Self> {
        let mut parts = header.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        if !media.is_empty() && !media.eq_ignore_ascii_case("application/x-protobuf") {
            return None;
        }
        let proto = parts.find_map(|part| {
            let (name, value) = part.split_once('=')?;
            name.trim_end().eq_ignore_ascii_case("proto").then(|| value.trim().trim_matches('"'))
        });
        match proto {
            None | Some("prometheus.WriteRequest") => Some(Self::V1),
            Some("io.prometheus.write.v2.Request") => Some(Self::V2),
            Some(_) => None,
        }
    }
}

/// Why a whole body was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemoteWriteError {
    /// The bytes are not the message that the content type names.
    #[error("{0}: not a valid protobuf message")]
    Malformed(&'static str),
    /// More than the limit.
    #[error("more than {1} {0} in one request: send fewer at once")]
    TooMany(&'static str, usize),
}

/// What is wrong with a series, and with which part of it.
pub type FieldError = (&'static str, String);

/// A request that was read.
#[derive(Debug, Default)]
pub struct RemoteWrite<'a> {
    /// The strings that labels refer to; nothing where they are written out, as in 1.0.
    symbols: Option<Vec<&'a [u8]>>,
    /// The series, as they came.
    pub series: Vec<Written<'a>>,
    /// What 1.0 says of metrics beside their series.
    pub metadata: Vec<Metadata<'a>>,
    samples: Vec<Sample>,
    exemplars: Vec<Exemplar<'a>>,
}

/// A series, with what was written of it.
#[derive(Debug)]
pub struct Written<'a> {
    labels: Cow<'a, [u8]>,
    samples: Range<usize>,
    exemplars: Range<usize>,
    /// How many native histograms it has.
    pub histograms: usize,
    /// Type, help and unit, as 2.0 has them.
    about: About,
    /// Its values are what has been added since the sample before, as other formats may have them.
    pub is_delta: bool,
}

/// What 2.0 says of the metric of a series: a type's number, places of help and unit among the symbols.
#[derive(Clone, Copy, Debug, Default)]
struct About {
    kind: u64,
    help: u64,
    unit: u64,
}

/// A value at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Milliseconds since 1970.
    pub at: Millis,
    /// The value.
    pub value: f64,
}

/// An exemplar.
#[derive(Debug)]
pub struct Exemplar<'a> {
    labels: Cow<'a, [u8]>,
    /// Its value, and when it was observed; 0 where that is not said.
    pub sample: Sample,
}

/// What is said of a metric.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata<'a> {
    /// Name of the family.
    pub family: &'a str,
    /// Its type, where it is one that is stored.
    pub kind: Option<MetricType>,
    /// Help text.
    pub help: Option<&'a str>,
    /// Unit.
    pub unit: Option<&'a str>,
}

impl<'a> RemoteWrite<'a> {
    /// The samples of a series.
    pub fn samples(&self, series: &Written<'_>) -> &[Sample] {
        self.samples.get(series.samples.clone()).unwrap_or_default()
    }

    /// The exemplars of a series.
    pub fn exemplars(&self, series: &Written<'_>) -> &[Exemplar<'a>] {
        self.exemplars.get(series.exemplars.clone()).unwrap_or_default()
    }

    /// A key for each series, of its labels as they are written and of its type where that is with
    /// them; nothing where they refer to strings that there are not.
    pub fn keys(&self, hasher: &impl BuildHasher) -> Vec<Option<SeriesKey>> {
        let key = |hash: u64| SeriesKey(hash.max(1));
        let Some(symbols) = &self.symbols else {
            return self.series.iter().map(|s| Some(key(hasher.hash_one(&*s.labels)))).collect();
        };
        let symbols: Vec<u64> = symbols.iter().map(|text| hasher.hash_one(text)).collect();
        let of_refs = |series: &Written<'_>| {
            let mut state = hasher.build_hasher();
            state.write_u64(series.about.kind);
            for place in Packed::new(&series.labels) {
                state.write_u64(*symbols.get(usize::try_from(place.ok()?).ok()?)?);
            }
            Some(key(state.finish()))
        };
        self.series.iter().map(of_refs).collect()
    }

    /// The labels of a series, in the order in which they are written.
    pub fn labels<'s>(&'s self, series: &'s Written<'a>) -> Result<Vec<Label<'s>>, FieldError> {
        self.pairs(&series.labels)
    }

    /// The labels of an exemplar.
    pub fn exemplar_labels<'s>(&'s self, exemplar: &'s Exemplar<'a>) -> Result<Vec<Label<'s>>, FieldError> {
        self.pairs(&exemplar.labels).map_err(|(_, reason)| ("exemplars", reason))
    }

    /// What is said of the metric of a series beside its labels.
    pub fn about(&self, series: &Written<'_>) -> Metadata<'a> {
        let symbol = |place: u64| {
            let bytes = self.symbols.as_ref()?.get(usize::try_from(place).ok()?)?;
            str::from_utf8(bytes).ok().filter(|text| !text.is_empty())
        };
        let About { kind, help, unit } = series.about;
        Metadata { family: "", kind: kind_of(kind), help: symbol(help), unit: symbol(unit) }
    }

    fn pairs<'s>(&'s self, labels: &'s [u8]) -> Result<Vec<Label<'s>>, FieldError> {
        let Some(symbols) = &self.symbols else { return written_out(labels) };
        let mut texts = Packed::new(labels).map(|place| {
            let place = place.ok().and_then(|place| usize::try_from(place).ok());
            let bytes = place.and_then(|place| symbols.get(place));
            bytes.ok_or_else(|| ("labels", "refer to a symbol that there is not".to_owned()))
        });
        let mut pairs = Vec::new();
        while let Some(name) = texts.next() {
            let Some(value) = texts.next() else {
                return Err(("labels", "a name without a value".into()));
            };
            pairs.push((text(name?)?, text(value?)?));
        }
        Ok(pairs)
    }
}

/// The labels of 1.0, each a message of a name and a value.
fn written_out(labels: &[u8]) -> Result<Vec<Label<'_>>, FieldError> {
    let malformed = || ("labels", "not valid protobuf messages".to_owned());
    let mut pairs = Vec::new();
    for label in Fields::new(labels) {
        let Ok((_, Value::Bytes(label))) = label else { return Err(malformed()) };
        let mut pair: Label<'_> = Label::default();
        for field in Fields::new(label) {
            match field.map_err(|_| malformed())? {
                (1, Value::Bytes(name)) => pair.0 = text(name)?,
                (2, Value::Bytes(value)) => pair.1 = text(value)?,
                _ => {}
            }
        }
        pairs.push(pair);
    }
    Ok(pairs)
}

fn text(bytes: &[u8]) -> Result<Cow<'_, str>, FieldError> {
    let text = str::from_utf8(bytes).map_err(|_| ("labels", "are not all UTF-8".to_owned()))?;
    // PostgreSQL's text can't hold this one character.
    if text.contains('\0') {
        return Err(("labels", "must not hold the character U+0000".into()));
    }
    Ok(text.into())
}

/// The type that a number stands for, in both messages. Info and state sets are gauges here; what has no
/// series of its own kind, or says nothing, has none.
fn kind_of(number: u64) -> Option<MetricType> {
    match number {
        1 => Some(MetricType::Counter),
        2 | 6 | 7 => Some(MetricType::Gauge),
        3 => Some(MetricType::Histogram),
        5 => Some(MetricType::Summary),
        _ => None,
    }
}

/// How many of these there may be; a symbol is a few times as small as what refers to it.
fn most_symbols(limits: &Limits) -> usize {
    limits.samples.saturating_mul(4)
}
