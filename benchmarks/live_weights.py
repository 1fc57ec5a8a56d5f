"""What live weights cost a mesh: 500 routes with ordinary weights, then with weight sets.

Each is measured with a sidecar that imports all of them: at rest, and for changes of one weight.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cluster import WORKERS, cpu_seconds, settle
from benchmarks.table import Row
from tests.istio.truth import FILTER, GROUP, OURS, subsets, weights
from tests.kubernetes.replica import Replica
from tests.rig.bootstrap import Node
from tests.rig.control_plane import ControlPlane
from tests.rig.sidecar import PlainSidecar, Sidecar
from tests.rig.workloads import Port, Workloads
from tests.waiting import wait_until

SETS = 500
_PORT = Port("tcp-dubbo", 20880)
_CHANGES = 20
# The counter of the sidecar that a change moves.
_CARRIERS = {
    "off": r"^listener_manager\.listener_modified$",
    "all": r"^cluster\..*weights\.aeraki\.internal.*\.update_success$",
}


@dataclass(frozen=True)
class _Process:
    """Its memory in MB at rest, and its CPU seconds for one change."""

    megabytes: float
    cpu: float


@dataclass(frozen=True, kw_only=True)
class _Costs:
    """Counts of a sidecar, the processes, and the seconds until a change is in the sidecar."""

    listeners: int
    clusters: int
    processes: dict[str, _Process]
    latency: float


def live_weights() -> Iterator[Row]:
    """Figures of both kinds of weights, side by side."""
    with ControlPlane() as plane:
        namespace = plane.namespaces.make()
        _load(plane, namespace)
        ordinary, live = (_measure(plane, namespace, mode) for mode in _CARRIERS)
    pairs = {
        "listeners of a sidecar": (ordinary.listeners, live.listeners),
        "clusters of a sidecar": (ordinary.clusters, live.clusters),
        "one change, seconds until the sidecar has it": (ordinary.latency, live.latency),
    }
    for name, process in ordinary.processes.items():
        other = live.processes[name]
        pairs[f"memory of the {name}, MB"] = (process.megabytes, other.megabytes)
        # The sidecar's is spent on answers about its counters.
        if name != "sidecar":
            pairs[f"one change, CPU ms of the {name}"] = (process.cpu * 1000, other.cpu * 1000)
    for what, pair in pairs.items():
        yield Row(
            what=f"{SETS} routes, ordinary -> live weights: {what}",
            figure=" -> ".join(f"{each:{'.2f' if 'seconds' in what else '.0f'}}" for each in pair),
        )


def _load(plane: ControlPlane, namespace: str) -> None:
    """Services with a pod of each of two versions, and a route with weights."""
    workloads = Workloads(plane.api, namespace)

    def write(number: int) -> None:
        name = f"app-{number}"
        pods = [
            workloads.pod(f"{name}-{version}", labels={"app": name, "version": version})
            for version in ("v1", "v2")
        ]
        workloads.workload(name, [_PORT], pods=pods)
        plane.api.create(subsets(name, namespace, "v1", "v2"))
        plane.api.create(weights(name, namespace, {"v1": 90, "v2": 10}))

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(write, range(SETS)))


def _measure(plane: ControlPlane, namespace: str, mode: str) -> _Costs:
    replica = Replica(
        mode, plane.kubeconfig, namespace, "--live-weights", mode, plugins="dubbo", elects=False
    )
    with replica, _sidecar(plane, namespace) as sidecar:
        wait_until(lambda: _written(plane, mode), 120, "all objects to be written", interval=1)
        wanted = "weights.aeraki.internal" if mode == "all" else "weighted_clusters"
        sidecar.wait_for(
            lambda envoy: (
                envoy.ask("/config_dump?resource=dynamic_listeners").count(wanted) >= SETS
            ),
            f"{SETS} routes",
            120,
        )
        settle(plane)
        listeners, clusters = len(sidecar.listeners()), len(sidecar.clusters())
        pids = {
            "sidecar": sidecar.process.pid,
            "istiod": plane.istiod.pid,
            "controller": replica.process.pid,
        }
        memory = {name: _megabytes(pid) for name, pid in pids.items()}
        before = {name: cpu_seconds([pid]) for name, pid in pids.items()}
        seconds = [_change(plane, namespace, sidecar, mode, turn) for turn in range(_CHANGES)]
        return _Costs(
            listeners=listeners,
            clusters=clusters,
            processes={
                name: _Process(memory[name], (cpu_seconds([pid]) - before[name]) / _CHANGES)
                for name, pid in pids.items()
            },
            latency=statistics.median(seconds),
        )


@contextmanager
def _sidecar(plane: ControlPlane, namespace: str) -> Iterator[Sidecar]:
    client = Workloads(plane.api, namespace)
    plane.api.delete("v1", "Pod", "client", namespace=namespace)
    node = Node.of(client.pod("client"))
    xds = ("127.0.0.1", plane.istiod_ports.grpc)
    with (
        tempfile.TemporaryDirectory() as folder,
        PlainSidecar(node, xds, Path(folder)) as sidecar,
    ):
        yield sidecar


def _written(plane: ControlPlane, mode: str) -> bool:
    kinds = {FILTER: SETS}
    if mode == "all":
        kinds |= {(GROUP, kind): SETS for kind in ("ServiceEntry", "DestinationRule")}
    return all(len(plane.api.objects(*kind, labels=OURS)) >= count for kind, count in kinds.items())


def _change(plane: ControlPlane, namespace: str, sidecar: Sidecar, mode: str, turn: int) -> float:
    """Change the weights of one route; the seconds until the sidecar has them."""
    name = f"app-{turn}"

    def count() -> int:
        return sum(sidecar.stats(_CARRIERS[mode]).values())

    before, begin = count(), time.monotonic()
    # Weights that the route had in no other mode.
    second = 30 if mode == "off" else 40
    spec = weights(name, namespace, {"v1": 100 - second, "v2": second})["spec"]
    plane.api.merge(GROUP, "VirtualService", name, {"spec": spec}, namespace=namespace)
    wait_until(lambda: count() > before, 60, f"the change of {name}", interval=0.01)
    return time.monotonic() - begin


def _megabytes(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024
