"""What an installation has beside its own metrics, so that every panel has something to show.

Values only, without a way to report them: the end-to-end tests use them too.
"""

# What a worker that knows this API reports.
REPORTED_BY_WORKER = {
    "noetl_worker_active_tasks": 3,
    "noetl_worker_queue_size": 5,
    "noetl_process_cpu_percent": 12.5,
    "noetl_process_memory_rss_bytes": 5e7,
    "noetl_process_start_time_seconds": 1.7e9,
    "noetl_system_cpu_usage_percent": 40,
    "noetl_system_memory_usage_percent": 30,
    "noetl_uptime_seconds": 100,
}
# What unmodified workers and servers expose, of what is kept of it unless asked otherwise.
NOETL_WORKER = """\
# TYPE noetl_worker_concurrent_dispatches gauge
noetl_worker_concurrent_dispatches 1
# TYPE noetl_worker_dispatch_duration_seconds histogram
noetl_worker_dispatch_duration_seconds_bucket{tool_kind="python",le="+Inf"} 1
noetl_worker_dispatch_duration_seconds_sum{tool_kind="python"} 1
noetl_worker_dispatch_duration_seconds_count{tool_kind="python"} 1
# TYPE noetl_worker_dispatch_errors_total counter
noetl_worker_dispatch_errors_total{tool_kind="python"} 1
# TYPE noetl_worker_event_emit_duration_seconds histogram
noetl_worker_event_emit_duration_seconds_bucket{event_type="call.done",le="+Inf"} 1
noetl_worker_event_emit_duration_seconds_sum{event_type="call.done"} 1
noetl_worker_event_emit_duration_seconds_count{event_type="call.done"} 1
# TYPE noetl_worker_pull_duration_seconds histogram
noetl_worker_pull_duration_seconds_bucket{le="+Inf"} 1
noetl_worker_pull_duration_seconds_sum 1
noetl_worker_pull_duration_seconds_count 1
# TYPE noetl_worker_pulls_total counter
noetl_worker_pulls_total{outcome="claimed"} 1
"""
NOETL_SERVER = """\
# TYPE noetl_command_publish_total counter
noetl_command_publish_total{pool="shared",route="legacy"} 1
# TYPE noetl_event_ingest_duration_seconds histogram
noetl_event_ingest_duration_seconds_bucket{event_type="call.done",le="+Inf"} 1
noetl_event_ingest_duration_seconds_sum{event_type="call.done"} 1
noetl_event_ingest_duration_seconds_count{event_type="call.done"} 1
# TYPE noetl_events_ingested_total counter
noetl_events_ingested_total{event_type="call.done",status="ok"} 1
# TYPE noetl_execute_outcomes_total counter
noetl_execute_outcomes_total{entry="single",outcome="new"} 1
# TYPE noetl_write_request_duration_seconds histogram
noetl_write_request_duration_seconds_bucket{endpoint="runtime_register",le="+Inf"} 1
noetl_write_request_duration_seconds_sum{endpoint="runtime_register"} 1
noetl_write_request_duration_seconds_count{endpoint="runtime_register"} 1
# TYPE noetl_write_requests_total counter
noetl_write_requests_total{endpoint="runtime_register",status="ok"} 1
"""
