//! Series that come in another format, brought into the form of remote write 2.0: from here on one way
//! serves both.

use std::borrow::Cow;
use std::collections::HashMap;

use super::{About, Exemplar, RemoteWrite, Sample, Written};
use crate::model::MetricType;

/// A text among those that labels refer to; the default is the empty one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Text(u32);

/// What is said of a series beside its labels.
#[derive(Clone, Copy, Debug, Default)]
pub struct Said {
    /// Its type.
    pub kind: Option<MetricType>,
    /// Help text.
    pub help: Text,
    /// Unit.
    pub unit: Text,
    /// Its value is what has been added since the sample before.
    pub is_delta: bool,
}

/// Series by and by, each text once.
#[derive(Debug)]
pub struct Made {
    places: HashMap<String, Text>,
    texts: Vec<String>,
    series: Vec<Series>,
    samples: Vec<Sample>,
    exemplars: Vec<(Vec<u8>, Sample)>,
}

#[derive(Debug)]
struct Series {
    labels: Vec<u8>,
    said: Said,
    /// Where its exemplars end; those of the series before end where they begin.
    exemplars: usize,
}

impl Default for Made {
    fn default() -> Self {
        Self {
            places: HashMap::from([(String::new(), Text(0))]),
            texts: vec![String::new()],
            series: Vec::new(),
            samples: Vec::new(),
            exemplars: Vec::new(),
        }
    }
}

impl Made {
    /// A text that labels may refer to.
    pub fn text(&mut self, text: &str) -> Text {
        if let Some(place) = self.places.get(text) {
            return *place;
        }
        let place = Text(u32::try_from(self.texts.len()).unwrap_or_default());
        self.texts.push(text.to_owned());
        self.places.insert(text.to_owned(), place);
        place
    }

    /// A series, by its labels in an order that is always the same, and its sample.
    pub fn series(&mut self, labels: impl Iterator<Item = (Text, Text)>, said: Said, sample: Sample) {
        self.samples.push(sample);
        self.series.push(Series { labels: packed(labels), said, exemplars: self.exemplars.len() });
    }

    /// An exemplar of the last series.
    pub fn exemplar(&mut self, labels: impl Iterator<Item = (Text, Text)>, sample: Sample) {
        self.exemplars.push((packed(labels), sample));
        if let Some(last) = self.series.last_mut() {
            last.exemplars = self.exemplars.len();
        }
    }

    /// How many series there are.
    pub const fn len(&self) -> usize {
        self.series.len()
    }

    /// How many exemplars there are.
    pub const fn exemplars(&self) -> usize {
        self.exemplars.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// All of it, as if it had been read.
    pub fn write(&self) -> RemoteWrite<'_> {
        let mut first_exemplar = 0;
        let series = self.series.iter().enumerate().map(|(at, series)| {
            let exemplars = first_exemplar..series.exemplars;
            first_exemplar = series.exemplars;
            let Said { kind, help, unit, is_delta } = series.said;
            Written {
                labels: Cow::Borrowed(&series.labels),
                samples: at..at + 1,
                exemplars,
                histograms: 0,
                about: About { kind: number_of(kind), help: help.0.into(), unit: unit.0.into() },
                is_delta,
            }
        });
        let exemplars = self.exemplars.iter();
        RemoteWrite {
            symbols: Some(self.texts.iter().map(String::as_bytes).collect()),
            series: series.collect(),
            metadata: Vec::new(),
            samples: self.samples.clone(),
            exemplars: exemplars
                .map(|(labels, sample)| Exemplar { labels: Cow::Borrowed(labels), sample: *sample })
                .collect(),
        }
    }
}

fn packed(labels: impl Iterator<Item = (Text, Text)>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in labels {
        for Text(place) in [name, value] {
            prost::encoding::encode_varint(place.into(), &mut bytes);
        }
    }
    bytes
}

/// The number of a type in 2.0.
const fn number_of(kind: Option<MetricType>) -> u64 {
    match kind {
        Some(MetricType::Counter) => 1,
        Some(MetricType::Gauge) => 2,
        Some(MetricType::Histogram) => 3,
        Some(MetricType::Summary) => 5,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::kind_of;
    use super::*;
    use crate::model::Millis;

    #[test]
    fn what_was_made_reads_as_it_was_said() {
        let mut made = Made::default();
        let [name, a, b, help] = ["__name__", "a", "b", "of a"].map(|text| made.text(text));
        assert_eq!(made.text("a"), a);
        let said = Said { kind: Some(MetricType::Counter), help, ..Said::default() };
        let sample = |value| Sample { at: Millis(7), value };
        made.series([(name, a)].into_iter(), said, sample(1.0));
        made.exemplar([(a, b)].into_iter(), sample(0.5));
        made.series([(name, b), (a, a)].into_iter(), Said::default(), sample(2.0));
        let write = made.write();
        let [first, second] = &write.series[..] else { panic!("{write:?}") };
        assert_eq!(write.labels(first).unwrap(), [("__name__".into(), "a".into())]);
        assert_eq!(write.labels(second).unwrap()[1], ("a".into(), "a".into()));
        assert_eq!((write.samples(first)[0].value, write.samples(second)[0].value), (1.0, 2.0));
        assert_eq!((write.exemplars(first).len(), write.exemplars(second).len()), (1, 0));
        assert_eq!(write.exemplar_labels(&write.exemplars(first)[0]).unwrap(), [("a".into(), "b".into())]);
        let about = write.about(first);
        assert_eq!((about.kind, about.help, about.unit), (Some(MetricType::Counter), Some("of a"), None));
    }

    #[test]
    fn types_have_the_numbers_that_stand_for_them() {
        for kind in [MetricType::Counter, MetricType::Gauge, MetricType::Histogram, MetricType::Summary] {
            assert_eq!(kind_of(number_of(Some(kind))), Some(kind));
        }
    }
}
