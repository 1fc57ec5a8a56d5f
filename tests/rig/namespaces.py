"""Namespaces for tests: made on demand, emptied and removed afterwards.

Without a controller-manager a deleted namespace stays "Terminating" with all that is in it, so
this module does what that controller does.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress

from .api import Api, Object, ResourceType
from .errors import ApiError
from .istio import ROOT_NAMESPACE

_numbers = itertools.count(1)
# What a test writes into the root namespace. Other kinds there are istiod's own.
_TEST_GROUPS = ("istio.io", "aeraki.io", "aeraki.net")
# Made by the rig itself.
_KEPT_IN_ROOT = {("PeerAuthentication", "default")}


class Namespaces:
    """Makes, empties and removes the namespaces of one API server."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def make(self, name: str | None = None, *, labels: Mapping[str, str] | None = None) -> str:
        """Creates a namespace with its default ServiceAccount and returns its name.

        Args:
            name: by default a name that no other test has.
        """
        name = name or f"test-{os.getpid()}-{next(_numbers)}"
        metadata: Object = {"name": name, "labels": dict(labels or {})}
        self._api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        self._make_default_account(name)
        return name

    def make_root(self, name: str) -> None:
        """Creates Istio's own namespace unless it is there."""
        with suppress(ApiError):
            self.make(name)

    def remove(self, name: str) -> None:
        """Deletes a namespace and all that is in it; no error when there is none."""
        if self._api.find("v1", "Namespace", name) is None:
            return
        # Deleted first: from then on nothing new can be made in it.
        self._api.delete("v1", "Namespace", name)
        for kind in self._deletable():
            self._empty(kind, name)
        path = f"/api/v1/namespaces/{name}/finalize"
        body: Object = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        with suppress(ApiError):  # another clean-up was faster
            self._api.request("PUT", path, {**body, "spec": {"finalizers": []}})

    def clean_root(self) -> None:
        """Deletes what tests wrote into Istio's root namespace and leaves what Istio needs."""
        for kind in self._deletable():
            group = kind.api_version.partition("/")[0]
            if not group.endswith(_TEST_GROUPS):
                continue
            for found in self._objects(kind, ROOT_NAMESPACE):
                name = found["metadata"]["name"]
                if (kind.kind, name) not in _KEPT_IN_ROOT:
                    self._delete(kind, found)

    def _make_default_account(self, namespace: str) -> None:
        metadata = {"name": "default", "namespace": namespace}
        self._api.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})

    def _deletable(self) -> list[ResourceType]:
        """Each namespaced resource that can be listed and deleted, once, in one version."""
        kinds: dict[tuple[str, str], ResourceType] = {}
        for kind in self._api.types():
            group = kind.api_version.partition("/")[0] if "/" in kind.api_version else ""
            if kind.namespaced and {"list", "delete", "deletecollection"} <= kind.verbs:
                kinds.setdefault((group, kind.plural), kind)
        return list(kinds.values())

    def _empty(self, kind: ResourceType, namespace: str) -> None:
        if self._objects(kind, namespace):
            self._api.request("DELETE", kind.path(namespace), {"gracePeriodSeconds": 0})
        for found in self._objects(kind, namespace):
            self._delete(kind, found)

    def _objects(self, kind: ResourceType, namespace: str) -> Sequence[Object]:
        """Return the objects of a kind; none if its CRD is deleted but still announced."""
        try:
            return self._api.objects(kind.api_version, kind.kind, namespace=namespace)
        except ApiError as error:
            if error.status == 404:
                return []
            raise

    def _delete(self, kind: ResourceType, obj: Object) -> None:
        """Delete one object, even if a finalizer without a controller holds it."""
        metadata = obj["metadata"]
        name, namespace = metadata["name"], metadata["namespace"]
        with suppress(ApiError):  # it may be gone by now
            if metadata.get("finalizers"):
                patch: Object = {"metadata": {"finalizers": None}}
                self._api.merge(kind.api_version, kind.kind, name, patch, namespace=namespace)
        self._api.delete(kind.api_version, kind.kind, name, namespace=namespace)
