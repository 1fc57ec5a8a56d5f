"""Kubernetes manifests in files and folders, read once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from aeraki_core.findings.finding import Finding, in_order
from aeraki_core.mesh.source_object import SourceObject
from aeraki_core.sources.events import Incomplete
from aeraki_core.sources.files.fileset import Advance, FileSet, no_advance
from aeraki_core.sources.files.kinds import Reads
from aeraki_core.sources.files.manifests import DEFAULT_NAMESPACE, Rules
from aeraki_core.sources.files.tree import Exclude

__all__ = ["DEFAULT_MAX_SIZE", "Snapshot", "read"]

DEFAULT_MAX_SIZE = 32 << 20
"""Bytes of one file that are read at most."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What paths hold, in the order of the files."""

    objects: tuple[SourceObject, ...]
    findings: tuple[Finding, ...]
    incomplete: Incomplete | None
    """What could not be read; None: what is not among ``objects`` does not exist."""


def read(
    paths: Sequence[str | Path],
    reads: Reads,
    max_size: int = DEFAULT_MAX_SIZE,
    *,
    default_namespace: str = DEFAULT_NAMESPACE,
    ignore: Collection[str | Path] = (),
    plugin_groups: Collection[str] = (),
    exclude: Exclude | None = None,
    advance: Advance = no_advance,
) -> Snapshot:
    """Read everything once. It never raises for what files hold: that is in the findings.

    A path is a file, a folder (all ``*.yaml``, ``*.yml`` and ``*.json`` in it and below, by name;
    hidden ones are passed over), or ``-`` for standard input.

    Args:
        paths: what to read.
        reads: whether a kind is of use (``Store.reads``).
        max_size: bytes of one file that are read at most.
        default_namespace: that of objects without one.
        ignore: folders to pass over.
        plugin_groups: the API groups of plugins' kinds; an unknown kind there is reported.
        exclude: judges each entry of a folder.
        advance: is called before the first file and after each, with how many were read and how
            many there are.
    """
    rules = Rules(reads, default_namespace, frozenset(plugin_groups))
    ignored = [str(path) for path in ignore]
    files = FileSet([str(path) for path in paths], rules, max_size, ignored, exclude)
    changes = files.accept(files.look(advance=advance))
    files.asking.close()
    findings = in_order(finding for problems in changes.problems for finding in problems.findings)
    return Snapshot(changes.upserts, findings, changes.incomplete)
