//! The messages of remote write 1.0 and 2.0 as senders make them, by another library than the program
//! reads them with. The unit tests and the benchmark use this file too.
#![allow(dead_code, unreachable_pub, reason = "used from several crates, each of which makes some")]

use prost::Message as _;

/// `prometheus.WriteRequest`.
pub mod v1 {
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct WriteRequest {
        #[prost(message, repeated, tag = "1")]
        pub timeseries: Vec<TimeSeries>,
        #[prost(message, repeated, tag = "3")]
        pub metadata: Vec<Metadata>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct TimeSeries {
        #[prost(message, repeated, tag = "1")]
        pub labels: Vec<Label>,
        #[prost(message, repeated, tag = "2")]
        pub samples: Vec<super::Sample>,
        #[prost(message, repeated, tag = "3")]
        pub exemplars: Vec<Exemplar>,
        #[prost(message, repeated, tag = "4")]
        pub histograms: Vec<super::Histogram>,
    }

    #[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
    pub struct Label {
        #[prost(string, tag = "1")]
        pub name: String,
        #[prost(string, tag = "2")]
        pub value: String,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Exemplar {
        #[prost(message, repeated, tag = "1")]
        pub labels: Vec<Label>,
        #[prost(double, tag = "2")]
        pub value: f64,
        #[prost(int64, tag = "3")]
        pub timestamp: i64,
    }

    #[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
    pub struct Metadata {
        #[prost(int32, tag = "1")]
        pub kind: i32,
        #[prost(string, tag = "2")]
        pub metric_family_name: String,
        #[prost(string, tag = "4")]
        pub help: String,
        #[prost(string, tag = "5")]
        pub unit: String,
    }
}

/// `io.prometheus.write.v2.Request`.
pub mod v2 {
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Request {
        #[prost(string, repeated, tag = "4")]
        pub symbols: Vec<String>,
        #[prost(message, repeated, tag = "5")]
        pub timeseries: Vec<TimeSeries>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct TimeSeries {
        #[prost(uint32, repeated, tag = "1")]
        pub labels_refs: Vec<u32>,
        #[prost(message, repeated, tag = "2")]
        pub samples: Vec<super::Sample>,
        #[prost(message, repeated, tag = "3")]
        pub histograms: Vec<super::Histogram>,
        #[prost(message, repeated, tag = "4")]
        pub exemplars: Vec<Exemplar>,
        #[prost(message, optional, tag = "5")]
        pub metadata: Option<Metadata>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Exemplar {
        #[prost(uint32, repeated, tag = "1")]
        pub labels_refs: Vec<u32>,
        #[prost(double, tag = "2")]
        pub value: f64,
        #[prost(int64, tag = "3")]
        pub timestamp: i64,
    }

    #[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
    pub struct Metadata {
        #[prost(int32, tag = "1")]
        pub kind: i32,
        #[prost(uint32, tag = "3")]
        pub help_ref: u32,
        #[prost(uint32, tag = "4")]
        pub unit_ref: u32,
    }
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Sample {
    #[prost(double, tag = "1")]
    pub value: f64,
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
    /// Only 2.0 has it.
    #[prost(int64, tag = "3")]
    pub start_timestamp: i64,
}

/// Of a native histogram only what tells that it is one.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Histogram {
    #[prost(uint64, tag = "1")]
    pub count: u64,
    #[prost(double, tag = "3")]
    pub sum: f64,
    #[prost(sint32, tag = "4")]
    pub schema: i32,
    #[prost(int64, tag = "15")]
    pub timestamp: i64,
}

pub const COUNTER: i32 = 1;
pub const GAUGE: i32 = 2;
pub const HISTOGRAM: i32 = 3;
pub const SUMMARY: i32 = 5;

/// Labels, time and value.
pub type Exemplar = (Vec<(String, String)>, i64, f64);

/// A series with what is written of it, from which both messages are made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    pub labels: Vec<(String, String)>,
    pub samples: Vec<(i64, f64)>,
    pub exemplars: Vec<Exemplar>,
    pub histograms: usize,
    /// Type, help and unit.
    pub about: Option<(i32, String, String)>,
}

impl Series {
    /// `name{label="value"}`, the labels as pairs.
    pub fn new(name: &str, labels: &[(&str, &str)]) -> Self {
        let named = [("__name__", name)].into_iter().chain(labels.iter().copied());
        Self { labels: named.map(|(k, v)| (k.to_owned(), v.to_owned())).collect(), ..Self::default() }
    }

    #[must_use]
    pub fn at(mut self, at: i64, value: f64) -> Self {
        self.samples.push((at, value));
        self
    }

    #[must_use]
    pub fn about(mut self, kind: i32, help: &str, unit: &str) -> Self {
        self.about = Some((kind, help.to_owned(), unit.to_owned()));
        self
    }

    #[must_use]
    pub fn exemplar(mut self, labels: &[(&str, &str)], at: i64, value: f64) -> Self {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        self.exemplars.push((labels, at, value));
        self
    }

    fn histograms(&self) -> Vec<Histogram> {
        vec![Histogram { count: 1, sum: 1.0, schema: 3, timestamp: 1 }; self.histograms]
    }
}

/// The bytes of a `prometheus.WriteRequest`; types, help and units become its metadata.
pub fn encode_v1(series: &[Series]) -> Vec<u8> {
    let labels = |pairs: &[(String, String)]| -> Vec<v1::Label> {
        pairs.iter().map(|(name, value)| v1::Label { name: name.clone(), value: value.clone() }).collect()
    };
    let exemplar = |(pairs, timestamp, value): &Exemplar| v1::Exemplar {
        labels: labels(pairs),
        value: *value,
        timestamp: *timestamp,
    };
    let timeseries = series.iter().map(|one| v1::TimeSeries {
        labels: labels(&one.labels),
        samples: samples(one),
        exemplars: one.exemplars.iter().map(exemplar).collect(),
        histograms: one.histograms(),
    });
    let metadata = series.iter().filter_map(|one| {
        let (kind, help, unit) = one.about.clone()?;
        Some(v1::Metadata { kind, metric_family_name: one.labels[0].1.clone(), help, unit })
    });
    v1::WriteRequest { timeseries: timeseries.collect(), metadata: metadata.collect() }.encode_to_vec()
}

/// The bytes of an `io.prometheus.write.v2.Request`.
pub fn encode_v2(series: &[Series]) -> Vec<u8> {
    let mut symbols = Symbols(vec![String::new()], std::collections::HashMap::new());
    let timeseries = series
        .iter()
        .map(|one| v2::TimeSeries {
            labels_refs: symbols.refs(&one.labels),
            samples: samples(one),
            histograms: one.histograms(),
            exemplars: one
                .exemplars
                .iter()
                .map(|(labels, timestamp, value)| v2::Exemplar {
                    labels_refs: symbols.refs(labels),
                    value: *value,
                    timestamp: *timestamp,
                })
                .collect(),
            metadata: one.about.as_ref().map(|(kind, help, unit)| v2::Metadata {
                kind: *kind,
                help_ref: symbols.place(help),
                unit_ref: symbols.place(unit),
            }),
        })
        .collect();
    v2::Request { timeseries, symbols: symbols.0 }.encode_to_vec()
}

fn samples(series: &Series) -> Vec<Sample> {
    let sample =
        |(timestamp, value): &(i64, f64)| Sample { value: *value, timestamp: *timestamp, start_timestamp: 0 };
    series.samples.iter().map(sample).collect()
}

/// The strings of a request, each once, the empty one first.
struct Symbols(Vec<String>, std::collections::HashMap<String, u32>);

impl Symbols {
    fn place(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        *self.1.entry(text.to_owned()).or_insert_with(|| {
            self.0.push(text.to_owned());
            u32::try_from(self.0.len() - 1).expect("few symbols")
        })
    }

    fn refs(&mut self, labels: &[(String, String)]) -> Vec<u32> {
        labels.iter().flat_map(|(name, value)| [name, value]).map(|text| self.place(text)).collect()
    }
}
