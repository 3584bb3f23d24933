use serde_json::{Value, json};

use super::*;

fn minimal() -> Value {
    json!({
        "apiVersion": "metrics.noetl.io/v1alpha1", "kind": "NoetlMetrics",
        "metadata": {"name": "noetl", "namespace": "noetl"},
        "spec": {
            "database": {"secretRef": {"name": "noetl-metrics-db", "key": "url"}},
            "retention": {"raw": "7d", "hourly": "400d"},
        },
    })
}

fn schema() -> Value {
    let crd = serde_json::to_value(definition()).unwrap();
    crd.pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap().clone()
}

#[test]
fn the_committed_definition_is_what_the_program_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/crds/noetlmetrics.yaml");
    let committed = std::fs::read_to_string(path).expect("crds/noetlmetrics.yaml");
    assert!(committed == yaml().unwrap(), "crds/noetlmetrics.yaml is stale; run: make generate");
}

#[test]
fn the_definition_fits_an_annotation_of_client_side_apply() {
    assert!(serde_json::to_string(&definition()).unwrap().len() < 100_000);
    assert!(yaml().unwrap().len() < 100_000);
}

#[test]
fn the_written_definition_says_the_same() {
    let read: Value = serde_yaml::from_str(&yaml().unwrap()).unwrap();
    assert_eq!(read, serde_json::to_value(definition()).unwrap());
}

#[test]
fn ten_lines_are_enough() {
    let object: NoetlMetrics = serde_json::from_value(minimal()).unwrap();
    assert_eq!(object.spec.server.replicas, 2);
    assert!(object.spec.agent.enabled && object.spec.server.auth.enabled);
    assert_eq!(object.spec.agent.placement.tolerations.len(), 1);
}

#[test]
fn every_field_is_documented() {
    fn walk(path: &str, schema: &Value, missing: &mut Vec<String>) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            if property["description"].as_str().is_none_or(str::is_empty) {
                missing.push(path.clone());
            }
            walk(&path, property, missing);
        }
        if schema["items"].is_object() {
            walk(&format!("{path}[]"), &schema["items"], missing);
        }
    }
    let mut missing = Vec::new();
    for top in ["spec", "status"] {
        walk(top, &schema()["properties"][top], &mut missing);
    }
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn no_default_holds_a_null() {
    fn nulls(value: &Value) -> bool {
        match value {
            Value::Null => true,
            Value::Array(items) => items.iter().any(nulls),
            Value::Object(fields) => fields.values().any(nulls),
            _ => false,
        }
    }
    fn walk(value: &Value) {
        if let Value::Object(fields) = value {
            if let Some(default) = fields.get("default") {
                assert!(!nulls(default), "{default}");
            }
            fields.values().for_each(walk);
        } else if let Value::Array(items) = value {
            items.iter().for_each(walk);
        }
    }
    walk(&schema()["properties"]["spec"]["properties"]);
}

#[test]
fn every_rule_has_a_sentence() {
    fn walk(value: &Value, count: &mut usize) {
        match value {
            Value::Object(fields) => {
                for rule in
                    fields.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten()
                {
                    assert!(rule["message"].as_str().is_some_and(|m| m.len() > 20), "{rule}");
                    *count += 1;
                }
                fields.values().for_each(|v| walk(v, count));
            }
            Value::Array(items) => items.iter().for_each(|v| walk(v, count)),
            _ => {}
        }
    }
    let mut count = 0;
    walk(&schema(), &mut count);
    assert!(count >= 18, "{count} rules");
}

#[test]
fn a_status_of_another_version_can_be_read() {
    let status = json!({"server": {"ready": 1}, "unknown": true, "scrape": {}});
    let read: NoetlMetricsStatus = serde_json::from_value(status).unwrap();
    assert_eq!(read.server.unwrap().ready, 1);
    assert!(serde_json::from_value::<NoetlMetricsStatus>(json!({})).is_ok());
}
