"""Which files there are under some paths, in a stable order. Nothing is opened.

Hidden files and folders are passed over (version control, editors, the ``..data`` of a ConfigMap),
and so are :data:`NO_MANIFESTS`. A file that is reached twice is listed once.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from aeraki_core.findings.codes import SYMLINK_LOOP, UNREADABLE
from aeraki_core.manifests.locate import STDIN
from aeraki_core.manifests.plain_file import Signature, identity_of, signature_of, type_of
from aeraki_core.sources.files.manifests import Trouble

__all__ = ["Exclude", "Identity", "Scan", "Tree", "unreadable"]

SUFFIXES = (".yaml", ".yml", ".json")
NO_MANIFESTS = frozenset({"kustomization.yaml", "kustomization.yml", "Chart.yaml"})
"""What lies beside manifests for kustomize and Helm; no cluster takes it."""

Identity = tuple[int, int]
"""Device and inode."""


Exclude = Callable[[str, bool], bool]
"""Whether an entry of a folder is passed over: its path, and whether it is a folder."""


@dataclass(slots=True)
class Tree:
    """The files found."""

    files: dict[str, Signature] = field(default_factory=dict)
    """In order. A stream (a pipe, standard input) has an empty signature: it is read once."""
    order: dict[str, int] = field(default_factory=dict)
    """Sorts files as ``files`` does."""
    anchors: dict[str, Identity] = field(default_factory=dict)
    """Folders that can vanish without anybody deleting what they held: the paths and mounts."""
    troubles: dict[str, Trouble] = field(default_factory=dict)


def unreadable(error: OSError) -> Trouble:
    """Return the system's message about a file or folder that cannot be read."""
    return Trouble(UNREADABLE, (error.strerror or str(error)).lower(), None, broken=True)


class Scan:
    """A look at paths. ``ignore`` names folders to pass over; ``exclude`` judges each entry."""

    def __init__(self, ignore: Collection[str] = (), exclude: Exclude | None = None) -> None:
        self.tree = Tree()
        self.at = ""
        """The path that is being looked at."""
        self._ignore = ignore
        self._exclude = exclude
        self._seen: set[Identity] = set()
        self._ignored: set[Identity] | None = None
        self._null = _try_stat(os.devnull)

    def look(self, root: str) -> None:
        """Add the files under a path."""
        self.at = root
        if self._ignored is None:
            statuses = [_try_stat(path) for path in self._ignore]
            self._ignored = {identity_of(status) for status in statuses if status is not None}
        if root == STDIN:
            self._add(root, ())
            return
        try:
            status = Path(root).stat()
        except OSError as error:
            self.tree.troubles[root] = unreadable(error)
            return
        if stat.S_ISDIR(status.st_mode):
            self.tree.anchors[root] = identity_of(status)
            self._walk(root, status)
        elif stat.S_ISFIFO(status.st_mode):
            self._add(root, ())  # `-f <(...)` of a shell
        elif self._null is None or identity_of(status) != identity_of(self._null):
            self._file(root, status)

    def keep(self, tree: Tree) -> None:
        """Add the files of an earlier look as they were."""
        for path, signature in tree.files.items():
            self._add(path, signature)
        self.tree.anchors.update(tree.anchors)

    def _add(self, path: str, signature: Signature) -> None:
        if path not in self.tree.files:
            self.tree.files[path] = signature
            self.tree.order[path] = len(self.tree.order)

    def _file(self, path: str, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            message = f"it is a {type_of(status.st_mode)}, not a file"
            self.tree.troubles[path] = Trouble(UNREADABLE, message, None)
        elif identity_of(status) not in self._seen:
            self._seen.add(identity_of(status))
            self._add(path, signature_of(status))

    def _walk(self, root: str, status: os.stat_result) -> None:
        """Folders and files in the order of their names, without recursion."""
        self._seen.add(identity_of(status))
        above: tuple[Identity, ...] = (identity_of(status),)
        stack = [(status.st_dev, above, self._entries(root))]
        while stack:
            device, above, entries = stack[-1]
            entry = next(entries, None)
            if entry is None:
                stack.pop()
                continue
            # asking.call() sees progress by this.
            self.at = entry.path
            try:
                if entry.name in NO_MANIFESTS:
                    continue
                if not entry.name.endswith(SUFFIXES) and not entry.is_dir():
                    continue
                if self._exclude is not None and self._exclude(entry.path, entry.is_dir()):
                    continue
                entry_status = entry.stat()
            except OSError as error:
                self._entry_failed(entry, error)
                continue
            if not stat.S_ISDIR(entry_status.st_mode):
                self._file(entry.path, entry_status)
            elif self._enters(entry.path, identity_of(entry_status), above):
                # A mount point: fileset.py notices when the file system in it goes away.
                if entry_status.st_dev != device:
                    self.tree.anchors[entry.path] = identity_of(entry_status)
                inside = (*above, identity_of(entry_status))
                stack.append((entry_status.st_dev, inside, self._entries(entry.path)))

    def _entries(self, path: str) -> Iterator[os.DirEntry[str]]:
        try:
            with os.scandir(path) as entries:
                visible = (entry for entry in entries if not entry.name.startswith("."))
                return iter(sorted(visible, key=lambda entry: entry.name))
        except OSError as error:
            self.tree.anchors.pop(path, None)
            self.tree.troubles[path] = unreadable(error)
            return iter(())

    def _enters(self, path: str, identity: Identity, above: tuple[Identity, ...]) -> bool:
        if identity in above:
            message = "the link leads back to a folder above it; it is not followed"
            self.tree.troubles[path] = Trouble(SYMLINK_LOOP, message, None)
            return False
        if identity in self._seen or identity in (self._ignored or ()):
            return False
        self._seen.add(identity)
        return True

    def _entry_failed(self, entry: os.DirEntry[str], error: OSError) -> None:
        if error.errno == errno.ELOOP:
            self.tree.troubles[entry.path] = Trouble(SYMLINK_LOOP, "the link leads to itself", None)
        elif error.errno == errno.ENOENT and not entry.is_symlink():
            return  # deleted since its folder was listed
        elif entry.name.endswith(SUFFIXES):
            self.tree.troubles[entry.path] = unreadable(error)


def _try_stat(path: str) -> os.stat_result | None:
    try:
        return Path(path).stat()
    except OSError:
        return None
