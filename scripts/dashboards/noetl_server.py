"""Server: NoETL's servers, and the metrics server as a component among them."""

from model import Dashboard, graph, stat, table

SERVERS = 'noetl_component_up{component_type=~"server.*"}'
SCRAPED = "Of servers that an agent scrapes; no data where there is none."
QUEUE = "No data means that nothing reports NoETL's own queue; it is never a made-up 0."

OVERVIEW = (
    stat(
        "Servers up",
        "Servers that reported lately. No data means that none has registered.",
        "short",
        'sum(noetl_component_up{@,component_type=~"server.*"})',
    ),
    stat(
        "Servers silent",
        "Servers that fell silent. They leave the export a day after they were last heard.",
        "short",
        'sum(1 - noetl_component_up{@,component_type=~"server.*"})',
        ((None, "green"), (1, "red")),
    ),
    stat(
        "Active workers",
        "Worker pools that reported or sent a heartbeat lately, as the server counts them.",
        "short",
        "max(noetl_server_active_workers{@})",
        ((None, "red"), (1, "green")),
    ),
    stat(
        "Work waiting",
        f"Work that waits in NoETL's queue. {QUEUE}",
        "short",
        "sum(noetl_server_queue_size{@})",
    ),
    stat(
        "Longest up",
        "How long the server that runs longest has been running.",
        "s",
        'max(noetl_uptime_seconds{@,component_type=~"server.*"})',
    ),
    stat(
        "Oldest report",
        "Age of the oldest newest report of a server.",
        "s",
        'max(noetl_component_last_report_age_seconds{@,component_type=~"server.*"})',
        ((None, "green"), (150, "yellow"), (300, "red")),
    ),
)

WORK = (
    graph(
        "Active workers",
        "Worker pools that are heard. A fall without a deployment means that workers are lost.",
        "short",
        ("noetl_server_active_workers{@}", "{{component}}"),
    ),
    graph(
        "Work waiting",
        f"Work in NoETL's queue. {QUEUE}",
        "short",
        ("noetl_server_queue_size{@}", "{{component}}"),
    ),
)

EVENTS = (
    graph(
        "Events taken",
        f"Events that NoETL's servers took, by type and result. {SCRAPED}",
        "ops",
        (
            "sum by (event_type, status) (rate(noetl_events_ingested_total{@}[$__rate_interval]))",
            "{{event_type}} {{status}}",
        ),
    ),
    graph(
        "Time to take an event, 95 of 100",
        f"Time within which 95 of 100 events were taken, by type. {SCRAPED}",
        "s",
        (
            "histogram_quantile(0.95, sum by (event_type, le) "
            "(rate(noetl_event_ingest_duration_seconds_bucket{@}[$__rate_interval])))",
            "{{event_type}}",
        ),
    ),
    graph(
        "Writes",
        f"Requests that write, other than events, by endpoint and result. {SCRAPED}",
        "ops",
        (
            "sum by (endpoint, status) (rate(noetl_write_requests_total{@}[$__rate_interval]))",
            "{{endpoint}} {{status}}",
        ),
    ),
    graph(
        "Time of a write, 95 of 100",
        f"Time within which 95 of 100 of them were answered, by endpoint. {SCRAPED}",
        "s",
        (
            "histogram_quantile(0.95, sum by (endpoint, le) "
            "(rate(noetl_write_request_duration_seconds_bucket{@}[$__rate_interval])))",
            "{{endpoint}}",
        ),
    ),
    graph(
        "Executions",
        f"Executions asked for, by what became of them. {SCRAPED}",
        "ops",
        (
            "sum by (outcome) (rate(noetl_execute_outcomes_total{@}[$__rate_interval]))",
            "{{outcome}}",
        ),
    ),
    graph(
        "Commands published",
        f"Commands handed to workers, by pool. {SCRAPED}",
        "ops",
        (
            "sum by (pool) (rate(noetl_command_publish_total{@}[$__rate_interval]))",
            "{{pool}}",
        ),
    ),
)

RESOURCES = (
    graph(
        "CPU of the process",
        "CPU of each server's process, 0 to 100 of its limit, else of the node.",
        "percent",
        ('noetl_process_cpu_percent{@,component_type=~"server.*"}', "{{component}}"),
    ),
    graph(
        "Memory of the process",
        "Resident memory of each server's process.",
        "bytes",
        ('noetl_process_memory_rss_bytes{@,component_type=~"server.*"}', "{{component}}"),
    ),
    graph(
        "CPU of the container or node",
        "CPU in use where each server runs: of its container's limit, else of the node.",
        "percent",
        ('noetl_system_cpu_usage_percent{@,component_type=~"server.*"}', "{{component}}"),
        top=100,
    ),
    graph(
        "Memory of the container or node",
        "Memory in use where each server runs: of its container's limit, else of the node.",
        "percent",
        ('noetl_system_memory_usage_percent{@,component_type=~"server.*"}', "{{component}}"),
        top=100,
    ),
)

LIST = (
    table(
        "Servers",
        "How long each server's process has been running.",
        "s",
        'noetl_uptime_seconds{@,component_type=~"server.*"}',
    ),
)

DASHBOARD = Dashboard(
    uid="noetl-server",
    title="NoETL / Server",
    description="NoETL's servers: workers they see, work that waits, what they use.",
    anchor="noetl_component_up",
    components=SERVERS,
    restarts="changes(noetl_process_start_time_seconds"
    '{@,component_type=~"server.*"}[$__rate_interval]) > 0',
    versions="changes(noetl_process_start_time_seconds"
    '{@,component_type=~"server.*"}[$__rate_interval]) > 0',
    rows=(
        ("Overview", OVERVIEW),
        ("Work", WORK),
        ("Events", EVENTS),
        ("Resources", RESOURCES),
        ("Servers", LIST),
    ),
)
