"""A TCP proxy between the detector and its broker, whose faults are switched from the test.

Knows connections and bytes; nothing of Kafka's protocol, nothing of tips.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from typing import Self

HOST = "127.0.0.1"
_CHUNK_BYTES = 16 * 1024
_LOOK_S = 0.05  # how often a waiting pump looks whether the fault is over


class Proxy:
    """Passes bytes between clients and one server, until told otherwise.

    Args:
        port: where clients connect; 0 lets the system pick one.
        server_port: of the server, on this machine.

    Attributes:
        port: where clients connect.

    Two threads a connection: few connections, and a thread that sleeps is the plainest delay.
    """

    def __init__(self, port: int, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server((HOST, port))
        self.port = int(self._listener.getsockname()[1])
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._is_closed = False
        self.heal()
        threading.Thread(target=self._accept, daemon=True).start()

    # -- the faults -----------------------------------------------------------------------------

    def heal(self) -> None:
        """Everything passes at once again; what a black hole held back passes too."""
        self._delay_s = 0.0
        self._bytes_per_s: float | None = None
        self._is_black_hole = False

    def delay(self, delay_ms: float) -> None:
        """Each chunk comes this much later, in both directions."""
        self._delay_s = delay_ms / 1000

    def throttle(self, bytes_per_s: float) -> None:
        """No direction of a connection passes more than this."""
        self._bytes_per_s = bytes_per_s

    def black_hole(self) -> None:
        """Nothing passes and nothing is refused: connections open, and no answer ever comes."""
        self._is_black_hole = True

    def reset(self) -> int:
        """Ends all connections at once with RST, whatever is under way; how many there were."""
        with self._lock:
            sockets, self._open = self._open, set()
        for each in sockets:  # all before any: the first pump that wakes closes both ends
            _close_by_reset(each)
        for each in sockets:
            _end(each)
        return len(sockets) // 2

    # -- the connections ------------------------------------------------------------------------

    def close(self) -> None:
        """Stops listening and ends all connections."""
        self._is_closed = True
        with contextlib.suppress(OSError):  # wakes the thread that accepts
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.reset()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        while not self._is_closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            try:
                server = socket.create_connection((HOST, self._server_port), timeout=5)
            except OSError:
                _close_by_reset(client)  # the server is down: the client should see it at once
                client.close()
                continue
            self._join(client, server)

    def _join(self, client: socket.socket, server: socket.socket) -> None:
        server.settimeout(None)
        for each in (client, server):
            with contextlib.suppress(OSError):  # it may be gone already; a pump will find out
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._open |= {client, server}
        for ends in ((client, server), (server, client)):
            threading.Thread(target=self._pump, args=ends, daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        """Passes one direction until either end is gone, then ends both."""
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK_BYTES):
                self._hold_up(len(data))
                target.sendall(data)
        for each in (source, target):
            with self._lock:
                self._open.discard(each)
            _end(each)
            each.close()

    def _hold_up(self, size: int) -> None:
        if self._delay_s:
            time.sleep(self._delay_s)
        if self._bytes_per_s:
            time.sleep(size / self._bytes_per_s)
        while self._is_black_hole and not self._is_closed:
            time.sleep(_LOOK_S)


def _close_by_reset(end: socket.socket) -> None:
    """Lets a close send RST instead of FIN, in mid-request too."""
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _end(end: socket.socket) -> None:
    """Wakes the pump that reads here, which closes; sends nothing by itself, unlike SHUT_RDWR."""
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RD)
