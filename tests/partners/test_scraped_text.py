"""What the agent reads of a text exposition is what prometheus_client reads of it.

Random texts, each served as a target of its own: good ones in the forms that the format allows, and
the same with a few letters changed, which may be refused and must not be taken for something else.
SEED repeats a run.
"""

import http.server
import os
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.process import Process, running, wait_for
from support.series import Values, of_export
from support.server import Server, program

GOOD, CHANGED = 100, 150
#: How many changes such a text has.
CHANGES = (1, 1, 4)
LETTERS = "abcdefgh"
IN_VALUES = ["a", "Z", "7", " ", "é", "東", "☃", "{", "}", ",", "=", "#", r"\\", r"\"", r"\n", "\t"]
IN_CHANGES = list(' \t\n"\\{},=#0aN+-_:é')


class Writer:
    """A text exposition in the forms that the format allows, by chance."""

    def __init__(self, chance: random.Random, prefix: str):
        self.chance, self.prefix = chance, prefix
        self.lines: list[str] = []
        self.names: set[str] = set()

    def text(self) -> str:
        for _ in range(self.chance.randrange(8)):
            self.family()
        return "".join(f"{line}\n" for line in self.lines)

    def family(self) -> None:
        kind = self.chance.choice(["counter", "gauge", "untyped", "", "histogram", "summary"])
        name = self.name("_total" if kind == "counter" else "")
        if self.chance.random() < 0.2:
            self.lines.append(
                self.chance.choice(["", "# a comment", "#", " \t", "# HELPFUL it is"])
            )
        about = []
        if self.chance.random() < 0.7:
            about.append(f"# HELP {name} {self.words()}")
        if kind:
            about.append(f"# TYPE {name} {kind}")
        self.chance.shuffle(about)
        self.lines += about
        for labels in self.label_sets():
            if kind == "histogram":
                self.buckets(name, labels)
            elif kind == "summary":
                for quantile in ("0.5", "0.99"):
                    self.sample(name, [*labels, f'quantile="{quantile}"'], self.value())
                self.sample(f"{name}_sum", labels, self.value())
                self.sample(f"{name}_count", labels, self.count())
            else:
                self.sample(name, labels, self.count() if kind == "counter" else self.value())

    def buckets(self, name: str, labels: list[str]) -> None:
        counts = sorted(self.chance.randrange(1000) for _ in range(4))
        for bound, count in zip(("0.1", "1", "2.5e3", "+Inf"), counts, strict=True):
            self.sample(f"{name}_bucket", [*labels, f'le="{bound}"'], str(count))
        self.sample(f"{name}_sum", labels, self.value())
        self.sample(f"{name}_count", labels, str(counts[-1]))

    def sample(self, name: str, labels: list[str], value: str) -> None:
        line = name + self.blank(0)
        if labels or self.chance.random() < 0.1:
            comma = f"{self.blank(0)},{self.blank(0)}"
            end = "," if labels and self.chance.random() < 0.1 else ""
            line += f"{{{self.blank(0)}{comma.join(labels)}{end}}}"
        line += self.blank(0 if line.endswith("}") else 1) + value
        if self.chance.random() < 0.2:
            line += f"{self.blank(1)}{self.chance.randrange(10**12, 2 * 10**12)}"
        self.lines.append(line + self.blank(0))

    def blank(self, least: int) -> str:
        many = least if self.chance.random() < 0.9 else self.chance.randrange(least, 3)
        # Tabs are as good, but prometheus_client takes them within braces only.
        return " " * many

    def name(self, end: str) -> str:
        while True:
            word = "".join(self.chance.choices(LETTERS + "_:9", k=self.chance.randrange(1, 9)))
            name = f"{self.prefix}{word}{end}"
            if name not in self.names:
                self.names.add(name)
                return name

    def label_sets(self) -> list[list[str]]:
        """Labels as they are written, the sets distinct."""
        names = [f"l_{letter}" for letter in self.chance.sample(LETTERS, self.chance.randrange(4))]
        if not names:
            return [[]]
        return [
            [f'{name}{self.blank(0)}={self.blank(0)}"{i}{self.words()}"' for name in names]
            for i in range(self.chance.randrange(1, 4))
        ]

    def words(self) -> str:
        return "".join(self.chance.choices(IN_VALUES, k=self.chance.randrange(6)))

    def value(self) -> str:
        forms = [
            lambda: repr(self.chance.uniform(-1e3, 1e3)),
            lambda: repr(self.chance.uniform(-1, 1) * 10 ** self.chance.randrange(-320, 308)),
            lambda: f"{self.chance.randrange(10**6)}E{self.chance.randrange(-5, 5):+d}",
            self.count,
            lambda: self.chance.choice(["+Inf", "-Inf", "Inf", "NaN", "-0", "+1", ".5", "5."]),
        ]
        return self.chance.choice(forms)()

    def count(self) -> str:
        return str(self.chance.randrange(2**53))


def changed(chance: random.Random, text: str, times: int) -> str:
    """The text with so many characters replaced, left out, or put in."""
    letters = list(text)
    for _ in range(times):
        at = chance.randrange(len(letters) + 1)
        what = chance.choice([[], [chance.choice(IN_CHANGES)]])
        letters[at : at + chance.randrange(2)] = what
    return "".join(letters)


@contextmanager
def served(texts: list[str]) -> Iterator[str]:
    """Serves each text at its number."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = texts[int(self.path.strip("/"))].encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.server_port}"
        finally:
            listening.shutdown()
            thread.join()


def prefix(number: int) -> str:
    """What the names of a text begin with; a few changed letters do not make it another's."""
    return f"t{number}_{number}_"


def own(values: Values, number: int) -> Values:
    """What the text said itself, without what the agent adds. A label without a value is none."""
    ours = ("l_", "le", "quantile")
    return {
        (name, frozenset((k, v) for k, v in labels if v and k.startswith(ours))): value
        for (name, labels), value in values.items()
        if name.startswith(prefix(number))
    }


def is_bound(labels: frozenset[tuple[str, str]]) -> bool:
    return any(label in ("le", "quantile") for label, _ in labels)


def by_prometheus_client(text: str) -> Values | None:
    """What it reads; nothing where it refuses the text."""
    try:
        return of_export(text)
    except ValueError:
        return None


def up(exported: Values, url: str) -> dict[int, bool]:
    """Which targets the agent could read, of those that it tells of."""
    return {
        int(target.rpartition("/")[2]): value == 1
        for (name, labels), value in exported.items()
        if name == "noetl_agent_scrape_up"
        for label, target in labels
        if target.startswith(url)
    }


def test_texts_are_read_as_prometheus_client_reads_them(server: Server, tmp_path: Path) -> None:
    seed = int(os.environ.get("SEED", "1"))
    print(f"SEED={seed}")
    chance = random.Random(seed)
    texts = [Writer(chance, prefix(i)).text() for i in range(GOOD + CHANGED)]
    for i in range(GOOD, GOOD + CHANGED):
        texts[i] = changed(chance, texts[i], chance.choice(CHANGES))
    theirs = [by_prometheus_client(text) for text in texts]
    assert None not in theirs[:GOOD]

    def alike() -> dict[int, bool]:
        exported = of_export(server.export())
        read = up(exported, url)
        assert len(read) == len(texts)
        for i, text in enumerate(texts):
            assert i >= GOOD or read[i], f"good text {i} is refused: {text}"
            if read[i] and (values := theirs[i]) is not None:
                ours, missing = own(exported, i), own(values, i)
                for series in missing.keys() & ours.keys():
                    assert missing.pop(series) == ours.pop(series), (i, series, text)
                assert not ours, (i, text)
                # Where the type of a histogram or a summary was changed, the server refuses these.
                assert i >= GOOD or not missing, (i, text)
                assert all(is_bound(labels) for _, labels in missing), (i, missing, text)
        return read

    with served(texts) as url:
        targets = ",".join(f"{url}/{i};name=texts" for i in range(len(texts)))
        command = [program(), "agent", "--server-url", server.url, "--worker-id", "reader"]
        command += ["--metrics-interval", "1s", "--scrape-interval", "4s", "--scrape-keep", "*"]
        environment = {"NOETL_METRICS_SCRAPE": targets}
        with running(Process(command, tmp_path / "agent.log", env=environment)):
            read = wait_for("all that is read is read alike", alike, 90)
    taken = sum(read[i] for i in range(GOOD, len(texts)))
    assert 0 < taken < CHANGED, "of the changed texts some are good and some are not"
    print(f"{GOOD} good texts are read alike, and {taken} of {CHANGED} that were changed")
