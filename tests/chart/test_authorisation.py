"""Who may do what: every caller with every endpoint, against a real API server.

Each endpoint of the API's own description is asked by each caller, and answers as `expected` says:
the right that the description names decides, and where the API server is asked, its roles.
"""

import gzip
import json
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from chart import NAMESPACE, Chart
from control_plane import ControlPlane
from support.postgres import Cluster, cluster
from support.process import running, wait_for
from support.server import Server, metric
from tokens import (
    Link,
    account,
    applied,
    apply,
    cluster_role,
    expired,
    link,
    new_key,
    pod,
    token,
)
from tokens import signed_again as signed

POD, OTHER = "worker-0", "somebody-else"
# As VictoriaMetrics' operator gives it to every vmagent.
VMAGENT = ["/metrics", "/metrics/resources", "/metrics/slis"]
SCRAPED = {"/metrics", "/api/metrics/prometheus"}
REPORT = "/api/metrics/report"
FILE = {"read": "file-reader", "write": "file-writer", "admin": "file-admin"}
TTL = 2


@dataclass(frozen=True)
class Caller:
    """Who asks."""

    name: str
    token: str | None
    # What it may do by lists and files.
    rights: frozenset[str] = frozenset()
    # Whether it is known at all, with the API server asked and without.
    known: bool = True
    # Paths that a role of the API server lets it have.
    by_role: frozenset[str] = frozenset()
    # Whether its token is for the API server, which is good for reading where that is asked.
    of_the_api: bool = False
    speaks_for: str = POD
    is_bound: bool = False


@dataclass
class World:
    """An API server with what the tests need in it, and the callers."""

    plane: ControlPlane
    own: Path
    callers: list[Caller]

    def flags(self, port: int | None = None) -> list[str]:
        """How a server that trusts the API server's tokens is started."""
        port = port or self.plane.port
        return [
            "--auth-kubernetes-audience=noetl-metrics",
            f"--kubernetes-url=https://127.0.0.1:{port}",
            f"--service-account-dir={self.own}",
            f"--auth-service-accounts={NAMESPACE}/worker,{NAMESPACE}/agent",
            "--auth-readers=monitoring/reader",
            f"--auth-admins={NAMESPACE}/boss",
            "--auth-own-component",
            f"--auth-any-component={NAMESPACE}/agent",
            f"--auth-token-file={self.own / 'tokens'}",
        ]


@pytest.fixture(scope="module")
def database() -> Iterator[Cluster]:
    with cluster() as postgres:
        yield postgres


@pytest.fixture(scope="module")
def world(
    api_server: ControlPlane, chart: Chart, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    plane = api_server
    names = ["worker", "agent", "boss", "reporter", "noetl-server"]
    watchers = ["reader", "vmagent", "scraper"]
    spaces = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        for name in (NAMESPACE, "monitoring", "elsewhere")
    ]
    made = [
        *(account(NAMESPACE, name) for name in names),
        *(account("monitoring", name) for name in watchers),
        account("elsewhere", "worker"),
        *(pod(NAMESPACE, name, "worker") for name in (POD, "gone-0")),
        *cluster_role("vmagent", "monitoring/vmagent", VMAGENT, "get"),
        *cluster_role("reporter", f"{NAMESPACE}/reporter", [f"/noetl-metrics{REPORT}"], "post"),
    ]
    # The roles that the chart ships, as it binds them.
    rbac = {"readers": ["monitoring/scraper"], "reviewers": [f"{NAMESPACE}/noetl-server"]}
    wanted = ("-metrics-reader", "-reviewer")
    shipped = [o for o in chart.objects({"rbac": rbac}) if o["metadata"]["name"].endswith(wanted)]
    assert len(shipped) == 4
    # The namespaces stay: other tests of this API server have theirs of the same names.
    apply(plane, *spaces)
    with applied(plane, *made, *shipped):
        (folder / "token").write_text(token(plane, f"{NAMESPACE}/noetl-server", None))
        (folder / "ca.crt").write_text(plane.certificates.read_text())
        lines = [f"{word} rights={right}" for right, word in FILE.items()]
        (folder / "tokens").write_text("\n".join([*lines, "setup rights=read,write,admin", ""]))
        yield World(plane, folder, callers(plane, folder))


def callers(plane: ControlPlane, folder: Path) -> list[Caller]:
    """Everyone who asks."""
    worker = f"{NAMESPACE}/worker"
    good = token(plane, worker, pod=POD)
    stranger = new_key(folder / "stranger.key")
    read, write, admin = (frozenset({right}) for right in FILE)
    agent = token(plane, f"{NAMESPACE}/agent")
    return [
        Caller("anonymous", None, known=False),
        Caller("nonsense", "nonsense", known=False),
        Caller("wrong audience", token(plane, worker, "other", POD), known=False),
        Caller("expired", expired(good, plane.key), known=False),
        Caller("another cluster's key", signed(good, stranger), known=False),
        Caller("another issuer", signed(good, plane.key, iss="https://other"), known=False),
        Caller("other namespace", token(plane, "elsewhere/worker")),
        Caller("reader", token(plane, "monitoring/reader"), read),
        Caller("writer", good, write, is_bound=True),
        Caller("writer for its account", token(plane, worker), write, speaks_for="worker"),
        Caller("other component", good, write, is_bound=True, speaks_for=OTHER),
        Caller("agent for another", agent, write, speaks_for=OTHER),
        Caller("admin", token(plane, f"{NAMESPACE}/boss"), admin),
        Caller(
            "vmagent",
            token(plane, "monitoring/vmagent", None),
            by_role=frozenset(SCRAPED),
            of_the_api=True,
        ),
        Caller(
            "scraper",
            token(plane, "monitoring/scraper", None),
            by_role=frozenset({"read"}),
            of_the_api=True,
        ),
        Caller(
            "reporter",
            token(plane, f"{NAMESPACE}/reporter"),
            by_role=frozenset({REPORT}),
            speaks_for="reporter",
        ),
        *(
            Caller(f"a {right} of the file", word, frozenset({right}))
            for right, word in FILE.items()
        ),
    ]


def expected(caller: Caller, right: str, path: str, mode: str) -> int:
    """The status that an endpoint answers with; 200 stands for what it answers its callers with."""
    review = mode == "review"
    if right == "none" or (right == "read" and mode == "open"):
        return 200
    if not caller.known or (caller.of_the_api and not (review and right == "read")):
        return 401
    by_role = review and (path in caller.by_role or right in caller.by_role)
    if right not in caller.rights and not by_role:
        return 403
    is_another = caller.is_bound and caller.speaks_for == OTHER
    return 403 if right == "write" and is_another else 200


def remote_write(component: str) -> bytes:
    """A message of remote write 1.0, with one sample of the component."""

    def field(number: int, data: bytes) -> bytes:
        return bytes([number << 3 | 2, len(data)]) + data

    def label(name: str, value: str) -> bytes:
        return field(1, field(1, name.encode()) + field(2, value.encode()))

    at, varint = int(time.time() * 1000), b""
    while at > 127:
        varint, at = varint + bytes([at & 127 | 128]), at >> 7
    sample = b"\x09" + struct.pack("<d", 1.0) + b"\x10" + varint + bytes([at])
    labels = label("__name__", "m") + label("component", component)
    return field(1, labels + field(2, sample))


def otlp(component: str) -> dict:
    """A message of OpenTelemetry, with one point of the component."""
    attribute = {"key": "noetl.component.name", "value": {"stringValue": component}}
    point = {"timeUnixNano": str(time.time_ns()), "asInt": "1"}
    scopes = [{"metrics": [{"name": "m", "gauge": {"dataPoints": [point]}}]}]
    resource = {"attributes": [attribute]}
    return {"resourceMetrics": [{"resource": resource, "scopeMetrics": scopes}]}


def ask(
    server: Server, method: str, path: str, bearer: str | None, component: str
) -> httpx.Response:
    """A call that an endpoint answers with success, if it lets the caller."""
    # Who is refused before its body is read finds the connection closed.
    headers = {"Connection": "close"}
    headers |= {"Authorization": f"Bearer {bearer}"} if bearer else {}
    named = {"name": component, "component_name": component, "metrics": [metric("m", "gauge", 1)]}
    params = {
        "/api/metrics/self-report": {"component_name": component},
        "/api/metrics/ttl/set": {"metric_name": "m"},
        "/api/metrics/ttl/extend-component": {"component_name": component},
    }.get(path)
    body: dict = {"json": named} if method != "GET" else {}
    if path == "/api/v1/write":
        headers |= {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}
        body = {"content": gzip.compress(remote_write(component))}
    if path == "/v1/metrics":
        body = {"json": otlp(component)}
    path = path.replace("{kind}", "forbidden")
    return server.http.request(method, path, params=params, headers=headers, **body)


def start(
    stack: ExitStack, world: World, database: Cluster, folder: Path, *flags: str, **more: int
) -> Server:
    """A server that knows the callers' components, and whose keys are there."""
    url = database.url(database.new_database())
    env = {"NOETL_METRICS_LOG": "noetl_metrics=trace,info"}
    server = Server(url, folder / "server.log", *world.flags(**more), *flags, **env)
    stack.enter_context(running(server.process))
    stack.callback(server.http.close)
    server.wait_ready()
    for name in (POD, OTHER, "worker", "reporter"):
        for path in ("/api/worker/pool/register", REPORT):
            assert ask(server, "POST", path, "setup", name).status_code == 200
    good = next(one.token for one in world.callers if one.name == "writer")
    wait_for("the keys", lambda: ask(server, "POST", REPORT, good, POD).status_code == 200)
    return server


@pytest.mark.parametrize("mode", ["open", "required", "review"])
def test_every_caller_with_every_endpoint(
    world: World, database: Cluster, tmp_path: Path, mode: str
):
    flags = [] if mode == "open" else ["--auth-read=required"]
    flags += ["--auth-kubernetes-review"] if mode == "review" else []
    wrong = []
    with ExitStack() as stack:
        server = start(stack, world, database, tmp_path, *flags)
        described = server.http.get("/openapi.json").json()["paths"]
        routes = [
            (method.upper(), path, operation.get("x-right", "none"))
            for path, methods in described.items()
            for method, operation in methods.items()
        ]
        assert len(routes) > 20
        assert {right for _, _, right in routes} == {"none", *FILE}
        for caller in world.callers:
            for method, path, right in [*routes, ("GET", "/", "read")]:
                answer = ask(server, method, path, caller.token, caller.speaks_for)
                got = 200 if answer.status_code == 204 else answer.status_code
                want = expected(caller, right, path, mode)
                if got != want:
                    wrong.append(
                        (caller.name, method, path, f"{got}, not {want}", answer.text[:200])
                    )
                elif want in (401, 403):
                    if path == "/v1/metrics":
                        # Exporters of OpenTelemetry are told in their own form.
                        assert answer.json()["code"] == {401: 16, 403: 7}[want]
                        continue
                    kind = {401: "unauthenticated", 403: "forbidden"}[want]
                    assert answer.json()["type"] == f"/problems/{kind}"
        # What was said of callers, anywhere, tells no token.
        said = server.process.log.read_text()
        for path in ("/metrics", "/status", "/readyz?verbose"):
            said += ask(server, "GET", path, "setup", POD).text
        secrets = {one.token for one in world.callers if one.token not in (None, "nonsense")}
        secrets |= {"setup", (world.own / "token").read_text()}
        assert not [secret for secret in secrets if secret in said]
    assert not wrong, "\n".join(map(str, wrong))


def status(server: Server, caller: Caller, path: str = "/metrics") -> int:
    return ask(server, "GET", path, caller.token, POD).status_code


@pytest.fixture
def cuttable(world: World) -> Iterator[Link]:
    with link(world.plane.port) as made:
        yield made


def test_while_the_api_server_is_away_nobody_is_turned_away(
    world: World, database: Cluster, tmp_path: Path, cuttable: Link
):
    by_name = {caller.name: caller for caller in world.callers}
    review = ["--auth-read=required", "--auth-kubernetes-review", f"--auth-review-ttl={TTL}s"]
    with ExitStack() as stack:
        server = start(stack, world, database, tmp_path, *review, port=cuttable.port)
        known, new, nobody = by_name["vmagent"], by_name["scraper"], by_name["expired"]
        assert status(server, known) == 200
        cuttable.cut()
        assert status(server, known) == 200, "an answer that is remembered holds"
        assert status(server, new) == 503, "who was never asked about is not known to be nobody"
        refused = ask(server, "GET", "/metrics", new.token, POD)
        assert refused.json()["type"] == "/problems/unverified"
        assert int(refused.headers["Retry-After"]) > 0
        seen: list[int] = []

        def forgotten() -> bool:
            seen.append(status(server, known))
            return seen[-1] == 503

        wait_for("what is remembered to be over", forgotten)
        assert set(seen) <= {200, 503}
        assert status(server, nobody) == 401, "what is verified offline needs no one"
        assert status(server, by_name["a read of the file"]) == 200
        cuttable.mend()
        wait_for("the API server to be asked again", lambda: status(server, known) == 200)
        assert status(server, new) == 200


def test_a_token_of_a_pod_that_is_gone_holds_no_longer(
    world: World, database: Cluster, tmp_path: Path
):
    gone = "gone-0"
    review = ["--auth-kubernetes-review", f"--auth-review-ttl={TTL}s"]
    of_the_pod = token(world.plane, f"{NAMESPACE}/worker", pod=gone)
    with ExitStack() as stack:
        server = start(stack, world, database, tmp_path, *review)

        def register() -> httpx.Response:
            return ask(server, "POST", "/api/worker/pool/register", of_the_pod, gone)

        assert register().status_code == 200
        words = ("delete", "pod", gone, f"--namespace={NAMESPACE}", "--grace-period=0", "--force")
        world.plane.kubectl(*words)
        wait_for("the token to be refused", lambda: register().status_code == 401)


def test_without_the_reviewers_role_the_log_says_what_is_missing(
    world: World, database: Cluster, tmp_path: Path
):
    own = tmp_path / "own"
    own.mkdir()
    for name in ("ca.crt", "tokens"):
        (own / name).write_text((world.own / name).read_text())
    (own / "token").write_text(token(world.plane, "monitoring/reader", None))
    with ExitStack() as stack:
        url = database.url(database.new_database())
        poor = World(world.plane, own, world.callers)
        server = Server(url, tmp_path / "log", *poor.flags(), "--auth-kubernetes-review")
        stack.enter_context(running(server.process))
        stack.callback(server.http.close)
        server.wait_ready()
        writer = next(one for one in world.callers if one.name == "writer")

        def refused() -> bool:
            answer = ask(server, "POST", REPORT, writer.token, POD)
            return answer.json()["type"] == "/problems/unverified"

        wait_for("the review to be tried", refused)
        said = [json.loads(line) for line in server.process.log.read_text().splitlines()]
        assert any("needs the right to create tokenreviews" in line["message"] for line in said)
