"""An object as a source read it, before any model looked at it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from aeraki_core.model.meta import ObjectRef

__all__ = ["Location", "SourceObject"]


class Location(Protocol):
    """Where an object was read, down to its fields."""

    def locate(self, field: str | None) -> tuple[str, int]:
        """Return the file and the line (from 1) of a field, or of its nearest parent.

        A field is written as ``spec.http[0].route``.
        """
        ...


@dataclass(frozen=True, slots=True)
class SourceObject:
    """An object as a source found it. ``content`` is the whole object as Kubernetes writes it.

    ``problem`` says why the object cannot be used, whatever its kind; ``content`` is then what
    could be read of it. None: the object is whole.
    """

    ref: ObjectRef
    api_version: str
    content: Mapping[str, Any] = field(repr=False)
    origin: Location | None = None
    problem: str | None = None
    mirrored: bool = False
    """Whether only the addresses of this Service count: another source has the object itself."""

    @property
    def api_group(self) -> str:
        """The group of its API version; empty for the core group."""
        return self.api_version.rpartition("/")[0]

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Its ``metadata``; empty without one."""
        return self.content.get("metadata") or {}
