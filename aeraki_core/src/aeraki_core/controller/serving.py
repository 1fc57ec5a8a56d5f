"""The HTTP server of a running controller: probes, /metrics, /status and /explain.

Every client that reaches the port can ask, unless :class:`~aeraki_core.controller.callers.Callers`
judge who it is; probes need no login. No client may keep the controller from its work. So the
number of connections is limited, frequent requests are slowed down, and half a request times out.
Probes can have a server of their own that other requests cannot reach. It is plain HTTP inside the
pod's network; no answer holds a secret.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from aeraki_core.controller.bucket import TokenBucket
from aeraki_core.controller.callers import Admission, Callers
from aeraki_core.errors import AerakiError, SettingsError

__all__ = ["Answers", "Limits", "ProbeAnswer", "Server"]

log = logging.getLogger(__name__)

_TEXT = "text/plain; charset=utf-8"
_METRICS = "text/plain; version=0.0.4; charset=utf-8"
_JSON = "application/json"
_HTML = "text/html; charset=utf-8"
_PATHS = b"there are /, /healthz, /readyz, /metrics, /status and /explain?target=HOST[:PORT]\n"
_PROBES = b"there are /healthz and /readyz\n"
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_KNOWN_CLIENTS = 1_000


@dataclass(frozen=True, slots=True)
class ProbeAnswer:
    """The answer to a probe: whether all is well, and a few words."""

    good: bool
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What each path says.

    ``metrics``, ``status`` and ``explain`` (of ``HOST[:PORT]``) may raise TimeoutError, when the
    controller is busy for too long, and ``explain`` AerakiError, when there is no such service or
    port. The last two give JSON.
    """

    healthy: Callable[[], ProbeAnswer]
    ready: Callable[[], ProbeAnswer]
    metrics: Callable[[], bytes]
    status: Callable[[], bytes]
    explain: Callable[[str], bytes]
    page: Callable[[], bytes]
    page_headers: Mapping[str, str]


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


class Server:
    """Serves until it is stopped.

    ``address`` is where it listens, with the port that was chosen if 0 was asked for.
    """

    def __init__(
        self,
        host: str,
        port: int,
        answers: Answers,
        *,
        probes_only: bool = False,
        limits: Limits | None = None,
        callers: Callers | None = None,
        setting: str = "--http-address",
    ) -> None:
        """Listen. An empty host is all addresses, IPv4 and IPv6. ``setting`` is what errors name.

        ``callers`` judge who asks for anything but probes; None: everybody may.

        Raises:
            SettingsError: the address cannot be used.
        """
        try:
            listening = _listen(host, port)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise SettingsError(
                f"{setting}: cannot listen on {host or '*'}:{port}: {reason}"
            ) from error
        self._http = _Http(listening, answers, limits or Limits(), callers, probes_only=probes_only)
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.1}, name="http", daemon=True
        )
        self._thread.start()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        host, port = self._http.socket.getsockname()[:2]
        return str(host), int(port)

    def stop(self) -> None:
        """Stop listening."""
        self._http.shutdown()
        self._http.server_close()


def _listen(host: str, port: int) -> socket.socket:
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
class _Clients:
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


class _Http(HTTPServer):
    """A thread for each connection, within the limits."""

    def __init__(
        self,
        listening: socket.socket,
        answers: Answers,
        limits: Limits,
        callers: Callers | None,
        *,
        probes_only: bool,
    ) -> None:
        super().__init__(("", 0), _Handler, bind_and_activate=False)
        self.socket.close()
        # A client that leaves before it is accepted must not block the thread or the shutdown.
        listening.setblocking(False)
        self.socket = listening
        self.answers = answers
        self.limits = limits
        self.clients = _Clients(limits)
        self.callers = callers
        self.probes_only = probes_only

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve the connection in a thread of its own, or say at once that there are too many."""
        client = str(client_address[0])
        if not self.clients.connect(client):
            with suppress(OSError):
                request.settimeout(0.0)
                request.send(_BUSY)
            self.shutdown_request(request)
            return
        threading.Thread(
            target=self._serve, args=(request, client_address), name="http-answer", daemon=True
        ).start()

    def _serve(self, request: Any, client_address: Any) -> None:
        try:
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


class _Handler(BaseHTTPRequestHandler):
    server: _Http
    server_version = "aeraki"
    sys_version = ""
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        """Do not wait for long for what is not sent."""
        super().setup()
        self.connection.settimeout(self.server.limits.patience)

    def do_GET(self) -> None:
        """Answer a path; a probe's query is ignored."""
        if not self._is_their_turn():
            self.close_connection = True
            self._send(503, _TEXT, b"too many requests; try again\n", headers={"Retry-After": "1"})
            return
        try:
            url = urlsplit(self.path)
        except ValueError:
            self._send(400, _TEXT, b"this is no path\n")
            return
        answers = self.server.answers
        # Upstream Aeraki's probe asks for /ready.
        match url.path:
            case "/healthz" | "/livez":
                self._probe(answers.healthy())
            case "/readyz" | "/ready":
                self._probe(answers.ready())
            case _ if self.server.probes_only:
                self._send(404, _TEXT, _PROBES)
            case path if not self._is_admitted(path):
                pass  # it was refused
            case "/metrics":
                self._answer(_METRICS, answers.metrics)
            case "/status":
                self._answer(_JSON, answers.status)
            case "/explain":
                target = (parse_qs(url.query).get("target") or [""])[0]
                self._answer(_JSON, lambda: answers.explain(target))
            case "/":
                self._answer(_HTML, answers.page, answers.page_headers)
            case _:
                self._send(404, _TEXT, _PATHS)

    def _is_admitted(self, path: str) -> bool:
        """Whether the caller may ask for the path; who may not gets the reason."""
        callers = self.server.callers
        if callers is None:
            return True
        match callers.judge(self.headers.get("Authorization"), path):
            case Admission.ADMITTED:
                return True
            case Admission.UNKNOWN:
                text = b"send a bearer token that the cluster knows\n"
                self._send(401, _TEXT, text, headers={"WWW-Authenticate": "Bearer"})
            case Admission.FORBIDDEN:
                self._send(403, _TEXT, b"this account may not `get` the path\n")
            case Admission.UNREVIEWED:
                text = b"the API server does not say who you are; try again\n"
                self._send(503, _TEXT, text, headers={"Retry-After": "1"})
        return False

    def _is_their_turn(self) -> bool:
        """Whether the client may ask now; one that asked too often waits a little for its turn."""
        client = str(self.client_address[0])
        end = time.monotonic() + 1.0
        while (wait := self.server.clients.ask(client)) > 0:
            if time.monotonic() + wait > end:
                # Also who is refused is not refused without pause.
                time.sleep(max(0.0, min(wait, end - time.monotonic())))
                return False
            time.sleep(wait)
        return True

    def _probe(self, answer: ProbeAnswer) -> None:
        self._send(200 if answer.good else 503, _TEXT, f"{answer.text}\n".encode())

    def _answer(
        self, content_type: str, make: Callable[[], bytes], headers: Mapping[str, str] | None = None
    ) -> None:
        try:
            body = make()
        except TimeoutError:
            self._send(
                503, _TEXT, b"the controller is busy; try again\n", headers={"Retry-After": "1"}
            )
        except AerakiError as error:
            self._send(404, _TEXT, f"{error}\n".encode())
        else:
            self._send(200, content_type, body, headers=headers)

    def _send(
        self,
        status: int,
        content_type: str,
        body: bytes,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are of interest only when something is looked for."""
        log.debug("%s %s", self.address_string(), format % args)
