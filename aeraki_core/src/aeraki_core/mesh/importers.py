"""Which client namespaces import a service, by all Sidecars.

A filter in the root namespace reaches every proxy, so a service may do without only where the
default Sidecar of the mesh, which is for all namespaces without one, does not import it. What is
not certain counts as imported: to patch a listener that a proxy lacks does no harm, to leave one
out does. A Sidecar that selects workloads counts for its whole namespace for the same reason.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from aeraki_core.mesh.keys import ImportersKey, Key
from aeraki_core.model.service import Service
from aeraki_core.model.sidecar import ImportedHosts, SidecarScope

__all__ = ["Importers"]

_EVERYTHING = ImportedHosts("*", "*")


class Importers:
    """The imports of each namespace, kept up to date one namespace at a time."""

    def __init__(self, root_namespace: str) -> None:
        self._root = root_namespace
        self._entries: dict[str, frozenset[ImportedHosts]] = {}
        # The clients by the namespaces that their entries name, to look at no other ones.
        self._clients_of: defaultdict[str, set[str]] = defaultdict(set)
        # What namespaces without a Sidecar import; None: everything.
        self._defaults: frozenset[ImportedHosts] | None = None

    def of(self, service: Service) -> frozenset[str] | None:
        """The namespaces that may import a service; None: those without a Sidecar, too."""
        namespace, host = service.namespace, service.host
        if self._defaults is None or _covers(self._defaults, namespace, host, None):
            return None
        named = self._clients_of.get(namespace, set()) | self._clients_of.get("*", set())
        clients = {
            client for client in named if _covers(self._entries[client], namespace, host, client)
        }
        clients.add(namespace)
        # A filter for the clients there reaches the whole mesh.
        return None if self._root in clients else frozenset(clients)

    def replace(
        self, namespace: str, sidecars: Iterable[SidecarScope], *, unread: bool
    ) -> set[Key]:
        """Put a namespace's Sidecars in the place of its old ones. Returns the changed keys.

        ``unread``: it has one that is not known, which may import anything.
        """
        sidecars = tuple(sidecars)
        entries = {entry for sidecar in sidecars for entry in sidecar.entries}
        if unread:
            entries.add(_EVERYTHING)
        changed: set[Key] = set()
        if namespace == self._root:
            defaults = None if unread else _defaults_of(sidecars)
            if defaults != self._defaults:
                changed.add(ImportersKey("*"))
            self._defaults = defaults
        before = self._entries.pop(namespace, frozenset())
        if entries:
            self._entries[namespace] = frozenset(entries)
        for name in {entry.namespace for entry in before}:
            self._clients_of[name].discard(namespace)
        for name in {entry.namespace for entry in entries}:
            self._clients_of[name].add(namespace)
        # What it imports of its own namespace makes no difference.
        return changed | {
            ImportersKey(entry.namespace) for entry in before ^ entries if entry.namespace != "."
        }


def _defaults_of(sidecars: Iterable[SidecarScope]) -> frozenset[ImportedHosts] | None:
    """What the default of the mesh imports, if every istiod has the same one."""
    defaults = [sidecar for sidecar in sidecars if sidecar.is_default]
    if not defaults or any(sidecar.revision for sidecar in defaults):
        return None
    # The oldest one counts. What any of them imports is kept, so that the order does not matter.
    return frozenset(entry for sidecar in defaults for entry in sidecar.entries)


def _covers(
    entries: Iterable[ImportedHosts], namespace: str, host: str, client: str | None
) -> bool:
    return any(entry.covers(namespace, host, client) for entry in entries)
