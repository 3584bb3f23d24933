"""A relay before a server, which stops passing on what it is asked when the test says so."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator


class Relay:
    """Passes bytes on both ways, until `hold` is true as a client asks something: from then on
    nothing of any client arrives any more."""

    def __init__(self, port: int, hold: Callable[[], bool]):
        self.held = threading.Event()
        self._target = port
        self._hold = hold
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                server = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [client, server]
                for way in [(client, server, self._hold), (server, client, lambda: False)]:
                    threading.Thread(target=self._pass_on, args=way, daemon=True).start()

    def _pass_on(self, here: socket.socket, there: socket.socket, hold: Callable[[], bool]) -> None:
        with contextlib.suppress(OSError):
            while sent := here.recv(1 << 16):
                if self.held.is_set() or hold():
                    self.held.set()
                    return
                there.sendall(sent)
            there.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        for one in [self._listener, *self._sockets]:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@contextlib.contextmanager
def relaying(port: int, hold: Callable[[], bool]) -> Iterator[Relay]:
    """A relay before what listens on a port, for the length of a `with`."""
    relay = Relay(port, hold)
    thread = threading.Thread(target=relay.serve)
    thread.start()
    try:
        yield relay
    finally:
        relay.close()
        thread.join()
