//! What points of all kinds have.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, DataPointFlags, Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint,
    NumberDataPoint, SummaryDataPoint,
};

/// A point, apart from its values.
#[derive(Clone, Copy)]
pub(super) struct About<'a> {
    pub(super) attributes: &'a [KeyValue],
    pub(super) nanos: u64,
    flags: u32,
    pub(super) exemplars: &'a [Exemplar],
    pub(super) temporality: AggregationTemporality,
}

impl About<'_> {
    /// Whether there is no value any more.
    pub(super) const fn is_over(&self) -> bool {
        self.flags & DataPointFlags::NoRecordedValueMask as u32 != 0
    }
}

/// A point of any kind.
pub(super) trait DataPoint {
    fn about(&self, temporality: AggregationTemporality) -> About<'_>;
}

macro_rules! points {
    ($($kind:ty, $exemplars:expr;)*) => {$(
        impl DataPoint for $kind {
            fn about(&self, temporality: AggregationTemporality) -> About<'_> {
                let exemplars: fn(&Self) -> &[Exemplar] = $exemplars;
                About {
                    attributes: &self.attributes,
                    nanos: self.time_unix_nano,
                    flags: self.flags,
                    exemplars: exemplars(self),
                    temporality,
                }
            }
        }
    )*};
}

points! {
    NumberDataPoint, |point| &point.exemplars;
    HistogramDataPoint, |point| &point.exemplars;
    ExponentialHistogramDataPoint, |point| &point.exemplars;
    SummaryDataPoint, |_| &[];
}

/// The points, the oldest first, each with what is said about it.
pub(super) fn in_order<T: DataPoint>(
    points: &[T],
    temporality: AggregationTemporality,
) -> Vec<(&T, About<'_>)> {
    let mut sorted: Vec<(&T, About<'_>)> =
        points.iter().map(|point| (point, point.about(temporality))).collect();
    sorted.sort_by_key(|(_, about)| about.nanos);
    sorted
}
