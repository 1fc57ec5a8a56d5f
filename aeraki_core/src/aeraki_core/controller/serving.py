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
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from aeraki_core.controller.callers import Admission, Callers
from aeraki_core.controller.limited_server import LimitedServer, Limits, listen
from aeraki_core.errors import AerakiError

__all__ = ["Answers", "ProbeAnswer", "Server"]

log = logging.getLogger(__name__)

_TEXT = "text/plain; charset=utf-8"
_METRICS = "text/plain; version=0.0.4; charset=utf-8"
_JSON = "application/json"
_HTML = "text/html; charset=utf-8"
_PATHS = b"there are /, /healthz, /readyz, /metrics, /status and /explain?target=HOST[:PORT]\n"
_PROBES = b"there are /healthz and /readyz\n"


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
        listening = listen(host, port, setting)
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


class _Http(LimitedServer):
    """Answers with what the controller says."""

    def __init__(
        self,
        listening: socket.socket,
        answers: Answers,
        limits: Limits,
        callers: Callers | None,
        *,
        probes_only: bool,
    ) -> None:
        super().__init__(listening, _Handler, limits)
        self.answers = answers
        self.callers = callers
        self.probes_only = probes_only


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
