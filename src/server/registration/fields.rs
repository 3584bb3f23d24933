//! The fields of a registration, a heartbeat or a farewell, as NoETL's workers write them.

use serde_json::{Map, Value, json};

use crate::model::is_component_kind;
use crate::server::problem::{Kind, Problem};
use crate::store::Registration;

/// The fields of a body.
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    pub(super) fn read(body: &[u8]) -> Result<Self, Problem> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(_) => Err(Problem::field("body", "must be a JSON object")),
            Err(e) => Err(Problem::new(Kind::MALFORMED, format!("the body is not valid JSON: {e}"))),
        }
    }

    /// Whether it is there, and not null.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| !value.is_null())
    }

    /// A text of at most `max` bytes; `None` for null.
    pub(super) fn text(&self, name: &str, max: usize) -> Result<Option<String>, Problem> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.len() > max => {
                Err(Problem::field(name, format!("more than {max} bytes")))
            }
            Some(Value::String(text)) if text.contains('\0') => {
                Err(Problem::field(name, "must not hold the character U+0000"))
            }
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(Problem::field(name, "must be a string")),
        }
    }

    pub(super) fn name(&self, max: usize) -> Result<String, Problem> {
        self.text("name", max)?.filter(|n| !n.is_empty()).ok_or_else(|| Problem::field("name", "is missing"))
    }

    pub(super) fn kind(&self) -> Result<Option<String>, Problem> {
        let (field, kind) = match self.text("kind", 255)? {
            Some(kind) => ("kind", Some(kind)),
            None => ("component_type", self.text("component_type", 255)?),
        };
        match kind {
            Some(kind) if !is_component_kind(&kind) => {
                Err(Problem::field(field, "must have 1 to 255 letters, digits, _, - or ."))
            }
            kind => Ok(kind),
        }
    }

    /// A JSON value that PostgreSQL's jsonb can hold.
    pub(super) fn value(&self, name: &str) -> Result<Option<Value>, Problem> {
        let value = self.0.get(name).filter(|v| !v.is_null()).cloned();
        if value.as_ref().is_some_and(|v| v.to_string().contains("\\u0000")) {
            return Err(Problem::field(name, "must not hold the character U+0000"));
        }
        Ok(value)
    }

    pub(super) fn registration(&self, max_name: usize) -> Result<Registration, Problem> {
        let capacity = match self.0.get("capacity") {
            None | Some(Value::Null) => None,
            Some(value) => {
                let number = value.as_i64().and_then(|n| i32::try_from(n).ok());
                Some(number.ok_or_else(|| Problem::field("capacity", "must be a whole number"))?)
            }
        };
        let labels = self.value("labels")?;
        if labels.as_ref().is_some_and(|l| !l.is_object() && !l.is_array()) {
            return Err(Problem::field("labels", "must be an object or a list"));
        }
        let uri = ["uri", "base_url", "endpoint"].into_iter().find(|field| self.has(field));
        Ok(Registration {
            name: self.name(max_name)?,
            kind: self.kind()?.unwrap_or_else(|| "worker_pool".into()),
            uri: uri.map(|field| self.text(field, 2048)).transpose()?.flatten(),
            status: self.text("status", 255)?.unwrap_or_else(|| "ready".into()),
            labels,
            capabilities: self.value("capabilities")?,
            capacity,
            runtime: self.runtime()?,
        })
    }

    /// What the component says of its process, in one object.
    fn runtime(&self) -> Result<Option<Value>, Problem> {
        let mut all = match self.value("runtime")? {
            Some(Value::Object(fields)) => fields,
            Some(Value::String(word)) => Map::from_iter([("type".into(), json!(word))]),
            None => Map::new(),
            Some(_) => return Err(Problem::field("runtime", "must be a string or an object")),
        };
        self.text("hostname", 255)?;
        if self.0.get("pid").is_some_and(|pid| !pid.is_null() && pid.as_i64().is_none()) {
            return Err(Problem::field("pid", "must be a whole number"));
        }
        for field in ["hostname", "pid", "meta"] {
            if let Some(value) = self.value(field)? {
                all.entry(field).or_insert(value);
            }
        }
        Ok((!all.is_empty()).then_some(Value::Object(all)))
    }

    /// The registration that a heartbeat brings along: it is the sender's own, so name and kind may
    /// be missing in it.
    pub(super) fn registration_along(&self, max_name: usize) -> Result<Option<Registration>, Problem> {
        const FIELD: &str = "registration";
        let mut along = match self.0.get(FIELD) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Object(along)) => along.clone(),
            Some(_) => return Err(Problem::field(FIELD, "must be an object")),
        };
        let name = self.name(max_name)?;
        along.entry("name").or_insert_with(|| json!(name));
        if let Some(kind) = self.kind()?.filter(|_| !along.contains_key("kind")) {
            along.entry("component_type").or_insert_with(|| json!(kind));
        }
        let registration = Self(along).registration(max_name).map_err(|problem| problem.within(FIELD))?;
        if registration.name == name {
            Ok(Some(registration))
        } else {
            Err(Problem::field("registration.name", "is not the name that the heartbeat is of"))
        }
    }
}
