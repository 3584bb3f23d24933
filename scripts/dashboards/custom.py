"""Custom: any metric that an application reports for itself, chosen by name."""

from model import SCOPE, Dashboard, graph, query_variable, stat, table

OWN_NAMES = "node_.*|noetl_.*|up|scrape_.*"
CHOSEN = ",".join(f'{name}=~"${name}"' for name, _ in SCOPE)
FOREIGN = f'{{{CHOSEN},component=~"$component",__name__!~"{OWN_NAMES}"}}'

OVERVIEW = (
    stat(
        "Series of this metric",
        "Live series of the chosen metric.",
        "short",
        'count({@,__name__="$metric"})',
    ),
    stat(
        "Components that report it",
        "Components that have a live series of the chosen metric.",
        "short",
        'count(count by (component) ({@,__name__="$metric"}))',
    ),
    stat(
        "Sum",
        "Sum over all series of the chosen metric.",
        "short",
        'sum({@,__name__="$metric"})',
    ),
    stat(
        "Metrics that applications report",
        "Names beside those that NoETL Metrics measures itself. No data means that no application "
        "has reported one.",
        "short",
        f'count(count by (__name__) ({{@,__name__!~"{OWN_NAMES}"}}))',
    ),
    stat(
        "Series of applications",
        "Live series beside those that NoETL Metrics measures itself.",
        "short",
        f'count({{@,__name__!~"{OWN_NAMES}"}})',
    ),
    stat(
        "Oldest report",
        "Age of the oldest newest report of the chosen components.",
        "s",
        "max(noetl_component_last_report_age_seconds{@})",
        ((None, "green"), (150, "yellow"), (300, "red")),
    ),
)

VALUES = (
    graph(
        "Value",
        "The chosen metric as it was reported: of a gauge this is what counts.",
        "short",
        ('{@,__name__="$metric"}', "__auto"),
        width=24,
    ),
    graph(
        "Change per second",
        "Growth per second of the chosen metric: of a counter this is what counts. Without "
        "meaning for a gauge.",
        "short",
        ('rate({@,__name__="$metric"}[$__rate_interval])', "__auto"),
    ),
    graph(
        "Sum by component",
        "The chosen metric added up for each component.",
        "short",
        ('sum by (component) ({@,__name__="$metric"})', "{{component}}"),
    ),
    table(
        "Newest values",
        "Every live series of the chosen metric, with its labels.",
        "short",
        '{@,__name__="$metric"}',
    ),
    table(
        "Largest metrics",
        "The names that have most series: where cardinality comes from.",
        "short",
        f'topk(20, count by (__name__, component) ({{@,__name__!~"{OWN_NAMES}"}}))',
    ),
)

DASHBOARD = Dashboard(
    uid="noetl-custom",
    title="NoETL / Custom",
    description="Metrics that applications report for themselves, chosen by name.",
    anchor="noetl_component_up",
    components="noetl_component_up",
    extra_variables=(query_variable("metric", f"label_values({FOREIGN}, __name__)", None),),
    restarts="changes(noetl_process_start_time_seconds{@}[$__rate_interval]) > 0",
    versions="noetl_agent_build_info{@} unless noetl_agent_build_info{@} offset $__rate_interval",
    rows=(("Overview", OVERVIEW), ("Metric", VALUES)),
)
