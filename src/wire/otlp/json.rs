//! The request in JSON, as OpenTelemetry's specification has it: field by field into the messages of
//! protobuf. Null is as good as absent, a field that is not known is passed over; numbers may be strings,
//! as those of 64 bits are, and so are NaN and infinities; ids are hexadecimal. An error names the field.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine as _, alphabet};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList, any_value};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint,
    Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar,
    number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Unexpected, Visitor};

use super::OtlpError;

/// Base64 of which the end may be filled up or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Characters of a field's name that an error shows.
const SHOWN: usize = 40;

/// Numbers of a list that count as one object; a comma is between them.
const NUMBERS: usize = 8;

/// How many objects a request is made of, with those that braces and commas of texts are taken for; refuses
/// one of more than `most`.
pub(super) fn objects(body: &[u8], most: usize) -> Result<usize, OtlpError> {
    let count = |of| memchr::memchr_iter(of, body).count();
    let objects = count(b'{') + count(b',') / NUMBERS;
    if objects > most { Err(OtlpError::TooManyMessages(most)) } else { Ok(objects) }
}

/// Reads a request.
pub(super) fn read(body: &[u8]) -> Result<ExportMetricsServiceRequest, OtlpError> {
    match serde_json::from_slice(body) {
        Ok(Read(request)) => Ok(request),
        Err(error) => Err(OtlpError::Malformed(error.to_string())),
    }
}

/// A message that is read field by field.
trait Fields: Default {
    /// Reads the value of a field, which is the next of `map`.
    fn field<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error>;
}

/// A message as it comes out of JSON.
#[repr(transparent)]
struct Read<T>(T);

impl<'de, T: Fields> Deserialize<'de> for Read<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OfFields(PhantomData))
    }
}

struct OfFields<T>(PhantomData<T>);

/// A name, without a copy where it has no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de, T: Fields> Visitor<'de> for OfFields<T> {
    type Value = Read<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut message = T::default();
        while let Some(Name(name)) = map.next_key()? {
            message.field(&name, &mut map).map_err(|error| {
                let name: String = name.chars().take(SHOWN).collect();
                A::Error::custom(format!("{name}: {error}"))
            })?;
        }
        Ok(Read(message))
    }
}

/// A number, or a text that is one.
struct Number<T>(T);

/// A number as it was written.
enum Digits<'a> {
    Whole(i128),
    Float(f64),
    Text(&'a str),
}

/// A whole number that is written with a point or an exponent.
#[allow(clippy::cast_possible_truncation, reason = "what is beyond is too large for any of ours")]
fn whole(number: f64) -> Option<i128> {
    (number.fract() == 0.0).then_some(number as i128)
}

trait Numeric: Sized {
    const EXPECTED: &'static str;
    fn read(digits: Digits<'_>) -> Option<Self>;
}

impl Numeric for f64 {
    const EXPECTED: &'static str =
        "a number, by itself or as a string, or the string NaN, Infinity or -Infinity";

    #[allow(clippy::cast_precision_loss, reason = "samples are doubles")]
    fn read(digits: Digits<'_>) -> Option<Self> {
        match digits {
            Digits::Whole(number) => Some(number as Self),
            Digits::Float(number) => Some(number),
            Digits::Text("NaN") => Some(Self::NAN),
            Digits::Text("Infinity") => Some(Self::INFINITY),
            Digits::Text("-Infinity") => Some(Self::NEG_INFINITY),
            // Rust has more words for those.
            Digits::Text(text) if text.ends_with(|last: char| last.is_ascii_digit()) => text.parse().ok(),
            Digits::Text(_) => None,
        }
    }
}

macro_rules! whole {
    ($($kind:ty, $expected:literal;)*) => {$(
        impl Numeric for $kind {
            const EXPECTED: &'static str = $expected;

            fn read(digits: Digits<'_>) -> Option<Self> {
                match digits {
                    Digits::Whole(number) => number.try_into().ok(),
                    Digits::Float(number) => whole(number)?.try_into().ok(),
                    Digits::Text(text) => {
                        text.parse().ok().or_else(|| whole(f64::read(Digits::Text(text))?)?.try_into().ok())
                    }
                }
            }
        }
    )*};
}

whole! {
    u32, "a whole number of 32 bits, not negative, by itself or as a string";
    i32, "a whole number of 32 bits, by itself or as a string";
    u64, "a whole number of 64 bits, not negative, by itself or as a string";
    i64, "a whole number of 64 bits, by itself or as a string";
}

impl<'de, T: Numeric> Deserialize<'de> for Number<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OfDigits(PhantomData))
    }
}

struct OfDigits<T>(PhantomData<T>);

impl<T: Numeric> Visitor<'_> for OfDigits<T> {
    type Value = Number<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(T::EXPECTED)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        let read = T::read(Digits::Whole(number.into())).map(Number);
        read.ok_or_else(|| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        let read = T::read(Digits::Whole(number.into())).map(Number);
        read.ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        let read = T::read(Digits::Float(number)).map(Number);
        read.ok_or_else(|| E::invalid_value(Unexpected::Float(number), &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        let read = T::read(Digits::Text(text)).map(Number);
        read.ok_or_else(|| {
            let text: String = text.chars().take(SHOWN).collect();
            E::invalid_value(Unexpected::Str(&text), &self)
        })
    }
}

fn value<'de, T: Deserialize<'de>, A: MapAccess<'de>>(map: &mut A) -> Result<Option<T>, A::Error> {
    map.next_value()
}

fn or_default<'de, T: Deserialize<'de> + Default, A: MapAccess<'de>>(map: &mut A) -> Result<T, A::Error> {
    Ok(value(map)?.unwrap_or_default())
}

fn message<'de, T: Fields, A: MapAccess<'de>>(map: &mut A) -> Result<Option<T>, A::Error> {
    Ok(value(map)?.map(|Read(message)| message))
}

fn messages<'de, T: Fields, A: MapAccess<'de>>(map: &mut A) -> Result<Vec<T>, A::Error> {
    let all: Vec<Read<T>> = or_default(map)?;
    Ok(all.into_iter().map(|Read(message)| message).collect())
}

fn number<'de, T: Numeric, A: MapAccess<'de>>(map: &mut A) -> Result<Option<T>, A::Error> {
    Ok(value(map)?.map(|Number(number)| number))
}

fn number_or_0<'de, T: Numeric + Default, A: MapAccess<'de>>(map: &mut A) -> Result<T, A::Error> {
    Ok(number(map)?.unwrap_or_default())
}

fn numbers<'de, T: Numeric, A: MapAccess<'de>>(map: &mut A) -> Result<Vec<T>, A::Error> {
    let all: Vec<Number<T>> = or_default(map)?;
    Ok(all.into_iter().map(|Number(number)| number).collect())
}

/// Bytes of hexadecimal digits.
fn id<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Vec<u8>, A::Error> {
    let text: String = or_default(map)?;
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0);
    let digits = digits.ok_or_else(|| A::Error::custom("is not a text of two hexadecimal digits a byte"))?;
    let byte = |pair: &[u32]| pair.iter().fold(0, |byte, digit| byte * 16 + digit);
    Ok(digits.chunks(2).filter_map(|pair| u8::try_from(byte(pair)).ok()).collect())
}

fn bytes<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<Vec<u8>>, A::Error> {
    // Of both alphabets.
    let decoded =
        value::<String, A>(map)?.map(|text| BASE64.decode(text.replace('-', "+").replace('_', "/")));
    decoded.transpose().map_err(|error| A::Error::custom(format!("is not base64: {error}")))
}

/// Implements [`Fields`]: the name of each field, and what is done with it.
macro_rules! fields {
    ($kind:ty, |$self:ident, $map:ident| $($name:literal => $take:expr,)*) => {
        impl Fields for $kind {
            fn field<'de, A: MapAccess<'de>>(&mut self, name: &str, $map: &mut A) -> Result<(), A::Error> {
                let $self = self;
                match name {
                    $($name => $take,)*
                    _ => _ = $map.next_value::<IgnoredAny>()?,
                }
                Ok(())
            }
        }
    };
}

fields!(ExportMetricsServiceRequest, |request, map|
    "resourceMetrics" => request.resource_metrics = messages(map)?,
);
fields!(ResourceMetrics, |resource, map|
    "resource" => resource.resource = message(map)?,
    "scopeMetrics" => resource.scope_metrics = messages(map)?,
);
fields!(Resource, |resource, map|
    "attributes" => resource.attributes = messages(map)?,
);
fields!(ScopeMetrics, |scope, map|
    "metrics" => scope.metrics = messages(map)?,
);
fields!(Metric, |metric, map|
    "name" => metric.name = or_default(map)?,
    "description" => metric.description = or_default(map)?,
    "unit" => metric.unit = or_default(map)?,
    "gauge" => metric.data = message(map)?.map(Data::Gauge).or(metric.data.take()),
    "sum" => metric.data = message(map)?.map(Data::Sum).or(metric.data.take()),
    "histogram" => metric.data = message(map)?.map(Data::Histogram).or(metric.data.take()),
    "exponentialHistogram" => {
        metric.data = message(map)?.map(Data::ExponentialHistogram).or(metric.data.take());
    },
    "summary" => metric.data = message(map)?.map(Data::Summary).or(metric.data.take()),
);
fields!(Gauge, |gauge, map|
    "dataPoints" => gauge.data_points = messages(map)?,
);
fields!(Sum, |sum, map|
    "dataPoints" => sum.data_points = messages(map)?,
    "aggregationTemporality" => sum.aggregation_temporality = number_or_0(map)?,
    "isMonotonic" => sum.is_monotonic = or_default(map)?,
);
fields!(Histogram, |histogram, map|
    "dataPoints" => histogram.data_points = messages(map)?,
    "aggregationTemporality" => histogram.aggregation_temporality = number_or_0(map)?,
);
fields!(ExponentialHistogram, |histogram, map|
    "dataPoints" => histogram.data_points = messages(map)?,
    "aggregationTemporality" => histogram.aggregation_temporality = number_or_0(map)?,
);
fields!(Summary, |summary, map|
    "dataPoints" => summary.data_points = messages(map)?,
);
fields!(NumberDataPoint, |point, map|
    "attributes" => point.attributes = messages(map)?,
    "timeUnixNano" => point.time_unix_nano = number_or_0(map)?,
    "exemplars" => point.exemplars = messages(map)?,
    "flags" => point.flags = number_or_0(map)?,
    "asDouble" => point.value = number(map)?.map(number_data_point::Value::AsDouble).or(point.value),
    "asInt" => point.value = number(map)?.map(number_data_point::Value::AsInt).or(point.value),
);
fields!(HistogramDataPoint, |point, map|
    "attributes" => point.attributes = messages(map)?,
    "timeUnixNano" => point.time_unix_nano = number_or_0(map)?,
    "count" => point.count = number_or_0(map)?,
    "sum" => point.sum = number(map)?,
    "bucketCounts" => point.bucket_counts = numbers(map)?,
    "explicitBounds" => point.explicit_bounds = numbers(map)?,
    "exemplars" => point.exemplars = messages(map)?,
    "flags" => point.flags = number_or_0(map)?,
);
fields!(ExponentialHistogramDataPoint, |point, map|
    "attributes" => point.attributes = messages(map)?,
    "timeUnixNano" => point.time_unix_nano = number_or_0(map)?,
    "count" => point.count = number_or_0(map)?,
    "sum" => point.sum = number(map)?,
    "scale" => point.scale = number_or_0(map)?,
    "zeroCount" => point.zero_count = number_or_0(map)?,
    "positive" => point.positive = message(map)?,
    "negative" => point.negative = message(map)?,
    "flags" => point.flags = number_or_0(map)?,
    "exemplars" => point.exemplars = messages(map)?,
    "zeroThreshold" => point.zero_threshold = number_or_0(map)?,
);
fields!(Buckets, |buckets, map|
    "offset" => buckets.offset = number_or_0(map)?,
    "bucketCounts" => buckets.bucket_counts = numbers(map)?,
);
fields!(SummaryDataPoint, |point, map|
    "attributes" => point.attributes = messages(map)?,
    "timeUnixNano" => point.time_unix_nano = number_or_0(map)?,
    "count" => point.count = number_or_0(map)?,
    "sum" => point.sum = number_or_0(map)?,
    "quantileValues" => point.quantile_values = messages(map)?,
    "flags" => point.flags = number_or_0(map)?,
);
fields!(ValueAtQuantile, |at, map|
    "quantile" => at.quantile = number_or_0(map)?,
    "value" => at.value = number_or_0(map)?,
);
fields!(Exemplar, |exemplar, map|
    "filteredAttributes" => exemplar.filtered_attributes = messages(map)?,
    "timeUnixNano" => exemplar.time_unix_nano = number_or_0(map)?,
    "spanId" => exemplar.span_id = id(map)?,
    "traceId" => exemplar.trace_id = id(map)?,
    "asDouble" => exemplar.value = number(map)?.map(exemplar::Value::AsDouble).or(exemplar.value),
    "asInt" => exemplar.value = number(map)?.map(exemplar::Value::AsInt).or(exemplar.value),
);
fields!(KeyValue, |attribute, map|
    "key" => attribute.key = or_default(map)?,
    "value" => attribute.value = message(map)?,
);
fields!(AnyValue, |any, map|
    "stringValue" => any.value = value(map)?.map(any_value::Value::StringValue).or(any.value.take()),
    "boolValue" => any.value = value(map)?.map(any_value::Value::BoolValue).or(any.value.take()),
    "intValue" => any.value = number(map)?.map(any_value::Value::IntValue).or(any.value.take()),
    "doubleValue" => any.value = number(map)?.map(any_value::Value::DoubleValue).or(any.value.take()),
    "arrayValue" => any.value = message(map)?.map(any_value::Value::ArrayValue).or(any.value.take()),
    "kvlistValue" => any.value = message(map)?.map(any_value::Value::KvlistValue).or(any.value.take()),
    "bytesValue" => any.value = bytes(map)?.map(any_value::Value::BytesValue).or(any.value.take()),
);
fields!(ArrayValue, |array, map|
    "values" => array.values = messages(map)?,
);
fields!(KeyValueList, |list, map|
    "values" => list.values = messages(map)?,
);
