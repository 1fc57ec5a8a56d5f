"""What the Sidecar of a client shows it.

Who follows a Sidecar may see other services, listeners and routes than everybody else. So each
answer that rests on Sidecars notes whose Sidecars could change it.
"""

from __future__ import annotations

from collections.abc import Sequence

from aeraki_core.mesh.common_reads import CommonReads
from aeraki_core.mesh.keys import SidecarNamespacesKey
from aeraki_core.mesh.mesh_client import MeshClient
from aeraki_core.mesh.record import Record
from aeraki_core.mesh.resolve import RoutedPort, mesh_default, not_imported, sidecar_for
from aeraki_core.mesh.route_levels import RouteLevel
from aeraki_core.mesh.store import Store
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.sidecar import BLACK_HOLE, PASSTHROUGH, SidecarScope

__all__ = ["SidecarReads"]


class SidecarReads(CommonReads):
    """Questions on behalf of one reader about the Sidecar of one client."""

    def __init__(self, store: Store, client: MeshClient, record: Record) -> None:
        super().__init__(store, record)
        self.client = client
        self.namespace = client.namespace

    def _sidecar(self) -> SidecarScope | None:
        """The Sidecar that the client follows: of its namespace, else of the root namespace."""
        own = sidecar_for(self.sidecars(self.namespace), self.client) if self.namespace else None
        return own or mesh_default(self.sidecars(self.mesh.root_namespace))

    def _note_sidecars(self) -> None:
        """Note the clients that a Sidecar may show something else than everybody else."""
        self.keys.add(SidecarNamespacesKey())
        self.record.clients |= self._store.sidecars.namespaces()
        for sidecar in self._selecting():
            self.record.note_selector(sidecar.labels, sidecar.ref)

    def _selecting(self) -> tuple[SidecarScope, ...]:
        """The Sidecars for some workloads that may have another answer than this client.

        Only what is said for everybody else is said for the workloads of all namespaces.
        """
        sidecars = self._store.sidecars
        if self.namespace is None:
            return sidecars.selecting()
        return tuple(sidecar for sidecar in sidecars.of(self.namespace) if sidecar.labels)

    def _left_out(
        self, level: RouteLevel, routed: RoutedPort, client: MeshClient
    ) -> frozenset[ObjectRef]:
        """Those of a level that the client's Sidecar does not import for a port."""
        sidecar = self._store.sidecars.of_client(client)
        return self._not_imported(level, routed, sidecar, client.namespace)

    def _not_imported(
        self,
        level: RouteLevel,
        routed: RoutedPort,
        sidecar: SidecarScope | None,
        namespace: str | None,
    ) -> frozenset[ObjectRef]:
        if sidecar is None or not sidecar.egress:
            return frozenset()

        def left_out() -> frozenset[ObjectRef]:
            return frozenset(
                not_imported(sidecar, level.virtual_services, routed=routed, client=namespace)
            )

        if level.key is None:
            return left_out()
        listeners = sidecar.serving(
            routed.namespace, routed.host, port=routed.port, client=namespace
        )
        return self._shared(("left out", level.key, namespace, listeners), left_out)

    def _note_imports(self, routed: RoutedPort, levels: Sequence[RouteLevel]) -> None:
        """Note the clients whose Sidecars import others of the port's VirtualServices.

        A listener that imports a service imports the VirtualServices of its namespace for the host,
        too. So Sidecars matter only where another namespace routes the host, or a host under it.
        """
        elsewhere = [level for level in levels if level.is_routed_elsewhere(routed)]
        if not elsewhere:
            return
        # The answer depends on Sidecars: which namespaces have one, and what it imports.
        self.keys.add(SidecarNamespacesKey())
        self._sidecar()
        kept = {
            each.ref
            for level in levels
            if level.key is None
            for each in level.virtual_services
            if level.is_imported_with_service(each, routed)
        }
        is_wildcard = routed.host.startswith("*")
        namespaces = {routed.namespace}.union(*(level.namespaces for level in elsewhere))
        mine = [self._left_out(level, routed, self.client) for level in elsewhere]

        def sees_others(sidecar: SidecarScope | None, namespace: str) -> bool:
            return any(
                ref not in kept and (is_wildcard or ref.namespace != routed.namespace)
                for level, left_out in zip(elsewhere, mine, strict=True)
                for ref in self._not_imported(level, routed, sidecar, namespace) ^ left_out
            )

        # Clients of a namespace that sees other VirtualServices get a filter of their own.
        sidecars = self._store.sidecars
        others = {
            namespace
            for namespace in sidecars.that_import(routed, namespaces)
            if sees_others(sidecars.of_client(MeshClient(namespace)), namespace)
        }
        self.record.clients |= others
        for sidecar in self._selecting():
            # Its workloads may see what everybody else sees, where their namespace does not.
            namespace = sidecar.ref.namespace
            if namespace in others or sees_others(sidecar, namespace):
                self.record.note_selector(sidecar.labels, sidecar.ref)

    def _catch_all(self) -> str:
        of_mesh = BLACK_HOLE if self.mesh.registry_only else PASSTHROUGH
        sidecars = self._store.sidecars
        if sidecars.has_root_policy():
            # A Sidecar without a policy takes this one away.
            self.keys.add(SidecarNamespacesKey())
        self.record.clients |= sidecars.with_another_policy(of_mesh)
        selecting = self._selecting()
        of_others = {
            namespace: sidecars.catch_all(MeshClient(namespace), of_mesh)
            for namespace in {sidecar.ref.namespace for sidecar in selecting}
        }
        for sidecar in selecting:
            if (sidecar.catch_all or of_mesh) != of_others[sidecar.ref.namespace]:
                self.record.note_selector(sidecar.labels, sidecar.ref)
        self._sidecar()
        return sidecars.catch_all(self.client, of_mesh)
