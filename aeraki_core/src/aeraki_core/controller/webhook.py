"""The HTTPS server of the admission webhook.

The API server asks it about each object that somebody applies. It is no part of the way of any
call, and the API server goes on without its answer (``failurePolicy: Ignore``). So the server
refuses what it cannot bear: too many connections, and bodies that are too large or do not come.
"""

from __future__ import annotations

import logging
import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from aeraki_core.controller.admission import ReviewError
from aeraki_core.controller.limited_server import LimitedServer, Limits, listen

__all__ = ["Certificate", "WebhookServer"]

log = logging.getLogger(__name__)

PATH = "/validate"
_MAX_BODY = 4 * 1024 * 1024  # twice the largest object that etcd stores, and a bit
_LIMITS = Limits(connections=32, of_client=32, patience=5.0)
_LOOK_EVERY = 5.0  # seconds
_JSON, _TEXT = "application/json", "text/plain; charset=utf-8"


class Certificate:
    """The server's certificate, loaded again when its files change.

    ``folder`` holds ``tls.crt`` and ``tls.key``, as a mounted Secret of type kubernetes.io/tls. It
    may come later: until then nobody is answered.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._files = (folder / "tls.crt", folder / "tls.key")
        self._clock = clock
        self._lock = threading.Lock()
        self._context: ssl.SSLContext | None = None
        self._loaded: tuple[tuple[int, int], ...] = ()
        self._look_at = 0.0
        self._problem = ""

    def context(self) -> ssl.SSLContext:
        """Return the TLS context for a new connection.

        Raises:
            OSError: there is no certificate that can be used.
        """
        with self._lock:
            if self._context is None or self._clock() >= self._look_at:
                self._look_at = self._clock() + _LOOK_EVERY
                self._look()
            if self._context is None:
                raise OSError(self._problem)
            return self._context

    def _look(self) -> None:
        """Load the files if they changed. One that cannot be used leaves the last good one."""
        try:
            state = tuple((stat.st_mtime_ns, stat.st_ino) for stat in map(Path.stat, self._files))
            if state == self._loaded:
                return
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            # Without a password OpenSSL would ask for the one of an encrypted key on the terminal.
            context.load_cert_chain(*self._files, password=lambda: b"-")
        except OSError as error:  # an SSLError is one, too
            problem = f"{self._files[0].parent}: no certificate that can be used: {error}"
            if problem != self._problem:
                log.warning("the webhook answers %s", self._instead(problem))
            self._problem = problem
            return
        if self._loaded:
            log.info("the webhook has a new certificate")
        self._context, self._loaded, self._problem = context, state, ""

    def _instead(self, problem: str) -> str:
        return f"{'with its last one' if self._context else 'nobody'}: {problem}"


class WebhookServer:
    """Serves from its making until it is stopped. ``review`` answers a body with another."""

    def __init__(
        self,
        host: str,
        port: int,
        review: Callable[[bytes], bytes],
        certificate: Certificate,
        *,
        limits: Limits = _LIMITS,
        setting: str = "--webhook-address",
    ) -> None:
        """Listen.

        Raises:
            SettingsError: the address cannot be used.
        """
        self._https = _Https(
            listen(host, port, setting), _ReviewHandler, limits, tls=certificate.context
        )
        self._https.review = review
        self._thread = threading.Thread(
            target=self._https.serve_forever,
            kwargs={"poll_interval": 0.1},
            name="webhook",
            daemon=True,
        )
        self._thread.start()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port, the one that was chosen if 0 was asked for."""
        host, port = self._https.socket.getsockname()[:2]
        return str(host), int(port)

    def start(self) -> None:
        """Log where it listens."""
        log.info("reviews objects on %s port %s", *self.address)

    def stop(self) -> None:
        """Stop listening."""
        self._https.shutdown()
        self._https.server_close()


class _Https(LimitedServer):
    review: Callable[[bytes], bytes]


class _ReviewHandler(BaseHTTPRequestHandler):
    server: _Https
    server_version = "aeraki"
    sys_version = ""
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer one review, and close: a connection that idles would keep others out."""
        self.close_connection = True
        if self.path.partition("?")[0] != PATH:
            self._send(404, _TEXT, f"there is {PATH}\n".encode())
            return
        length = self.headers.get("Content-Length") or ""
        if not length.isascii() or not length.isdigit():
            self._send(411, _TEXT, b"Content-Length is missing\n")
            return
        if len(length) > 9 or int(length) > _MAX_BODY:
            self._send(413, _TEXT, b"the review is too large\n")
            return
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            return  # the client is gone
        try:
            answer = self.server.review(body)
        except ReviewError as error:
            self._send(400, _TEXT, f"{error}\n".encode())
        except Exception:
            # The API server goes on without an answer, and says so in its own log.
            log.exception("the webhook cannot review an object; report this as an issue")
            self._send(500, _TEXT, b"the review failed\n")
        else:
            self._send(200, _JSON, answer)

    def _send(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are of interest only when something is looked for."""
        log.debug("%s %s", self.address_string(), format % args)
