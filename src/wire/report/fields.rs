//! The fields of a sample: JSON to what they mean, or the reason why not.

use std::borrow::Cow;

use super::super::json::Json;
use crate::model::{Label, Limits, Millis, STALE, parse_timestamp};

/// The field that is wrong, and what is wrong with it.
pub(super) type FieldError = (&'static str, String);

pub(super) fn text_of<'a>(field: &'static str, value: Json<'a>) -> Result<Option<Cow<'a, str>>, FieldError> {
    let text = value.into_text().map_err(|what| (field, format!("must be a string, not {what}")))?;
    // PostgreSQL's text can't hold this one character.
    if text.as_ref().is_some_and(|t| t.contains('\0')) {
        return Err((field, "must not hold the character U+0000".into()));
    }
    Ok(text)
}

pub(super) fn value_of(field: &'static str, value: &Json<'_>) -> Result<f64, FieldError> {
    match value {
        Json::Number(v) => Ok(*v),
        Json::Integer(v) => Ok(*v as f64),
        Json::Text(text) => match text.as_ref() {
            "Stale" => Ok(STALE),
            "NaN" => Ok(f64::NAN),
            "+Inf" | "Inf" | "Infinity" | "+Infinity" => Ok(f64::INFINITY),
            "-Inf" | "-Infinity" => Ok(f64::NEG_INFINITY),
            _ => Err((field, "must be a number, or one of the strings NaN, +Inf, -Inf, Stale".into())),
        },
        Json::Null => Err((field, "is missing".into())),
        other => Err((field, format!("must be a number, not {}", other.describe()))),
    }
}

pub(super) fn time_of(value: Json<'_>, limits: &Limits, now: Millis) -> Result<Option<Millis>, FieldError> {
    let Some(text) = text_of("timestamp", value)? else { return Ok(None) };
    let at = parse_timestamp(&text).map_err(|e| ("timestamp", format!("{:?} {e}", clip(&text))))?;
    if at.since(now) > limits.future_ms {
        let ahead = limits.future_ms / 1000;
        return Err((
            "timestamp",
            format!("{} is more than {ahead} s ahead of the server's clock", at.rfc3339()),
        ));
    }
    Ok(Some(at))
}

pub(super) fn labels_of(value: Json<'_>) -> Result<Vec<Label<'_>>, FieldError> {
    let entries = match value {
        Json::Null => return Ok(Vec::new()),
        Json::Object(entries) => entries,
        other => return Err(("labels", format!("must be an object of strings, not {}", other.describe()))),
    };
    let mut labels = Vec::with_capacity(entries.len() + 1);
    for (key, value) in entries {
        match value {
            Json::Text(text) if text.contains('\0') => {
                return Err((
                    "labels",
                    format!("labels.{}: must not hold the character U+0000", shown(&key)),
                ));
            }
            Json::Text(text) => labels.push((key, text)),
            other => {
                let what = other.describe();
                return Err(("labels", format!("labels.{}: must be a string, not {what}", shown(&key))));
            }
        }
    }
    Ok(labels)
}

/// The beginning of a text that someone else wrote, short enough for an error.
pub(super) fn clip(text: &str) -> &str {
    let end = text.char_indices().nth(60).map_or(text.len(), |(at, _)| at);
    &text[..end]
}

/// A name that was not checked yet, as it can be told; jsonb, which keeps reasons, can't hold U+0000.
fn shown(name: &str) -> String {
    clip(name).replace('\0', "\\0")
}
