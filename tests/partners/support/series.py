"""Series and their values, told by three witnesses in one form, so that they can be compared.

A series is its metric name and labels as the export has them: `component` and `component_type`
are among the labels. Bounds (`le`, `quantile`) are compared as numbers: "1" and "1.0" are one.
"""

import math
import re
from collections.abc import Iterable, Mapping

from prometheus_client import parser as text_format
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.samples import Sample

TEXT = "text/plain; version=0.0.4"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"

Series = tuple[str, frozenset[tuple[str, str]]]
Values = dict[Series, float | str]


def series(name: str, labels: Mapping[str, str]) -> Series:
    """The series of a name and labels."""
    return name, frozenset(
        (label, str(float(value)) if label in ("le", "quantile") else value)
        for label, value in labels.items()
    )


def value(number: float | str) -> float | str:
    """A value that can be compared: NaN is equal to NaN."""
    return "NaN" if math.isnan(float(number)) else float(number)


def of_samples(samples: Iterable[Sample]) -> Values:
    """Values of parsed samples; a series that occurs twice is an error."""
    values: Values = {}
    for sample in samples:
        key = series(sample.name, sample.labels)
        assert key not in values, f"exported twice: {key}"
        values[key] = value(sample.value)
    return values


def of_export(text: str) -> Values:
    """Values of an export in the text format 0.0.4."""
    # The parser appends `_total` to the samples of a counter without it; here they keep their name.
    bare = set(re.findall(r"^# TYPE (\S+) counter$", text, re.MULTILINE))
    return of_samples(
        sample._replace(name=family.name) if family.name in bare else sample
        for family in text_format.text_string_to_metric_families(text)
        for sample in family.samples
    )


def of_openmetrics(text: str) -> Values:
    """Values of an export in the OpenMetrics format, by the strict parser."""
    return of_samples(
        sample
        for family in openmetrics.text_string_to_metric_families(text)
        for sample in family.samples
    )


def of_rows(rows: Iterable[Mapping]) -> Values:
    """Newest value of each series in rows of the query endpoint, which come newest first."""
    values: Values = {}
    for row in rows:
        labels = {**(row["labels"] or {}), "component": row["component_name"]}
        labels["component_type"] = row["component_type"]
        values.setdefault(series(row["metric_name"], labels), value(row["metric_value"]))
    return values


def of_component(values: Values, component: str) -> Values:
    """Those values that the component reported; not those that the server reckons of it."""
    return {
        key: number
        for key, number in values.items()
        if ("component", component) in key[1] and not key[0].startswith("noetl_component_")
    }
