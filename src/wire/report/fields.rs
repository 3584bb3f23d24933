//! The fields of a sample: JSON to what they mean, or the reason why not.

use std::borrow::Cow;

use super::super::json::Json;
use super::raw::Field;
use crate::model::{Label, Limits, Millis, STALE, parse_timestamp};

/// The field that is wrong, and what is wrong with it.
pub(super) type FieldError = (&'static str, String);

/// What a field says. Its brackets and quotes were found to match already.
pub(super) fn parse<'a>(name: &'static str, field: Field<'a>) -> Result<Json<'a>, FieldError> {
    let Some(raw) = field else { return Ok(Json::Null) };
    serde_json::from_str(raw).map_err(|error| {
        let what = error.to_string();
        (name, what.split(" at line ").next().unwrap_or_default().to_owned())
    })
}

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

/// A value that is a number and nothing else, which most are; nothing where the general parser has to look.
pub(super) fn plain_number(field: Field<'_>) -> Option<f64> {
    let raw = field.filter(|raw| raw.starts_with(|first: char| first == '-' || first.is_ascii_digit()))?;
    raw.parse().ok().filter(|value: &f64| value.is_finite())
}

/// Reads times; most entries of a report have the same.
pub(super) struct Times<'a> {
    now: Millis,
    future_ms: i64,
    last: Option<(&'a str, Millis)>,
}

impl<'a> Times<'a> {
    /// `now` is the server's clock, which bounds how far ahead a sample may be.
    pub(super) fn new(now: Millis, limits: &Limits) -> Self {
        Self { now, future_ms: limits.future_ms, last: None }
    }

    /// The time of a sample; nothing where it says none.
    pub(super) fn read(&mut self, field: Field<'a>) -> Result<Option<Millis>, FieldError> {
        let Some(raw) = field else { return Ok(None) };
        if let Some((text, at)) = self.last
            && text == raw
        {
            return Ok(Some(at));
        }
        let Some(text) = text_of("timestamp", parse("timestamp", field)?)? else { return Ok(None) };
        let at = self.parse(&text)?;
        self.last = Some((raw, at));
        Ok(Some(at))
    }

    /// The time that a text says.
    pub(super) fn parse(&self, text: &str) -> Result<Millis, FieldError> {
        let at = parse_timestamp(text).map_err(|e| ("timestamp", format!("{:?} {e}", clip(text))))?;
        if at.since(self.now) > self.future_ms {
            let ahead = self.future_ms / 1000;
            let reason = format!("{} is more than {ahead} s ahead of the server's clock", at.rfc3339());
            return Err(("timestamp", reason));
        }
        Ok(at)
    }
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
