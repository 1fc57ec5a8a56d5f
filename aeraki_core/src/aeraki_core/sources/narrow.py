"""A source of which only some namespaces count.

In: a source that gives everything, and the namespaces. Out: a source that gives what is of these, and says that it does.
"""

from __future__ import annotations

from aeraki_core.model.scope import Scope
from aeraki_core.sources.events import Emit, Event, Refreshable, Removed, Scoped, Source, Upserted

__all__ = ["narrowed"]


def narrowed(source: Source, scope: Scope) -> Source:
    """The source, of which only the namespaces of ``scope`` count; itself where all do."""
    if scope.watched is None:
        return source
    return (
        _RefreshableNarrowed(source, scope)
        if isinstance(source, Refreshable)
        else _Narrowed(source, scope)
    )


class _Narrowed:
    def __init__(self, source: Source, scope: Scope) -> None:
        self.name = source.name
        self._source = source
        self._scope = scope

    def start(self, emit: Emit) -> None:
        def pass_on(*events: Event) -> None:
            counting = [event for event in events if self._counts(event)]
            if counting:
                emit(*counting)

        emit(Scoped(self.name, self._scope))
        self._source.start(pass_on)

    def stop(self) -> None:
        self._source.stop()

    def _counts(self, event: Event) -> bool:
        match event:
            case Upserted(_, item):
                return self._scope.watches(item.ref.namespace)
            case Removed(_, ref):
                return self._scope.watches(ref.namespace)
        return True


class _RefreshableNarrowed(_Narrowed):
    def refresh(self) -> None:
        if isinstance(self._source, Refreshable):
            self._source.refresh()
