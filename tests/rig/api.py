"""A small typed client of the Kubernetes API, for tests: plain objects in, plain objects out.

It is not the client that the product uses: what tests write and read must not pass through the
code under test. Plural names come from the API server's discovery, so every CRD works.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import urllib3

from .errors import ApiError

Object = dict[str, Any]
"""A Kubernetes object, as JSON."""

_DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


@dataclass(frozen=True)
class ResourceType:
    """How a kind is addressed."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool
    verbs: frozenset[str] = field(default=frozenset(), compare=False)

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        """The URL path of the collection, or of the object called `name`."""
        root = "/api" if "/" not in self.api_version else "/apis"
        parts = [root, self.api_version]
        if self.namespaced and namespace is not None:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name is not None:
            parts.append(name)
        return "/".join(parts)


class Api:
    """Talks to one API server with a bearer token.

    Requests fail with `ApiError` when the server refuses them, and with
    `urllib3.exceptions.HTTPError` when it cannot be reached or does not answer in time.
    """

    def __init__(self, server: str, ca_file: str, token: str, *, timeout: float = 60) -> None:
        self.server = server
        self._token = token
        self._types: dict[tuple[str, str], ResourceType] = {}
        self._pool = urllib3.PoolManager(
            ca_certs=ca_file, timeout=timeout, retries=False, maxsize=8
        )

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        params: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Object:
        """Sends one request; a `body` of type bytes goes out as it is, others as JSON."""
        response, _ = self._send(method, path, body, params, content_type, accept)
        return response

    def _send(
        self,
        method: str,
        path: str,
        body: object,
        params: Mapping[str, str] | None,
        content_type: str,
        accept: str = "application/json",
    ) -> tuple[Object, list[str]]:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        response = self._pool.request(
            method,
            self._url(path, params),
            body=data,
            headers=self._headers(content_type, accept),
        )
        raw = response.data
        try:
            answer: Object = json.loads(raw) if raw else {}
        except ValueError:
            answer = {"message": raw.decode(errors="replace")}
        if response.status >= 400:
            reason, message = str(answer.get("reason", "")), str(answer.get("message", ""))
            raise ApiError(f"{method} {path}", response.status, reason, message)
        return answer, response.headers.getlist("Warning")

    def _url(self, path: str, params: Mapping[str, str] | None) -> str:
        return self.server + path + ("?" + urlencode(params) if params else "")

    def _headers(self, content_type: str, accept: str) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {self._token}",
            "Content-Type": content_type,
            "Accept": accept,
        }

    # Objects

    def create(self, obj: Object, *, dry_run: bool = False) -> Object:
        """Creates an object and returns what the server made of it."""
        return self.create_with_warnings(obj, dry_run=dry_run)[0]

    def create_with_warnings(
        self, obj: Object, *, dry_run: bool = False
    ) -> tuple[Object, list[str]]:
        """Creates an object; returns it with the warnings of admission webhooks."""
        path = self._type_of(obj).path(obj["metadata"].get("namespace"))
        params = {"dryRun": "All"} if dry_run else None
        return self._send("POST", path, obj, params, "application/json")

    def apply(self, obj: Object, *, manager: str = "rig", status: bool = False) -> Object:
        """Creates or changes an object by server-side apply; `status` applies to its status."""
        return self.request(
            "PATCH",
            self._object_path(obj) + ("/status" if status else ""),
            obj,
            params={"fieldManager": manager, "force": "true"},
            content_type="application/apply-patch+yaml",
        )

    def replace(self, obj: Object) -> Object:
        """Writes the whole object (PUT); a `resourceVersion` in it must be the current one."""
        return self.request("PUT", self._object_path(obj), obj)

    def merge(
        self, api_version: str, kind: str, name: str, patch: Object, *, namespace: str | None = None
    ) -> Object:
        """Changes an object by a JSON merge patch."""
        path = self.type(api_version, kind).path(namespace, name)
        return self.request("PATCH", path, patch, content_type="application/merge-patch+json")

    def get(
        self, api_version: str, kind: str, name: str, *, namespace: str | None = None
    ) -> Object:
        """Reads one object."""
        return self.request("GET", self.type(api_version, kind).path(namespace, name))

    def find(
        self, api_version: str, kind: str, name: str, *, namespace: str | None = None
    ) -> Object | None:
        """Reads one object; None when there is none of that name."""
        try:
            return self.get(api_version, kind, name, namespace=namespace)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def objects(
        self, api_version: str, kind: str, *, namespace: str | None = None, labels: str = ""
    ) -> Sequence[Object]:
        """Reads all objects of a kind, in one namespace or in all; `labels` is a selector."""
        params = {"labelSelector": labels} if labels else None
        path = self.type(api_version, kind).path(namespace)
        items: list[Object] = self.request("GET", path, params=params)["items"]
        return items

    def delete(
        self, api_version: str, kind: str, name: str, *, namespace: str | None = None
    ) -> None:
        """Deletes an object at once; no error when there is none."""
        path = self.type(api_version, kind).path(namespace, name)
        try:
            self.request("DELETE", path, {"gracePeriodSeconds": 0})
        except ApiError as error:
            if error.status != 404:
                raise

    def watch(
        self,
        api_version: str,
        kind: str,
        *,
        namespace: str | None = None,
        resource_version: str = "",
        timeout: int = 30,
    ) -> Iterator[Object]:
        """Yields watch events (``{"type": "ADDED", "object": ...}``) for `timeout` seconds.

        Without a `resource_version` it begins with an ADDED event for each object that there is.
        """
        params = {
            "watch": "true",
            "timeoutSeconds": str(timeout),
            "resourceVersion": resource_version,
        }
        path = self.type(api_version, kind).path(namespace)
        response = self._pool.request(
            "GET",
            self._url(path, params),
            headers=self._headers("application/json", "application/json"),
            preload_content=False,
            timeout=timeout + 5,
        )
        try:
            buffer = b""
            for chunk in response.stream():
                buffer += chunk
                *lines, buffer = buffer.split(b"\n")
                for line in lines:
                    yield json.loads(line)
        finally:
            response.close()

    def token(self, account: str, namespace: str, *, audience: str = "") -> str:
        """A token of a ServiceAccount, valid for an hour; by default for the API server itself."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        spec: Object = {"expirationSeconds": 3600}
        if audience:
            spec["audiences"] = [audience]
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        return str(self.request("POST", path, body)["status"]["token"])

    # Discovery

    def type(self, api_version: str, kind: str) -> ResourceType:
        """How a kind is addressed; asks the server again for a kind that it did not know.

        Raises:
            ApiError: the server has no such kind.
        """
        if (api_version, kind) not in self._types:
            self._types = {(each.api_version, each.kind): each for each in self.types()}
        try:
            return self._types[api_version, kind]
        except KeyError:
            what = f"looking for the kind {kind} of {api_version}"
            raise ApiError(what, 404, "NotFound", "is its CRD applied?") from None

    def types(self) -> Sequence[ResourceType]:
        """All kinds that the server has now, in every version that it serves."""
        found: list[ResourceType] = []
        for path in ("/api", "/apis"):
            for group in self.request("GET", path, accept=_DISCOVERY)["items"]:
                prefix = group["metadata"].get("name", "")
                for version in group["versions"]:
                    api_version = f"{prefix}/{version['version']}" if prefix else version["version"]
                    found += [
                        ResourceType(
                            api_version=api_version,
                            kind=resource["responseKind"]["kind"],
                            plural=resource["resource"],
                            namespaced=resource["scope"] == "Namespaced",
                            verbs=frozenset(resource["verbs"]),
                        )
                        for resource in version.get("resources", [])
                    ]
        return found

    def _type_of(self, obj: Object) -> ResourceType:
        return self.type(obj["apiVersion"], obj["kind"])

    def _object_path(self, obj: Object) -> str:
        metadata = obj["metadata"]
        return self._type_of(obj).path(metadata.get("namespace"), metadata["name"])
