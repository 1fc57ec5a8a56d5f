"""What a running controller answers over HTTP: /healthz, /readyz, /metrics and /status.

In: an address, and functions that answer. Out: a server in threads of its own. It serves plain HTTP inside the pod's
network; nothing
that it says holds a secret.
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

from aeraki_core.controller.metrics import CONTENT_TYPE
from aeraki_core.errors import SettingsError

__all__ = ["Answers", "Server"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answers:
    """What each path says.

    ``healthy``: why the loop is dead, None when it lives; ``ready``: why it is not ready. ``status`` may raise TimeoutError.
    """

    healthy: Callable[[], str | None]
    ready: Callable[[], str | None]
    metrics: Callable[[], bytes]
    status: Callable[[], dict[str, Any]]


class Server:
    """Serves until it is stopped. ``address`` is where it listens, with the port that was chosen if 0 was asked for."""

    def __init__(self, host: str, port: int, answers: Answers) -> None:
        """Listen.

        Raises:
            SettingsError: the address cannot be used.
        """
        handler = type("Handler", (_Handler,), {"answers": answers})
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        server = type("Http", (ThreadingHTTPServer,), {"address_family": family, "daemon_threads": True})
        try:
            self._http: ThreadingHTTPServer = server((host, port), handler)
        except OSError as error:
            raise SettingsError(
                f"--http-address: cannot listen on {host or '*'}:{port}: {error.strerror or error}"
            ) from error
        self._thread = threading.Thread(target=self._http.serve_forever, name="http", daemon=True)
        self._thread.start()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        host, port = self._http.server_address[:2]
        return str(host), int(port)

    def stop(self) -> None:
        """Stop listening."""
        self._http.shutdown()
        self._http.server_close()


class _Handler(BaseHTTPRequestHandler):
    answers: Answers
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:
        """Answer a path; the probe's query is ignored."""
        match self.path.partition("?")[0]:
            case "/healthz":
                self._verdict(self.answers.healthy())
            case "/readyz":
                self._verdict(self.answers.ready())
            case "/metrics":
                self._send(200, CONTENT_TYPE, self.answers.metrics())
            case "/status":
                self._status()
            case _:
                self._send(404, "text/plain", b"there are /healthz, /readyz, /metrics and /status\n")

    def _verdict(self, problem: str | None) -> None:
        self._send(503 if problem else 200, "text/plain", f"{problem or 'ok'}\n".encode())

    def _status(self) -> None:
        try:
            body = json.dumps(self.answers.status()).encode()
        except TimeoutError:
            self._send(503, "text/plain", b"the controller is busy; try again\n")
            return
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
