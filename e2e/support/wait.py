"""Waiting for what will come: polls until a deadline, and says what it saw last."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(what: str, look: Callable[[], T], *, seconds: float = 60, every: float = 0.25) -> T:
    """The first truthy value of `look`.

    An AssertionError or LookupError of `look`, or an HTTP client's error, means "not yet".
    """
    deadline = time.monotonic() + seconds
    seen: object = None
    while True:
        try:
            seen = look()
            if seen:
                return seen
        except (AssertionError, LookupError, OSError, ValueError, *_http_errors()) as error:
            seen = f"{type(error).__name__}: {error}"
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}; last seen: {seen!r}")
        time.sleep(every)


def throughout(what: str, look: Callable[[], bool], *, seconds: float, every: float = 1) -> None:
    """`look` is true at each of many looks."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert look(), f"no longer: {what}"
        time.sleep(every)


def _http_errors() -> tuple[type[Exception], ...]:
    import httpx

    return (httpx.TransportError, httpx.HTTPStatusError)
