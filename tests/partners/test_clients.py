"""The examples of docs/clients.md, each run as it is: what it reports is stored and exported."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.noetl import noetl
from support.postgres import Cluster
from support.process import ROOT, Process, clean_environment, free_port, running, wait_for
from support.series import of_export
from support.server import Server, program

EXAMPLES = ROOT / "docs" / "examples" / "clients"
TOKEN = "0123456789abcdef0123456789abcdef"


def go() -> list[str]:
    if not shutil.which("go"):
        pytest.skip("there is no go; a distribution's package golang has it")
    return ["go", "run", str(EXAMPLES / "report.go")]


def rust() -> list[str]:
    """What cargo built of it along with the tests, as an example of the crate."""
    target = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
    built = target / "debug" / "examples" / "report"
    if not built.exists():
        subprocess.run(["cargo", "build", "--locked", "--example", "report"], cwd=ROOT, check=True)
    return [str(built)]


def python(name: str) -> list[str]:
    return [sys.executable, str(EXAMPLES / name)]


#: How each is run, and a series of its, which is then there with this value.
REPORTERS = {
    "curl": (lambda: [str(EXAMPLES / "report.sh")], "backup", "backup_bytes", 73400320),
    "urllib": (lambda: python("report_urllib.py"), "orders", "orders_total", 1027),
    "requests": (lambda: python("report_requests.py"), "mailer", "mails_sent_total", 52),
    "go": (go, "resizer", "pictures_resized_total", 88),
    "rust": (rust, "indexer", "documents_indexed_total", 4096),
}


def run(command: list[str], **variables: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=170,
        env={**clean_environment(), **variables},
    )


def exported(server: Server, component: str, metric: str) -> list[float | str]:
    """Values of this metric of this component, as the export has them."""
    return [
        value
        for (name, labels), value in of_export(server.export()).items()
        if name == metric and ("component", component) in labels
    ]


@pytest.mark.parametrize(
    ("command", "component", "metric", "value"), REPORTERS.values(), ids=REPORTERS
)
def test_what_an_example_reports_is_there(
    start_server, tmp_path: Path, command, component: str, metric: str, value: float
) -> None:
    """With a token, which each reads from a file; without one each is refused, and says so."""
    tokens = tmp_path / "tokens"
    tokens.write_text(f"{TOKEN}\n")
    server = start_server("--auth-token-file", str(tokens))
    words = command()

    refused = run(words, NOETL_METRICS_SERVER_URL=server.url)
    assert refused.returncode != 0
    assert "token" in refused.stderr + refused.stdout

    token = {"NOETL_METRICS_AUTH_TOKEN_FILE": str(tokens)}
    done = run(words, NOETL_METRICS_SERVER_URL=server.url, **token)
    assert done.returncode == 0, done.stderr + done.stdout
    assert exported(server, component, metric) == [value]
    [row] = server.rows(component_name=component, metric_name=metric)
    assert row["metric_value"] == value


def test_a_sample_that_breaks_a_rule_is_named_by_the_example(server: Server) -> None:
    done = run(python("report_requests.py"), NOETL_METRICS_SERVER_URL=server.url)
    assert done.returncode == 0, done.stderr
    assert "1 sample is stored" in done.stdout
    assert "metrics[1].metric_name: " in done.stdout


def test_opentelemetry_s_sdk(server: Server) -> None:
    done = run(python("opentelemetry_sdk.py"), NOETL_METRICS_SERVER_URL=server.url)
    assert done.returncode == 0, done.stderr
    assert exported(server, "checkout", "payments_total") == [3]


def test_prometheus_client_that_an_agent_scrapes(server: Server, tmp_path: Path) -> None:
    port = free_port()
    application = Process(
        python("prometheus_scraped.py"), tmp_path / "app.log", {"PORT": str(port)}
    )
    scrape = ["--scrape", f"http://127.0.0.1:{port};name=billing;kind=application"]
    scrape += ["--scrape-keep", "default,billing_*", "--scrape-interval", "1s"]
    agent = [program(), "agent", "--server-url", server.url, "--metrics-interval", "1s", *scrape]
    with running(application), running(Process(agent, tmp_path / "agent.log")):
        wait_for("its counter", lambda: exported(server, "billing", "billing_invoices_total"), 60)
        wait_for(
            "its histogram", lambda: exported(server, "billing", "billing_invoice_seconds_sum")
        )


def test_prometheus_client_that_writes_a_file(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "textfile"
    folder.mkdir()
    done = run(python("prometheus_batch.py"), TEXTFILE_DIR=str(folder))
    assert done.returncode == 0, done.stderr
    agent = [program(), "agent", "--server-url", server.url, "--metrics-interval", "1s"]
    agent += ["--textfile-dir", str(folder), "--worker-id", "night"]
    with running(Process(agent, tmp_path / "agent.log")):
        wait_for("its rows", lambda: exported(server, "night", "nightly_load_rows") == [48113], 60)


def test_a_playbook_of_noetl_s(postgres: Cluster, server: Server, tmp_path: Path) -> None:
    """By NoETL itself, where it is built."""
    text = (EXAMPLES / "playbook.yaml").read_text()
    with noetl(tmp_path / "noetl", postgres.url(postgres.new_database())) as real:
        real.start_worker("a", "shared")
        real.register_text(text)
        real.execute("examples/report_rows", 1, metrics=server.url, rows=1300)
        wait_for("its rows", lambda: exported(server, "nightly-rows", "nightly_rows") == [1300], 90)
