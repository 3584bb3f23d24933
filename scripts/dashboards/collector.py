"""Collector: NoETL Metrics itself: its servers, its agents, its operator."""

from model import Dashboard, graph, stat, table

RED_FROM_1 = ((None, "green"), (1, "red"))
NO_OPERATOR = "No data means that no operator is scraped."

OVERVIEW = (
    stat(
        "Servers ready",
        "Servers that can do their work: they reach the database and are active or can forward.",
        "short",
        "sum(noetl_metrics_ready{@})",
        ((None, "red"), (1, "green")),
    ),
    stat(
        "Samples per second",
        "Samples that PostgreSQL has, per second.",
        "short",
        "sum(rate(noetl_metrics_samples_accepted_total{@}[$__rate_interval]))",
    ),
    stat(
        "Live series",
        "Series in the export.",
        "short",
        "max(noetl_metrics_live_series{@})",
    ),
    stat(
        "Failed commits",
        "Write transactions that failed, within the chosen interval.",
        "short",
        "sum(increase(noetl_metrics_commit_failures_total{@}[$__rate_interval]))",
        RED_FROM_1,
    ),
    stat(
        "Installations not ready",
        f"NoetlMetrics resources whose condition Ready is not True. {NO_OPERATOR}",
        "short",
        "sum(max by (status) (noetl_metrics_operator_resources"
        '{@,condition="Ready",status!="true"}))',
        RED_FROM_1,
    ),
    stat(
        "Operator leaders",
        f"Exactly 1 while all is well. {NO_OPERATOR}",
        "short",
        "sum(noetl_metrics_operator_is_leader{@})",
        ((None, "red"), (1, "green"), (2, "red")),
    ),
)

INGEST = (
    graph(
        "Samples",
        "Samples per second: committed, and of those the late ones, which cost more.",
        "short",
        (
            "sum by (instance) (rate(noetl_metrics_samples_accepted_total{@}[$__rate_interval]))",
            "{{instance}} committed",
        ),
        (
            "sum by (instance) (rate(noetl_metrics_samples_late_total{@}[$__rate_interval]))",
            "{{instance}} late",
        ),
    ),
    graph(
        "Refused",
        "Samples per second that broke a rule, by the field, and reports refused since too much "
        "waited.",
        "short",
        (
            "sum by (field) (rate(noetl_metrics_samples_rejected_total{@}[$__rate_interval]))",
            "samples: {{field}}",
        ),
        (
            "sum(rate(noetl_metrics_reports_refused_total{@}[$__rate_interval]))",
            "reports: overload",
        ),
    ),
    graph(
        "Commits",
        "Write transactions per second. Each carries all reports that waited.",
        "ops",
        (
            "sum by (instance) (rate(noetl_metrics_commits_total{@}[$__rate_interval]))",
            "{{instance}} committed",
        ),
        (
            "sum by (instance) (rate(noetl_metrics_commit_failures_total{@}[$__rate_interval]))",
            "{{instance}} failed",
        ),
    ),
    graph(
        "Active server",
        "1 for the server that stores and exports; the others forward to it. Always one, save for "
        "the seconds of a hand-over.",
        "short",
        ("noetl_metrics_active{@}", "{{instance}}"),
        top=1,
    ),
    graph(
        "Take-overs",
        "How often a server became the active one, counted since the database was made.",
        "short",
        ("max(noetl_metrics_lease_epoch{@})", "take-overs"),
    ),
    graph(
        "Samples waiting",
        "Samples that wait or are on their way to PostgreSQL.",
        "short",
        ("noetl_metrics_write_queue_samples{@}", "{{instance}}"),
    ),
    graph(
        "Series",
        "Series in memory, and of those the live ones, which the export holds.",
        "short",
        ("noetl_metrics_known_series{@}", "{{instance}} known"),
        ("noetl_metrics_live_series{@}", "{{instance}} live"),
    ),
    graph(
        "Database connections",
        "Connections to PostgreSQL, and of those the idle ones.",
        "short",
        ("noetl_metrics_database_connections{@}", "{{instance}} open"),
        ("noetl_metrics_database_connections_idle{@}", "{{instance}} idle"),
    ),
)

HTTP = (
    graph(
        "Requests",
        "Requests per second by path and code.",
        "reqps",
        (
            "sum by (path, code) (rate(noetl_metrics_http_requests_total{@}[$__rate_interval]))",
            "{{code}} {{path}}",
        ),
    ),
    graph(
        "Time to answer, 99 of 100",
        "Time within which 99 of 100 requests were answered.",
        "s",
        (
            "histogram_quantile(0.99, sum by (path, le) "
            "(rate(noetl_metrics_http_request_duration_seconds_bucket{@}[$__rate_interval])))",
            "{{path}}",
        ),
    ),
)

AGENTS = (
    graph(
        "Reports held back",
        "Reports that agents keep since the server does not take them.",
        "short",
        ("noetl_agent_queue_reports{@}", "{{component}}"),
    ),
    graph(
        "Reports lost and failures",
        "Per second: reports dropped since the buffer was full, and attempts that failed.",
        "short",
        (
            "sum by (component) (rate(noetl_agent_reports_dropped_total{@}[$__rate_interval]))",
            "{{component}} dropped",
        ),
        (
            "sum by (component) (rate(noetl_agent_send_failures_total{@}[$__rate_interval]))",
            "{{component}} failed",
        ),
    ),
)

OPERATOR = (
    graph(
        "Reconciliations",
        f"Reconciliations per second by outcome. {NO_OPERATOR}",
        "ops",
        (
            "sum by (outcome) "
            "(rate(noetl_metrics_operator_reconciliations_total{@}[$__rate_interval]))",
            "{{outcome}}",
        ),
    ),
    graph(
        "Time to reconcile, 99 of 100",
        f"Time within which 99 of 100 reconciliations ended. {NO_OPERATOR}",
        "s",
        (
            "histogram_quantile(0.99, sum by (le) "
            "(rate(noetl_metrics_operator_reconcile_duration_seconds_bucket{@}[$__rate_interval])))",
            "99 of 100",
        ),
    ),
    graph(
        "Resources by readiness",
        f"NoetlMetrics resources by the status of their condition Ready. {NO_OPERATOR}",
        "short",
        (
            'max by (status) (noetl_metrics_operator_resources{@,condition="Ready"})',
            "{{status}}",
        ),
    ),
    graph(
        "Failed writes",
        "Writes per second that the API server refused, by the kind of object. No data means that "
        "none has been refused, or that no operator is scraped.",
        "ops",
        (
            "sum by (kind) (rate(noetl_metrics_operator_apply_errors_total{@}[$__rate_interval]))",
            "{{kind}}",
        ),
    ),
    graph(
        "Since the last reconciliation",
        "Seconds since the operator last reconciled anything. It looks at every resource every "
        f"few minutes. {NO_OPERATOR}",
        "s",
        (
            "time() - max(noetl_metrics_operator_last_reconcile_timestamp_seconds{@} > 0)",
            "since the last",
        ),
    ),
    graph(
        "Leader",
        f"1 for the replica that leads. {NO_OPERATOR}",
        "short",
        ("noetl_metrics_operator_is_leader{@}", "{{instance}}"),
        top=1,
    ),
)

BUILDS = (
    table(
        "Builds",
        "Version of each process that is scraped.",
        "short",
        "noetl_metrics_build_info{@}",
    ),
)

DASHBOARD = Dashboard(
    uid="noetl-collector",
    title="NoETL / Operator and collector",
    description="NoETL Metrics itself: what its servers take and refuse, its agents, its operator.",
    anchor='{__name__=~"noetl_metrics_build_info|noetl_agent_build_info"}',
    restarts="changes(noetl_metrics_start_time_seconds{@}[$__rate_interval]) > 0",
    versions="noetl_metrics_build_info{@} "
    "unless noetl_metrics_build_info{@} offset $__rate_interval",
    rows=(
        ("Overview", OVERVIEW),
        ("Ingest", INGEST),
        ("HTTP", HTTP),
        ("Agents", AGENTS),
        ("Operator", OPERATOR),
        ("Builds", BUILDS),
    ),
)
