"""OpenTelemetry's SDK as it is: its exporter sends to /v1/metrics."""

import os

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

API = os.environ.get("NOETL_METRICS_SERVER_URL", "http://127.0.0.1:8082")

# The component is the service's name; one that is not registered is registered.
service = Resource({"service.name": "checkout", "service.instance.id": "checkout-0"})
exporter = OTLPMetricExporter(endpoint=f"{API}/v1/metrics")
meters = MeterProvider([PeriodicExportingMetricReader(exporter)], service)

payments = meters.get_meter("checkout").create_counter("payments", "{payment}", "Payments taken")
payments.add(3, {"card": "debit"})
# Sends what has not been sent yet.
meters.shutdown()
