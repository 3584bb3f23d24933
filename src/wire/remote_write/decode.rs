//! From bytes to where everything is.

use std::borrow::Cow;

use super::{
    About, Exemplar, Message, Metadata, RemoteWrite, RemoteWriteError, Sample, Written, kind_of, most_symbols,
};
use crate::model::{Limits, Millis};
use crate::wire::protobuf::{Fields, Malformed, Value};

/// Reads a request.
pub fn read<'a>(
    message: Message,
    body: &'a [u8],
    limits: &Limits,
) -> Result<RemoteWrite<'a>, RemoteWriteError> {
    let mut reading = Reading { write: RemoteWrite::default(), message, most: limits.samples };
    let most_symbols = most_symbols(limits);
    let mut symbols = Vec::new();
    let malformed = |what| move |_: Malformed| RemoteWriteError::Malformed(what);
    for field in Fields::new(body) {
        match (message, field.map_err(malformed("body"))?) {
            (Message::V1, (1, Value::Bytes(series))) | (Message::V2, (5, Value::Bytes(series))) => {
                reading.series(series).map_err(malformed("timeseries"))?;
                reading.check_room()?;
            }
            (Message::V1, (3, Value::Bytes(about))) => {
                reading.write.metadata.push(metadata(about).map_err(malformed("metadata"))?);
                reading.check_room()?;
            }
            (Message::V2, (4, Value::Bytes(symbol))) => {
                if symbols.len() == most_symbols {
                    return Err(RemoteWriteError::TooMany("symbols", most_symbols));
                }
                symbols.push(symbol);
            }
            (Message::V1, (1 | 3, _)) | (Message::V2, (4 | 5, _)) => {
                return Err(RemoteWriteError::Malformed("body"));
            }
            _ => {}
        }
    }
    reading.write.symbols = (message == Message::V2).then_some(symbols);
    Ok(reading.write)
}

struct Reading<'a> {
    write: RemoteWrite<'a>,
    message: Message,
    most: usize,
}

impl<'a> Reading<'a> {
    /// Whatever the message has most of, it is not more than samples may be.
    fn check_room(&self) -> Result<(), RemoteWriteError> {
        let RemoteWrite { series, samples, exemplars, metadata, .. } = &self.write;
        let most = series.len().max(samples.len()).max(exemplars.len()).max(metadata.len());
        if most > self.most { Err(RemoteWriteError::TooMany("samples", self.most)) } else { Ok(()) }
    }

    fn series(&mut self, message: &'a [u8]) -> Result<(), Malformed> {
        let (first_sample, first_exemplar) = (self.write.samples.len(), self.write.exemplars.len());
        let mut labels = Labels::default();
        let (mut histograms, mut about) = (0, About::default());
        let mut fields = Fields::new(message);
        let mut begin = 0;
        while let Some(field) = fields.next() {
            let end = message.len() - fields.left();
            match (self.message, field?) {
                (Message::V1, (1, Value::Bytes(_))) => labels.add_run(message, begin, end),
                (Message::V2, (1, Value::Bytes(packed))) => labels.add(packed),
                // One by one, which is as good as packed.
                (Message::V2, (1, Value::Varint(_))) => labels.add(after_key(&message[begin..end])),
                (_, (2, Value::Bytes(one))) => self.write.samples.push(sample(one)?),
                (Message::V1, (3, Value::Bytes(one))) | (Message::V2, (4, Value::Bytes(one))) => {
                    let one = exemplar(self.message, one)?;
                    self.write.exemplars.push(one);
                }
                (Message::V1, (4, Value::Bytes(_))) | (Message::V2, (3, Value::Bytes(_))) => histograms += 1,
                (Message::V2, (5, Value::Bytes(one))) => about = about_of(one)?,
                (_, (1..=4, _)) | (Message::V2, (5, _)) => return Err(Malformed),
                _ => {}
            }
            begin = end;
            if self.write.samples.len().max(self.write.exemplars.len()) > self.most {
                // Enough to be refused for it.
                break;
            }
        }
        self.write.series.push(Written {
            labels: labels.0,
            samples: first_sample..self.write.samples.len(),
            exemplars: first_exemplar..self.write.exemplars.len(),
            histograms,
            about,
            is_delta: false,
        });
        Ok(())
    }
}

/// The bytes of the fields that are labels; copied only where something lies between them.
#[derive(Default)]
struct Labels<'a>(Cow<'a, [u8]>);

impl<'a> Labels<'a> {
    fn add(&mut self, bytes: &'a [u8]) {
        if self.0.is_empty() {
            self.0 = bytes.into();
        } else {
            self.0.to_mut().extend_from_slice(bytes);
        }
    }

    /// The same of a field that may follow the last one directly.
    fn add_run(&mut self, message: &'a [u8], begin: usize, end: usize) {
        match &mut self.0 {
            Cow::Borrowed(run) if run.len() == begin => *run = &message[..end],
            _ => self.add(&message[begin..end]),
        }
    }
}

/// A field of one number without its key, which has one byte.
fn after_key(field: &[u8]) -> &[u8] {
    field.get(1..).unwrap_or_default()
}

/// Fields 1 and 2 are a value and its time, in both messages.
#[inline]
fn sample(message: &[u8]) -> Result<Sample, Malformed> {
    let mut sample = Sample::default();
    for field in Fields::new(message) {
        match field? {
            (1, Value::Fixed64(bits)) => sample.value = f64::from_bits(bits),
            (2, Value::Varint(at)) => sample.at = Millis(at.cast_signed()),
            (1 | 2, _) => return Err(Malformed),
            _ => {}
        }
    }
    Ok(sample)
}

fn exemplar(version: Message, message: &[u8]) -> Result<Exemplar<'_>, Malformed> {
    let (mut labels, mut sample) = (Labels::default(), Sample::default());
    let mut fields = Fields::new(message);
    let mut begin = 0;
    while let Some(field) = fields.next() {
        let end = message.len() - fields.left();
        match (version, field?) {
            (Message::V1, (1, Value::Bytes(_))) => labels.add_run(message, begin, end),
            (Message::V2, (1, Value::Bytes(packed))) => labels.add(packed),
            (Message::V2, (1, Value::Varint(_))) => labels.add(after_key(&message[begin..end])),
            (_, (2, Value::Fixed64(bits))) => sample.value = f64::from_bits(bits),
            (_, (3, Value::Varint(at))) => sample.at = Millis(at.cast_signed()),
            (_, (1..=3, _)) => return Err(Malformed),
            _ => {}
        }
        begin = end;
    }
    Ok(Exemplar { labels: labels.0, sample })
}

fn about_of(message: &[u8]) -> Result<About, Malformed> {
    let mut about = About::default();
    for field in Fields::new(message) {
        match field? {
            (1, Value::Varint(kind)) => about.kind = kind,
            (3, Value::Varint(help)) => about.help = help,
            (4, Value::Varint(unit)) => about.unit = unit,
            (1 | 3 | 4, _) => return Err(Malformed),
            _ => {}
        }
    }
    Ok(about)
}

fn metadata(message: &[u8]) -> Result<Metadata<'_>, Malformed> {
    let text = |bytes| str::from_utf8(bytes).map_err(|_| Malformed);
    let given = |bytes| text(bytes).map(|text| Some(text).filter(|text| !text.is_empty()));
    let mut about = Metadata::default();
    for field in Fields::new(message) {
        match field? {
            (1, Value::Varint(kind)) => about.kind = kind_of(kind),
            (2, Value::Bytes(family)) => about.family = text(family)?,
            (4, Value::Bytes(help)) => about.help = given(help)?,
            (5, Value::Bytes(unit)) => about.unit = given(unit)?,
            (1 | 2 | 4 | 5, _) => return Err(Malformed),
            _ => {}
        }
    }
    Ok(about)
}
