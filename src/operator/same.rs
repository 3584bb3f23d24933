//! Whether an object in the cluster already has all that is wanted of it.
//!
//! What others added (defaults, sidecars, an autoscaler's replicas) does not count as different;
//! what was changed or taken away does. Used to write only where something is to be changed.

use serde_json::Value;

/// Fields by which the items of a list are told apart, as Kubernetes does for lists of objects
/// that several managers share.
const KEYS: &[&str] = &["name", "mountPath", "uid", "containerPort"];

/// Whether `live` holds all that `wanted` says.
pub(super) fn covers(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => {
            wanted.iter().all(|(field, value)| match live.get(field) {
                Some(found) => covers(found, value),
                None => is_empty(value),
            })
        }
        (Value::Array(live), Value::Array(wanted)) => lists(live, wanted),
        (Value::String(a), Value::String(b)) => a == b || same_quantity(a, b),
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (a, b) => a == b,
    }
}

/// The API server leaves out what is empty.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

fn lists(live: &[Value], wanted: &[Value]) -> bool {
    match KEYS.iter().find(|key| wanted.iter().all(|item| item.get(**key).is_some())) {
        Some(key) if !wanted.is_empty() => wanted.iter().all(|item| {
            live.iter()
                .find(|found| found.get(*key) == item.get(*key))
                .is_some_and(|found| covers(found, item))
        }),
        _ => live.len() == wanted.len() && live.iter().zip(wanted).all(|(a, b)| covers(a, b)),
    }
}

/// The API server writes amounts its own way: 1000m becomes 1.
fn same_quantity(a: &str, b: &str) -> bool {
    matches!((quantity(a), quantity(b)), (Some(a), Some(b)) if a == b)
}

fn quantity(text: &str) -> Option<f64> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let number: f64 = text[..end].parse().ok()?;
    let factor = match &text[end..] {
        "" => 1.0,
        "m" => return Some((number * 1e6).round() / 1e9),
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        "Ti" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    Some((number * factor * 1e9).round() / 1e9)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_others_added_is_left_alone() {
        let wanted = json!({"spec": {"containers": [{"name": "server", "args": ["a"], "ports": [{"name": "metrics", "containerPort": 1}]}]}});
        let live = json!({"metadata": {"uid": "1"}, "spec": {"replicas": 4, "containers": [
            {"name": "sidecar"},
            {"name": "server", "args": ["a"], "imagePullPolicy": "Always", "ports": [{"name": "metrics", "containerPort": 1, "protocol": "TCP"}]},
        ]}});
        assert!(covers(&live, &wanted));
    }

    #[test]
    fn what_was_changed_or_taken_away_counts() {
        let wanted =
            json!({"replicas": 2, "args": ["a", "b"], "labels": {"a": "1"}, "c": [{"name": "x", "v": 1}]});
        for live in [
            json!({"replicas": 3, "args": ["a", "b"], "labels": {"a": "1"}, "c": [{"name": "x", "v": 1}]}),
            json!({"replicas": 2, "args": ["a"], "labels": {"a": "1"}, "c": [{"name": "x", "v": 1}]}),
            json!({"replicas": 2, "args": ["a", "b"], "labels": {}, "c": [{"name": "x", "v": 1}]}),
            json!({"replicas": 2, "args": ["a", "b"], "labels": {"a": "1"}, "c": [{"name": "y", "v": 1}]}),
            json!({"args": ["a", "b"], "labels": {"a": "1"}, "c": [{"name": "x", "v": 1}]}),
        ] {
            assert!(!covers(&live, &wanted), "{live}");
        }
        assert!(covers(&wanted, &wanted));
    }

    #[test]
    fn amounts_are_compared_as_amounts() {
        assert!(covers(&json!("1"), &json!("1000m")) && covers(&json!("500m"), &json!("0.5")));
        assert!(covers(&json!("1Gi"), &json!("1024Mi")));
        assert!(!covers(&json!("1Gi"), &json!("1G")) && !covers(&json!("7d"), &json!("7w")));
    }

    #[test]
    fn what_is_empty_may_be_left_out() {
        assert!(covers(&json!({}), &json!({"emptyDir": {}, "list": [], "text": ""})));
        assert!(!covers(&json!({}), &json!({"flag": false})));
    }
}
