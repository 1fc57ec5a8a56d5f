"""What a running controller answers over HTTP: /healthz, /readyz, /metrics, /status and /explain.

In: an address, and functions that answer. Out: a server in threads of its own. It serves plain HTTP inside the pod's network;
nothing that it says holds a secret.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from aeraki_core.errors import AerakiError, SettingsError

__all__ = ["Answers", "ProbeAnswer", "Server"]

log = logging.getLogger(__name__)

_TEXT = "text/plain; charset=utf-8"
_METRICS = "text/plain; version=0.0.4; charset=utf-8"
_PATHS = b"there are /healthz, /readyz, /metrics, /status and /explain?target=HOST[:PORT]\n"


@dataclass(frozen=True, slots=True)
class ProbeAnswer:
    """What a probe is told: whether all is well, and a few words."""

    good: bool
    text: str


@dataclass(frozen=True, slots=True)
class Answers:
    """What each path says.

    ``status`` and ``explain`` (of ``HOST[:PORT]``) give JSON. They may raise TimeoutError, when the controller is busy for too
    long, and ``explain`` AerakiError, when there is no such service or port.
    """

    healthy: Callable[[], ProbeAnswer]
    ready: Callable[[], ProbeAnswer]
    metrics: Callable[[], bytes]
    status: Callable[[], Any]
    explain: Callable[[str], Any]


class Server:
    """Serves until it is stopped. ``address`` is where it listens, with the port that was chosen if 0 was asked for."""

    def __init__(self, host: str, port: int, answers: Answers) -> None:
        """Listen. An empty host is all addresses, IPv4 and IPv6.

        Raises:
            SettingsError: the address cannot be used.
        """
        try:
            listening = _listen(host, port)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise SettingsError(
                f"--http-address: cannot listen on {host or '*'}:{port}: {reason}"
            ) from error
        self._http = _Http(listening, answers)
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


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, listening: socket.socket, answers: Answers) -> None:
        super().__init__(("", 0), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.answers = answers

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""
        log.debug("request of %s", client_address, exc_info=True)  # noqa: LOG014 it is called from one


class _Handler(BaseHTTPRequestHandler):
    server: _Http
    server_version = "aeraki"
    sys_version = ""
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:
        """Answer a path; a probe's query is ignored."""
        answers, url = self.server.answers, urlsplit(self.path)
        match url.path:
            case "/healthz" | "/livez":
                self._verdict(answers.healthy())
            case "/readyz":
                self._verdict(answers.ready())
            case "/metrics":
                self._send(200, _METRICS, answers.metrics())
            case "/status":
                self._json(answers.status)
            case "/explain":
                target = (parse_qs(url.query).get("target") or [""])[0]
                self._json(lambda: answers.explain(target))
            case _:
                self._send(404, _TEXT, _PATHS)

    def _verdict(self, verdict: ProbeAnswer) -> None:
        self._send(200 if verdict.good else 503, _TEXT, f"{verdict.text}\n".encode())

    def _json(self, function: Callable[[], Any]) -> None:
        try:
            body = json.dumps(function()).encode()
        except TimeoutError:
            self._send(503, _TEXT, b"the controller is busy; try again\n")
        except AerakiError as error:
            self._send(404, _TEXT, f"{error}\n".encode())
        else:
            self._send(200, "application/json", body)

    def _send(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are of interest only when something is looked for."""
        log.debug("%s %s", self.address_string(), format % args)
