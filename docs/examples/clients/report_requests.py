"""Reports with requests, whose adapter tries again by itself."""

import os
import uuid

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

API = os.environ.get("NOETL_METRICS_SERVER_URL", "http://127.0.0.1:8082")

# 429 and 503 say in Retry-After when; `allowed_methods=None` means POST too.
again = Retry(total=6, backoff_factor=1, status_forcelist=[429, 503], allowed_methods=None)
session = requests.Session()
session.mount(API, HTTPAdapter(max_retries=again))


def send(path: str, body: dict) -> dict:
    # With the same key a report that was sent twice counts once.
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    if token_file := os.environ.get("NOETL_METRICS_AUTH_TOKEN_FILE"):
        with open(token_file) as file:
            headers["Authorization"] = f"Bearer {file.read().strip()}"
    answer = session.post(API + path, json=body, headers=headers, timeout=30)
    if not answer.ok:
        raise SystemExit(answer.json()["detail"])
    return answer.json()


send("/api/worker/pool/register", {"name": "mailer", "component_type": "application"})
sent = {"metric_name": "mails_sent_total", "metric_type": "counter", "metric_value": 52}
wrong = {"metric_name": "mails waiting", "metric_type": "gauge", "metric_value": 3}
taken = send("/api/metrics/report", {"component_name": "mailer", "metrics": [sent, wrong]})
print(taken["metrics_inserted"], "sample is stored")
# What breaks a rule is named, and the rest is kept.
for refused in taken["rejected"]:
    print(f"metrics[{refused['index']}].{refused['field']}: {refused['reason']}")
