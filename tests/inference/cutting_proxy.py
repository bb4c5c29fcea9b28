"""A TCP proxy that cuts every connection after a random number of bytes."""

from __future__ import annotations

import contextlib
import random
import socket
import threading


class CuttingProxy:
    """Stands before a server on this machine; ``port`` is where clients connect.

    Each connection is cut, in the middle of whatever it carries, once so many bytes went over it in both directions as
    were drawn from ``fewest`` to ``most``: what comes after these is lost. ``cuts`` counts the connections that lost
    something.
    """

    def __init__(self, target: int, fewest: int, most: int, seed: int = 0) -> None:
        self.fewest, self.most = fewest, most
        self.cuts = 0
        self._target = target
        self._random = random.Random(seed)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                pair = _Pair(self, client, server, self._random.randint(self.fewest, self.most))
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=pair.pump, args=(source, sink), daemon=True).start()


class _Pair:
    def __init__(self, proxy: CuttingProxy, client: socket.socket, server: socket.socket, left: int) -> None:
        self._proxy = proxy
        self._sockets = client, server
        self._left = left  # bytes until it is cut
        self._cut = False
        self._lock = threading.Lock()

    def pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 14):
                with self._lock:
                    data, lost = self._pass(data)
                sink.sendall(data)
                if lost:
                    break
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _pass(self, data: bytes) -> tuple[bytes, bool]:
        """Return what of the data goes on, and whether something is lost."""
        passed, lost = data[: self._left], len(data) > self._left
        self._left -= len(passed)
        self._proxy.cuts += lost and not self._cut
        self._cut = self._cut or lost
        return passed, lost
