"""What a resource no longer asks for is removed, of every kind that it can ask for or not."""

from support import definitions
from support.kube import Object
from support.operator import Installation
from support.wait import until

# A rule of its own, which the servers evaluate where no rules object is wanted.
RULE = {
    "name": "QueueLong",
    "metric": "noetl_worker_queue_size",
    "comparison": ">",
    "threshold": 100,
    "severity": "warning",
    "summary": "Much waits.",
}

# What the resource asks for, one by one: the kinds that are there then, and those that went.
STEPS: list[tuple[Object, set[str], set[str]]] = [
    (
        {"scrape": {"kind": "VMPodScrape"}, "rules": {"kind": "VMRule"}},
        {"VMPodScrape", "VMRule", "DaemonSet", "NetworkPolicy", "PodDisruptionBudget"},
        set(),
    ),
    (
        {"scrape": {"kind": "VMServiceScrape"}, "rules": {"kind": "PrometheusRule"}},
        {"VMServiceScrape", "PrometheusRule"},
        {"VMPodScrape", "VMRule"},
    ),
    ({"scrape": {"kind": "PodMonitor"}}, {"PodMonitor", "VMRule"}, {"VMServiceScrape"}),
    (
        {"scrape": {"kind": "ServiceMonitor"}, "rules": {"kind": "PrometheusRule"}},
        {"ServiceMonitor", "PrometheusRule"},
        {"PodMonitor", "VMRule"},
    ),
    (
        {
            "scrape": {"kind": "None"},
            "rules": {"kind": "None", "custom": [RULE]},
            "agent": {"enabled": False},
            "networkPolicy": {"enabled": False},
            "server": {"disruptionBudget": {"enabled": False}},
        },
        {"ConfigMap", "Deployment", "CronJob"},
        {
            "ServiceMonitor",
            "PrometheusRule",
            "DaemonSet",
            "RoleBinding",
            "NetworkPolicy",
            "PodDisruptionBudget",
        },
    ),
    # Changed in place, then gone.
    (
        {"scrape": {"kind": "None"}, "rules": {"kind": "None", "custom": [{**RULE, "for": "5m"}]}},
        {"ConfigMap", "DaemonSet", "RoleBinding"},
        set(),
    ),
    ({"scrape": {"kind": "None"}, "rules": {"kind": "None"}}, {"Deployment"}, {"ConfigMap"}),
]


def test_what_is_no_longer_asked_for_goes(installation: Installation):
    definitions.install("victoriametrics")
    definitions.install("prometheus", everything=True)
    for spec, there, gone in STEPS:
        installation.apply(**spec)

        def as_asked(there: set[str] = there, gone: set[str] = gone) -> bool:
            kinds = {name.split("/")[0] for name in installation.children()}
            assert there <= kinds, there - kinds
            assert not gone & kinds, gone & kinds
            return True

        until(f"only what is asked for: {sorted(spec)}", as_asked, seconds=60)
    installation.ready()
