"""Dashboards keep the rules of Grafana's linter, its schema, and ours of uniformity."""

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from chart import ROOT
from dashboards import DASHBOARDS, looked_up, panels, queries, selectors, variables

UNITS = {"s", "short", "percent", "percentunit", "bytes", "Bps", "bps", "pps", "ops", "reqps"}
ON_SCRAPED_DATA = {"system", "worker", "server", "custom"}
each_dashboard = pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS)


def test_dashboards_are_what_their_descriptions_say():
    done = subprocess.run([sys.executable, ROOT / "scripts" / "dashboards", "--check"])
    assert done.returncode == 0


def test_uids_and_titles_differ():
    assert len({one["uid"] for one in DASHBOARDS.values()}) == len(DASHBOARDS) == 5
    assert len({one["title"] for one in DASHBOARDS.values()}) == 5


# The linter's rules, by its names for them.


@each_dashboard
def test_template_datasource(dashboard):
    datasource = variables(dashboard)["datasource"]
    assert datasource["type"] == "datasource"
    assert datasource["query"] == "prometheus"
    assert datasource["label"] == "Data source"


@each_dashboard
@pytest.mark.parametrize(("name", "label"), [("job", "Job"), ("instance", "Instance")])
def test_template_job_and_instance(dashboard, name, label):
    variable = variables(dashboard)[name]
    assert variable["type"] == "query"
    assert variable["datasource"]["uid"] == "${datasource}"
    assert variable["label"] == label
    assert variable["multi"] is variable["includeAll"] is True
    assert variable["allValue"] == ".+"


@each_dashboard
def test_template_label_promql(dashboard):
    for _, selector, _ in looked_up(dashboard):
        assert len(selectors(selector)) == 1


@each_dashboard
def test_template_on_time_change_reload(dashboard):
    for variable in variables(dashboard).values():
        assert variable["type"] == "datasource" or variable["refresh"] == 2, variable["name"]


@each_dashboard
def test_panel_datasource(dashboard):
    for panel in panels(dashboard):
        for asked in (panel, *panel["targets"]):
            assert asked["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@each_dashboard
def test_panel_title_description(dashboard):
    for panel in panels(dashboard):
        assert panel["title"].strip()
        assert panel["description"].strip().endswith("."), panel["title"]


@each_dashboard
def test_panel_units(dashboard):
    for panel in panels(dashboard):
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]


@each_dashboard
def test_panel_no_targets(dashboard):
    for panel in panels(dashboard):
        assert panel["targets"], panel["title"]


@each_dashboard
def test_target_promql(dashboard):
    """Plain PromQL, without the extensions of one store; there is no LogQL to check."""
    for query in queries(dashboard):
        assert selectors(query.expression), query.where


@each_dashboard
def test_target_rate_interval(dashboard):
    for query in queries(dashboard):
        assert query.raw.count("[") == query.raw.count("[$__rate_interval]"), query.where


@each_dashboard
@pytest.mark.parametrize("label", ["job", "instance"])
def test_target_job_and_instance(dashboard, label):
    for query in queries(dashboard):
        for selector in selectors(query.raw.replace("$__rate_interval", "5m")):
            assert (label, "=~", f"${label}") in selector.matchers, query.where


@each_dashboard
def test_target_counter_agg(dashboard):
    for query in queries(dashboard):
        for selector in selectors(query.expression):
            if any(name.endswith("_total") and name != "$metric" for name in selector.names):
                chosen = "$metric" in query.raw
                assert chosen or {"rate", "increase", "irate"} & {*selector.around}, query.where


@each_dashboard
def test_uneditable(dashboard):
    assert dashboard["editable"] is False


# Grafana's published schema, in the form of its own SDK: what is no field of it gets lost there.


# What the dashboard editor writes, and the schema does not have.
BESIDE_THE_SCHEMA = {"definition", "titleFormat"}


@each_dashboard
def test_grafana_s_schema_has_every_field(dashboard):
    if sys.version_info < (3, 11):
        pytest.skip("Grafana's SDK is for Python 3.11 and newer")
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    register_default_plugins()
    read = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(dashboard)))
    assert set(unlike(dashboard, read)) == set()


def unlike(written: object, read: object, where: str = "") -> Iterator[str]:
    """What of a dashboard is not there any more, or other than it was; defaults are no loss."""
    if isinstance(written, dict) and isinstance(read, dict):
        for key in written.keys() - BESIDE_THE_SCHEMA:
            if key in read:
                yield from unlike(written[key], read[key], f"{where}.{key}")
            else:
                yield f"{where}.{key} is lost"
    elif isinstance(written, list) and isinstance(read, list) and len(written) == len(read):
        for number, (one, other) in enumerate(zip(written, read, strict=True)):
            yield from unlike(one, other, f"{where}[{number}]")
    elif written != read:
        yield f"{where} is {written!r}, read as {read!r}"


# Ours.


@each_dashboard
def test_same_frame(dashboard):
    assert dashboard["schemaVersion"] == 42
    assert dashboard["graphTooltip"] == 1
    assert dashboard["tags"] == ["noetl"]
    assert "id" not in dashboard
    assert [link["tags"] for link in dashboard["links"]] == [["noetl"]]
    assert {"Restarts", "Versions"} < {one["name"] for one in dashboard["annotations"]["list"]}


@each_dashboard
def test_variables_are_chained(dashboard):
    names = [name for name in variables(dashboard) if name != "metric"]
    assert names[:5] == ["datasource", "cluster", "namespace", "job", "instance"]
    for number, name in enumerate(names[1:], 1):
        query = variables(dashboard)[name]["query"]["query"]
        assert all(f'{before}=~"${before}"' in query for before in names[1:number]), name


@each_dashboard
def test_first_row_is_stats(dashboard):
    first = next(
        number for number, panel in enumerate(dashboard["panels"][1:], 1) if panel["type"] == "row"
    )
    kinds = {panel["type"] for panel in dashboard["panels"][1:first]}
    assert kinds <= {"stat", "gauge"}
    for panel in panels(dashboard):
        assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"], panel["title"]


@each_dashboard
def test_legends_are_tables_with_figures(dashboard):
    for panel in panels(dashboard):
        if panel["type"] == "timeseries":
            legend = panel["options"]["legend"]
            assert legend["displayMode"] == "table", panel["title"]
            assert legend["placement"] == "bottom"
            assert legend["calcs"]


@each_dashboard
def test_panels_do_not_overlap(dashboard):
    taken = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not taken & cells, panel["title"]
        taken |= cells
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
