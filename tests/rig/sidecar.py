"""An Envoy as istiod's client: what it has been sent, what it refused, what it says.

There are two kinds: `PlainSidecar` below, over xDS without TLS, and `agent.AgentSidecar`, which
pilot-agent drives and which has certificates. On this machine's own network no traffic flows
through a plain one, because nothing redirects any: for that see `interception`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import urllib3
from urllib3.exceptions import HTTPError

from tests.waiting import wait_until

from .bootstrap import Node, bootstrap
from .errors import RigError
from .lifetime import Startable
from .processes import Server, find_tool

T = TypeVar("T")
ENVOY_FLAGS = ("--disable-hot-restart", "--concurrency", "1")
_LOUD = ("warning", "error", "critical")
# istiod itself uses this deprecated field in every cluster with TLS; nothing of ours can.
_ISTIODS_OWN = "CertificateValidationContext.match_subject_alt_names"


class Sidecar(Startable):
    """An Envoy with istiod as its control plane; a context manager.

    Args:
        node: who it says that it is.
        argv: what starts it.
        folder: where its log goes.
        admin: the ``address:port`` of its admin interface; without it Envoy writes it into the
            file `admin_file`.
    """

    def __init__(
        self,
        node: Node,
        argv: Sequence[str],
        folder: Path,
        *,
        admin: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.node = node
        self.admin_file = folder / "admin-address"
        self._admin = admin
        self._http = urllib3.PoolManager(timeout=10, retries=False)
        self.process = Server(
            f"envoy of {node.name}.{node.namespace}",
            argv,
            folder / "envoy.log",
            ready=self._live,
            start_timeout=30,
            stop_timeout=1,
            env=env,
        )
        """What runs: kill, pause and restart it here."""

    def start(self) -> None:
        """Starts it and waits until it has its first configuration from istiod.

        Raises:
            RigError: it ended at once or got no configuration within 30 seconds.
        """
        self.admin_file.unlink(missing_ok=True)  # that of an earlier start
        self.process.start()

    def stop(self) -> None:
        """Stops it; `start` starts it again, with nothing remembered."""
        self.process.stop()

    # What it has

    @property
    def admin(self) -> str:
        """The URL of its admin interface."""
        address = self._admin or self.admin_file.read_text(encoding="utf-8").strip()
        return f"http://{address}"

    def ask(self, path: str, *, method: str = "GET") -> str:
        """What the admin interface answers to `path`, for example ``/clusters``.

        Raises:
            RigError: it answered with an error.
        """
        response = self._http.request(method, self.admin + path)
        text = response.data.decode()
        if response.status >= 400:
            raise RigError(f"{self.process.name}: {method} {path}: {response.status}: {text}")
        return text

    def config_dump(self, resource: str = "", mask: str = "") -> dict[str, Any]:
        """Its whole configuration, or one repeated field of it (``dynamic_listeners``).

        Args:
            mask: the fields of `resource` to show, separated by commas.

        Raises:
            RigError: Envoy cannot show it: it holds a refused resource of a type that Envoy does
                not know. A mask that leaves out ``error_state.failed_configuration`` helps.
        """
        query = f"?resource={resource}" if resource else "?include_eds"
        text = self.ask(f"/config_dump{query}" + (f"&mask={mask}" if mask else ""))
        try:
            dump: dict[str, Any] = json.loads(text)
        except ValueError as error:
            raise RigError(f"{self.process.name} cannot show its config: {text}") from error
        return dump

    def listeners(self) -> dict[str, dict[str, Any]]:
        """The active listeners by name; no draining or warming ones."""
        # Not the error_state: one whose type Envoy does not know breaks the whole answer.
        dump = self.config_dump("dynamic_listeners", "name,active_state")
        return {
            each["name"]: each["active_state"]["listener"]
            for each in dump.get("configs", [])
            if "active_state" in each
        }

    def clusters(self) -> dict[str, dict[str, Any]]:
        """The active clusters by name, without the static one that leads to istiod."""
        return {
            each["cluster"]["name"]: each["cluster"]
            for each in self.config_dump("dynamic_active_clusters").get("configs", [])
        }

    def endpoints(self, cluster: str) -> list[str]:
        """The ``address:port`` of a cluster's hosts that Envoy would use, sorted."""
        return sorted(self.endpoint_weights().get(cluster, ()))

    def endpoint_weights(self) -> dict[str, dict[str, int]]:
        """The hosts (``address:port``) that Envoy would use, with their weights, by cluster."""
        return {
            cluster["name"]: {
                f"{socket['address']}:{socket['port_value']}": int(host.get("weight", 1))
                for host in cluster.get("host_statuses", [])
                if (socket := host["address"].get("socket_address"))
            }
            for cluster in json.loads(self.ask("/clusters?format=json")).get("cluster_statuses", [])
        }

    def filters(self, listener: str) -> list[dict[str, Any]]:
        """The network filters of all chains of a listener, the default chain's last.

        Each is as in the config: ``name`` and ``typed_config``. Empty without such a listener.
        """
        found = self.listeners().get(listener, {})
        return list(network_filters(found))

    def stats(self, pattern: str = "") -> dict[str, int]:
        """Counters and gauges whose name matches the regular expression `pattern`."""
        answer = json.loads(self.ask(f"/stats?format=json&filter={pattern}"))
        return {each["name"]: each["value"] for each in answer["stats"] if "value" in each}

    def rejected(self) -> dict[str, str]:
        """The listeners that it refused, with Envoy's reason. The old one keeps serving."""
        dump = self.config_dump("dynamic_listeners", "name,error_state.details")
        # One without a name stands for the whole answer that held the others.
        return {
            each["name"]: each["error_state"].get("details", "")
            for each in dump.get("configs", [])
            if "error_state" in each and "name" in each
        }

    def warnings(self) -> list[str]:
        """The lines of its log above the level info, but for one that istiod causes."""
        # As Envoy writes them, and as it does under pilot-agent.
        marks = [mark for level in _LOUD for mark in (f"][{level}][", f"\t{level}\tenvoy ")]
        return [
            line
            for line in self.process.log_text().splitlines()
            if any(mark in line for mark in marks) and _ISTIODS_OWN not in line
        ]

    # Waiting

    def wait_for(self, look: Callable[[Sidecar], T], what: str, timeout: float = 15) -> T:
        """Waits until `look`, given this sidecar, answers true; returns the answer.

        Raises:
            WaitTimeoutError: it did not within `timeout` seconds; the message holds what Envoy
                refused and warned of.
        """
        return wait_until(
            lambda: look(self),
            timeout,
            f"{what} in {self.process.name}",
            swallow=(OSError, HTTPError, RigError),
            seen=self._state,
        )

    def wait_listener(
        self,
        name: str,
        holds: Callable[[dict[str, Any]], bool] = lambda listener: True,
        timeout: float = 15,
    ) -> dict[str, Any]:
        """Waits for an active listener for which `holds` is true, and returns it."""

        def look(sidecar: Sidecar) -> dict[str, Any] | None:
            listener = sidecar.listeners().get(name)
            return listener if listener is not None and holds(listener) else None

        return _some(self.wait_for(look, f"the listener {name} as wanted", timeout))

    def wait_filter(
        self,
        listener: str,
        name: str,
        holds: Callable[[dict[str, Any]], bool] = lambda config: True,
        timeout: float = 15,
    ) -> dict[str, Any]:
        """Waits for a network filter of that name in a listener; returns its ``typed_config``.

        Args:
            name: such as ``envoy.filters.network.dubbo_proxy``.
            holds: must be true of the ``typed_config``.
        """

        def look(sidecar: Sidecar) -> dict[str, Any] | None:
            for each in sidecar.filters(listener):
                if each["name"] == name and holds(each.get("typed_config", {})):
                    found: dict[str, Any] = each.get("typed_config") or {"@type": ""}
                    return found
            return None

        return _some(self.wait_for(look, f"{name} in the listener {listener} as wanted", timeout))

    def wait_no_filter(self, listener: str, name: str, timeout: float = 15) -> None:
        """Waits until an existing listener has no network filter of that name."""

        def look(sidecar: Sidecar) -> bool:
            filters = sidecar.filters(listener)
            return bool(filters) and all(each["name"] != name for each in filters)

        self.wait_for(look, f"the listener {listener} without {name}", timeout)

    def wait_cluster(
        self,
        name: str,
        holds: Callable[[dict[str, Any]], bool] = lambda cluster: True,
        timeout: float = 15,
    ) -> dict[str, Any]:
        """Waits for an active cluster for which `holds` is true, and returns it."""

        def look(sidecar: Sidecar) -> dict[str, Any] | None:
            cluster = sidecar.clusters().get(name)
            return cluster if cluster is not None and holds(cluster) else None

        return _some(self.wait_for(look, f"the cluster {name} as wanted", timeout))

    def wait_endpoints(self, cluster: str, expected: Sequence[str], timeout: float = 15) -> None:
        """Waits until a cluster has exactly these hosts (``address:port``)."""
        wanted = sorted(expected)
        self.wait_for(
            lambda sidecar: sidecar.endpoints(cluster) == wanted,
            f"the cluster {cluster} with the hosts {wanted}",
            timeout,
        )

    # Inside

    def _live(self) -> bool:
        if not self._admin and not (self.admin_file.exists() and self.admin_file.read_text()):
            return False
        return self._http.request("GET", self.admin + "/ready").status == 200

    def _state(self) -> str:
        try:
            names = sorted(self.listeners())
            return f"listeners {names}; refused {self.rejected()}; log {self.warnings()[-5:]}"
        except (OSError, HTTPError, RigError) as error:
            return f"no answer ({error}); {self.process.log_tail()}"


class PlainSidecar(Sidecar):
    """An Envoy with a bootstrap of our own and xDS without TLS; it has no certificates.

    Args:
        xds: istiod's address and port as seen from it.
        delta: incremental xDS, as Istio's agents ask for, or state of the world.
        admin: where its admin interface listens; port 0 is any.
        wrap: turns its command line into the one that is run, in a pod's network.
    """

    def __init__(
        self,
        node: Node,
        xds: tuple[str, int],
        folder: Path,
        *,
        delta: bool = True,
        admin: tuple[str, int] = ("127.0.0.1", 0),
        wrap: Callable[[list[str]], list[str]] = list,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "bootstrap.json"
        config.write_text(json.dumps(bootstrap(node, xds, admin=admin, delta=delta)), "utf-8")
        argv = [find_tool("envoy"), "--config-path", str(config), *ENVOY_FLAGS]
        fixed = f"{admin[0]}:{admin[1]}" if admin[1] else None
        super().__init__(node, wrap([*argv]), folder, admin=fixed)
        if fixed is None:
            self.process.argv += ["--admin-address-path", str(self.admin_file)]


def network_filters(listener: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The network filters of all chains of a listener's config, the default chain's last."""
    chains = [*listener.get("filter_chains", [])]
    if "default_filter_chain" in listener:
        chains.append(listener["default_filter_chain"])
    for chain in chains:
        yield from chain.get("filters", [])


def _some(found: T | None) -> T:
    if found is None:  # wait_until answers only what is true
        raise RigError("waited for something and got nothing")
    return found
