"""What the filters cost istiod: its CPU for a push to one proxy after one changed EnvoyFilter.

The floor is the same push without our filters. Facts: docs/internals/istio.md, "What EnvoyFilters
cost istiod".
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aeraki_core.pipeline.arrange import Arrangement

from benchmarks import mesh
from benchmarks.cluster import WORKERS, Object, delete_filters, filters_of, load, settle
from benchmarks.table import Floor, Row
from tests.rig.ads import AdsClient
from tests.rig.bootstrap import Node
from tests.rig.control_plane import ROOT_NAMESPACE, ControlPlane
from tests.rig.workloads import Workloads

__all__ = ["istiod", "large_istiod", "large_istiod_sidecars"]

_PUSHES = 15
_CLIENT = mesh.namespace(0)
_ALONE = "no filter"


@dataclass(frozen=True, kw_only=True)
class _Case:
    """A mesh, and what is measured in it. ``aim``: for the arrangement that is chosen there."""

    services: int
    has_sidecar: bool = False
    aim: str = ""

    @property
    def name(self) -> str:
        sidecar = f"a Sidecar imports {mesh.PER_NAMESPACE}" if self.has_sidecar else "no Sidecar"
        return f"{self.services:,} services, {sidecar}"

    @property
    def chosen(self) -> Arrangement:
        """The arrangement that ``auto`` is."""
        return Arrangement.IMPORTS if self.has_sidecar else Arrangement.SERVICE

    @property
    def arrangements(self) -> tuple[Arrangement, ...]:
        """Those that differ."""
        by_import = (Arrangement.IMPORTS,) if self.has_sidecar else ()
        return Arrangement.SERVICE, Arrangement.NAMESPACE, *by_import


def istiod() -> Iterator[Row]:
    """A push among 500 services."""
    return _measure(_Case(services=500), _Case(services=500, has_sidecar=True))


def large_istiod() -> Iterator[Row]:
    """A push among 3,000 services."""
    return _measure(_Case(services=3_000, aim="650 ms"))


def large_istiod_sidecars() -> Iterator[Row]:
    """A push among 3,000 services, of which the proxy imports few."""
    return _measure(_Case(services=3_000, has_sidecar=True, aim="10 ms"))


def _measure(*cases: _Case) -> Iterator[Row]:
    with ControlPlane() as plane:
        objects = load(plane.api, cases[0].services)
        node = Node.of(Workloads(plane.api, _CLIENT).pod("client"))
        for case in cases:
            if case.has_sidecar:
                # Each namespace imports its own services.
                sidecar = mesh.sidecar(ROOT_NAMESPACE, "./*", f"{ROOT_NAMESPACE}/*")
                objects.append(plane.api.apply(dict(sidecar.content)))
            yield from _rows(plane, node, objects, case)


def _rows(plane: ControlPlane, node: Node, objects: Sequence[Object], case: _Case) -> Iterator[Row]:
    floor = _push(plane, node)
    yield Row(what=f"{case.name}: push without filters", figure=f"{floor * 1000:.1f} ms")
    for arrangement in case.arrangements:
        # Those of other namespaces never meet the proxy.
        filters = [
            each
            for each in filters_of(objects, arrangement)
            if each["metadata"]["namespace"] in (ROOT_NAMESPACE, _CLIENT)
        ]
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(plane.api.apply, filters))
        spent = _push(plane, node)
        patches = sum(
            len(each["spec"]["configPatches"])
            for each in filters
            if "workloadSelector" not in each["spec"]
        )
        yield Row(
            what=f"{case.name}: push, arrangement {arrangement}, {patches:,} patches for the proxy",
            figure=f"{spent * 1000:.1f} ms",
            floor=Floor(_ALONE, spent / floor),
            aim=case.aim if arrangement is case.chosen else "",
        )
        delete_filters(plane.api)


def _push(plane: ControlPlane, node: Node) -> float:
    """Seconds of istiod's CPU for a push to the proxy, beside what it needs at rest."""
    settle(plane)
    with AdsClient(plane.istiod_ports.grpc) as client:
        pushes = client.pushes(node)
        next(pushes)
        for turn in range(2):  # the first pushes fill caches
            _trigger(plane, turn, pushes)
        settle(plane)
        start = _cpu(plane)
        for turn in range(_PUSHES):
            _trigger(plane, turn, pushes)
        return (_cpu(plane) - start) / _PUSHES


def _trigger(plane: ControlPlane, turn: int, pushes: Iterator[object]) -> None:
    """Change an EnvoyFilter that meets no listener, and wait for the push that follows."""
    match = {
        "context": "SIDECAR_OUTBOUND",
        "listener": {
            "name": f"none-{turn}",
            "filterChain": {"filter": {"name": "envoy.filters.network.tcp_proxy"}},
        },
    }
    patch = {"applyTo": "NETWORK_FILTER", "match": match, "patch": {"operation": "REMOVE"}}
    plane.api.apply(
        {
            "apiVersion": "networking.istio.io/v1alpha3",
            "kind": "EnvoyFilter",
            "metadata": {"name": "trigger", "namespace": _CLIENT},
            "spec": {"configPatches": [patch]},
        }
    )
    next(pushes)


def _cpu(plane: ControlPlane) -> float:
    """Seconds of CPU of all of istiod's threads. The kernel's ticks would be too coarse."""
    time.sleep(0.3)  # what it does after the push
    nanoseconds = 0
    for task in Path(f"/proc/{plane.istiod.pid}/task").iterdir():
        with suppress(FileNotFoundError):  # the thread has ended
            nanoseconds += int((task / "schedstat").read_text().split()[0])
    return nanoseconds / 1e9
