"""A TCP relay between a client and a server, which breaks connections on demand.

It has the server's address and one for clients. It does not look at the content, so TLS passes. Its
``calls`` are the sizes of what clients sent. While it is ``holding``, they get no answers.
"""

from __future__ import annotations

import json
import socket
import threading
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from tests.peers.processes import Address
from tests.peers.sockets import ThreadedServer, reset

_PIECE = 65536


class Relay(ThreadedServer[int]):
    """A context manager: started, stopped. `reset_connections` breaks all of them at once."""

    def __init__(self, to: Address) -> None:
        super().__init__("relay")
        self._to = to
        self._doomed: set[socket.socket] = set()
        self._doom = threading.Lock()
        self.cut = 0
        """How many connections were cut in the middle of an answer."""

    def cut_answers(self) -> None:
        """Pass half of the next piece of each open connection's answer, then break it."""
        with self._lock, self._doom:
            self._doomed = set(self._connections)

    def serve(self, connection: socket.socket) -> None:
        """Pass both ways on until one side ends."""
        with socket.create_connection(self._to) as server:
            upwards = threading.Thread(target=self._pass_on, args=(connection, server), daemon=True)
            upwards.start()
            try:
                while piece := server.recv(_PIECE):
                    self._may_answer.wait()
                    if self._is_doomed(connection):
                        connection.sendall(piece[: len(piece) // 2])
                        break
                    connection.sendall(piece)
            finally:
                reset(connection)
                with suppress(OSError):
                    server.shutdown(socket.SHUT_RDWR)
                upwards.join()

    def _pass_on(self, source: socket.socket, to: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(_PIECE):
                to.sendall(piece)
                self.calls.append(len(piece))
        with suppress(OSError):
            to.shutdown(socket.SHUT_RDWR)

    def _is_doomed(self, connection: socket.socket) -> bool:
        with self._doom:
            if connection not in self._doomed:
                return False
            self._doomed.discard(connection)
            self.cut += 1
            return True


def through(relay: Relay, kubeconfig: Path) -> Path:
    """A kubeconfig beside that one, which leads through the relay."""
    content = json.loads(kubeconfig.read_text(encoding="utf-8"))
    content["clusters"][0]["cluster"]["server"] = "https://{}:{}".format(*relay.address)
    path = kubeconfig.with_name(f"kubeconfig-relay-{relay.address[1]}")
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def address_of(url: str) -> Address:
    """Host and port of a URL."""
    parts = urlsplit(url)
    return str(parts.hostname), int(parts.port or 443)
