"""What one run of the pipeline did, and in which order its ports take turns."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from aeraki_core.filters.envoyfilter import FilterKey
from aeraki_core.model.meta import ObjectRef
from aeraki_core.pipeline.port_output import PortId

__all__ = ["Pass", "in_turns"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """What one run did.

    ``generated``: service ports whose generator ran. ``changed``: filters that are new, other or
    gone. ``objects``: objects of plugins' kinds, and VirtualServices, whose findings or readers may
    be others now. ``seconds``: wall time of generators. ``left``: more is to be generated; the next
    run goes on.
    """

    generated: tuple[PortId, ...] = ()
    calls: int = 0
    changed: frozenset[FilterKey] = frozenset()
    seconds: float = 0.0
    objects: frozenset[ObjectRef] = frozenset()
    left: bool = False

    def and_then(self, later: Pass) -> Pass:
        """This run and the one that went on with what it left."""
        return Pass(
            generated=(*self.generated, *later.generated),
            calls=self.calls + later.calls,
            changed=self.changed | later.changed,
            seconds=self.seconds + later.seconds,
            objects=self.objects | later.objects,
            left=later.left,
        )


def in_turns(ports: Iterable[PortId], *, after: str) -> Iterator[PortId]:
    """The ports sorted, one of each namespace in turn, from the one after ``after`` on."""
    by_namespace = defaultdict[str, list[PortId]](list)
    for port in sorted(ports, reverse=True):
        by_namespace[port.service.ref.namespace].append(port)
    namespaces = sorted(by_namespace, key=lambda namespace: (namespace <= after, namespace))
    turns = deque(by_namespace[namespace] for namespace in namespaces)
    while turns:
        waiting = turns.popleft()
        yield waiting.pop()
        if waiting:
            turns.append(waiting)
