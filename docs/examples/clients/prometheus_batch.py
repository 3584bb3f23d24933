"""A program that ends: prometheus_client as it is, a file, and an agent that reads it.

noetl-metrics agent --textfile-dir /var/lib/noetl/textfile
"""

import os

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

registry = CollectorRegistry()
rows = Gauge("nightly_load_rows", "Rows of the newest load", ["table"], registry=registry)
ended = Gauge("nightly_load_end_seconds", "When it ended, since 1970", registry=registry)

rows.labels(table="orders").set(48_113)
ended.set_to_current_time()

# It writes another file and renames it, so that nobody reads half of one.
folder = os.environ.get("TEXTFILE_DIR", "/var/lib/noetl/textfile")
write_to_textfile(os.path.join(folder, "nightly_load.prom"), registry)
