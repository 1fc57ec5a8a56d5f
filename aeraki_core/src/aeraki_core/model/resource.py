"""A plugin's custom resources.

The kind that it declares, and one object of it as generators read it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from itertools import islice
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from aeraki_core.errors import HandlingError, RejectedError, ends_the_program, line_of_plugin
from aeraki_core.model.istio import full_host
from aeraki_core.model.meta import Age, ObjectRef
from aeraki_core.model.plugin_calls import PLUGIN_CALLS
from aeraki_core.model.service import resolve_export_to
from aeraki_core.model.wire import check

__all__ = ["Kind", "LoadedKind", "Resource", "parse_resource"]

log = logging.getLogger("aeraki_core.plugins")

MAX_NAMES = 10_000
"""Of hosts or Secrets that one object may name. A plugin's iterator without an end stops here."""

T = TypeVar("T", bound=BaseModel)


def _no_hosts(_: Any) -> Iterable[str]:
    return ()


def _no_secrets(_: Any) -> Iterable[str]:
    return ()


def _no_export_to(_: Any) -> Iterable[str]:
    return ()


def _not_confidential(_: Any) -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Generic[T]):
    """A custom resource of a plugin."""

    group: str
    """Its API group, a domain of the plugin's author, such as ``echo.example.com``."""
    version: str
    """Its API version, such as ``v1``."""
    kind: str
    """Its kind, such as ``EchoPolicy``."""
    plural: str
    """The lower-case plural, as kubectl and the CRD's name have it."""
    spec: type[T]
    """The pydantic model of an object's ``spec``; the CRD's schema is made from it."""
    summary: str
    """What it is for, in a line; the CRD's description."""
    short_names: tuple[str, ...] = ()
    """Short names for kubectl."""
    hosts: Callable[[T], Iterable[str]] = _no_hosts
    """The hosts that an object configures, short or full.

    ``context.resources`` finds it by them.
    """
    secrets: Callable[[T], Iterable[str]] = _no_secrets
    """The names of the Secrets, of the object's namespace, that it refers to. No other is read."""
    export_to: Callable[[T], Iterable[str]] = _no_export_to
    """The client namespaces that an object is for, as Istio writes ``exportTo``; none: see
    ``confidential``."""
    confidential: Callable[[T], bool] = _not_confidential
    """Whether an object holds a password.

    Without ``exportTo``, such an object is for the namespaces that the service is exported to by
    name, or else for its own. Any other is for everybody.
    """
    printer_columns: tuple[tuple[str, str], ...] = ()
    """Columns of ``kubectl get``: title and JSONPath."""

    @property
    def api_version(self) -> str:
        """``group/version``."""
        return f"{self.group}/{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedKind(Kind[T]):
    """A kind together with the name of the plugin that brings it.

    Model, validators, ``hosts`` and ``secrets`` are the plugin's code, and an object can be of any
    form. So the core runs that code only here, where any error becomes a :class:`HandlingError`.
    """

    plugin: str

    @classmethod
    def of(cls, kind: Kind[T], plugin: str) -> LoadedKind[T]:
        """The kind as that plugin's."""
        values = {part.name: getattr(kind, part.name) for part in fields(Kind)}
        return cls(**values, plugin=plugin)

    def read(self, spec: Any) -> T:
        """An object's ``spec`` as the plugin's model.

        Raises:
            RejectedError: the spec does not fit the model.
            HandlingError: the plugin's model or validator failed.
        """
        with self._guarded("its model", spec):
            return check(self.spec, spec)

    def hosts_of(self, spec: T) -> tuple[str, ...]:
        """The hosts that an object configures, short or full.

        Raises:
            HandlingError: ``hosts`` failed, or gave something that is not text.
        """
        return self._names("Kind.hosts", self.hosts, spec)

    def secrets_of(self, spec: T) -> tuple[str, ...]:
        """The names of the Secrets that an object refers to.

        Raises:
            HandlingError: ``secrets`` failed, or gave something that is not text.
        """
        return self._names("Kind.secrets", self.secrets, spec)

    def export_to_of(self, spec: T) -> tuple[str, ...]:
        """The client namespaces that an object is for, as it names them.

        Raises:
            HandlingError: ``export_to`` failed, or gave something that is not text.
        """
        return self._names("Kind.export_to", self.export_to, spec)

    def is_confidential(self, spec: T) -> bool:
        """Whether an object holds a password.

        Raises:
            HandlingError: ``confidential`` failed.
        """
        with self._guarded("Kind.confidential", spec):
            return bool(self.confidential(spec))

    def _names(self, what: str, function: Callable[[T], Iterable[str]], spec: T) -> tuple[str, ...]:
        with self._guarded(what, spec):
            values: object = function(spec)
            if isinstance(values, str) or not isinstance(values, Iterable):
                raise TypeError(f"gave a {type(values).__name__} instead of a list of names")
            names = tuple(dict.fromkeys(islice(values, MAX_NAMES + 1)))
            if len(names) > MAX_NAMES:
                raise ValueError(f"gave more than {MAX_NAMES} names")
            wrong = next((name for name in names if not isinstance(name, str)), None)
            if wrong is not None:
                raise TypeError(f"gave a {type(wrong).__name__} instead of a name")
            return names

    @contextmanager
    def _guarded(self, what: str, spec: Any) -> Iterator[None]:
        try:
            with PLUGIN_CALLS.entered(self.plugin, what, f"a {self.kind}"):
                yield
        except RejectedError:
            raise
        except BaseException as error:
            if ends_the_program(error):
                raise
            place = line_of_plugin(error)
            message = f"plugin {self.plugin} cannot read this {self.kind}: {what} raised "
            message += f"{type(error).__name__}{_safe_text(error, spec)}"
            raise HandlingError(self.plugin, message + (f" ({place})" if place else "")) from None


_SHORT = 4  # characters; a shorter value of an object says nothing about it


def _safe_text(error: BaseException, spec: Any) -> str:
    """The error's first line; empty if it holds a value of the object, which may be a password."""
    try:
        text = str(error).partition("\n")[0][:200]
    except Exception:  # noqa: BLE001 - an error of a plugin may be unable to print itself
        return ""
    values = spec.model_dump(mode="python") if isinstance(spec, BaseModel) else spec
    if not text or any(len(value) >= _SHORT and value in text for value in _texts(values)):
        return ""
    return f": {text}"


def _texts(value: Any) -> Iterator[str]:
    """Every text in a tree of mappings and lists; the tree may be deeper than Python's stack."""
    todo = [value]
    while todo:
        part = todo.pop()
        if isinstance(part, str):
            yield part
        elif isinstance(part, Mapping):
            todo.extend(part.values())
        elif isinstance(part, list | tuple | set | frozenset):
            todo.extend(part)
        elif hasattr(part, "get_secret_value"):
            todo.append(part.get_secret_value())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Resource(Generic[T]):
    """An object of a plugin's kind."""

    ref: ObjectRef
    """Its kind, namespace and name."""
    spec: T
    """Its ``spec`` as the kind's model."""
    hosts: tuple[str, ...]
    """The full hosts that it configures, in the order in which it names them."""
    age: Age
    """Sorts the oldest first, as Istio does."""
    secrets: tuple[str, ...] = ()
    """The names of the Secrets, of its namespace, that it refers to."""
    export_to: frozenset[str] | None = None
    """The client namespaces that it is for, ``*`` for all; None if it does not say."""
    confidential: bool = False
    """Whether it holds a password."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Resource):
            return NotImplemented
        own = (self.ref, self.hosts, self.age, self.secrets)
        if own != (other.ref, other.hosts, other.age, other.secrets):
            return False
        try:
            return bool(self.spec == other.spec)
        except BaseException as error:
            # The model may compare in its own way. What cannot be compared counts as changed.
            if ends_the_program(error):
                raise
            return False

    def __hash__(self) -> int:
        return hash(self.ref)

    @property
    def namespace(self) -> str:
        """The namespace of its object."""
        return self.ref.namespace


def parse_resource(
    ref: ObjectRef, content: Mapping[str, Any], kind: LoadedKind[Any], domain: str
) -> Resource[Any]:
    """Parse an object of a plugin's kind.

    Raises:
        RejectedError: the spec does not fit the plugin's model.
        HandlingError: the plugin's code failed.
    """
    spec = kind.read(content.get("spec"))
    metadata = content.get("metadata") or {}
    named = kind.export_to_of(spec)
    return Resource(
        ref=ref,
        spec=spec,
        hosts=tuple(full_host(host, ref.namespace, domain) for host in kind.hosts_of(spec)),
        age=Age(str(metadata.get("creationTimestamp") or ""), ref.name, ref.namespace),
        secrets=kind.secrets_of(spec),
        export_to=resolve_export_to(named, ref.namespace) if named else None,
        confidential=kind.is_confidential(spec),
    )
