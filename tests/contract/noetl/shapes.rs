//! Small bodies of the shape that NoETL's programs answer with.

use serde_json::{Value, json};

use crate::harness::{now, time};

/// A worker's `/metrics`: tasks in flight, and what waits for the consumer `worker-pool`.
pub fn worker(in_flight: u32, pending: u32) -> String {
    format!(
        "# HELP noetl_worker_concurrent_dispatches Dispatches in flight.\n\
         # TYPE noetl_worker_concurrent_dispatches gauge\n\
         noetl_worker_concurrent_dispatches {in_flight}\n\
         # HELP noetl_worker_dispatch_duration_seconds Latency of one dispatch.\n\
         # TYPE noetl_worker_dispatch_duration_seconds histogram\n\
         noetl_worker_dispatch_duration_seconds_bucket{{tool_kind=\"python\",le=\"1\"}} 1\n\
         noetl_worker_dispatch_duration_seconds_bucket{{tool_kind=\"python\",le=\"+Inf\"}} 9\n\
         noetl_worker_dispatch_duration_seconds_sum{{tool_kind=\"python\"}} 70.1\n\
         noetl_worker_dispatch_duration_seconds_count{{tool_kind=\"python\"}} 9\n\
         # HELP noetl_worker_nats_consumer_pending Messages not yet delivered.\n\
         # TYPE noetl_worker_nats_consumer_pending gauge\n\
         noetl_worker_nats_consumer_pending{{consumer=\"worker-pool\",stream=\"noetl_commands\"}} {pending}\n\
         # HELP noetl_worker_pulls_total Commands pulled.\n\
         # TYPE noetl_worker_pulls_total counter\n\
         noetl_worker_pulls_total{{outcome=\"claimed\"}} 19\n\
         # HELP noetl_worker_state_materializer_open_shards Open shards.\n\
         # TYPE noetl_worker_state_materializer_open_shards gauge\n\
         noetl_worker_state_materializer_open_shards 0\n"
    )
}

/// A server's `/metrics` after some work; one that was just started has none.
pub const SERVER: &str = "# HELP noetl_events_ingested_total Events accepted.\n\
    # TYPE noetl_events_ingested_total counter\n\
    noetl_events_ingested_total{event_type=\"call.done\",status=\"ok\"} 19\n";

/// A server's `/api/status`.
pub const STATUS: &str = r#"{"status": "ok", "system": {"cpu_percent": 12.5, "memory_percent": 40.0},
    "process": {"memory_rss_mb": 64, "uptime_seconds": 3600}}"#;

/// A server's `/api/worker/pools`: these workers with the age of their heartbeats in seconds.
pub fn pools(workers: &[(&str, &str, i64)]) -> String {
    let row = |(name, pool, age): &(&str, &str, i64)| -> Value {
        json!({
            "runtime_id": 507_912_345_678_901_248_i64, "name": name, "kind": "worker_pool", "uri": null,
            "status": "ready", "labels": {"pool_name": pool}, "capabilities": null, "capacity": null,
            "runtime": {"kind": "rust", "worker_public_key": "a2V5"}, "heartbeat": time(now() - age * 1000),
            "created_at": time(now()), "updated_at": time(now())
        })
    };
    workers.iter().map(row).collect::<Value>().to_string()
}
