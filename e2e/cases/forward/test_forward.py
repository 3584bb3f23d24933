"""Servers send all that is stored on to VMSingle, without a scraper; also when others take over."""

import time

from support import kube, victoria
from support.operator import Installation
from support.wait import until

CPU = "noetl_system_cpu_usage_percent"


def test_vmsingle_has_what_servers_send_on(installation: Installation):
    space = installation.space
    victoria.start_single(space)
    space.apply(kube.secret("store", token="hush", headers="X-Scope-OrgID: noetl\n"))
    target = {
        "name": "vm",
        "url": f"http://vmsingle:{victoria.SINGLE_PORT}/api/v1/write",
        "tokenSecretRef": {"name": "store", "key": "token"},
        "headersSecretRef": {"name": "store", "key": "headers"},
    }
    installation.apply_unscraped(server={"forward": [target]}).ready()
    nodes = {pod["spec"]["nodeName"] for pod in installation.pods("agent")}
    assert nodes
    space.rolled_out("deployment/vmsingle")
    with space.forward("service/vmsingle", victoria.SINGLE_PORT) as store:

        def has_since(moment: float) -> bool:
            found = victoria.series(store, f"{CPU} and timestamp({CPU}) > {moment}")
            return nodes <= {one["metric"]["component"] for one in found}

        until("each node's CPU in VMSingle", lambda: has_since(0))
        # Whichever server was active, another one goes on.
        for pod in installation.pods("server"):
            space.kubectl("delete", "pod", pod["metadata"]["name"], "--wait=true")
        until("it goes on", lambda: has_since(time.time() - 5), seconds=120)
