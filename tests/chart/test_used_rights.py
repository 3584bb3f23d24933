"""What is read out of an audit log about rights: some lines of a real one are in `audit.jsonl`."""

import json
from pathlib import Path

import pytest
import yaml

from chart import ROOT, Chart
from used_rights import Right, allowed, found, granted, read, table, used, wrong

OPERATOR = "noetl-system:noetl-metrics"
LOG = Path(__file__).with_name("audit.jsonl")


@pytest.fixture
def entries() -> list[dict]:
    return list(read(LOG.read_text().splitlines(keepends=True)))


@pytest.fixture
def given(chart: Chart) -> set[Right]:
    return granted(chart.objects({"rbac": {"reviewers": ["a/b"]}}))


def operator(verb: str, group: str, resource: str, name: str = "") -> Right:
    return Right("operator", verb, group, resource, name)


def test_rights_are_those_of_our_own_accounts(given: set[Right]):
    assert {right.who for right in given} == {"operator", "agent", "server"}
    lease = {str(right) for right in given if right.resource == "leases" and right.name}
    assert lease == {
        "operator: get leases.coordination.k8s.io noetl-metrics-operator",
        "operator: update leases.coordination.k8s.io noetl-metrics-operator",
    }
    assert Right("agent", "list", "", "pods") in given
    assert Right("server", "create", "authentication.k8s.io", "tokenreviews") in given
    assert not any("scale" in right.resource for right in given), "a right of people"


def test_a_right_counts_as_used_by_the_calls_that_need_it(entries: list[dict], given: set[Right]):
    log = found(entries, OPERATOR)
    bind = next(right for right in given if right.verb == "bind")
    times = {
        operator("list", "metrics.noetl.io", "noetlmetrics"): 1,
        operator("patch", "metrics.noetl.io", "noetlmetrics/status"): 1,
        operator("get", "apps", "deployments"): 1,
        # Told of when it began and when it ended.
        operator("watch", "apps", "deployments"): 1,
        operator("patch", "apps", "deployments"): 1,
        # Applied where it was not there yet.
        operator("create", "apps", "deployments"): 1,
        operator("delete", "apps", "deployments"): 0,
        operator("update", "coordination.k8s.io", "leases", "noetl-metrics-operator"): 1,
        operator("update", "coordination.k8s.io", "leases", "another"): 0,
        bind: 1,
        # By an account of the same end in another namespace.
        Right("agent", "list", "", "pods"): 1,
        operator("list", "", "pods"): 1,
        # By an account that is not ours.
        operator("create", "", "secrets"): 0,
    }
    assert {right: used(right, log) for right in times} == times
    # What is refused since its namespace goes is no matter of rights.
    assert used(operator("patch", "batch", "jobs"), log) == 1
    assert not log.refused


def test_what_nobody_used_is_wrong_unless_it_is_said_why(entries: list[dict], given: set[Right]):
    log = found(entries, OPERATOR)
    told = wrong(given, log, [], {})
    assert "never used: operator: delete deployments.apps" in told
    assert not any("list deployments" in line for line in told)
    rare = dict.fromkeys((right for right in given if not used(right, log)), "for a test")
    assert wrong(given, log, [], rare) == []
    strange = {operator("get", "", "secrets"): "nobody has it"}
    assert wrong(given, log, [], rare | strange) == [
        "of no right: operator: get secrets may be left out"
    ]


def test_a_refused_call_is_wrong_unless_a_case_expects_it(entries: list[dict], given: set[Right]):
    refused = json.loads(json.dumps(next(e for e in entries if e["verb"] == "get")))
    refused |= {"auditID": "refused", "responseStatus": {"code": 403, "message": "it cannot get"}}
    log = found([refused], OPERATOR)
    rare = dict.fromkeys(given, "for a test")
    assert wrong(given, log, [], rare) == [
        "refused: operator: get deployments.apps bench-2-server: it cannot get"
    ]
    at = refused["requestReceivedTimestamp"]
    expected = {"resource": "deployments", "began": at, "ended": at}
    assert wrong(given, log, [expected], rare) == []
    for other in ({"resource": "services"}, {"began": "2999"}, {"ended": "1999"}):
        assert wrong(given, log, [expected | other], rare)


def test_what_may_be_left_out_is_of_rights_that_there_are(given: set[Right]):
    rare = allowed(yaml.safe_load((ROOT / "e2e" / "rights.yaml").read_text()))
    assert rare
    assert set(rare) <= given
    assert all(reason.endswith(".") for reason in rare.values())


def test_the_table_has_each_right_once(entries: list[dict], given: set[Right]):
    lines = table(given, found(entries, OPERATOR), {}).splitlines()
    assert len(lines) == len(
        {(right.who, right.group, right.resource, right.name) for right in given}
    )
    deployments = next(line for line in lines if "deployments.apps" in line)
    words = deployments.split(None, 2)
    assert words[2] == "create 1, delete 0, get 1, list 1, patch 1, watch 1"


def test_the_last_line_of_a_log_may_be_half_written():
    assert list(read(['{"a": 1}\n', '{"a"'])) == [{"a": 1}]
