"""Requests to one API server, as plain JSON objects.

In: where the cluster is (kubeconfig, context, or the pod's own ServiceAccount). Out: a :class:`Client`. The ``kubernetes`` package
brings configuration, credentials and TLS; its model classes are not used: an object of a list costs a tenth without them.
"""

from __future__ import annotations

import copy
import json
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

import urllib3

from aeraki_core.errors import AerakiError
from aeraki_core.kube.errors import ApiError, NotSentError, UnreachableError

__all__ = ["Answer", "Client", "Object", "Requests", "WatchStream", "connect"]

Object = dict[str, Any]
"""A Kubernetes object as JSON."""

_MOUNTED = "/var/run/secrets/kubernetes.io/serviceaccount/token"
_WARNING = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')
# Watches and writers at once; more still work, each on a connection that is then thrown away.
_POOL = 256
_CREDENTIALS = 1.0  # seconds for which they are good without being read again


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server answered; ``warnings`` are those of admission webhooks and deprecations."""

    body: Object = field(repr=False)
    warnings: tuple[str, ...] = ()


class Requests:
    """Counts of all requests of this process, by method and status code (``<error>`` without an answer), as client-go's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, method: str, code: str) -> None:
        """One more."""
        with self._lock:
            self._counts[method, code] += 1

    def counts(self) -> dict[tuple[str, str], int]:
        """How many there were so far."""
        with self._lock:
            return dict(self._counts)


class Client:
    """Talks to one API server. Usable by many threads at once.

    Every request raises :class:`ApiError` when the server refuses it, :class:`UnreachableError` when there is no answer in time.
    """

    requests = Requests()

    def __init__(self, configuration: Any) -> None:
        from kubernetes.client.rest import RESTClientObject

        configuration.connection_pool_maxsize = _POOL
        self._configuration = configuration
        self._pool: Any = RESTClientObject(configuration).pool_manager
        self._lock = threading.Lock()
        self._may_write: Callable[[], bool] | None = None
        self._headers: dict[str, str] = {}
        self._headers_until = 0.0

    def only_if(self, may_write: Callable[[], bool]) -> Client:
        """The same client, which asks that before it sends anything that writes, and raises :class:`NotSentError` if it may not."""
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
        """One request; ``timeout`` in seconds, for the connection and for each wait for bytes."""
        response = self._send(method, path, params, body, content_type, timeout, stream=False)
        return Answer(_decode(response.data), _warnings(response))

    def pages(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        size: int = 500,
        timeout: float = 60.0,
    ) -> Iterator[Object]:
        """The objects of a list, read page by page as they are asked for."""
        given = {**(params or {}), "limit": str(size)}
        while True:
            body = self.request("GET", path, params=given, timeout=timeout).body
            yield from body.get("items") or ()
            if not (token := body["metadata"].get("continue")):
                return
            given["continue"] = token

    def stream(self, path: str, params: Mapping[str, str], *, idle: float) -> WatchStream:
        """A GET whose answer comes line by line; it ends with an error after ``idle`` seconds without a byte."""
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
        # As late as can be: whatever comes before may take its time, and a process may be paused.
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
                f"{what}: no answer from {self.server}: {_plainly(error)}"
            ) from error
        return response

    def _credentials(self) -> dict[str, str]:
        # Reading them may renew a token, which is written for one thread; and it is a fifth of what a request costs us.
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
    """The lines of an answer as they come. A context manager; :meth:`cancel` ends it from another thread."""

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
        # Not given back: what is left of the answer would have to be read first.
        self._response.close()

    def __iter__(self) -> Iterator[list[bytes]]:
        """All complete lines of each piece, so that what came together can be handled together.

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


def _plainly(error: Exception) -> str:
    """The error without urllib3's name for the connection, which tells nothing that the server's address does not."""
    return re.sub(r"^\w+\(host=[^)]*\): ", "", str(error))


def _decode(data: bytes) -> Object:
    try:
        found = json.loads(data) if data else {}
    except ValueError:
        return {"message": data.decode(errors="replace")}
    return found if isinstance(found, dict) else {"message": str(found)}


def _refusal(what: str, response: urllib3.BaseHTTPResponse) -> ApiError:
    body = _decode(response.data)
    response.close()
    given = response.headers.get("Retry-After", "")
    reason = str(body.get("reason") or response.reason or "")
    message = str(body.get("message") or "").strip()
    return ApiError(
        what, response.status, reason, message, float(given) if given.isdecimal() else None
    )


def _warnings(response: urllib3.BaseHTTPResponse) -> tuple[str, ...]:
    if "Warning" not in response.headers:
        return ()
    found = (
        text for header in response.headers.getlist("Warning") for text in _WARNING.findall(header)
    )
    return tuple(dict.fromkeys(re.sub(r"\\(.)", r"\1", text) for text in found))


def connect(kubeconfig: Path | None = None, context: str | None = None) -> Client:
    """A client for the cluster that the arguments name.

    Without them: ``$KUBECONFIG``, then the pod's own ServiceAccount, then ``~/.kube/config``. No request is sent.

    Raises:
        AerakiError: there is no such configuration, or it cannot be read.
    """
    import yaml
    from kubernetes import config
    from kubernetes.client import Configuration
    from kubernetes.config.config_exception import ConfigException

    found = Configuration()
    if kubeconfig is not None and not kubeconfig.exists():
        raise AerakiError(
            f"no usable cluster configuration: {kubeconfig}: no such file; correct --kubeconfig"
        )
    explicit = kubeconfig is not None or context is not None or bool(os.environ.get("KUBECONFIG"))
    in_pod = bool(os.environ.get("KUBERNETES_SERVICE_HOST")) and Path(_MOUNTED).exists()
    try:
        if in_pod and not explicit:
            config.load_incluster_config(found)
        else:
            config.load_kube_config(
                config_file=None if kubeconfig is None else str(kubeconfig),
                context=context,
                client_configuration=found,
            )
    except (ConfigException, OSError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise AerakiError(
            f"no usable cluster configuration: {reason}; give --kubeconfig and --context"
        ) from error
    return Client(found)
