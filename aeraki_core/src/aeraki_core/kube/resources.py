"""Which kinds a cluster serves, in which version, and where.

In: a :class:`~aeraki_core.kube.client.Client`. Out: :class:`ApiResource` values, which know the URL paths of a kind.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from aeraki_core.kube.client import Client
from aeraki_core.kube.errors import ApiError

__all__ = ["ApiResource", "Discovery", "GroupKind"]

GroupKind = tuple[str, str]
"""Group and kind, such as ``("networking.istio.io", "ServiceEntry")``; the core group is empty."""

# Many kinds are looked for at the same moment (at the start); each group is asked for once then.
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
        """The URL path of the collection (``namespace`` None: of all namespaces), or of the object called ``name``."""
        parts = ["/apis" if self.group else "/api", self.api_version]
        if self.namespaced and namespace is not None:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name is not None:
            parts.append(name)
        return "/".join(parts)

    @property
    def crd(self) -> str:
        """The name of its CustomResourceDefinition, if it has one."""
        return f"{self.plural}.{self.group}"


class Discovery:
    """Asks the cluster what it serves. Usable by many threads."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, tuple[ApiResource, ...]]] = {}

    def find(self, wanted: GroupKind, version: str | None = None) -> ApiResource | None:
        """The kind in ``version``, or in the best version that is served (the server's order); None when it is not.

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
            (item for item in resources if item.kind == kind and version in (None, item.version)),
            None,
        )

    def _read(self, group: str) -> tuple[ApiResource, ...]:
        if not group:
            return self._read_version("", "v1")
        try:
            answer = self._client.request("GET", f"/apis/{group}").body
        except ApiError as error:
            if error.status == 404:
                return ()
            raise
        versions = [str(item["version"]) for item in answer.get("versions") or ()]
        return tuple(found for version in versions for found in self._read_version(group, version))

    def _read_version(self, group: str, version: str) -> tuple[ApiResource, ...]:
        path = f"/apis/{group}/{version}" if group else f"/api/{version}"
        try:
            answer = self._client.request("GET", path).body
        except ApiError as error:
            if error.status == 404:  # it went away between the two questions
                return ()
            raise
        return tuple(
            ApiResource(group, version, item["kind"], item["name"], bool(item["namespaced"]))
            for item in answer.get("resources") or ()
            if "/" not in item["name"] and {"list", "watch"} <= set(item.get("verbs") or ())
        )
