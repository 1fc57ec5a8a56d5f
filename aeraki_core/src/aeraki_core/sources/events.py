"""What every source reports, and how.

A source runs in a thread of its own and hands events to ``emit``, in order; it never touches the
store. It reports :class:`Synced` once it has handed over all that it has at its start, and
:class:`Unsynced` when it cannot know what is missing: nothing is deleted then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from aeraki_core.findings.finding import Finding
from aeraki_core.mesh.store import SourceObject, host_suffixes
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.scope import Scope

__all__ = [
    "Emit",
    "Event",
    "Incomplete",
    "Problems",
    "Refreshable",
    "Removed",
    "Scoped",
    "Source",
    "Synced",
    "Unsynced",
    "Upserted",
]


@dataclass(frozen=True, slots=True)
class Upserted:
    """An object is new or changed."""

    source: str
    object: SourceObject


@dataclass(frozen=True, slots=True)
class Removed:
    """An object is gone, and the source is sure of it. It may be an unknown one."""

    source: str
    ref: ObjectRef


@dataclass(frozen=True, slots=True)
class Problems:
    """All that is wrong with one place of the source, such as a file.

    It replaces what was wrong with the place before.
    """

    source: str
    place: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Scoped:
    """From here on only these namespaces are read.

    Objects that are Removed with it are not gone, but out of sight.
    """

    source: str
    scope: Scope


@dataclass(frozen=True, slots=True)
class Incomplete:
    """Something may exist although it could not be read.

    Nothing is deleted; the rest is written.
    """

    reason: str
    words: frozenset[str] | None = frozenset()
    """The words of what was never read. Live filters of the hosts among them stay as they are, for
    routes of theirs may be missing. None: it may be about any host. Empty: all was read before, and
    its last good form is in effect."""

    def concerns(self, host: str) -> bool:
        """Report whether missing objects may concern the host.

        It names the host in full or in short, or a wildcard over it.
        """
        if self.words is None:
            return True
        labels = host.split(".")
        names = {host, labels[0], ".".join(labels[:2]), ".".join(labels[:3])}
        return not self.words.isdisjoint(names | set(host_suffixes(host)))


@dataclass(frozen=True, slots=True)
class Synced:
    """The source handed over all that it can read."""

    source: str
    incomplete: Incomplete | None = None
    """What cannot be read, such as a broken file; None: there is nothing else."""


@dataclass(frozen=True, slots=True)
class Unsynced:
    """From here on the source cannot know what is there, until the next Synced."""

    source: str
    reason: str


Event = Upserted | Removed | Problems | Scoped | Synced | Unsynced


class Emit(Protocol):
    """Takes events, in order. Those of one call are acted on together: no pass sees half of them.

    So what one answer or one file says goes into one call: half of a large deletion would look like
    a small one, which needs no confirmation.
    """

    def __call__(self, *events: Event) -> None:
        """Take them, and return at once."""
        ...


class Source(Protocol):
    """A place where objects come from. ``name`` is its word on the command line (``files``)."""

    name: str

    def start(self, emit: Emit) -> None:
        """Begin to watch, in a thread of its own; returns at once.

        Raises:
            AerakiError: the source cannot be used at all (nothing to connect to, no such path).
        """
        ...

    def stop(self) -> None:
        """Stop watching and end the thread; returns when it has ended, within a second or two."""
        ...


@runtime_checkable
class Refreshable(Protocol):
    """A source that can read everything again."""

    def refresh(self) -> None:
        """Read everything again: Unsynced before it returns, Synced once all has arrived."""
        ...
