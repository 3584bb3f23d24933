"""One operator leads: killed, the other takes over in the Lease's time; told to end, at once."""

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import datetime

import pytest

from support import killing, operator
from support.kube import Object
from support.operator import LEASE, SYSTEM, Installation
from support.wait import until

pytestmark = pytest.mark.alone

# What the protocol promises: 15 s without a renewal, then a retry within 2 s; and a clock's grain.
LEASE_SECONDS, KILLED, ENDED = 15, 15 + 2 + 2, 3
# What an operator says when it begins to end.
TOLD = "told to stop"


class History:
    """Every state of the Lease, by a watch."""

    def __init__(self, child: subprocess.Popen):
        self.seen: list[tuple[float, Object]] = []
        self._thread = threading.Thread(target=self._read, args=(child,), daemon=True)
        self._thread.start()

    def _read(self, child: subprocess.Popen) -> None:
        decoder, text = json.JSONDecoder(), ""
        assert child.stdout is not None
        for line in child.stdout:
            text += line
            try:
                state, end = decoder.raw_decode(text.lstrip())
            except ValueError:
                continue
            text = text.lstrip()[end:]
            self.seen.append((time.monotonic(), state["spec"]))

    def holders(self) -> list[str]:
        """Who held it, one after the other; the time between holders is left out."""
        names = [spec.get("holderIdentity") or "" for _, spec in self.seen]
        return [
            name for at, name in enumerate(names) if name and (at == 0 or names[at - 1] != name)
        ]


@pytest.fixture
def history(installed: None) -> Iterator[History]:
    """The Lease's history from here on."""
    operator.SYSTEM.rolled_out(f"deployment/{operator.RELEASE}")
    until("somebody leads", operator.leader)
    command = [
        "kubectl",
        "--namespace",
        SYSTEM.name,
        "get",
        "lease",
        LEASE,
        "--watch",
        "--output=json",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            yield History(child)
        finally:
            child.terminate()


def other_leader(before: str) -> str:
    now = operator.leader()
    assert now != before, now
    return now


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def test_ended_leader_hands_over_at_once(history: History):
    before = operator.leader()
    follow = ["kubectl", "--namespace", SYSTEM.name, "logs", before, "--follow", "--tail=1"]
    with subprocess.Popen(follow, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline(), "the leader has said something"
        SYSTEM.kubectl("delete", "pod", before, "--wait=false")
        until("another leads", lambda: other_leader(before), seconds=30, every=0.1)
        words, _ = child.communicate(timeout=60)
    # By the operators' own clocks: how soon the kubelet tells the pod is its own matter.
    told = next(json.loads(line)["timestamp"] for line in words.splitlines() if TOLD in line)
    [taken, *_] = [
        spec["renewTime"]
        for _, spec in history.seen
        if not (spec.get("holderIdentity") or before).startswith(before)
    ]
    took = (moment(taken) - moment(told)).total_seconds()
    print(f"handed over in {took:.1f} s")
    assert 0 <= took <= ENDED, (told, taken)
    transitions = [spec["leaseTransitions"] for _, spec in history.seen]
    assert transitions == sorted(transitions), transitions


def test_killed_leader_is_replaced_in_the_leases_time_and_work_goes_on(
    history: History, installation: Installation
):
    space = installation.space
    installation.apply_unscraped().ready()
    before = operator.leader()
    killing.kill(SYSTEM, SYSTEM.get("pod", before))
    killed = time.monotonic()
    last = history.seen[-1][1]["renewTime"]
    # There is work while nobody leads.
    space.kubectl("delete", "service/noetl-server")

    def renewed() -> tuple[float, Object] | None:
        """The first renewal after the dead one's last."""
        later = ((at, spec) for at, spec in history.seen if spec["renewTime"] > last)
        return next(later, None)

    at, spec = until("somebody leads again", renewed, seconds=KILLED, every=0.1)
    print(f"taken over {at - killed:.1f} s after the kill")
    # Never two: nobody else took it before the dead one's last renewal was a Lease's time old.
    names = history.holders()
    if len(names) > 1:
        held = max(at for at, spec in history.seen if spec.get("holderIdentity") == names[0])
        assert at - held >= LEASE_SECONDS - 1, (at - held, spec)
    until("the Service is back", lambda: space.exists("service", "noetl-server"), seconds=10)
    until("both are ready again", lambda: len(ready_pods()) == 2)


def ready_pods() -> list[str]:
    return [
        pod["metadata"]["name"]
        for pod in operator.pods()
        if all(status["ready"] for status in pod["status"].get("containerStatuses", []))
    ]
