"""Modelled sidecars in a real Envoy, with traffic through them.

Objects and filters of a running :class:`Sidecar` can be changed while calls flow. The fixture
``envoy_sandbox`` is a :class:`Sandbox`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from aeraki_core.model.mesh import Mesh
from aeraki_core.testing.envoy.bootstrap import static_bootstrap
from aeraki_core.testing.envoy.local import Address, ClusterKey, Endpoint, EnvoyConfig, to_envoy
from aeraki_core.testing.envoy.log import readable
from aeraki_core.testing.envoy.process import Envoy, LiveEnvoy, Verdict
from aeraki_core.testing.generating import Made, Nested, flatten, generate
from aeraki_core.testing.sidecar.patches import Patched, patched_sidecar
from aeraki_core.testing.sidecar.proxy import Proxy

__all__ = ["Sandbox", "Sidecar"]

Objects = Iterable[Mapping[str, Any]]


class Sidecar:
    """A sidecar that runs.

    ``patched``: what it runs with.
    ``envoy``: the process.
    ``made``: what plugins made, where they did.
    """

    envoy: LiveEnvoy
    made: Made

    def __init__(
        self,
        objects: Objects,
        filters: Objects,
        *,
        proxy: Proxy | None,
        mesh: Mesh | None,
        endpoints: Mapping[ClusterKey, Iterable[Endpoint]],
        bind: Mapping[str, Address],
        inbound: Mapping[int, Address],
        generator: Callable[[Objects], Made] | None = None,
    ) -> None:
        self._generator = generator
        self._objects, self._filters = tuple(objects), tuple(filters)
        self._proxy, self._mesh = proxy, mesh
        self._endpoints = {key: tuple(value) for key, value in endpoints.items()}
        self._bind, self._inbound = bind, inbound
        self.patched, self.config = self._make()

    def _make(self) -> tuple[Patched, EnvoyConfig]:
        objects = self._objects
        endpoints: dict[ClusterKey, tuple[Endpoint, ...]] = {}
        if self._generator is not None:
            self.made = self._generator(self._objects)
            self._filters = self.made.filters
            objects = (*objects, *self.made.companions)
            endpoints = _weighted_endpoints(self.made.companions)
        patched = patched_sidecar(objects, self._filters, self._proxy, mesh=self._mesh)
        config = to_envoy(
            patched.config,
            endpoints=endpoints | self._endpoints,
            bind=self._bind,
            inbound=self._inbound,
        )
        return patched, config

    def update(
        self,
        *,
        objects: Objects | None = None,
        filters: Objects | None = None,
        endpoints: Mapping[ClusterKey, Iterable[Endpoint]] | None = None,
    ) -> None:
        """Change what is given; returns when Envoy has it. Plugins make their filters anew.

        Raises:
            NackError: Envoy refused it.
            TypeError: ``filters`` are given although plugins make them.
        """
        if filters is not None and self._generator is not None:
            raise TypeError("the filters of this sidecar are made by plugins; change its objects")
        if objects is not None:
            self._objects = tuple(objects)
        if filters is not None:
            self._filters = tuple(filters)
        if endpoints is not None:
            self._endpoints = {key: tuple(value) for key, value in endpoints.items()}
        self.patched, self.config = self._make()
        self.envoy.push(self.config)


class Sandbox:
    """Runs sidecars until it is closed. A context manager."""

    def __init__(self, envoy: Envoy) -> None:
        self.envoy = envoy
        self._stack = ExitStack()
        self._sidecars: list[Sidecar] = []
        self._loaded: EnvoyConfig | None = None

    def load(
        self,
        objects: Objects,
        filters: Objects = (),
        proxy: Proxy | None = None,
        *,
        mesh: Mesh | None = None,
    ) -> Verdict:
        """What Envoy says about a sidecar's configuration; nothing is run."""
        self._loaded = to_envoy(patched_sidecar(objects, filters, proxy, mesh=mesh).config)
        return self.envoy.validate(self._loaded)

    def run(
        self,
        objects: Objects,
        filters: Objects = (),
        proxy: Proxy | None = None,
        *,
        mesh: Mesh | None = None,
        endpoints: Mapping[ClusterKey, Iterable[Endpoint]] | None = None,
        bind: Mapping[str, Address] | None = None,
        inbound: Mapping[int, Address] | None = None,
        log_level: str = "info",
        drain_seconds: int = 45,
    ) -> Sidecar:
        """Run a sidecar until the sandbox closes.

        ``endpoints``: where clusters really lead, by name, (host, port) or (host, port, subset).
        ``bind``: real addresses for listeners whose own address is not a loopback one.
        ``inbound``: for a target port, where its inbound chain listens.

        Raises:
            NackError: Envoy refused the configuration.
            EnvoyFilterError: a filter is not of a form that istiod would apply.
        """
        sidecar = Sidecar(
            objects,
            filters,
            proxy=proxy,
            mesh=mesh,
            endpoints=endpoints or {},
            bind=bind or {},
            inbound=inbound or {},
        )
        return self._run(sidecar, log_level, drain_seconds)

    def serve(
        self,
        *objects: Nested,
        proxy: Proxy | None = None,
        plugins: Iterable[Any] | None = None,
        mesh: Mesh | None = None,
        endpoints: Mapping[ClusterKey, Iterable[Endpoint]] | None = None,
        bind: Mapping[str, Address] | None = None,
        inbound: Mapping[int, Address] | None = None,
        log_level: str = "info",
        drain_seconds: int = 45,
    ) -> Sidecar:
        """The same with the filters that plugins make of the objects.

        Clusters of weight sets lead to the addresses of their Pods (``mesh`` with live weights).
        ``sidecar.update(objects=...)`` makes them anew and gives them to Envoy.
        """
        chosen = None if plugins is None else tuple(plugins)

        def make(mesh_objects: Objects) -> Made:
            return generate(mesh_objects, plugins=chosen, mesh=mesh)

        sidecar = Sidecar(
            flatten(objects),
            (),
            proxy=proxy,
            mesh=mesh,
            endpoints=endpoints or {},
            bind=bind or {},
            inbound=inbound or {},
            generator=make,
        )
        return self._run(sidecar, log_level, drain_seconds)

    def _run(self, sidecar: Sidecar, log_level: str, drain_seconds: int) -> Sidecar:
        self._loaded = sidecar.config
        running = self.envoy.run_live(
            sidecar.config, log_level=log_level, drain_seconds=drain_seconds
        )
        sidecar.envoy = self._stack.enter_context(running)
        self._sidecars.append(sidecar)
        return sidecar

    def describe(self) -> list[tuple[str, str]]:
        """Title and text of what explains a failure: logs, and configurations as JSON."""
        lines = []
        for sidecar in self._sidecars:
            who = str(sidecar.patched.config.proxy)
            lines.append((f"Envoy log ({who})", readable(sidecar.envoy.records)))
            lines.append((f"Envoy configuration ({who})", _json(sidecar.config)))
        if not self._sidecars and self._loaded is not None:
            lines.append(("Envoy configuration", _json(self._loaded)))
        return lines

    def close(self) -> None:
        """Stop all sidecars."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _weighted_endpoints(
    companions: Objects,
) -> dict[ClusterKey, tuple[Endpoint, ...]]:
    """Where the clusters of weight sets lead, as istiod takes it from their ServiceEntries."""
    return {
        (host, spec["ports"][0]["number"]): tuple(
            (each["address"], each["ports"][spec["ports"][0]["name"]], each["weight"])
            for each in spec.get("endpoints", ())
        )
        for spec in (item["spec"] for item in companions if item["kind"] == "ServiceEntry")
        for host in spec["hosts"]
    }


def _json(config: EnvoyConfig) -> str:
    try:
        return json.dumps(static_bootstrap(config)["static_resources"], indent=1)
    except ValueError as error:
        return str(error)
