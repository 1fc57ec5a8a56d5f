"""An API server of a few kinds, in memory, that can be made to answer anything.

It speaks HTTP: discovery, lists in pages, watches, server-side applies that replace an object.
`mangle` changes the bytes of an answer on their way out, which no real API server would do.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

Object = dict[str, Any]
Mangle = Callable[[str, bytes], bytes]

KINDS = {
    ("", "v1"): {"Service": "services", "Secret": "secrets", "Namespace": "namespaces"},
    ("discovery.k8s.io", "v1"): {"EndpointSlice": "endpointslices"},
    ("networking.istio.io", "v1alpha3"): {"EnvoyFilter": "envoyfilters"},
    ("networking.istio.io", "v1"): {
        "ServiceEntry": "serviceentries",
        "VirtualService": "virtualservices",
        "DestinationRule": "destinationrules",
        "Sidecar": "sidecars",
        "EnvoyFilter": "envoyfilters",
    },
}


class FakeApi:
    """A context manager. Objects are raw JSON texts by plural and name, so that they may be odd."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._objects: dict[str, dict[str, str]] = {}
        self._log: list[tuple[str, str]] = []
        self._stopped = False
        self.mangle: Mangle = lambda path, data: data
        self.requests: list[str] = []
        self.before_write: Callable[[str], None] = lambda name: None
        handler = type("Handler", (_Handler,), {"api": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> FakeApi:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def kubeconfig(self, folder: Path) -> Path:
        """A file that leads here."""
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "fake", "cluster": {"server": self.address}}],
            "users": [{"name": "fake", "user": {}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
            "current-context": "fake",
        }
        path = folder / "kubeconfig"
        path.write_text(json.dumps(content), encoding="utf-8")
        return path

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def put(self, plural: str, name: str, spec: str = "{}", *, raw: str = "", **more: Any) -> None:
        """Create or replace an object of the namespace shop.

        ``raw`` is its text, with %(metadata)s.
        """
        with self._changed:
            metadata = {"name": name, "namespace": "shop", "resourceVersion": self._next(), **more}
            text = (raw or '{"metadata":%(metadata)s,"spec":%(spec)s}') % {
                "metadata": json.dumps(metadata),
                "spec": spec,
            }
            known = self._objects.setdefault(plural, {})
            self._event(plural, "MODIFIED" if name in known else "ADDED", text)
            known[name] = text

    def delete(self, plural: str, name: str) -> None:
        with self._changed:
            metadata = {"name": name, "namespace": "shop", "resourceVersion": self._next()}
            del self._objects[plural][name]
            self._event(plural, "DELETED", json.dumps({"metadata": metadata}))

    def line(self, plural: str, line: str) -> None:
        """Send a line to every watch."""
        with self._changed:
            self._log.append((plural, line))
            self._changed.notify_all()

    def apply(self, plural: str, content: Object) -> bytes:
        """Create or replace an object; returns what the server has of it now."""
        self.before_write(content["metadata"]["name"])
        with self._changed:
            version = self._next()
            metadata = {**content["metadata"], "resourceVersion": version, "uid": version}
            text = json.dumps({**content, "metadata": metadata})
            known, name = self._objects.setdefault(plural, {}), str(metadata["name"])
            self._event(plural, "MODIFIED" if name in known else "ADDED", text)
            known[name] = text
            return text.encode()

    def _next(self) -> str:
        return str(len(self._log) + 1)

    def _event(self, plural: str, kind: str, text: str) -> None:
        self._log.append((plural, f'{{"type":"{kind}","object":{text}}}'))
        self._changed.notify_all()

    def answer(self, path: str, query: dict[str, list[str]]) -> bytes | None:
        """The body for a GET; None for a path that is not served."""
        parts = path.strip("/").split("/")
        group = "" if parts[0] == "api" else parts[1]
        rest = parts[1:] if parts[0] == "api" else parts[2:]
        if group == "apiextensions.k8s.io":
            return b'{"kind":"CustomResourceDefinition","metadata":{}}'
        if parts[0] == "apis" and not rest:
            versions = [{"version": each} for where, each in KINDS if where == group]
            return (
                json.dumps({"kind": "APIGroup", "versions": versions}).encode()
                if versions
                else None
            )
        kinds = KINDS.get((group, rest[0]))
        if kinds is None:
            return None
        if len(rest) == 1:
            resources = [
                {"name": plural, "kind": kind, "namespaced": True, "verbs": ["list", "watch"]}
                for kind, plural in kinds.items()
            ]
            return json.dumps({"kind": "APIResourceList", "resources": resources}).encode()
        return self._list(rest[-1], query) if rest[-1] in kinds.values() else None

    def _list(self, plural: str, query: dict[str, list[str]]) -> bytes:
        with self._changed:
            texts = list(self._objects.get(plural, {}).values())
            selector = query.get("fieldSelector", [""])[0].removeprefix("metadata.name=")
            if selector:
                texts = [text for text in texts if f'"name": "{selector}"' in text]
            start, size = int(query.get("continue", ["0"])[0]), int(query["limit"][0])
            metadata: Object = {"resourceVersion": str(len(self._log))}
            if start + size < len(texts):
                metadata["continue"] = str(start + size)
        items = ",".join(texts[start : start + size])
        body = '{"kind":"AnyList","apiVersion":"v1","metadata":%s,"items":[%s]}'
        return (body % (json.dumps(metadata), items)).encode()

    def events_after(self, plural: str, place: int) -> tuple[list[str], int] | None:
        """What happened since, as soon as something did; None at the end."""
        with self._changed:
            while not self._stopped:
                lines = [line for where, line in self._log[place:] if where == plural]
                place = len(self._log)
                if lines:
                    return lines, place
                self._changed.wait()
        return None


class _Handler(BaseHTTPRequestHandler):
    api: FakeApi
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        self.api.requests.append(self.path)
        if "watch" in query:
            self._watch(url.path, query)
            return
        body = self.api.answer(url.path, query)
        status = 404 if body is None else 200
        if body is None:
            body = b'{"kind":"Status","code":404,"reason":"NotFound","message":"not found"}'
        self._send(status, self.api.mangle(url.path, body))

    def do_PATCH(self) -> None:
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        path = urlsplit(self.path).path
        self._send(200, self.api.mangle(path, self.api.apply(path.split("/")[-2], content)))

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _watch(self, path: str, query: dict[str, list[str]]) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        place = int(query["resourceVersion"][0])
        while found := self.api.events_after(path.rpartition("/")[2], place):
            lines, place = found
            data = self.api.mangle(path, "".join(f"{line}\n" for line in lines).encode())
            try:
                self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
                self.wfile.flush()
            except OSError:
                return

    def log_message(self, *args: Any) -> None:
        pass
