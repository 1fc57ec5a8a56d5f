"""Meshes in a real istiod: each client's configuration without and with our pipeline's filters.

Many meshes are loaded at the same time, because istiod takes as long for ten as for one.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice

from aeraki_core.model.mesh import Mesh
from aeraki_core.plugins.registry import Registry
from aeraki_core.testing import Made, generate, to_yaml

from tests.istio.judge.checks import Comparison, Violation, judge
from tests.istio.judge.choices import CLIENT_LABELS, NAMESPACES, client_address
from tests.istio.judge.marks import Marks
from tests.istio.judge.meshes import placed, slot_of
from tests.istio.judge.model import disagreements
from tests.rig.ads import AdsClient, ProxyConfig
from tests.rig.api import Object
from tests.rig.bootstrap import Node
from tests.rig.control_plane import ControlPlane
from tests.rig.errors import ApiError
from tests.waiting import wait_until

__all__ = ["Court", "Trial"]

SLOTS = 10
_WORKERS = 4
_REFUSED = (400, 403, 404, 422)
# What the API server adds to an object and no manifest says.
_SERVERS_OWN = ("managedFields", "uid", "resourceVersion", "generation", "selfLink")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One mesh and what its clients have.

    ``drawn``: the mesh in slot 0. ``objects``: those of its objects that the API server accepted,
    as it stores them. ``filters``: ours, as it stores them.
    """

    drawn: list[Object]
    objects: list[Object]
    filters: tuple[Object, ...]
    comparisons: tuple[Comparison, ...]

    @property
    def violations(self) -> list[Violation]:
        """What every check finds for every client, and where the modelled sidecar differs."""
        return [
            each
            for comparison in self.comparisons
            for each in (*judge(comparison), *disagreements(comparison, self.filters))
        ]

    @property
    def yaml(self) -> str:
        """The mesh as a case for tests/cases."""
        return to_yaml(self.objects)


class Court:
    """Shows meshes to the istiod of a control plane that nothing else uses meanwhile."""

    def __init__(self, plane: ControlPlane, ads: AdsClient, registry: Registry) -> None:
        self._plane, self._api, self._ads = plane, plane.api, ads
        self._registry = registry
        self._marks = Marks(plane.api, ads)
        plane.namespaces.make(self._marks.namespace)
        self._slots = 0

    def hear(self, meshes: Iterable[list[Object]]) -> Iterator[Trial]:
        """Each mesh with its clients' configurations."""
        batch: list[list[Object]] = []
        for drawn in meshes:
            batch.append(drawn)
            if len(batch) == SLOTS:
                yield from self._hear(batch)
                batch = []
        if batch:
            yield from self._hear(batch)

    def _hear(self, batch: Sequence[list[Object]]) -> list[Trial]:
        self._make_namespaces(len(batch))
        wanted = [placed(drawn, slot) for slot, drawn in enumerate(batch)]
        with ThreadPoolExecutor(_WORKERS) as pool, self._written(wanted, pool) as meshes:
            self._marks.wait()
            before = self._configs(len(batch), pool)
            made = [self._made(objects) for objects in meshes]
            written = pool.map(self._create, [each for one in made for each in one.filters])
            filters = [[each for each in islice(written, len(one.filters)) if each] for one in made]
            try:
                self._marks.wait()
                after = self._configs(len(batch), pool)
            finally:
                list(pool.map(self._delete, [each for one in filters for each in one]))
        return [
            Trial(
                drawn=drawn,
                objects=meshes[slot],
                filters=tuple(filters[slot]),
                comparisons=tuple(
                    Comparison(
                        namespace=namespace,
                        before=before[slot, namespace],
                        after=after[slot, namespace],
                        objects=meshes[slot],
                        findings=made[slot].findings,
                    )
                    for namespace in _namespaces(slot)
                ),
            )
            for slot, drawn in enumerate(batch)
        ]

    @contextmanager
    def _written(
        self, wanted: Sequence[list[Object]], pool: ThreadPoolExecutor
    ) -> Iterator[list[list[Object]]]:
        """The objects are in the API server, the older ones some seconds before the others."""
        meshes: list[list[Object]] = [[] for _ in wanted]
        in_slots = [(slot, content) for slot, mesh in enumerate(wanted) for content in mesh]
        try:
            for age in sorted({_age(content) for _, content in in_slots}):
                # Ages are counted in seconds.
                now = [(slot, content) for slot, content in in_slots if _age(content) == age]
                written = pool.map(self._create, [content for _, content in now])
                for (slot, _), content in zip(now, written, strict=True):
                    if content is not None:
                        meshes[slot].append(content)
                wait_until(partial(_is_past, int(time.time())), 2, "the next second")
            yield meshes
        finally:
            list(pool.map(self._delete, [content for mesh in meshes for content in mesh]))

    def _create(self, content: Object) -> Object | None:
        """The object as the API server has it; None where it refuses it."""
        metadata = {**content["metadata"]}
        metadata.pop("creationTimestamp", None)
        try:
            created = self._api.create({**content, "metadata": metadata})
        except ApiError as error:
            if error.status in _REFUSED:
                return None
            raise
        for name in _SERVERS_OWN:
            created["metadata"].pop(name, None)
        return created

    def _delete(self, content: Object) -> None:
        metadata = content["metadata"]
        self._api.delete(
            content["apiVersion"],
            content["kind"],
            metadata["name"],
            namespace=metadata["namespace"],
        )

    def _made(self, objects: list[Object]) -> Made:
        return generate(objects, plugins=self._registry, mesh=Mesh())

    def _configs(
        self, slots: int, pool: ThreadPoolExecutor
    ) -> Mapping[tuple[int, str], ProxyConfig]:
        clients = [(slot, name) for slot in range(slots) for name in _namespaces(slot)]
        return dict(zip(clients, pool.map(self._config, clients), strict=True))

    def _config(self, client: tuple[int, str]) -> ProxyConfig:
        """What istiod sends to the client of a namespace, without what is of other meshes."""
        slot, namespace = client
        node = Node("client", namespace, client_address(namespace), labels=CLIENT_LABELS)
        config = self._ads.config(node)
        mine = (None, slot)
        return ProxyConfig(
            {name: each for name, each in config.listeners.items() if slot_of(name) in mine},
            {name: each for name, each in config.clusters.items() if slot_of(name) in mine},
        )

    def _make_namespaces(self, slots: int) -> None:
        for slot in range(self._slots, slots):
            for namespace in _namespaces(slot):
                self._plane.namespaces.make(namespace)
        self._slots = max(self._slots, slots)


def _namespaces(slot: int) -> list[str]:
    return [name.replace("j0-", f"j{slot}-") for name in NAMESPACES]


def _is_past(second: int) -> bool:
    return time.time() >= second + 1


def _age(content: Object) -> str:
    return str(content["metadata"].get("creationTimestamp", ""))
