"""A server with a thread for each connection, and a limit on connections.

No client may keep the controller from its work. So there are only so many connections at once, in
all and of each address, and what arrives half or not at all times out.
"""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from aeraki_core.controller.bucket import TokenBucket
from aeraki_core.errors import SettingsError

__all__ = ["Clients", "LimitedServer", "Limits", "listen"]

log = logging.getLogger(__name__)

_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_KNOWN_CLIENTS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What clients may ask for.

    ``connections``: at once; ``of_client``: those of one address. ``burst``: requests of one
    address at once; ``rate``: requests of one address a second after that. ``total``: requests of
    all a second.
    ``patience``: seconds that a request may take to arrive.
    """

    connections: int = 64
    of_client: int = 16
    burst: float = 50
    rate: float = 20.0
    total: float = 60.0
    patience: float = 5.0


def listen(host: str, port: int, setting: str) -> socket.socket:
    """Listen on an address. An empty host is all addresses, IPv4 and IPv6.

    Raises:
        SettingsError: the address cannot be used; the message names the setting.
    """
    try:
        return _listening(host, port)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(
            f"{setting}: cannot listen on {host or '*'}:{port}: {reason}"
        ) from error


def _listening(host: str, port: int) -> socket.socket:
    if host in ("", "::") and socket.has_dualstack_ipv6():
        return socket.create_server(
            ("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=128
        )
    if not host:
        return socket.create_server(("0.0.0.0", port), backlog=128)
    family, _, _, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    return socket.create_server((str(address[0]), port), family=family, backlog=128)


@dataclass(slots=True)
class Clients:
    """Who is connected, and who has asked how often."""

    limits: Limits
    clock: Callable[[], float] = time.monotonic
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _connected: Counter[str] = field(default_factory=Counter)
    _buckets: OrderedDict[str, TokenBucket] = field(default_factory=OrderedDict)
    _all: TokenBucket | None = None

    def connect(self, client: str) -> bool:
        """Whether one more connection of the client is served."""
        with self._lock:
            if self._connected.total() >= self.limits.connections:
                return False
            if self._connected[client] >= self.limits.of_client:
                return False
            self._connected[client] += 1
            return True

    def disconnect(self, client: str) -> None:
        """A connection that was served has ended."""
        with self._lock:
            self._connected[client] -= 1
            if not self._connected[client]:
                del self._connected[client]

    def ask(self, client: str) -> float:
        """Seconds that the client's next request has to wait for its turn."""
        now = self.clock()
        with self._lock:
            if self._all is None:
                self._all = TokenBucket(self.limits.total, self.limits.total)
            bucket = self._buckets.setdefault(
                client, TokenBucket(self.limits.burst, self.limits.rate)
            )
            self._buckets.move_to_end(client)
            while len(self._buckets) > _KNOWN_CLIENTS:
                self._buckets.popitem(last=False)
            if bucket.take(now) and self._all.take(now):
                return 0.0
            return max(bucket.next(now), self._all.next(now)) - now


class LimitedServer(HTTPServer):
    """Serves with a handler within the limits. ``tls``: gives the context of a new connection."""

    def __init__(
        self,
        listening: socket.socket,
        handler: type[BaseHTTPRequestHandler],
        limits: Limits,
        *,
        tls: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        super().__init__(("", 0), handler, bind_and_activate=False)
        self.socket.close()
        # A client that leaves before it is accepted must not block the thread or the shutdown.
        listening.setblocking(False)
        self.socket = listening
        self.limits = limits
        self.clients = Clients(limits)
        self._tls = tls

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve the connection in a thread of its own, or say at once that there are too many."""
        client = str(client_address[0])
        if not self.clients.connect(client):
            with suppress(OSError):
                request.settimeout(0.0)
                if self._tls is None:
                    request.send(_BUSY)
            self.shutdown_request(request)
            return
        threading.Thread(
            target=self._serve, args=(request, client_address), name="http-answer", daemon=True
        ).start()

    def _serve(self, request: Any, client_address: Any) -> None:
        try:
            if self._tls is not None:
                # In this thread: a handshake may take as long as the client likes.
                request.settimeout(self.limits.patience)
                request = self._tls().wrap_socket(request, server_side=True)
            self.finish_request(request, client_address)
        except Exception:  # noqa: BLE001 whatever it was, it ends this connection alone
            self.handle_error(request, client_address)
        finally:
            self.shutdown_request(request)
            self.clients.disconnect(str(client_address[0]))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""
        # Called from an exception handler.
        log.debug("request of %s", client_address, exc_info=True)  # noqa: LOG014
