"""Worker: what NoETL's workers have in hand, and what they use."""

from model import Dashboard, graph, stat, table

WORKERS = 'noetl_component_up{component_type=~"worker.*"}'
RED_FROM_1 = ((None, "green"), (1, "red"))
SCRAPED = "Of workers that an agent scrapes; no data where there is none."
NO_SOURCE = "No data means that no worker hands the number over; it is never a made-up 0."

OVERVIEW = (
    stat(
        "Workers up",
        "Workers that reported or sent a heartbeat lately. No data means that none has registered.",
        "short",
        'sum(noetl_component_up{@,component_type=~"worker.*"})',
    ),
    stat(
        "Workers silent",
        "Workers that fell silent. They leave the export a day after they were last heard.",
        "short",
        'sum(1 - noetl_component_up{@,component_type=~"worker.*"})',
        RED_FROM_1,
    ),
    stat(
        "Tasks in hand",
        f"Tasks that the chosen workers run now. {NO_SOURCE}",
        "short",
        "sum(noetl_worker_active_tasks{@})",
    ),
    stat(
        "Tasks waiting",
        f"Tasks that wait in the chosen workers' own queues. {NO_SOURCE}",
        "short",
        "sum(noetl_worker_queue_size{@})",
    ),
    stat(
        "Oldest report",
        "Age of the oldest newest report of a worker.",
        "s",
        'max(noetl_component_last_report_age_seconds{@,component_type=~"worker.*"})',
        ((None, "green"), (150, "yellow"), (300, "red")),
    ),
    stat(
        "Memory of the largest",
        "Resident memory of the worker process that holds most.",
        "bytes",
        'max(noetl_process_memory_rss_bytes{@,component_type=~"worker.*"})',
    ),
)

WORK = (
    graph(
        "Tasks in hand",
        f"Tasks that each worker runs. {NO_SOURCE}",
        "short",
        ("noetl_worker_active_tasks{@}", "{{component}}"),
    ),
    graph(
        "Tasks waiting",
        f"Tasks in each worker's own queue. One that only grows wants more workers. {NO_SOURCE}",
        "short",
        ("noetl_worker_queue_size{@}", "{{component}}"),
    ),
    graph(
        "Whether workers are heard",
        "1 while a worker reports or sends heartbeats, 0 after it fell silent.",
        "short",
        ('noetl_component_up{@,component_type=~"worker.*"}', "{{component}}"),
        top=1,
    ),
    graph(
        "Age of the newest report",
        "A saw between 0 and the reporting interval while all is well.",
        "s",
        (
            'noetl_component_last_report_age_seconds{@,component_type=~"worker.*"}',
            "{{component}}",
        ),
    ),
)

DISPATCH = (
    graph(
        "Time of a dispatch, 95 of 100",
        f"Time within which 95 of 100 commands were run, by kind of tool. {SCRAPED}",
        "s",
        (
            "histogram_quantile(0.95, sum by (tool_kind, le) "
            "(rate(noetl_worker_dispatch_duration_seconds_bucket{@}[$__rate_interval])))",
            "{{tool_kind}}",
        ),
    ),
    graph(
        "Dispatches",
        f"Commands that ended, by kind of tool. {SCRAPED}",
        "ops",
        (
            "sum by (tool_kind) "
            "(rate(noetl_worker_dispatch_duration_seconds_count{@}[$__rate_interval]))",
            "{{tool_kind}}",
        ),
    ),
    graph(
        "Dispatches that failed",
        f"Commands whose tool failed, by its kind. The family appears with the first. {SCRAPED}",
        "ops",
        (
            "sum by (tool_kind) (rate(noetl_worker_dispatch_errors_total{@}[$__rate_interval]))",
            "{{tool_kind}}",
        ),
    ),
    graph(
        "In flight",
        f"Dispatches that each worker has in flight. {SCRAPED}",
        "short",
        ("noetl_worker_concurrent_dispatches{@}", "{{component}}"),
    ),
    graph(
        "Claims",
        f"Commands pulled, by what became of the claim. {SCRAPED}",
        "ops",
        (
            "sum by (outcome) (rate(noetl_worker_pulls_total{@}[$__rate_interval]))",
            "{{outcome}}",
        ),
    ),
    graph(
        "Time of a claim, 95 of 100",
        f"Time within which 95 of 100 commands were received and claimed. {SCRAPED}",
        "s",
        (
            "histogram_quantile(0.95, sum by (component, le) "
            "(rate(noetl_worker_pull_duration_seconds_bucket{@}[$__rate_interval])))",
            "{{component}}",
        ),
    ),
    graph(
        "Time to send an event, 95 of 100",
        f"Time within which NoETL's server took 95 of 100 events, by type. {SCRAPED}",
        "s",
        (
            "histogram_quantile(0.95, sum by (event_type, le) "
            "(rate(noetl_worker_event_emit_duration_seconds_bucket{@}[$__rate_interval])))",
            "{{event_type}}",
        ),
    ),
    graph(
        "Targets that fail",
        "Scrapes of workers and servers that failed, by target and reason.",
        "ops",
        (
            "sum by (target, reason) "
            "(rate(noetl_agent_scrape_errors_total{@}[$__rate_interval])) > 0",
            "{{target}} {{reason}}",
        ),
    ),
)

RESOURCES = (
    graph(
        "CPU of the process",
        "CPU of each worker's process, 0 to 100 of its limit, else of the node.",
        "percent",
        ('noetl_process_cpu_percent{@,component_type=~"worker.*"}', "{{component}}"),
    ),
    graph(
        "Memory of the process",
        "Resident memory of each worker's process.",
        "bytes",
        ('noetl_process_memory_rss_bytes{@,component_type=~"worker.*"}', "{{component}}"),
    ),
    graph(
        "CPU of the container or node",
        "CPU in use where each worker runs: of its container's limit, else of the node.",
        "percent",
        ('noetl_system_cpu_usage_percent{@,component_type=~"worker.*"}', "{{component}}"),
        top=100,
    ),
    graph(
        "Memory of the container or node",
        "Memory in use where each worker runs: of its container's limit, else of the node.",
        "percent",
        ('noetl_system_memory_usage_percent{@,component_type=~"worker.*"}', "{{component}}"),
        top=100,
    ),
)

LIST = (
    table(
        "Workers",
        "How long each worker's process has been running.",
        "s",
        'noetl_uptime_seconds{@,component_type=~"worker.*"}',
    ),
)

DASHBOARD = Dashboard(
    uid="noetl-worker",
    title="NoETL / Worker",
    description="NoETL's workers: tasks in hand and waiting, who is heard, what they use.",
    anchor="noetl_component_up",
    components="noetl_component_up",
    restarts="changes(noetl_process_start_time_seconds"
    '{@,component_type=~"worker.*"}[$__rate_interval]) > 0',
    versions="noetl_agent_build_info{@} unless noetl_agent_build_info{@} offset $__rate_interval",
    rows=(
        ("Overview", OVERVIEW),
        ("Work", WORK),
        ("Dispatch", DISPATCH),
        ("Resources", RESOURCES),
        ("Workers", LIST),
    ),
)
