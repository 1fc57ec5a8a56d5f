"""A plugin's custom resources: the kind that it declares, and one object of it as generators read it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from aeraki_core.model.meta import Age, ObjectRef

__all__ = ["Kind", "Resource"]

T = TypeVar("T", bound=BaseModel)


def _no_hosts(_: Any) -> Iterable[str]:
    return ()


def _no_secrets(_: Any) -> Iterable[str]:
    return ()


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """A custom resource of a plugin.

    ``spec`` is the pydantic model of its ``spec``; the CRD's schema is made from it. ``hosts`` gives the hosts that an
    object speaks
    for, short or full: ``context.resources(kind)`` finds it by them. ``secrets`` gives the names of the Secrets (of the object's
    namespace) that it refers to: only those are ever read. ``printer_columns`` are (title, JSONPath).
    """

    group: str
    version: str
    kind: str
    plural: str
    spec: type[T]
    summary: str
    short_names: tuple[str, ...] = ()
    hosts: Callable[[T], Iterable[str]] = _no_hosts
    secrets: Callable[[T], Iterable[str]] = _no_secrets
    printer_columns: tuple[tuple[str, str], ...] = ()

    @property
    def api_version(self) -> str:
        """``group/version``."""
        return f"{self.group}/{self.version}"


@dataclass(frozen=True, slots=True)
class Resource(Generic[T]):
    """An object of a plugin's kind. ``hosts`` are full; ``hosts[0]`` is the first that it names."""

    ref: ObjectRef
    spec: T = field(hash=False)
    hosts: tuple[str, ...]
    age: Age

    @property
    def namespace(self) -> str:
        """The namespace of its object."""
        return self.ref.namespace
