"""What stands between a source and the controller: functions that take an ``Emit`` and return one.

Each leaves events out, or puts others in their place, and passes the rest on in order and in one
call. Written in a row they read as the way that an event goes, from the right to the left:
``only_in(name, scope)(merged(order)(controller.post))``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from aeraki_core.model.scope import Scope
from aeraki_core.sources.events import Emit, Event, Removed, Scoped, Upserted

__all__ = ["Stage", "namespace_of", "only_in", "passing"]

Stage = Callable[[Emit], Emit]
"""One link of the chain."""


def passing(choose: Callable[[Iterable[Event]], Sequence[Event]]) -> Stage:
    """Return a stage that passes on what ``choose`` returns."""

    def stage(emit: Emit) -> Emit:
        def pass_on(*events: Event) -> None:
            chosen = choose(events)
            if chosen:
                emit(*chosen)

        return pass_on

    return stage


def only_in(source: str, scope: Scope) -> Stage:
    """Return a stage that passes on only objects of the scope's namespaces, after the scope."""
    if scope.watched is None:
        return lambda emit: emit

    def counting(events: Iterable[Event]) -> list[Event]:
        return [
            event
            for event in events
            if (namespace := namespace_of(event)) is None or scope.watches(namespace)
        ]

    def stage(emit: Emit) -> Emit:
        emit(Scoped(source, scope))
        return passing(counting)(emit)

    return stage


def namespace_of(event: Event) -> str | None:
    """Return the namespace of the object that an event is about; None for any other event."""
    match event:
        case Upserted(_, item):
            return item.ref.namespace
        case Removed(_, ref):
            return ref.namespace
    return None
