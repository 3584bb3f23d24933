"""Reports with nothing but Python's own library."""

import json
import os
import time
import urllib.error
import urllib.request
import uuid

API = os.environ.get("NOETL_METRICS_SERVER_URL", "http://127.0.0.1:8082")
TOKEN_FILE = os.environ.get("NOETL_METRICS_AUTH_TOKEN_FILE")


def send(path: str, body: dict) -> dict:
    """Sends it, again where the server asks for that; with the same key it never counts twice."""
    headers = {"Content-Type": "application/json", "Idempotency-Key": str(uuid.uuid4())}
    for attempt in range(6):
        if TOKEN_FILE:
            # Read each time: Kubernetes puts a new one there before the old one ends.
            with open(TOKEN_FILE) as file:
                headers["Authorization"] = f"Bearer {file.read().strip()}"
        request = urllib.request.Request(API + path, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code not in (429, 503) or attempt == 5:
                # The reason, in a sentence.
                raise SystemExit(json.load(error)["detail"]) from error
            time.sleep(float(error.headers.get("Retry-After", 1)))
        except urllib.error.URLError:
            if attempt == 5:
                raise
            time.sleep(2**attempt)
    raise AssertionError("the last attempt returns or raises")


send("/api/worker/pool/register", {"name": "orders", "component_type": "application"})
taken = send(
    "/api/metrics/report",
    {
        "component_name": "orders",
        "metrics": [
            {
                "metric_name": "orders_total",
                "metric_type": "counter",
                "metric_value": 1027,
                "labels": {"shop": "berlin"},
                "help_text": "Orders that were placed",
            },
            {
                "metric_name": "order_value_eur",
                "metric_type": "histogram",
                "buckets": {"10": 400, "100": 990, "+Inf": 1027},
                "sum": 38250.5,
                "count": 1027,
            },
        ],
    },
)
print(taken["metrics_inserted"], "samples are stored")
