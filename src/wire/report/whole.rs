//! A histogram or summary that comes whole is taken apart into its scalar series.

use super::super::json::Json;
use super::Sample;
use super::fields::{FieldError, clip, value_of};
use super::item::push;
use crate::model::{Label, Limits, MetricType, write_bound};

/// A histogram or summary that came whole.
pub(super) struct Whole<'a> {
    pub(super) buckets: Json<'a>,
    pub(super) quantiles: Json<'a>,
    pub(super) sum: Json<'a>,
    pub(super) count: Json<'a>,
}

impl<'a> Whole<'a> {
    pub(super) const fn is_some(&self) -> bool {
        !matches!(
            (&self.buckets, &self.quantiles, &self.sum, &self.count),
            (Json::Null, Json::Null, Json::Null, Json::Null)
        )
    }

    /// Takes it apart into its scalar series.
    pub(super) fn expand(
        self,
        base: &Sample<'a>,
        value: &Json<'a>,
        limits: &Limits,
        copies: &mut usize,
        out: &mut Vec<Sample<'a>>,
    ) -> Result<(), FieldError> {
        if !matches!(value, Json::Null) {
            return Err((
                "metric_value",
                "a metric with buckets, quantiles, sum or count has no value of its own".into(),
            ));
        }
        let (parts, field, label, suffix) = match base.kind {
            MetricType::Histogram => (&self.buckets, "buckets", "le", "_bucket"),
            MetricType::Summary => (&self.quantiles, "quantiles", "quantile", ""),
            kind => return Err(("metric_type", format!("a {kind} has no buckets, quantiles, sum or count"))),
        };
        for (other, given) in [("buckets", &self.buckets), ("quantiles", &self.quantiles)] {
            if other != field && !matches!(given, Json::Null) {
                return Err((other, format!("a {} has {field} instead", base.kind)));
            }
        }
        if base.labels.iter().any(|(k, _)| k == label) {
            return Err(("labels", format!("labels.{label}: is given by {field}")));
        }
        let count = value_of("count", &self.count)?;
        let sum = value_of("sum", &self.sum)?;
        if count.is_nan() || count < 0.0 {
            return Err(("count", format!("counts up from 0: it can't be {count}")));
        }
        let bounds = bounds_of(parts, field, limits.bounds)?;
        if base.kind == MetricType::Histogram {
            check_buckets(&bounds, count)?;
        } else if let Some((quantile, _)) = bounds.iter().find(|(q, _)| !(0.0..=1.0).contains(q)) {
            return Err((field, format!("{quantile} is not between 0 and 1")));
        }
        let label_bytes: usize =
            base.labels.iter().map(|(k, v)| k.len() + v.len() + size_of::<Label<'_>>()).sum();
        *copies = copies
            .checked_sub(label_bytes.saturating_mul(bounds.len()))
            .ok_or_else(|| (field, "the report repeats long labels too often: split it".to_owned()))?;
        for (bound, value) in bounds {
            let mut text = Vec::new();
            write_bound(&mut text, bound);
            let mut part = base.clone();
            part.name = format!("{}{suffix}", base.name).into();
            part.labels.push((label.into(), String::from_utf8_lossy(&text).into_owned().into()));
            push(part, value, limits, out)?;
        }
        for (suffix, value) in [("_sum", sum), ("_count", count)] {
            let part = Sample { name: format!("{}{suffix}", base.name).into(), ..base.clone() };
            push(part, value, limits, out)?;
        }
        Ok(())
    }
}

/// Bounds and their values, sorted by bound.
fn bounds_of(parts: &Json<'_>, field: &'static str, most: usize) -> Result<Vec<(f64, f64)>, FieldError> {
    let entries = match parts {
        Json::Object(entries) => entries.as_slice(),
        Json::Null => &[],
        other => {
            return Err((field, format!("must be an object of bound to number, not {}", other.describe())));
        }
    };
    if entries.len() > most {
        return Err((field, format!("{} of them, at most {most} are allowed", entries.len())));
    }
    let mut bounds = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let bound: f64 = key
            .parse()
            .ok()
            .filter(|b: &f64| !b.is_nan())
            .ok_or_else(|| (field, format!("{:?} is not a number", clip(key))))?;
        bounds.push((bound, value_of(field, value)?));
    }
    bounds.sort_by(|a, b| a.0.total_cmp(&b.0));
    if bounds.windows(2).any(|w| w[0].0 == w[1].0) {
        return Err((field, "a bound occurs twice".into()));
    }
    Ok(bounds)
}

/// Buckets are cumulative, and the last one, `+Inf`, holds all that was counted.
fn check_buckets(bounds: &[(f64, f64)], count: f64) -> Result<(), FieldError> {
    match bounds.last() {
        Some((bound, total)) if *bound == f64::INFINITY && *total == count => {}
        Some((bound, _)) if *bound == f64::INFINITY => {
            return Err(("buckets", "the bucket +Inf must equal count".into()));
        }
        _ => return Err(("buckets", "the bucket +Inf is missing".into())),
    }
    if bounds.iter().any(|(_, held)| held.is_nan() || *held < 0.0) {
        return Err(("buckets", "buckets count up from 0".into()));
    }
    if bounds.windows(2).any(|w| w[0].1 > w[1].1) {
        return Err((
            "buckets",
            "buckets are cumulative: each holds at least what the one before holds".into(),
        ));
    }
    Ok(())
}
