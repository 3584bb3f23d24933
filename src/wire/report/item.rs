//! One entry of a report's list: checked field by field, turned into the samples that it stands for.

use std::sync::Arc;

use super::fields::{FieldError, Times, clip, labels_of, parse, plain_number, text_of, value_of};
use super::raw::{Field, Item, is_given};
use super::whole::Whole;
use super::{Known, Sample};
use crate::model::{
    Limits, MetricType, Series, SeriesKey, check_labels, is_metric_name, is_reserved, is_stale,
};

impl<'a> Item<'a> {
    /// The fields that say which series it is, as they were written; nothing where it is more than a
    /// sample of one series.
    pub(super) fn series_fields(&self) -> Option<[&'a str; 5]> {
        let rest = [self.buckets, self.quantiles, self.sum, self.count];
        if self.not_object || self.twice.is_some() || rest.into_iter().any(is_given) {
            return None;
        }
        let text = |field: Field<'a>| field.unwrap_or_default();
        Some([self.name, self.kind, self.labels, self.help, self.unit].map(text))
    }

    /// Checks what is left of an entry whose series is known.
    pub(super) fn check_known(
        &self,
        series: &Arc<Series>,
        times: &mut Times<'a>,
    ) -> Result<Known, FieldError> {
        let at = times.read(self.timestamp)?;
        let value = match plain_number(self.value) {
            Some(value) => value,
            None => value_of("metric_value", &parse("metric_value", self.value)?)?,
        };
        check_count(series.kind(), || series.metric_name(), value)?;
        Ok(Known { series: Arc::clone(series), value, at })
    }

    /// Checks an entry of the list and adds the samples that it stands for. `copies` is how many bytes
    /// of copied labels the report may still have.
    pub(super) fn check(
        &self,
        index: usize,
        key: Option<SeriesKey>,
        limits: &Limits,
        times: &mut Times<'a>,
        copies: &mut usize,
        out: &mut Vec<Sample<'a>>,
    ) -> Result<(), FieldError> {
        if self.not_object {
            return Err(("metric", "must be an object".into()));
        }
        if let Some(field) = self.twice {
            return Err((field, "occurs twice".into()));
        }
        let name = text_of("metric_name", parse("metric_name", self.name)?)?
            .ok_or(("metric_name", "is missing".to_owned()))?;
        if name.len() > limits.name_bytes {
            let reason = format!("{} bytes, at most {} are allowed", name.len(), limits.name_bytes);
            return Err(("metric_name", reason));
        }
        if !is_metric_name(&name) {
            let reason = format!("{:?} is not a metric name ([a-zA-Z_:][a-zA-Z0-9_:]*)", clip(&name));
            return Err(("metric_name", reason));
        }
        if is_reserved(&name) {
            return Err(("metric_name", format!("{name} is made by the server itself")));
        }
        let kind = text_of("metric_type", parse("metric_type", self.kind)?)?
            .ok_or(("metric_type", "is missing".to_owned()))?;
        let kind: MetricType = kind.parse().map_err(|()| {
            ("metric_type", format!("{:?} is none of gauge, counter, histogram, summary", clip(&kind)))
        })?;
        let help = text_of("help_text", parse("help_text", self.help)?)?;
        if help.as_ref().is_some_and(|h| h.len() > limits.help_bytes) {
            return Err(("help_text", format!("more than {} bytes", limits.help_bytes)));
        }
        let unit = text_of("unit", parse("unit", self.unit)?)?.filter(|u| !u.is_empty());
        if unit.as_ref().is_some_and(|u| u.len() > 50) {
            return Err(("unit", "more than 50 bytes".into()));
        }
        let at = times.read(self.timestamp)?;
        let labels = labels_of(parse("labels", self.labels)?)?;
        let whole = Whole {
            buckets: parse("buckets", self.buckets)?,
            quantiles: parse("quantiles", self.quantiles)?,
            sum: parse("sum", self.sum)?,
            count: parse("count", self.count)?,
        };
        let value = parse("metric_value", self.value)?;
        let base = Sample { index, key, name, kind, value: 0.0, at, labels, help, unit };
        if whole.is_some() {
            whole.expand(&base, &value, limits, copies, out)?;
        } else {
            push(base, value_of("metric_value", &value)?, limits, out)?;
        }
        Ok(())
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
    check_count(sample.kind, || &sample.name, value)?;
    check_labels(&sample.name, sample.kind, &mut sample.labels, limits)
        .map_err(|e| ("labels", e.to_string()))?;
    out.push(sample);
    Ok(())
}

/// What counts is not negative.
pub(super) fn check_count<'n>(
    kind: MetricType,
    name: impl Fn() -> &'n str,
    value: f64,
) -> Result<(), FieldError> {
    if is_stale(value) || value >= 0.0 {
        return Ok(());
    }
    let counts = match kind {
        MetricType::Counter => true,
        MetricType::Histogram => name().ends_with("_bucket") || name().ends_with("_count"),
        MetricType::Summary => name().ends_with("_count"),
        MetricType::Gauge => false,
    };
    if counts {
        return Err(("metric_value", format!("a {kind} counts up from 0: it can't be {value}")));
    }
    Ok(())
}
