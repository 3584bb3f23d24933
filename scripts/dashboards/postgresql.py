"""PostgreSQL: the same without a time-series database, asked of the tables by SQL.

Macros (`$__timeFrom()`, `$__timeGroup(…)`) and `${name:sqlstring}` are those of Grafana's data
source for PostgreSQL. Whoever is asked may read what docs/examples/grafana/role.sql lets it.
"""

from model import (
    BUILT_IN,
    Panel,
    arranged,
    frame,
    graph,
    source_variable,
    stat,
    table,
    variable_of,
)

DATASOURCE = {"type": "grafana-postgresql-datasource", "uid": "${datasource}"}
COMPONENT = "r.name in (${component:sqlstring})"
SAMPLES = (
    "noetl.metrics_between($__timeFrom(), $__timeTo()) m"
    " join noetl_metrics.registered() r using (runtime_id)"
)
TIME = '$__timeGroup(m."timestamp", $__interval) as "time"'
# What a component was heard last, by a report or a heartbeat.
HEARD = (
    "select r.name, r.kind, greatest(r.heartbeat, c.last_report) as heard, c.rejected"
    " from noetl_metrics.registered() r left join noetl_metrics.component c using (runtime_id)"
    f" where {COMPONENT}"
)
LATELY = "now() - interval '5 minutes'"
OF_SERIES = "r.name || coalesce(' ' || nullif(m.labels, '{}')::text, '')"


def readings(metric: str, name: str = "r.name", how: str = "avg") -> str:
    """A line for each component, or whatever `name` tells apart, over the steps of the picture."""
    return (
        f"select {TIME}, {name} as metric, {how}(m.metric_value) as value from {SAMPLES}"
        f" where m.metric_name = {metric} and {COMPONENT} group by 1, 2 order by 1"
    )


def newest(metric: str) -> str:
    """The sum of the newest values of its series, of those that were reported lately."""
    return (
        "select sum(metric_value) as value from (select distinct on (m.runtime_id, m.labels)"
        f" m.metric_value from noetl.metrics_between({LATELY}, now()) m"
        " join noetl_metrics.registered() r using (runtime_id)"
        f" where m.metric_name = '{metric}' and {COMPONENT}"
        ' order by m.runtime_id, m.labels, m."timestamp" desc) newest'
    )


def growth(metric: str, name: str) -> str:
    """By how much counters grew a second; one that fell was started again at zero."""
    return (
        f'select $__timeGroup(at, $__interval) as "time", metric,'
        " sum(case when value < before then value else value - before end)"
        " / ($__interval_ms / 1000.0) as value"
        f' from (select m."timestamp" as at, {name} as metric, m.metric_value as value,'
        " lag(m.metric_value) over (partition by m.runtime_id, m.labels"
        f' order by m."timestamp") as before from {SAMPLES}'
        f" where m.metric_name = {metric} and {COMPONENT}) steps"
        " where before is not null group by 1, 2 order by 1"
    )


def mean(metric: str) -> str:
    """The mean of one of several metrics."""
    return f"avg(m.metric_value) filter (where m.metric_name = '{metric}')"


CHOSEN = "'${metric}'"
NO_SOURCE = "No data means that nobody hands the number over; it is never a made-up 0."

OVERVIEW = (
    stat(
        "Components heard",
        "Components that reported or sent a heartbeat within five minutes.",
        "short",
        f"select count(*) as value from ({HEARD}) heard where heard > {LATELY}",
    ),
    stat(
        "Components silent",
        "Components that did so within a day, and not within five minutes.",
        "short",
        f"select count(*) as value from ({HEARD}) heard"
        f" where heard <= {LATELY} and heard > now() - interval '1 day'",
        ((None, "green"), (1, "red")),
    ),
    stat(
        "Tasks in hand",
        f"Tasks that the chosen workers run now. {NO_SOURCE}",
        "short",
        newest("noetl_worker_active_tasks"),
    ),
    stat(
        "Tasks waiting",
        f"Tasks that wait for the chosen workers. {NO_SOURCE}",
        "short",
        newest("noetl_worker_queue_size"),
    ),
    stat(
        "Series",
        "Series that samples are stored of.",
        "short",
        "select count(*) as value from noetl_metrics.series",
    ),
    stat(
        "Bytes",
        "What all tables of NoETL Metrics take, indexes included.",
        "bytes",
        "select sum(pg_total_relation_size(c.oid)) as value from pg_class c"
        " where c.relnamespace = 'noetl_metrics'::regnamespace and c.relkind = 'r'",
    ),
)

WORK = (
    graph(
        "Tasks in hand",
        f"Tasks that each worker runs. {NO_SOURCE}",
        "short",
        (readings("'noetl_worker_active_tasks'"), ""),
    ),
    graph(
        "Tasks waiting",
        f"Tasks that wait for each worker or its pool. {NO_SOURCE}",
        "short",
        (readings("'noetl_worker_queue_size'"), ""),
    ),
)

HOSTS = (
    graph(
        "CPU",
        "Of a node, or of a component's limit.",
        "percent",
        (readings("'noetl_system_cpu_usage_percent'"), ""),
        top=100,
    ),
    graph(
        "Memory",
        "Of a node, or of a component's limit.",
        "percent",
        (readings("'noetl_system_memory_usage_percent'"), ""),
        top=100,
    ),
    graph(
        "File systems",
        "What is used of each file system.",
        "percent",
        (
            f"select {TIME}, r.name || ' ' || (m.labels->>'mountpoint') as metric,"
            f" 100 * (1 - {mean('node_filesystem_avail_bytes')}"
            f" / {mean('node_filesystem_size_bytes')}) as value"
            f" from {SAMPLES} where m.metric_name like 'node_filesystem_%_bytes'"
            f" and {COMPONENT} group by 1, 2"
            f" having {mean('node_filesystem_size_bytes')} > 0 order by 1",
            "",
        ),
        top=100,
    ),
    graph(
        "Network",
        "Bytes received a second.",
        "Bps",
        (
            growth("'node_network_receive_bytes_total'", "r.name || ' ' || (m.labels->>'device')"),
            "",
        ),
    ),
)

ANY = (
    graph(
        "Value of ${metric}",
        "Each series of the chosen metric, means over the steps of the picture.",
        "short",
        (readings(CHOSEN, OF_SERIES), ""),
    ),
    graph(
        "Growth of ${metric} a second",
        "The same for a counter.",
        "short",
        (growth(CHOSEN, OF_SERIES), ""),
    ),
    graph(
        "Hours of ${metric}",
        "The largest value of each hour, out of roll-ups: it goes back as far as these are kept.",
        "short",
        (
            "select m.hour as \"time\", m.component_name || coalesce(' ' ||"
            " nullif(m.labels, '{}')::text, '') as metric, m.max as value"
            " from (select * from noetl_metrics.rollup"
            " join noetl_metrics.series using (series_id)) m"
            " where m.hour between $__timeFrom() and $__timeTo()"
            " and m.day >= date_trunc('day', $__timeFrom()::timestamptz, 'UTC')"
            f" and m.metric_name = {CHOSEN} and m.component_name in (${{component:sqlstring}})"
            " order by 1",
            "",
        ),
        width=24,
    ),
)

STORE = (
    graph(
        "Samples an hour",
        "Samples of hours that are sealed, which they are some minutes after their end.",
        "short",
        (
            "select hour as \"time\", 'samples' as metric, samples as value"
            " from noetl_metrics.sealed_hour where hour between $__timeFrom() and $__timeTo()"
            " order by 1",
            "",
        ),
    ),
    table(
        "Metrics with most series",
        "The ten metric names that most series have.",
        "short",
        "select metric_name, count(*) as series from noetl_metrics.series"
        " group by 1 order by 2 desc limit 10",
    ),
    table(
        "Components",
        "When each was heard last, and how many of its samples were refused so far.",
        "short",
        f"select name, kind, heard, rejected from ({HEARD}) heard order by heard desc nulls last",
    ),
)

ROWS = (
    ("Overview", OVERVIEW),
    ("Workers and queues", WORK),
    ("Nodes and processes", HOSTS),
    ("Any metric", ANY),
    ("What is stored", STORE),
)


def target(panel: Panel, expression: str, _legend: str, letter: str) -> dict:
    """A statement as Grafana's editor keeps it."""
    return {
        "datasource": DATASOURCE,
        "editorMode": "code",
        "format": "time_series" if panel.kind == "timeseries" else "table",
        "rawQuery": True,
        "rawSql": expression,
        "refId": letter,
    }


def variable(name: str, statement: str, several: bool) -> dict:
    """Choices that PostgreSQL is asked for."""
    return variable_of(DATASOURCE, name, statement, statement, several)


def render() -> dict:
    """The dashboard as Grafana's JSON."""
    return frame(
        description="NoETL Metrics out of PostgreSQL, where there is no Prometheus.",
        title="NoETL / PostgreSQL",
        uid="noetl-postgresql",
        annotations={"list": [BUILT_IN]},
        links=[],
        panels=arranged(ROWS, DATASOURCE, target),
        templating={
            "list": [
                source_variable(DATASOURCE["type"]),
                variable(
                    "component",
                    "select distinct name from noetl_metrics.registered() order by 1",
                    several=True,
                ),
                variable(
                    "metric",
                    "select metric_name from noetl_metrics.metric_name order by 1",
                    several=False,
                ),
            ]
        },
    )
