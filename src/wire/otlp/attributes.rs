//! Attributes as labels.

use std::borrow::Cow;
use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};

use super::names::label_name;

/// Labels by their names. Of attributes whose keys become one name the values stand side by side.
pub(super) fn labels(attributes: &[KeyValue]) -> BTreeMap<Cow<'_, str>, String> {
    let mut sorted: Vec<&KeyValue> = attributes.iter().collect();
    sorted.sort_by_key(|attribute| &attribute.key);
    let mut labels: BTreeMap<Cow<'_, str>, String> = BTreeMap::new();
    for attribute in sorted.into_iter().filter(|attribute| !attribute.key.is_empty()) {
        let value = text(attribute.value.as_ref());
        if value.is_empty() {
            continue;
        }
        labels
            .entry(label_name(&attribute.key))
            .and_modify(|values| {
                values.push(';');
                values.push_str(&value);
            })
            .or_insert(value);
    }
    labels
}

/// The value of an attribute.
pub(super) fn value(attributes: &[KeyValue], key: &str) -> Option<String> {
    let attribute = attributes.iter().find(|attribute| attribute.key == key)?;
    Some(text(attribute.value.as_ref())).filter(|text| !text.is_empty())
}

fn text(value: Option<&AnyValue>) -> String {
    match json(value) {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    }
}

fn json(value: Option<&AnyValue>) -> serde_json::Value {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.as_str().into(),
        Some(Value::BoolValue(is)) => (*is).into(),
        Some(Value::IntValue(number)) => (*number).into(),
        Some(Value::DoubleValue(number)) if number.is_finite() => (*number).into(),
        Some(Value::DoubleValue(number)) => number.to_string().into(),
        Some(Value::BytesValue(bytes)) => hex(bytes).into(),
        Some(Value::ArrayValue(array)) => array.values.iter().map(|value| json(Some(value))).collect(),
        Some(Value::KvlistValue(list)) => {
            let pairs = list.values.iter().map(|pair| (pair.key.clone(), json(pair.value.as_ref())));
            serde_json::Value::Object(pairs.collect())
        }
        _ => serde_json::Value::Null,
    }
}

/// Bytes in hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
