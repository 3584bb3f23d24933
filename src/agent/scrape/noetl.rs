//! What NoETL's own server answers: its workers (`GET /api/worker/pools`) and its status
//! (`GET /api/status`). Only read, never written to.

use serde_json::Value;

use super::config::WORKER;
use super::own::{Fault, Reason};
use crate::model::parse_timestamp;

/// A worker counts as active while its heartbeat is not older; NoETL's own bound. Its status says
/// nothing: workers that died stay `ready`.
const ACTIVE_WITHIN_MS: i64 = 60_000;
/// The most workers that are remembered.
const MOST: usize = 10_000;

/// NoETL's list of workers.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Workers(Vec<Worker>);

#[derive(Clone, Debug, PartialEq)]
struct Worker {
    name: String,
    pool: Option<String>,
    heartbeat_ms: Option<i64>,
}

impl Workers {
    /// Reads the answer: a list of rows, or an object with the list as `items` (Python servers).
    pub(super) fn parse(json: &str) -> Result<Self, Fault> {
        let bad = |why: String| Fault::new(Reason::BadText, format!("/api/worker/pools: {why}"));
        let answer: Value = serde_json::from_str(json).map_err(|e| bad(e.to_string()))?;
        let rows = answer.as_array().or_else(|| answer.get("items")?.as_array());
        let rows = rows.ok_or_else(|| bad("neither a list nor an object with items".to_owned()))?;
        Ok(Self(rows.iter().filter_map(Worker::of).take(MOST).collect()))
    }

    /// Workers with a heartbeat of late, by the clock of NoETL's server.
    pub(super) fn active(&self, now_ms: i64) -> usize {
        let is_active = |worker: &&Worker| {
            worker.heartbeat_ms.is_some_and(|at| now_ms.saturating_sub(at) <= ACTIVE_WITHIN_MS)
        };
        self.0.iter().filter(is_active).count()
    }

    /// The pool of a worker.
    pub(super) fn pool_of(&self, name: &str) -> Option<String> {
        self.0.iter().find(|worker| worker.name == name)?.pool.clone()
    }
}

impl Worker {
    fn of(row: &Value) -> Option<Self> {
        let kind = row.get("kind").or_else(|| row.get("component_type"));
        if kind.and_then(Value::as_str).is_some_and(|kind| kind != WORKER) {
            return None;
        }
        let heartbeat = row.get("heartbeat").or_else(|| row.get("last_heartbeat")).and_then(Value::as_str);
        Some(Self {
            name: row.get("name")?.as_str()?.to_owned(),
            pool: row.pointer("/labels/pool_name").and_then(Value::as_str).map(str::to_owned),
            heartbeat_ms: heartbeat.and_then(|text| parse_timestamp(text).ok()).map(|time| time.0),
        })
    }
}

/// What a NoETL server says of itself.
#[derive(Debug, Default)]
pub(super) struct Status(Value);

impl Status {
    /// Reads the answer.
    pub(super) fn parse(json: &str) -> Result<Self, Fault> {
        let answer = serde_json::from_str(json);
        answer.map(Self).map_err(|e| Fault::new(Reason::BadText, format!("/api/status: {e}")))
    }

    /// The number at a path such as `/system/cpu_percent`.
    pub(super) fn number(&self, path: &str) -> Option<f64> {
        self.0.pointer(path)?.as_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_704_110_400_000;
    const ROWS: &str = r#"[
        {"runtime_id": 7, "name": "w-1", "kind": "worker_pool", "status": "ready",
         "labels": {"pool_name": "cpu"}, "heartbeat": "2024-01-01T11:59:30.5Z"},
        {"name": "w-2", "kind": "worker_pool", "status": "ready", "labels": ["cpu"],
         "heartbeat": "2024-01-01T11:58:00Z"},
        {"name": "w-3", "heartbeat": "2024-01-01T12:00:00"},
        {"name": "bus", "kind": "broker", "heartbeat": "2024-01-01T12:00:00Z"},
        {"kind": "worker_pool"}, 5
    ]"#;

    #[test]
    fn active_workers_are_those_with_a_heartbeat_of_late() {
        let workers = Workers::parse(ROWS).unwrap();
        assert_eq!(workers.0.len(), 3);
        assert_eq!(workers.active(NOW), 2);
        assert_eq!(workers.active(NOW + 120_000), 0);
        assert_eq!(workers.pool_of("w-1").as_deref(), Some("cpu"));
        assert_eq!((workers.pool_of("w-2"), workers.pool_of("ghost")), (None, None));
    }

    #[test]
    fn both_forms_of_the_list_are_read() {
        let python = format!(r#"{{"items": {ROWS}, "count": 3, "error": null}}"#);
        assert_eq!(Workers::parse(&python).unwrap(), Workers::parse(ROWS).unwrap());
        for bad in ["", "{}", "null", "[", r#"{"items": 1}"#] {
            assert!(Workers::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_are_looked_up_by_their_path() {
        let status = Status::parse(r#"{"system": {"cpu_percent": 12.5}, "process": {"uptime_seconds": 7}}"#);
        let status = status.unwrap();
        assert_eq!(status.number("/system/cpu_percent"), Some(12.5));
        assert_eq!(status.number("/process/uptime_seconds"), Some(7.0));
        assert_eq!(status.number("/process/memory_rss_mb"), None);
    }
}
