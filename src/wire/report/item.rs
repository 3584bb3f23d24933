//! One entry of a report's list: checked field by field, turned into the samples that it stands for.

use super::Sample;
use super::fields::{FieldError, clip, labels_of, text_of, time_of, value_of};
use super::raw::Item;
use super::whole::Whole;
use crate::model::{Limits, MetricType, Millis, check_labels, is_metric_name, is_reserved, is_stale};

impl<'a> Item<'a> {
    /// Checks one entry of the list and adds the samples that it stands for. `copies` is how many
    /// bytes of copied labels the report may still have.
    pub(super) fn check(
        self,
        index: usize,
        limits: &Limits,
        now: Millis,
        copies: &mut usize,
        out: &mut Vec<Sample<'a>>,
    ) -> Result<(), FieldError> {
        if self.not_object {
            return Err(("metric", "must be an object".into()));
        }
        if let Some(field) = self.twice {
            return Err((field, "occurs twice".into()));
        }
        let name = text_of("metric_name", self.name)?.ok_or(("metric_name", "is missing".to_owned()))?;
        if name.len() > limits.name_bytes {
            let reason = format!("{} bytes, at most {} are allowed", name.len(), limits.name_bytes);
            return Err(("metric_name", reason));
        }
        if !is_metric_name(&name) {
            return Err((
                "metric_name",
                format!("{:?} is not a metric name ([a-zA-Z_:][a-zA-Z0-9_:]*)", clip(&name)),
            ));
        }
        if is_reserved(&name) {
            return Err(("metric_name", format!("{name} is made by the server itself")));
        }
        let kind = text_of("metric_type", self.kind)?.ok_or(("metric_type", "is missing".to_owned()))?;
        let kind: MetricType = kind.parse().map_err(|()| {
            ("metric_type", format!("{:?} is none of gauge, counter, histogram, summary", clip(&kind)))
        })?;
        let help = text_of("help_text", self.help)?;
        if help.as_ref().is_some_and(|h| h.len() > limits.help_bytes) {
            return Err(("help_text", format!("more than {} bytes", limits.help_bytes)));
        }
        let unit = text_of("unit", self.unit)?.filter(|u| !u.is_empty());
        if unit.as_ref().is_some_and(|u| u.len() > 50) {
            return Err(("unit", "more than 50 bytes".into()));
        }
        let at = time_of(self.timestamp, limits, now)?;
        let labels = labels_of(self.labels)?;
        let whole =
            Whole { buckets: self.buckets, quantiles: self.quantiles, sum: self.sum, count: self.count };
        let base = Sample { index, name, kind, value: 0.0, at, labels, help, unit };
        if whole.is_some() {
            whole.expand(&base, &self.value, limits, copies, out)
        } else {
            let value = value_of("metric_value", &self.value)?;
            push(base, value, limits, out)
        }
    }
}

/// Checks what depends on type and labels, then keeps the sample.
pub(super) fn push<'a>(
    mut sample: Sample<'a>,
    value: f64,
    limits: &Limits,
    out: &mut Vec<Sample<'a>>,
) -> Result<(), FieldError> {
    sample.value = value;
    let counts = match sample.kind {
        MetricType::Counter => true,
        MetricType::Histogram => sample.name.ends_with("_bucket") || sample.name.ends_with("_count"),
        MetricType::Summary => sample.name.ends_with("_count"),
        MetricType::Gauge => false,
    };
    if counts && !is_stale(value) && (value.is_nan() || value < 0.0) {
        return Err(("metric_value", format!("a {} counts up from 0: it can't be {value}", sample.kind)));
    }
    check_labels(&sample.name, sample.kind, &mut sample.labels, limits)
        .map_err(|e| ("labels", e.to_string()))?;
    out.push(sample);
    Ok(())
}
