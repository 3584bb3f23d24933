"""Grafana dashboards from compact descriptions, all of one make.

A dashboard is a list of rows, a row a list of panels, a panel a few words. This module knows
Grafana's JSON; the modules beside it know what is worth showing. In an expression `@` stands for
the matchers that every selector has: datasource apart, all that the dashboard's variables choose.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

SCHEMA_VERSION = 42
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
# Scraped series always have `job` and `instance`. `cluster` and `namespace` are what an
# installation adds or not: `.*` matches where they are absent, too.
SCOPE = (("cluster", ".*"), ("namespace", ".*"), ("job", ".+"), ("instance", ".+"))
# Only counters and the buckets of histograms have exemplars; of a metric that is chosen its rate.
EXEMPLARY = re.compile(r"(_total|_bucket)\{|^rate\(\{")
STAT_WIDTH, STAT_HEIGHT, GRAPH_WIDTH, GRAPH_HEIGHT, GRID = 4, 4, 12, 8, 24
# What Grafana's own editor gives every dashboard.
BUILT_IN = {
    "builtIn": 1,
    "datasource": {"type": "grafana", "uid": "-- Grafana --"},
    "enable": True,
    "hide": True,
    "iconColor": "rgba(0, 211, 255, 1)",
    "name": "Annotations & Alerts",
    "type": "dashboard",
}


@dataclass(frozen=True)
class Panel:
    """What one panel shows. `targets` are pairs of expression and legend."""

    kind: str
    title: str
    description: str
    unit: str
    targets: tuple[tuple[str, str], ...]
    steps: tuple[tuple[float | None, str], ...] = ((None, "green"),)
    top: float | None = None
    decimals: int | None = None
    mappings: tuple[tuple[str, str, str], ...] = ()
    width: int | None = None


@dataclass(frozen=True)
class Dashboard:
    """A dashboard: `anchor` is the metric whose labels fill the variables."""

    uid: str
    title: str
    description: str
    anchor: str
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]
    restarts: str
    versions: str
    components: str | None = None
    extra_variables: tuple[dict, ...] = field(default=())


def stat(title, description, unit, expression, steps=((None, "green"),), **more) -> Panel:
    """One number, coloured by its thresholds."""
    return Panel("stat", title, description, unit, ((expression, ""),), steps, **more)


def gauge(title, description, expression, steps) -> Panel:
    """A share of 100 percent."""
    return Panel("gauge", title, description, "percent", ((expression, ""),), steps, top=100)


def graph(title, description, unit, *targets, **more) -> Panel:
    """Lines over time; each target is an expression and its legend."""
    return Panel("timeseries", title, description, unit, targets, **more)


def table(title, description, unit, expression, **more) -> Panel:
    """The newest values, a row for each series."""
    return Panel("table", title, description, unit, ((expression, ""),), width=GRID, **more)


def matchers(dashboard: Dashboard) -> str:
    """What `@` stands for."""
    names = [name for name, _ in SCOPE] + (["component"] if dashboard.components else [])
    return ",".join(f'{name}=~"${name}"' for name in names)


def render(dashboard: Dashboard) -> dict:
    """The dashboard as Grafana's JSON."""
    chosen = matchers(dashboard)

    def target(panel: Panel, expression: str, legend: str, letter: str) -> dict:
        return _target(panel, expression.replace("@", chosen), legend, letter)

    return frame(
        description=dashboard.description,
        title=dashboard.title,
        uid=dashboard.uid,
        annotations={"list": [BUILT_IN, *_annotations(dashboard)]},
        links=[_link()],
        panels=arranged(dashboard.rows, DATASOURCE, target),
        templating={"list": _variables(dashboard)},
    )


def frame(**own: object) -> dict:
    """A dashboard: what is its own, and what all have."""
    made = {
        "editable": False,
        "fiscalYearStartMonth": 0,
        "graphTooltip": 1,
        "refresh": "30s",
        "schemaVersion": SCHEMA_VERSION,
        "tags": ["noetl"],
        "time": {"from": "now-3h", "to": "now"},
        "timepicker": {},
        "timezone": "browser",
        "version": 1,
        "weekStart": "",
        **own,
    }
    # As they are in Grafana's own exports.
    return dict(sorted(made.items()))


def _link() -> dict:
    return {
        "asDropdown": True,
        "icon": "external link",
        "includeVars": True,
        "keepTime": True,
        "tags": ["noetl"],
        "targetBlank": False,
        "title": "NoETL dashboards",
        "tooltip": "",
        "type": "dashboards",
        "url": "",
    }


def _annotations(dashboard: Dashboard) -> list[dict]:
    queries = (
        ("Restarts", dashboard.restarts, "red", "restarted"),
        ("Versions", dashboard.versions, "blue", "{{version}}"),
    )
    return [
        {
            "datasource": DATASOURCE,
            "enable": True,
            "expr": expression.replace("@", matchers(dashboard)),
            "iconColor": colour,
            "name": name,
            "titleFormat": title,
        }
        for name, expression, colour, title in queries
    ]


def source_variable(kind: str) -> dict:
    """The variable that chooses the data source, of those of a kind."""
    return {
        "current": {},
        "hide": 0,
        "includeAll": False,
        "label": "Data source",
        "multi": False,
        "name": "datasource",
        "options": [],
        "query": kind,
        "refresh": 1,
        "regex": "",
        "type": "datasource",
    }


def _variables(dashboard: Dashboard) -> list[dict]:
    variables, before = [source_variable("prometheus")], []
    for name, everything in SCOPE:
        chosen = ",".join(f'{label}=~"${label}"' for label in before)
        query = f"label_values({_selector(dashboard.anchor, chosen)}, {name})"
        variables.append(query_variable(name, query, everything))
        before.append(name)
    if dashboard.components:
        chosen = ",".join(f'{label}=~"${label}"' for label in before)
        query = f"label_values({_selector(dashboard.components, chosen)}, component)"
        variables.append(query_variable("component", query, ".+"))
    return variables + list(dashboard.extra_variables)


def _selector(metric: str, matching: str) -> str:
    """`name` or `name{a="b"}` or `{a="b"}`, with more matchers."""
    if not metric.endswith("}"):
        return f"{metric}{{{matching}}}" if matching else metric
    return f"{metric[:-1]}{',' if matching else ''}{matching}}}"


def query_variable(name: str, query: str, everything: str | None) -> dict:
    """A variable whose choices are a label's values; with `everything`, several or all of them."""
    asked = {"qryType": 1, "query": query, "refId": f"Variable-{name}"}
    variable = variable_of(DATASOURCE, name, query, asked, everything is not None)
    if everything is not None:
        variable["allValue"] = everything
    return variable


def variable_of(datasource: dict, name: str, query: str, asked: object, several: bool) -> dict:
    """A variable whose choices a data source is asked for."""
    return {
        "current": {"text": ["All"], "value": ["$__all"]} if several else {},
        "datasource": datasource,
        "definition": query,
        "hide": 0,
        "includeAll": several,
        "label": name.capitalize(),
        "multi": several,
        "name": name,
        "options": [],
        "query": asked,
        "refresh": 2,
        "regex": "",
        "sort": 1,
        "type": "query",
    }


# Makes a target of a panel, an expression, its legend and its letter.
MakeTarget = Callable[[Panel, str, str, str], dict]


def arranged(rows: tuple, datasource: dict, target: MakeTarget) -> list[dict]:
    """Rows and their panels, each in its place."""
    panels, y = [], 0
    for title, row in rows:
        panels.append(_row(title, len(panels) + 1, y))
        x, y, height = 0, y + 1, 0
        for panel in row:
            width, tall = _size(panel)
            if x + width > GRID:
                x, y, height = 0, y + height, 0
            place = {"h": tall, "w": width, "x": x, "y": y}
            panels.append(_panel(panel, len(panels) + 1, place, datasource, target))
            x, height = x + width, max(height, tall)
        y += height
    return panels


def _size(panel: Panel) -> tuple[int, int]:
    if panel.kind in ("stat", "gauge"):
        return panel.width or STAT_WIDTH, STAT_HEIGHT
    return panel.width or GRAPH_WIDTH, GRAPH_HEIGHT


def _row(title: str, number: int, y: int) -> dict:
    place = {"h": 1, "w": GRID, "x": 0, "y": y}
    return {
        "collapsed": False,
        "gridPos": place,
        "id": number,
        "panels": [],
        "title": title,
        "type": "row",
    }


def _panel(panel: Panel, number: int, place: dict, datasource: dict, target: MakeTarget) -> dict:
    return {
        "datasource": datasource,
        "description": panel.description,
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "gridPos": place,
        "id": number,
        "options": _options(panel),
        "targets": [
            target(panel, expression, legend, chr(ord("A") + index))
            for index, (expression, legend) in enumerate(panel.targets)
        ],
        "title": panel.title,
        **({"transformations": _tidy()} if panel.kind == "table" else {}),
        "type": panel.kind,
    }


def _target(panel: Panel, expression: str, legend: str, letter: str) -> dict:
    target = {
        "datasource": DATASOURCE,
        "editorMode": "code",
        "expr": expression,
        "legendFormat": legend or "__auto",
        "range": panel.kind == "timeseries",
        "refId": letter,
    }
    if panel.kind != "timeseries":
        target["instant"] = True
    elif EXEMPLARY.search(expression):
        target["exemplar"] = True
    if panel.kind == "table":
        target["format"] = "table"
    return target


def _tidy() -> list[dict]:
    hidden = {"Time": True, "cluster": True, "instance": True, "job": True, "__name__": True}
    return [{"id": "organize", "options": {"excludeByName": hidden}}]


def _defaults(panel: Panel) -> dict:
    defaults = {
        "color": {"mode": "palette-classic" if panel.kind == "timeseries" else "thresholds"},
        "mappings": [
            {"type": "value", "options": {value: {"color": colour, "index": 0, "text": text}}}
            for value, text, colour in panel.mappings
        ],
        "thresholds": {
            "mode": "absolute",
            "steps": [{"color": colour, "value": value} for value, colour in panel.steps],
        },
        "unit": panel.unit,
    }
    if panel.decimals is not None:
        defaults["decimals"] = panel.decimals
    if panel.top is not None:
        defaults |= {"max": panel.top, "min": 0}
    if panel.kind == "timeseries":
        defaults["custom"] = {"fillOpacity": 10, "lineWidth": 1, "showPoints": "never"}
        defaults.setdefault("min", 0)
    return defaults


def _options(panel: Panel) -> dict:
    reduce = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    if panel.kind == "timeseries":
        return {
            "legend": {
                "calcs": ["mean", "lastNotNull", "max"],
                "displayMode": "table",
                "placement": "bottom",
                "showLegend": True,
                "sortBy": "Last *",
                "sortDesc": True,
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    if panel.kind == "table":
        return {"cellHeight": "sm", "showHeader": True}
    if panel.kind == "gauge":
        return {"reduceOptions": reduce, "showThresholdLabels": False, "showThresholdMarkers": True}
    return {"colorMode": "value", "graphMode": "area", "reduceOptions": reduce, "textMode": "auto"}
