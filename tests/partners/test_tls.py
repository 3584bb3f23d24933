"""Real scrapers scrape by TLS, and show a certificate of theirs."""

import functools
import ssl
from pathlib import Path

import pytest

from support.certificates import Authority
from support.process import wait_for
from support.scrapers import Prometheus, Scraper, VictoriaMetrics, scraping
from support.series import of_rows
from support.server import metric

NAME = "noetl-server.noetl.svc"
REPORTER = "reporter"


@pytest.mark.parametrize("kind", [Prometheus, VictoriaMetrics], ids=lambda kind: kind.__name__)
def test_a_scraper_verifies_the_server_by_name_and_shows_a_certificate(
    start_server, tmp_path: Path, kind: type[Scraper]
) -> None:
    authority = Authority(tmp_path / "authority")
    cert, key = authority.signs(NAME)
    shown, its_key = authority.signs("scraper")
    client = ssl.create_default_context(cafile=str(authority.cert))
    client.load_cert_chain(shown, its_key)
    # The certificate is for the Service's name, and the test connects to an address.
    client.check_hostname = False
    flags = {"cert": cert, "key": key, "client-ca": authority.cert}
    given = [word for name, path in flags.items() for word in (f"--tls-{name}-file", str(path))]
    server = start_server(*given, tls=client)
    server.register(REPORTER)
    server.report(REPORTER, metric("temperature_celsius", "gauge", 20.5))
    told = of_rows(server.rows(component_name=REPORTER))
    config = {
        "ca_file": str(authority.cert),
        "cert_file": str(shown),
        "key_file": str(its_key),
        "server_name": NAME,
    }
    settings = {"scheme": "https", "tls_config": config}
    target = f"127.0.0.1:{server.port}"
    with scraping(kind, target, tmp_path / "scraper", **settings) as scraper:
        agrees = functools.partial(scraper.check_has, REPORTER, told)
        wait_for("the scraper to have the report", agrees)
        scraper.check_target()
