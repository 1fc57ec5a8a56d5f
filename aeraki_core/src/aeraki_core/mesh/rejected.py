"""Objects whose newest form does not fit their kind, and the hosts that they name.

A rejected object without a good form may be the reason why a filter is no longer made, so the hosts
that it names are remembered: live filters of those hosts stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from aeraki_core.errors import HandlingError, InputError, Problem, RejectedError
from aeraki_core.findings.codes import BAD_NAME, REJECTED, UNHANDLED
from aeraki_core.findings.finding import Finding
from aeraki_core.mesh.keys import Key, RejectedKey
from aeraki_core.mesh.source_object import SourceObject
from aeraki_core.model.istio import full_host
from aeraki_core.model.memory import Index
from aeraki_core.model.meta import ObjectRef

__all__ = ["RejectedObjects", "host_suffixes", "named_hosts"]


def host_suffixes(host: str) -> Iterator[str]:
    """Yield the host, then every wildcard that matches it, the most specific first.

    ``a.b.c`` gives ``a.b.c``, ``*.b.c``, ``*.c``, ``*``.
    """
    yield host
    rest = host.removeprefix("*.") if host.startswith("*.") else host
    while "." in rest:
        rest = rest.partition(".")[2]
        yield f"*.{rest}"
    if host != "*":
        yield "*"


class RejectedObjects:
    """What is wrong with each rejected object, and which hosts each may be about."""

    def __init__(self) -> None:
        self.findings: dict[ObjectRef, tuple[Finding, ...]] = {}
        self._hosts: dict[ObjectRef, tuple[str, ...]] = {}
        self._by_host: Index[str, ObjectRef, ObjectRef] = Index()

    def copy_from(self, other: RejectedObjects) -> None:
        """Remember what the other remembers now."""
        self.findings = dict(other.findings)
        self._hosts = dict(other._hosts)
        self._by_host = other._by_host.copy()

    def reject(self, ref: ObjectRef, error: InputError, hosts: tuple[str, ...]) -> set[Key]:
        """Remember why an object is rejected. Returns the keys whose answer changed."""
        findings = _findings(ref, error)
        changed: set[Key] = set()
        if self.findings.get(ref) != findings:
            changed.add(RejectedKey(ref))
        self.accept(ref)
        self.findings[ref] = findings
        self._hosts[ref] = hosts
        for host in hosts:
            self._by_host.put(host, ref, ref)
        return changed

    def accept(self, ref: ObjectRef) -> set[Key]:
        """Accept an object that is valid or gone. Returns the keys whose answer changed."""
        if self.findings.pop(ref, None) is None:
            return set()
        for host in self._hosts.pop(ref):
            self._by_host.drop(host, ref)
        return {RejectedKey(ref)}

    def naming(self, host: str) -> tuple[ObjectRef, ...]:
        """Return the rejected objects that name the host or a wildcard over it, sorted."""
        # A rejected object that names every host says nothing about this one.
        names = [name for name in host_suffixes(host) if name != "*" or host == "*"]
        return tuple(sorted({ref for name in names for ref in self._by_host.values(name)}))


def named_hosts(item: SourceObject, domain: str) -> tuple[str, ...]:
    """Return the hosts that an object names, even if other fields are invalid."""
    if item.ref.kind == "Service" and item.api_group == "":
        names: list[object] = [item.ref.name]
    else:
        spec = item.content.get("spec")
        hosts = (spec.get("hosts") or spec.get("host")) if isinstance(spec, Mapping) else None
        names = [*hosts] if isinstance(hosts, list | tuple) else [hosts]
    return tuple(
        full_host(name, item.ref.namespace, domain)
        for name in names
        if isinstance(name, str) and name
    )


def _findings(ref: ObjectRef, error: InputError) -> tuple[Finding, ...]:
    problems = error.problems if isinstance(error, RejectedError) else (Problem("", str(error)),)
    plugin = error.plugin if isinstance(error, HandlingError) else None
    code = REJECTED if plugin is None else UNHANDLED
    return tuple(
        Finding(
            BAD_NAME if problem.field == "metadata.name" else code,
            problem.message,
            ref,
            problem.field or None,
            plugin=plugin,
        )
        for problem in problems
    )
