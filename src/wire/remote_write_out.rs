//! A message of Prometheus remote write 1.0, as it is sent to others.

use prost::Message;

/// `prometheus.WriteRequest`, as far as it is sent.
#[derive(Clone, PartialEq, Message)]
pub struct WriteRequest {
    /// Series, each with some samples.
    #[prost(message, repeated, tag = "1")]
    pub timeseries: Vec<TimeSeries>,
}

/// Samples of one series.
#[derive(Clone, PartialEq, Message)]
pub struct TimeSeries {
    /// All labels, the name among them, in order.
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    /// The oldest first.
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

impl TimeSeries {
    /// A series of labels, which are in order, without samples yet.
    pub fn new(labels: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>) -> Self {
        let label = |(name, value): (_, _)| Label { name: Into::into(name), value: Into::into(value) };
        Self { labels: labels.into_iter().map(|(n, v)| label((n, v))).collect(), samples: Vec::new() }
    }

    /// Adds a sample, which is not older than the one before.
    pub fn push(&mut self, at: i64, value: f64) {
        self.samples.push(Sample { value, timestamp: at });
    }

    /// How many samples it has.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Takes the samples from a place on out, into a series of the same labels.
    #[must_use]
    pub fn split_off(&mut self, at: usize) -> Self {
        Self { labels: self.labels.clone(), samples: self.samples.split_off(at.min(self.samples.len())) }
    }
}

/// The series as a message.
pub fn encode(timeseries: Vec<TimeSeries>) -> Vec<u8> {
    WriteRequest { timeseries }.encode_to_vec()
}
