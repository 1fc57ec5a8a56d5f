"""The filters and companions that should be: by name, by group and by service port."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TypeVar

from aeraki_core.filters.envoyfilter import FilterKey, ServicePort
from aeraki_core.filters.output import Output
from aeraki_core.pipeline.placement import Group

__all__ = ["FilterTable"]

K = TypeVar("K")


class FilterTable:
    """All desired filters.

    Keys are kept in tuples: most groups and ports have one or two, and a set takes four times as
    much.
    """

    def __init__(self) -> None:
        self.by_key: dict[FilterKey, Output] = {}
        self._of_group: dict[Group, tuple[FilterKey, ...]] = {}
        self._of_port: dict[ServicePort, tuple[FilterKey, ...]] = {}
        # Two filters of a namespace may name one companion.
        self._naming: dict[FilterKey, set[Group]] = defaultdict(set)

    def of_port(self, service_port: ServicePort) -> tuple[FilterKey, ...]:
        """The filters that are for a service port, sorted."""
        return tuple(sorted(self._of_port.get(service_port, ())))

    def has_any(self, service_port: ServicePort) -> bool:
        """Whether a filter is for a service port."""
        return service_port in self._of_port

    def covers(self, group: Group, service_port: ServicePort) -> bool:
        """Whether one of the group's filters is for a service port."""
        of_port = self._of_port.get(service_port, ())
        return not {*of_port}.isdisjoint(self._of_group.get(group, ()))

    def replace(self, group: Group, filters: Mapping[FilterKey, Output]) -> set[FilterKey]:
        """Put the new filters of a group in the place of its old ones.

        Returns those that are new, other or gone.
        """
        gone = {key for key in self._of_group.pop(group, ()) if key not in filters}
        for key in gone | filters.keys():
            # Groups share companions: one goes only when no group names it.
            if key.kind.is_named:
                (self._naming[key].discard if key in gone else self._naming[key].add)(group)
        changed = {key for key in gone if not self._naming.get(key)}
        for key in changed:
            self._naming.pop(key, None)
            self._set(key, None)
        for key, output in filters.items():
            if self.by_key.get(key) != output:
                self._set(key, output)
                changed.add(key)
        if filters:
            self._of_group[group] = tuple(filters)
        return changed

    def _set(self, key: FilterKey, after: Output | None) -> None:
        before = self.by_key.pop(key, None)
        for service_port in before.service_ports if before is not None else ():
            keys = tuple(other for other in self._of_port[service_port] if other != key)
            if keys:
                self._of_port[service_port] = keys
            else:
                del self._of_port[service_port]
        if after is not None:
            self.by_key[key] = after
            for service_port in after.service_ports:
                self._of_port[service_port] = (*self._of_port.get(service_port, ()), key)
