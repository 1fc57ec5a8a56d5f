"""Requests to one API server, as plain JSON objects.

The ``kubernetes`` package brings configuration, credentials and TLS. Its model classes are not
used: an object of a list costs a tenth without them.
"""

from __future__ import annotations

import copy
import json
import logging
import os
import re
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

import urllib3

from aeraki_core.errors import AerakiError
from aeraki_core.kube.decode import ListPage, Object, decode_list, decode_object
from aeraki_core.kube.errors import AnswerError, ApiError, NotSentError, UnreachableError

__all__ = ["Answer", "Client", "Object", "Requests", "WatchStream", "connect"]

_log = logging.getLogger(__name__)

_MOUNTED = "/var/run/secrets/kubernetes.io/serviceaccount/token"
_WARNING = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')
# Watches and writers at once; more still work, each on a connection that is then thrown away.
_POOL = 256
_CREDENTIALS = 1.0  # seconds for which they are good without being read again
_MESSAGE = 500  # bytes of a refusal's text that are worth repeating


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server answered; ``warnings`` are those of admission webhooks and deprecations."""

    body: Object = field(repr=False)
    warnings: tuple[str, ...] = ()


class Requests:
    """Counts of all requests of this process, by method and status code, as client-go's.

    Without an answer the code is ``<error>``.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, method: str, code: str) -> None:
        """One more."""
        with self._lock:
            self._counts[method, code] += 1

    def counts(self) -> dict[tuple[str, str], int]:
        """Return the counts so far."""
        with self._lock:
            return dict(self._counts)


class Client:
    """Talks to one API server. Usable by many threads at once.

    Every request raises :class:`ApiError` when the server refuses it, :class:`UnreachableError`
    when there is no answer in time, and :class:`AnswerError` when the answer is not what an API
    server sends.
    """

    requests = Requests()

    def __init__(self, configuration: Any) -> None:
        from kubernetes.client.rest import RESTClientObject

        configuration.connection_pool_maxsize = _POOL
        self._configuration = configuration
        self._pool: Any = RESTClientObject(configuration).pool_manager
        if not configuration.verify_ssl:
            _warn_unverified(self.server)
        self._lock = threading.Lock()
        self._may_write: Callable[[], bool] | None = None
        self._headers: dict[str, str] = {}
        self._headers_until = 0.0

    def only_if(self, may_write: Callable[[], bool]) -> Client:
        """Return a client that asks before each write and raises :class:`NotSentError` on no."""
        gated = copy.copy(self)
        gated._may_write = may_write  # noqa: SLF001 its own class
        return gated

    @property
    def server(self) -> str:
        """The address of the API server."""
        return str(self._configuration.host)

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: object = None,
        content_type: str = "application/json",
        timeout: float = 20.0,
    ) -> Answer:
        """Send one request; ``timeout`` in seconds, for the connection and each wait for bytes."""
        response = self._send(method, path, params, body, content_type, timeout, stream=False)
        with _naming(f"{method} {path}"):
            return Answer(decode_object(response.data), _warnings(response))

    def list_page(
        self, path: str, params: Mapping[str, str] | None = None, *, timeout: float = 60.0
    ) -> ListPage:
        """Read one page of a list, decoded object by object; ``timeout`` as for `request`."""
        response = self._send("GET", path, params, None, "", timeout, stream=False)
        with _naming(f"GET {path}"):
            return decode_list(response.data)

    def pages(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        size: int = 500,
        timeout: float = 60.0,
    ) -> Iterator[Object]:
        """Yield the objects of a list, read page by page as they are asked for.

        An object that cannot be read is left out with a warning.
        """
        query = {**(params or {}), "limit": str(size)}
        while True:
            page = self.list_page(path, query, timeout=timeout)
            for content, problem in page.objects:
                if problem is None:
                    yield content
                else:
                    metadata = content["metadata"]
                    where = f"{path}: {metadata.get('namespace') or '-'}/{metadata['name']}"
                    _log.warning("%s is ignored: %s", where, problem)
            if not page.next_page:
                return
            query["continue"] = page.next_page

    def stream(self, path: str, params: Mapping[str, str], *, idle: float) -> WatchStream:
        """Open a GET whose answer comes line by line.

        It ends with an error after ``idle`` seconds without a byte.
        """
        timeout = urllib3.Timeout(connect=10.0, read=idle)
        return WatchStream(self._send("GET", path, params, None, "", timeout, stream=True))

    def _send(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        body: object,
        content_type: str,
        timeout: float | urllib3.Timeout,
        *,
        stream: bool,
    ) -> urllib3.BaseHTTPResponse:
        what = f"{method} {path}"
        headers = {"Accept": "application/json", **self._credentials()}
        data = None
        if body is not None:
            data = json.dumps(body, separators=(",", ":")).encode()
            headers["Content-Type"] = content_type
        # Check last: the steps before take time, and a process may be paused.
        if method != "GET" and self._may_write is not None and not self._may_write():
            raise NotSentError(f"{what}: not sent, because another replica leads")
        try:
            response: urllib3.BaseHTTPResponse = self._pool.request(
                method,
                self.server + path + (f"?{urlencode(params)}" if params else ""),
                body=data,
                headers=headers,
                timeout=timeout,
                retries=False,
                preload_content=not stream,
            )
            self.requests.add(method, str(response.status))
            if response.status >= 400:
                raise _refusal(what, response)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            self.requests.add(method, "<error>")
            raise UnreachableError(
                f"{what}: no answer from {self.server}: {_without_pool(error)}"
            ) from error
        return response

    def _credentials(self) -> dict[str, str]:
        # Under the lock: the package renews a token without one. Kept for a second: reading them
        # is a fifth of a request's cost.
        with self._lock:
            now = time.monotonic()
            if now >= self._headers_until:
                settings = self._configuration.auth_settings()
                self._headers = {
                    setting["key"]: setting["value"]
                    for setting in settings.values()
                    if setting.get("in") == "header" and setting.get("value")
                }
                self._headers_until = now + _CREDENTIALS
            return self._headers


class WatchStream:
    """The lines of an answer as they come: a context manager.

    :meth:`cancel` ends it from another thread.
    """

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self._response = response

    def __enter__(self) -> WatchStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Not returned to the pool: the rest of the answer would have to be read first.
        self._response.close()

    def __iter__(self) -> Iterator[list[bytes]]:
        """Yield all complete lines of each piece, so that they can be handled together.

        Raises:
            UnreachableError: the connection broke, or nothing came for too long.
        """
        rest = b""
        try:
            for piece in self._response.stream(2**16, decode_content=True):
                *lines, rest = (rest + piece).split(b"\n")
                if lines:
                    yield lines
        except (urllib3.exceptions.HTTPError, OSError, ValueError, AttributeError) as error:
            # The last two are what a cancelled TLS connection raises.
            raise UnreachableError(f"the connection broke: {error}") from error

    def cancel(self) -> None:
        """Wake a thread that waits for the next line; it sees the end or an error."""
        with suppress(OSError, ValueError, RuntimeError):
            self._response.shutdown()


def _warn_unverified(server: str) -> None:
    """One warning of ours in place of urllib3's, which comes with every request."""
    warnings.filterwarnings("ignore", category=urllib3.exceptions.InsecureRequestWarning)
    _log.warning(
        "%s: the certificate is not verified (insecure-skip-tls-verify); "
        "whoever answers at that address decides what is read and written",
        server,
    )


def _without_pool(error: Exception) -> str:
    """Return the error without urllib3's name for the connection: it repeats the address."""
    return re.sub(r"^\w+\(host=[^)]*\): ", "", str(error))


@contextmanager
def _naming(request: str) -> Iterator[None]:
    """Put the request before the message of an AnswerError."""
    try:
        yield
    except AnswerError as error:
        raise AnswerError(f"{request}: {error}") from None


def _status(data: bytes) -> Object:
    """Return the Status that comes with a refusal; proxies send text or HTML."""
    try:
        return decode_object(data)
    except AnswerError:
        return {"message": data[:_MESSAGE].decode(errors="replace")}


def _refusal(what: str, response: urllib3.BaseHTTPResponse) -> ApiError:
    body = _status(response.data)
    response.close()
    retry_after = response.headers.get("Retry-After", "")
    reason = str(body.get("reason") or response.reason or "")
    message = str(body.get("message") or "").strip()
    return ApiError(
        what,
        response.status,
        reason,
        message,
        float(retry_after) if retry_after.isdecimal() else None,
    )


def _warnings(response: urllib3.BaseHTTPResponse) -> tuple[str, ...]:
    if "Warning" not in response.headers:
        return ()
    warnings = (
        text for header in response.headers.getlist("Warning") for text in _WARNING.findall(header)
    )
    return tuple(dict.fromkeys(re.sub(r"\\(.)", r"\1", text) for text in warnings))


def connect(kubeconfig: Path | None = None, context: str | None = None) -> Client:
    """Return a client for the cluster that the arguments name.

    Without them: ``$KUBECONFIG``, then the pod's own ServiceAccount, then ``~/.kube/config``. No
    request is sent.

    Raises:
        AerakiError: there is no such configuration, or it cannot be read.
    """
    import yaml
    from kubernetes import config
    from kubernetes.client import Configuration
    from kubernetes.config.config_exception import ConfigException

    configuration = Configuration()
    if kubeconfig is not None and not kubeconfig.exists():
        raise AerakiError(
            f"no usable cluster configuration: {kubeconfig}: no such file; correct --kubeconfig"
        )
    explicit = kubeconfig is not None or context is not None or bool(os.environ.get("KUBECONFIG"))
    # A pod without a token (automountServiceAccountToken: false) may bring a kubeconfig.
    in_pod = bool(os.environ.get("KUBERNETES_SERVICE_HOST")) and Path(_MOUNTED).exists()
    try:
        if in_pod and not explicit:
            config.load_incluster_config(configuration)
        else:
            config.load_kube_config(
                config_file=None if kubeconfig is None else str(kubeconfig),
                context=context,
                client_configuration=configuration,
            )
    except (ConfigException, OSError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise AerakiError(
            f"no usable cluster configuration: {reason}; give --kubeconfig and --context"
        ) from error
    return Client(configuration)
