//! How many messages lists of a request in protobuf have, before any of them takes memory: an empty one has
//! two bytes there, and some hundred once it is decoded.

use super::OtlpError;
use crate::wire::protobuf::{Fields, Malformed, Value};

/// Messages within messages, at most; the decoder takes as many.
const DEPTH: usize = 100;
/// Numbers of a list, of a byte at least, that count as one message.
const NUMBERS: usize = 8;

/// Messages, by what is in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Request,
    ResourceMetrics,
    Resource,
    EntityRef,
    ScopeMetrics,
    Scope,
    Metric,
    Numbers,
    Histograms,
    ExponentialHistograms,
    Summaries,
    Number,
    Histogram,
    ExponentialHistogram,
    Summary,
    Buckets,
    Exemplar,
    KeyValue,
    AnyValue,
    ArrayValue,
    KeyValueList,
    /// In which nothing has a list.
    Leaf,
}

impl Kind {
    /// What a field of bytes is, by its number.
    const fn field(self, number: u64) -> Option<Self> {
        Some(match (self, number) {
            (Self::Request, 1) => Self::ResourceMetrics,
            (Self::ResourceMetrics, 1) => Self::Resource,
            (Self::ResourceMetrics, 2) => Self::ScopeMetrics,
            (Self::Resource, 3) => Self::EntityRef,
            (Self::ScopeMetrics, 1) => Self::Scope,
            (Self::ScopeMetrics, 2) => Self::Metric,
            (Self::Metric, 5 | 7) => Self::Numbers,
            (Self::Metric, 9) => Self::Histograms,
            (Self::Metric, 10) => Self::ExponentialHistograms,
            (Self::Metric, 11) => Self::Summaries,
            (Self::Numbers, 1) => Self::Number,
            (Self::Histograms, 1) => Self::Histogram,
            (Self::ExponentialHistograms, 1) => Self::ExponentialHistogram,
            (Self::Summaries, 1) => Self::Summary,
            (Self::ExponentialHistogram, 8 | 9) => Self::Buckets,
            (Self::Number, 5) | (Self::Histogram, 8) | (Self::ExponentialHistogram, 11) => Self::Exemplar,
            (Self::Resource | Self::ExponentialHistogram | Self::KeyValueList, 1)
            | (Self::Scope, 3)
            | (Self::Metric, 12)
            | (Self::Number | Self::Summary | Self::Exemplar, 7)
            | (Self::Histogram, 9) => Self::KeyValue,
            (Self::KeyValue, 2) | (Self::ArrayValue, 1) => Self::AnyValue,
            (Self::AnyValue, 5) => Self::ArrayValue,
            (Self::AnyValue, 6) => Self::KeyValueList,
            (Self::EntityRef, 3 | 4) | (Self::Summary, 6) => Self::Leaf,
            _ => return None,
        })
    }

    /// How many messages a field counts as: one that the message has one of is a part of it.
    fn weight(self, inner: Option<Self>, value: Value<'_>) -> usize {
        match (self, inner, value) {
            (Self::Buckets, None, Value::Varint(_)) => 1,
            (Self::Buckets, None, Value::Bytes(packed)) => packed.len().div_ceil(NUMBERS),
            (Self::KeyValue, ..)
            | (
                _,
                None
                | Some(
                    Self::Resource
                    | Self::Scope
                    | Self::Numbers
                    | Self::Histograms
                    | Self::ExponentialHistograms
                    | Self::Summaries
                    | Self::Buckets
                    | Self::ArrayValue
                    | Self::KeyValueList,
                ),
                _,
            ) => 0,
            _ => 1,
        }
    }
}

/// How many they are; refuses a request that has more than `most`.
pub(super) fn messages(body: &[u8], most: usize) -> Result<usize, OtlpError> {
    let malformed = |_: Malformed| OtlpError::Malformed("no protobuf".into());
    let mut left = most;
    let mut open = vec![(Kind::Request, Fields::new(body))];
    while let Some((kind, fields)) = open.last_mut() {
        let kind = *kind;
        let Some(field) = fields.next() else {
            open.pop();
            continue;
        };
        let (number, value) = field.map_err(malformed)?;
        let bytes = if let Value::Bytes(bytes) = value { bytes } else { &[] };
        let inner = kind.field(number).filter(|_| matches!(value, Value::Bytes(_)));
        left = left.checked_sub(kind.weight(inner, value)).ok_or(OtlpError::TooManyMessages(most))?;
        if let Some(inner) = inner.filter(|inner| *inner != Kind::Leaf) {
            if open.len() > DEPTH {
                return Err(OtlpError::Malformed("too many messages within messages".into()));
            }
            open.push((inner, Fields::new(bytes)));
        }
    }
    Ok(most - left)
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList, any_value};
    use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    use opentelemetry_proto::tonic::metrics::v1::{
        Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint,
        Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint,
        summary_data_point::ValueAtQuantile,
    };
    use opentelemetry_proto::tonic::resource::v1::Resource;
    use prost::Message as _;

    use super::*;

    fn many<T: Clone + Default>() -> Vec<T> {
        vec![T::default(); 20]
    }

    fn of(metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
        let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
        let resource_metrics = vec![ResourceMetrics { scope_metrics, ..ResourceMetrics::default() }];
        ExportMetricsServiceRequest { resource_metrics }
    }

    fn metric(data: Data) -> ExportMetricsServiceRequest {
        of(vec![Metric { data: Some(data), ..Metric::default() }])
    }

    fn attributes(value: any_value::Value) -> ExportMetricsServiceRequest {
        let value = Some(AnyValue { value: Some(value) });
        let attributes = vec![KeyValue { value, ..KeyValue::default() }];
        let resource = Some(Resource { attributes, ..Resource::default() });
        let resource_metrics = vec![ResourceMetrics { resource, ..ResourceMetrics::default() }];
        ExportMetricsServiceRequest { resource_metrics }
    }

    #[test]
    fn whatever_there_is_a_list_of_is_counted() {
        let number = |point| metric(Data::Gauge(Gauge { data_points: vec![point] }));
        let histogram =
            |point| metric(Data::Histogram(Histogram { data_points: vec![point], ..Histogram::default() }));
        let exponential = |point| {
            let data_points = vec![point];
            metric(Data::ExponentialHistogram(ExponentialHistogram { data_points, ..Default::default() }))
        };
        let summary = |point| metric(Data::Summary(Summary { data_points: vec![point] }));
        let buckets = Some(Buckets { bucket_counts: vec![1; 20 * NUMBERS], ..Buckets::default() });
        let lists = [
            ExportMetricsServiceRequest { resource_metrics: many() },
            of(many()),
            of(vec![Metric { metadata: many(), ..Metric::default() }]),
            metric(Data::Gauge(Gauge { data_points: many() })),
            metric(Data::Sum(Sum { data_points: many(), ..Sum::default() })),
            metric(Data::Histogram(Histogram { data_points: many(), ..Histogram::default() })),
            metric(Data::ExponentialHistogram(ExponentialHistogram {
                data_points: many(),
                ..ExponentialHistogram::default()
            })),
            metric(Data::Summary(Summary { data_points: many() })),
            number(NumberDataPoint { attributes: many(), ..NumberDataPoint::default() }),
            number(NumberDataPoint { exemplars: many(), ..NumberDataPoint::default() }),
            number(NumberDataPoint {
                exemplars: vec![Exemplar { filtered_attributes: many(), ..Exemplar::default() }],
                ..NumberDataPoint::default()
            }),
            histogram(HistogramDataPoint { attributes: many(), ..HistogramDataPoint::default() }),
            histogram(HistogramDataPoint { exemplars: many(), ..HistogramDataPoint::default() }),
            exponential(ExponentialHistogramDataPoint { attributes: many(), ..Default::default() }),
            exponential(ExponentialHistogramDataPoint { exemplars: many(), ..Default::default() }),
            exponential(ExponentialHistogramDataPoint { positive: buckets.clone(), ..Default::default() }),
            exponential(ExponentialHistogramDataPoint { negative: buckets, ..Default::default() }),
            summary(SummaryDataPoint { attributes: many(), ..SummaryDataPoint::default() }),
            summary(SummaryDataPoint {
                quantile_values: many::<ValueAtQuantile>(),
                ..SummaryDataPoint::default()
            }),
            attributes(any_value::Value::ArrayValue(ArrayValue { values: many() })),
            attributes(any_value::Value::KvlistValue(KeyValueList { values: many() })),
        ];
        for request in lists {
            let body = request.encode_to_vec();
            assert!(messages(&body, 25).is_ok(), "{request:?}");
            let refused = messages(&body, 19);
            assert!(matches!(refused, Err(OtlpError::TooManyMessages(19))), "{refused:?} {request:?}");
        }
    }

    /// A field of bytes.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut field = vec![number << 3 | 2];
        prost::encode_length_delimiter(bytes.len(), &mut field).unwrap();
        field.extend(bytes);
        field
    }

    #[test]
    fn numbers_that_are_not_packed_are_counted_too() {
        let counts = [0x10, 0].repeat(20);
        let body = [8, 1, 10, 2, 2, 1].iter().fold(counts, |body, number| field(*number, &body));
        assert!(ExportMetricsServiceRequest::decode(&*body).is_ok());
        assert!(messages(&body, 25).is_ok());
        assert!(matches!(messages(&body, 20), Err(OtlpError::TooManyMessages(20))));
    }

    #[test]
    fn a_depth_that_nobody_needs_is_refused() {
        let mut body = Vec::new();
        for _ in 0..2000 {
            // An array in an array.
            body = field(5, &field(1, &body));
        }
        // The value of an attribute of a resource.
        let body = [2, 1, 1, 1].iter().fold(body, |body, number| field(*number, &body));
        let refused = messages(&body, 100_000).unwrap_err();
        assert!(refused.to_string().ends_with("too many messages within messages"), "{refused}");
        let refused = ExportMetricsServiceRequest::decode(&*body).unwrap_err();
        assert!(refused.to_string().contains("recursion limit"), "{refused}");
    }
}
