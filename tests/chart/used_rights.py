"""Which of the rights that the chart gives were used, and what was refused: from an audit log.

The end-to-end tests ask it of the whole run (`e2e/support/rights.py`). Only what our own accounts
do counts. The roles for people and scrapers (view, edit, metrics-reader) are not looked at.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

# Refusals that have nothing to do with rights: a namespace, or a kind, that goes takes nothing new.
GOING = ("because it is being terminated", "while custom resource definition is terminating")


@dataclass(frozen=True, order=True)
class Right:
    """A verb on a resource, with its subresource; of one name only where there is one."""

    who: str
    verb: str
    group: str
    resource: str
    name: str = ""

    def __str__(self) -> str:
        of = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{self.who}: {self.verb} {of}{f' {self.name}' if self.name else ''}"

    def allows(self, call: "Right") -> bool:
        """Whether it is for a call like this one."""
        same = (self.who, self.verb, self.group, self.resource)
        return same == (call.who, call.verb, call.group, call.resource) and (
            self.name in ("", call.name)
        )


@dataclass
class Found:
    """What a log has of our accounts: calls that were let, how often; and those that were not."""

    used: dict[Right, int] = field(default_factory=dict)
    refused: list[tuple[Right, dict]] = field(default_factory=list)


# Roles by the end of their names, and whose they are.
ROLES = {"-leader": "operator", "-agent": "agent", "-reviewer": "server"}
OTHERS = ("-view", "-edit", "-metrics-reader")


def granted(objects: Iterable[dict]) -> set[Right]:
    """The rights in the roles that the chart renders, each with the account that gets it."""
    return {
        Right(who, verb, group, resource, name)
        for made in objects
        if made["kind"] in ("Role", "ClusterRole") and (who := whose(made["metadata"]["name"]))
        for rule in made["rules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
    }


def whose(role: str) -> str:
    """Whose a role is; nobody's of ours where it is for people."""
    if role.endswith(OTHERS):
        return ""
    ends = (who for end, who in ROLES.items() if role.endswith(end))
    return next(ends, "operator")


def account(user: str, operator: str) -> str:
    """Which of our accounts a user is. Jobs have the servers' one, the chart's test the agents'."""
    if user == f"system:serviceaccount:{operator}":
        return "operator"
    found = re.fullmatch(r"system:serviceaccount:(?!kube-)[^:]+:.+-(server|agent)", user)
    return found[1] if found else ""


def calls(entries: Iterable[dict], operator: str) -> Iterator[tuple[Right, dict]]:
    """What ours asked for; a watch, told of when it begins and when it ends, counts once."""
    seen = set()
    for entry in entries:
        target = entry.get("objectRef", {})
        who = account(entry["user"]["username"], operator)
        if not who or "resource" not in target or entry["auditID"] in seen:
            continue
        seen.add(entry["auditID"])
        parts = [target["resource"], target.get("subresource")]
        resource = "/".join(part for part in parts if part)
        group, name = target.get("apiGroup", ""), target.get("name", "")
        yield Right(who, entry["verb"], group, resource, name), entry
        code = entry.get("responseStatus", {}).get("code")
        # Who applies what is not there yet creates it, and needs the right to.
        if entry["verb"] == "patch" and code == 201:
            yield Right(who, "create", group, resource, name), entry
        # Who makes a binding needs to have what it gives, or the right to bind it: that is asked
        # within the request, and is no entry. The chart's tests show that no other role can be.
        if resource == "rolebindings" and code == 201:
            yield Right(who, "bind", group, "clusterroles"), entry


def is_refused(entry: dict) -> bool:
    status = entry.get("responseStatus", {})
    why = status.get("message", "")
    return status.get("code") == 403 and not any(going in why for going in GOING)


def found(entries: Iterable[dict], operator: str) -> Found:
    """What our accounts did; `operator` is that account's `namespace:name`."""
    result = Found()
    for call, entry in calls(entries, operator):
        if is_refused(entry):
            result.refused.append((call, entry))
        else:
            result.used[call] = result.used.get(call, 0) + 1
    return result


def used(right: Right, log: Found) -> int:
    """How often a right was used. Which role was bound is not in the log."""
    return sum(
        times
        for call, times in log.used.items()
        if right.allows(call) or (right.verb == "bind" and call.verb == "bind")
    )


def is_expected(call: Right, entry: dict, expected: Iterable[dict]) -> bool:
    """Whether a case said that it would be: a resource, or all (`*`), from one time to another."""
    at = entry["requestReceivedTimestamp"]
    return any(
        told["resource"] in (call.resource, "*") and told["began"] <= at <= told["ended"]
        for told in expected
    )


def allowed(entries: Iterable[dict]) -> dict[Right, str]:
    """The rights that need not be used, of the list of them, with the reason of each."""
    return {
        Right(entry["who"], verb, entry["group"], resource): entry["why"]
        for entry in entries
        for verb in entry["verbs"]
        for resource in entry["resources"]
    }


def wrong(
    given: set[Right], log: Found, expected: Iterable[dict], rare: dict[Right, str]
) -> list[str]:
    """What is not as it should be: calls that were refused, rights that nobody used."""
    refused = {
        f"refused: {call}: {entry['responseStatus'].get('message', '')}"
        for call, entry in log.refused
        if not is_expected(call, entry, expected)
    }
    unused = {
        f"never used: {right}" for right in given if not used(right, log) and right not in rare
    }
    strange = {f"of no right: {right} may be left out" for right in rare if right not in given}
    return sorted(refused) + sorted(unused) + sorted(strange)


def table(given: set[Right], log: Found, rare: dict[Right, str]) -> str:
    """The rights, a line for each resource of an account, with how often each verb was used."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for right in sorted(
        given, key=lambda right: (right.who, right.group, right.resource, right.name)
    ):
        of = f"{right.resource}.{right.group}" if right.group else right.resource
        note = " (rare)" if right in rare else ""
        verbs = rows.setdefault((right.who, of, right.name), [])
        verbs.append(f"{right.verb} {used(right, log)}{note}")
    return "\n".join(
        f"{who:9} {of:48} {', '.join(sorted(verbs))}{f'  [{name}]' if name else ''}"
        for (who, of, name), verbs in rows.items()
    )


def read(lines: Iterable[str]) -> Iterator[dict]:
    """The entries of a log; its last line may be half written."""
    for line in lines:
        if line.endswith("\n"):
            yield json.loads(line)
