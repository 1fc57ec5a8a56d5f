"""Which kinds a cluster serves, in which version, and at which URL path."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from aeraki_core.kube.client import Client
from aeraki_core.kube.errors import AnswerError, ApiError

__all__ = ["ApiResource", "Discovery", "GroupKind"]

GroupKind = tuple[str, str]
"""Group and kind, such as ``("networking.istio.io", "ServiceEntry")``; the core group is empty."""

# At the start many kinds are looked for at the same moment; each group is asked for once then.
_FRESH = 1.0


@dataclass(frozen=True, slots=True)
class ApiResource:
    """How a kind is addressed, in one version that the cluster serves."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """``group/version``, or the version alone in the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        """Return the URL path of the collection, or of the object called ``name``.

        ``namespace`` None: the collection of all namespaces.
        """
        parts = ["/apis" if self.group else "/api", self.api_version]
        if self.namespaced and namespace is not None:
            parts += ["namespaces", _quoted(namespace)]
        parts.append(self.plural)
        if name is not None:
            parts.append(_quoted(name))
        return "/".join(parts)

    @property
    def crd(self) -> str:
        """The name of its CustomResourceDefinition, if it has one."""
        return f"{self.plural}.{self.group}"


def _quoted(part: str) -> str:
    """Return one step of a path with any text. Dots alone would lead to another path."""
    return part.replace(".", "%2E") if part in (".", "..") else quote(part, safe="")


class Discovery:
    """Asks the cluster what it serves. Usable by many threads."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, tuple[ApiResource, ...]]] = {}

    def find(self, wanted: GroupKind, version: str | None = None) -> ApiResource | None:
        """Return the kind in ``version``, or in the first version that the server names.

        None: it is not served.

        Raises:
            RequestError: the server could not be asked.
        """
        group, kind = wanted
        with self._lock:
            asked, resources = self._known.get(group, (-_FRESH, ()))
            if time.monotonic() - asked > _FRESH:
                resources = self._read(group)
                self._known[group] = (time.monotonic(), resources)
        return next(
            (
                resource
                for resource in resources
                if resource.kind == kind and version in (None, resource.version)
            ),
            None,
        )

    def _read(self, group: str) -> tuple[ApiResource, ...]:
        if not group:
            return self._read_version("", "v1")
        answer = self._get(f"/apis/{group}", "APIGroup", "versions")
        versions = [str(version["version"]) for version in answer]
        return tuple(
            resource for version in versions for resource in self._read_version(group, version)
        )

    def _read_version(self, group: str, version: str) -> tuple[ApiResource, ...]:
        path = f"/apis/{group}/{version}" if group else f"/api/{version}"
        return tuple(
            ApiResource(
                group, version, resource["kind"], resource["name"], bool(resource["namespaced"])
            )
            for resource in self._get(path, "APIResourceList", "resources")
            if "/" not in resource["name"] and {"list", "watch"} <= set(resource.get("verbs") or ())
        )

    def _get(self, path: str, kind: str, field: str) -> list[Any]:
        """Return the list in a field of the answer; empty if the server does not serve the path."""
        try:
            answer = self._client.request("GET", path).body
        except ApiError as error:
            if error.status == 404:
                return []
            raise
        entries = answer.get(field) or []
        if answer.get("kind") != kind or not isinstance(entries, list):
            raise AnswerError(f"GET {path}: the answer is not of kind {kind}")
        return entries
