"""The dashboards' panels, variables and queries, in a form that tests can look at."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import promql_parser

from chart import CHART

FILES = sorted((CHART / "dashboards").glob("*.json"))
DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in FILES}
# What Grafana puts into a query when a variable stands at "All", and for a window of 5 minutes.
MACROS = {"$__rate_interval": "5m", "$__interval": "1m", "$__range": "1h"}
METRIC = "shop_orders_total"


@dataclass(frozen=True)
class Query:
    """One query of a dashboard and where it stands."""

    where: str
    raw: str
    expression: str


def panels(dashboard: dict) -> list[dict]:
    """All panels but rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def variables(dashboard: dict) -> dict[str, dict]:
    """The variables by name."""
    return {variable["name"]: variable for variable in dashboard["templating"]["list"]}


def replaced(dashboard: dict, text: str) -> str:
    """A query with all macros and variables replaced, the variables by "All"."""
    values = dict(MACROS)
    for name, variable in variables(dashboard).items():
        values[f"${name}"] = variable.get("allValue", METRIC)
    for name in sorted(values, key=len, reverse=True):
        text = text.replace(name, values[name])
    return text


def queries(dashboard: dict) -> Iterator[Query]:
    """The queries of all panels and annotations."""
    for panel in panels(dashboard):
        for target in panel["targets"]:
            yield _query(dashboard, panel["title"], target["expr"])
    for annotation in dashboard["annotations"]["list"]:
        if "expr" in annotation:
            yield _query(dashboard, f"annotation {annotation['name']}", annotation["expr"])


def _query(dashboard: dict, where: str, raw: str) -> Query:
    return Query(f"{dashboard['title']}: {where}", raw, replaced(dashboard, raw))


def looked_up(dashboard: dict) -> Iterator[tuple[str, str, str]]:
    """Name, selector and label of each variable that is filled by a label's values."""
    for name, variable in variables(dashboard).items():
        if variable["type"] == "query":
            found = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])
            assert found, f"{dashboard['title']}: variable {name}"
            yield name, replaced(dashboard, found[1]), found[2]


@dataclass(frozen=True)
class Selector:
    """A selector in a query, and the functions around it from the outside in."""

    matchers: tuple[tuple[str, str, str], ...]
    around: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """The names it can match."""
        return [value for name, op, value in self.matchers if name == "__name__" and op == "="]


OPERATORS = {"Equal": "=", "NotEqual": "!=", "Re": "=~", "NotRe": "!~"}


def selectors(expression: str) -> list[Selector]:
    """All selectors of an expression; one that does not parse is an error."""
    return list(_selectors(promql_parser.parse(expression), ()))


def _selectors(node: object, around: tuple[str, ...]) -> Iterator[Selector]:
    match node:
        case promql_parser.VectorSelector():
            named = (("__name__", "=", node.name),) if node.name else ()
            matchers = (
                (matcher.name, OPERATORS[str(matcher.op).split(".")[1]], matcher.value)
                for matcher in node.matchers.matchers
            )
            yield Selector((*named, *matchers), around)
        case promql_parser.MatrixSelector():
            yield from _selectors(node.vector_selector, around)
        case promql_parser.Call():
            for argument in node.args:
                yield from _selectors(argument, (*around, node.func.name))
        case promql_parser.BinaryExpr():
            yield from _selectors(node.lhs, around)
            yield from _selectors(node.rhs, around)
        case promql_parser.AggregateExpr():
            yield from _selectors(node.expr, (*around, str(node.op)))
        case promql_parser.ParenExpr() | promql_parser.UnaryExpr() | promql_parser.SubqueryExpr():
            yield from _selectors(node.expr, around)
        case promql_parser.NumberLiteral() | promql_parser.StringLiteral():
            return
        case _:
            raise AssertionError(f"what is {node!r}?")
