"""`noetl-metrics top` in a terminal: what it shows, and that it leaves the terminal as it was."""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
from collections.abc import Callable, Iterator

import pytest

from conftest import StartServer
from support.process import clean_environment, free_port, wait_for
from support.server import Server, metric, program

LEAVES_SCREEN = "\x1b[?1049l"
SHOWS_CURSOR = "\x1b[?25h"
HIDES_CURSOR = "\x1b[?25l"


class Screen:
    """What a terminal of 24 lines shows, as far as the program uses one."""

    CONTROL = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])")

    def __init__(self) -> None:
        self.lines = [[" "] * 80 for _ in range(24)]
        self.line = self.column = 0

    def write(self, text: str) -> None:
        at = 0
        while at < len(text):
            if control := self.CONTROL.match(text, at):
                self.control(control[1], control[2])
                at = control.end()
                continue
            if text[at] >= " " and self.line < 24 and self.column < 80:
                self.lines[self.line][self.column] = text[at]
                self.column += 1
            at += 1

    def control(self, numbers: str, letter: str) -> None:
        if letter == "H":
            self.line, self.column = (int(n or 1) - 1 for n in (numbers or "1;1").split(";"))
        elif letter == "J":
            self.lines = [[" "] * 80 for _ in range(24)]

    def __str__(self) -> str:
        return "\n".join("".join(line).rstrip() for line in self.lines)


class Terminal:
    """A terminal of 80 by 24 with the program in it."""

    def __init__(self, *flags: str, **env: str):
        self.outer, self.inner = pty.openpty()
        fcntl.ioctl(self.inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.before = termios.tcgetattr(self.inner)
        self.written = b""
        self.child = subprocess.Popen(
            [program(), "top", "--interval", "500ms", *flags],
            stdin=self.inner,
            stdout=self.inner,
            stderr=self.inner,
            env={**clean_environment(), "TERM": "xterm-256color", **env},
            start_new_session=True,
        )

    def read(self) -> str:
        """All that was written so far."""
        while select.select([self.outer], [], [], 0)[0]:
            self.written += os.read(self.outer, 65536)
        return self.written.decode(errors="ignore")

    def screen(self) -> str:
        """What is seen now."""
        screen = Screen()
        screen.write(self.read())
        return str(screen)

    def shows(self, words: str) -> None:
        """Waits until words are on the screen."""

        def look() -> bool:
            return self.child.poll() is None and words in self.screen()

        try:
            wait_for(f"the screen to show {words!r}", look, 60)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.screen()}") from None

    def press(self, keys: str) -> None:
        os.write(self.outer, keys.encode())

    def ended(self) -> int:
        """The exit code; the terminal is as it was."""

        def look() -> bool:
            self.read()
            return self.child.poll() is not None

        wait_for("the program to end", look, 60)
        text = self.read()
        assert LEAVES_SCREEN in text, text
        assert text.rfind(SHOWS_CURSOR) > text.rfind(HIDES_CURSOR), text
        assert termios.tcgetattr(self.inner) == self.before
        return self.child.returncode

    def close(self) -> None:
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()
        os.close(self.inner)
        os.close(self.outer)


OpenTerminal = Callable[..., Terminal]


@pytest.fixture
def top() -> Iterator[OpenTerminal]:
    """Starts the program in terminals of its own; they end with the test."""
    with contextlib.ExitStack() as stack:

        def start(*flags: str, **env: str) -> Terminal:
            terminal = Terminal(*flags, **env)
            stack.callback(terminal.close)
            return terminal

        yield start


def with_worker(server: Server) -> Server:
    server.register("worker-of-the-test")
    server.report("worker-of-the-test", metric("jobs_of_the_test", "gauge", 42))
    return server


def test_it_shows_a_server_and_ends_by_a_key(server: Server, top: OpenTerminal) -> None:
    with_worker(server)
    terminal = top("--server-url", server.url)
    terminal.shows("worker-of-the-test")
    terminal.press("/of-the-test\r")
    terminal.shows("filter: of-the-test")
    terminal.press("\r")
    terminal.shows("jobs_of_the_test")
    terminal.press("?")
    terminal.shows("the newest values of the component")
    terminal.press("q")
    assert terminal.ended() == 0


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
def test_a_signal_leaves_the_terminal_as_it_was(
    server: Server, top: OpenTerminal, how: signal.Signals
) -> None:
    terminal = top("--server-url", server.url)
    terminal.shows("noetl-metrics top")
    terminal.child.send_signal(how)
    assert terminal.ended() == 0


def test_control_c_ends_it(server: Server, top: OpenTerminal) -> None:
    terminal = top("--server-url", server.url)
    terminal.shows("noetl-metrics top")
    terminal.press("\x03")
    assert terminal.ended() == 0


def test_a_server_that_is_away_is_said_and_tried_again(
    start_server: StartServer, top: OpenTerminal
) -> None:
    port = free_port()
    terminal = top("--server-url", f"http://127.0.0.1:{port}")
    terminal.shows("refused")
    with_worker(start_server(port=port))
    terminal.shows("worker-of-the-test")
    terminal.press("q")
    assert terminal.ended() == 0


def test_colours_are_left_out_where_they_are_not_wanted(server: Server, top: OpenTerminal) -> None:
    with_worker(server)
    for env, has_colours in [({}, True), ({"NO_COLOR": "1"}, False)]:
        terminal = top("--server-url", server.url, **env)
        terminal.shows("worker-of-the-test")
        coloured = re.search(r"\x1b\[(?:[0-9;]*;)?38;5;", terminal.read())
        assert bool(coloured) == has_colours, terminal.read()
        terminal.press("q")
        assert terminal.ended() == 0
