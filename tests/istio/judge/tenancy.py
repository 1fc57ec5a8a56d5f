"""Meshes of two owners and a tenant in a real istiod: what others have with the tenant and without.

Both the tenant's objects and our filters may change a configuration. So each client is asked four
times: without and with the tenant, and each time without and with our filters. What differs without
our filters is Istio's own doing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from aeraki_core.testing import to_yaml

from tests.fuzz.tenants import OWNED, TENANT
from tests.istio.judge.court import SLOTS, Court
from tests.rig.ads import ProxyConfig
from tests.rig.api import Object
from tests.rig.bootstrap import Node

__all__ = ["Tenancy", "TenantTrial"]

_CLIENTS = ("shop", "pay", "web", "client")
_WORKERS = 4
_NAME = re.compile(r"\b(shop|pay|web|client|evil)\b(?=$|\.svc)")
_ADDRESS = re.compile(r"^(10\.96|10\.97|240\.1|240\.0)\.(\d+)\.")
_PORT_STEP = 1000


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What the clients of one mesh have, by namespace, without and with our filters."""

    plain: Mapping[str, Mapping[str, bytes]]
    filtered: Mapping[str, Mapping[str, bytes]]


@dataclass(frozen=True, kw_only=True)
class TenantTrial:
    """One mesh, as the API server has it, and the places that differ because of the tenant."""

    objects: list[Object]
    changes: list[str]
    compared: int

    @property
    def yaml(self) -> str:
        """The mesh as YAML documents."""
        return to_yaml(self.objects)


class Tenancy(Court):
    """Shows meshes to istiod, with and without the tenant's objects."""

    def compare(self, meshes: Iterable[Sequence[Object]]) -> Iterator[TenantTrial]:
        """Each mesh with what the tenant changes for clients elsewhere."""
        drawn = list(meshes)
        for start in range(0, len(drawn), SLOTS):
            yield from self._compare(drawn[start : start + SLOTS])

    def _compare(self, batch: Sequence[Sequence[Object]]) -> list[TenantTrial]:
        wanted = [_placed(mesh, slot) for slot, mesh in enumerate(batch)]
        for slot in range(self._slots, len(batch)):
            for namespace in (*_CLIENTS, TENANT):
                self._plane.namespaces.make(_moved(namespace, slot))
        self._slots = max(self._slots, len(batch))
        with ThreadPoolExecutor(_WORKERS) as pool, self._written(wanted, pool) as meshes:
            with_tenant = self._ask(meshes, pool)
            owners = [[each for each in mesh if not _is_tenants(each)] for mesh in meshes]
            list(
                pool.map(
                    self._delete, [each for mesh in meshes for each in mesh if _is_tenants(each)]
                )
            )
            without = self._ask(owners, pool)
            return [
                _trial(meshes[slot], without[slot], with_tenant[slot]) for slot in range(len(batch))
            ]

    def _ask(self, meshes: Sequence[list[Object]], pool: ThreadPoolExecutor) -> list[_Asked]:
        """What every client has of these meshes, without and with the filters for them."""
        self._marks.wait()
        plain = self._clients(len(meshes), pool)
        filters = [each for mesh in meshes for each in self._made(mesh).filters]
        written = list(pool.map(self._create, filters))
        try:
            self._marks.wait()
            filtered = self._clients(len(meshes), pool)
        finally:
            list(pool.map(self._delete, filter(None, written)))
        return [
            _Asked(plain=before, filtered=after)
            for before, after in zip(plain, filtered, strict=True)
        ]

    def _clients(
        self, slots: int, pool: ThreadPoolExecutor
    ) -> list[Mapping[str, Mapping[str, bytes]]]:
        def ask(client: tuple[int, str]) -> Mapping[str, bytes]:
            slot, namespace = client
            ip = f"10.252.{slot}.{_CLIENTS.index(namespace) + 1}"
            node = Node("client", _moved(namespace, slot), ip)
            return _of_owned(self._ads.config(node), slot)

        asked = [(slot, namespace) for slot in range(slots) for namespace in _CLIENTS]
        answers = dict(zip(asked, pool.map(ask, asked), strict=True))
        return [
            {namespace: answers[slot, namespace] for namespace in _CLIENTS} for slot in range(slots)
        ]


def _trial(objects: list[Object], without: _Asked, with_tenant: _Asked) -> TenantTrial:
    changes: list[str] = []
    compared = 0
    for namespace in _CLIENTS:
        before, after = without.filtered[namespace], with_tenant.filtered[namespace]
        plain, other = without.plain[namespace], with_tenant.plain[namespace]
        for name in sorted(before.keys() | after.keys()):
            if plain.get(name) != other.get(name):
                continue  # Istio itself lets the tenant change it
            compared += 1
            if before.get(name) != after.get(name):
                changes.append(f"{name} for clients in {namespace}")
    return TenantTrial(objects=objects, changes=changes, compared=compared)


def _of_owned(config: ProxyConfig, slot: int) -> Mapping[str, bytes]:
    """The clusters of the owners' hosts, and the listeners that lead to one."""
    hosts = [str(_moved(host, slot)) for host in OWNED]
    found = {
        name: cluster.SerializeToString(deterministic=True)
        for name, cluster in config.clusters.items()
        if name.rpartition("|")[2] in hosts
    }
    for name, listener in config.listeners.items():
        content = listener.SerializeToString(deterministic=True)
        if any(f"|{host}".encode() in content for host in hosts):
            found[name] = content
    return found


def _is_tenants(content: Object) -> bool:
    return bool(re.fullmatch(rf"s\d+-{TENANT}", content["metadata"]["namespace"]))


def _placed(mesh: Sequence[Object], slot: int) -> list[Object]:
    """The mesh with namespaces, hosts, addresses and ports of its own."""
    moved: list[Object] = _moved(json.loads(json.dumps(list(mesh))), slot)
    return moved


def _moved(value: Any, slot: int) -> Any:
    if isinstance(value, dict):
        return {
            key: inner + _PORT_STEP * slot
            if key in ("port", "number") and isinstance(inner, int)
            else inner
            if key in ("apiVersion", "creationTimestamp")
            else _moved(inner, slot)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_moved(inner, slot) for inner in value]
    if not isinstance(value, str):
        return value
    text = _NAME.sub(lambda found: f"s{slot}-{found[1]}", value)
    text = text.replace("example.com", f"s{slot}.example.com")
    return _ADDRESS.sub(lambda found: f"{found[1]}.{int(found[2]) + 10 * (slot + 1)}.", text)
