"""A program that runs on: prometheus_client as it is, and an agent that scrapes it.

noetl-metrics agent --scrape 'http://127.0.0.1:8000;name=billing;kind=application' \
    --scrape-keep 'default,billing_*'
"""

import os
import time

from prometheus_client import Counter, Histogram, start_http_server

INVOICES = Counter("billing_invoices", "Invoices that were written", ["country"])
TOOK = Histogram("billing_invoice_seconds", "Time that an invoice takes", buckets=[0.1, 1, 10])

start_http_server(int(os.environ.get("PORT", "8000")), "127.0.0.1")
while True:
    with TOOK.time():
        INVOICES.labels(country="de").inc()
    time.sleep(1)
