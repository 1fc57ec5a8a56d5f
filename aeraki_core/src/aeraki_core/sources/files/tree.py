"""What files there are under the paths given, in a stable order; and reading one of them, whatever it turns out to be.

In: paths. Out: a :class:`Tree`: files with a signature that tells a changed one, and what is wrong with the tree itself. Hidden
files and folders are passed over (version control, editors, the ``..data`` of a ConfigMap), and so are :data:`NO_MANIFESTS`; a
file reached twice is read once.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import sys
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from aeraki_core.errors import UnreadableError
from aeraki_core.findings.codes import NOT_YAML, SYMLINK_LOOP, TOO_LARGE, UNREADABLE
from aeraki_core.manifests.locate import STDIN
from aeraki_core.manifests.read import decode
from aeraki_core.sources.files.manifests import Trouble

__all__ = ["Signature", "Tree", "read_text", "scan", "signature"]

SUFFIXES = (".yaml", ".yml", ".json")
NO_MANIFESTS = frozenset({"kustomization.yaml", "kustomization.yml", "Chart.yaml"})
"""What lies beside manifests for kustomize and Helm, and is nothing that a cluster takes."""

Signature = tuple[int, ...]
"""Device, inode, size, modification and change time: differs when the content may differ."""


@dataclass(slots=True)
class Tree:
    """The files found.

    ``files`` is in order; a stream (a pipe, standard input) has an empty signature, for it is read once. ``order`` sorts files as
    ``files`` does. ``anchors`` are the folders that can vanish without anybody having deleted what they held: the paths given,
    and mount points.
    """

    files: dict[str, Signature] = field(default_factory=dict)
    order: dict[str, int] = field(default_factory=dict)
    anchors: dict[str, tuple[int, int]] = field(default_factory=dict)
    troubles: dict[str, Trouble] = field(default_factory=dict)


def signature(status: os.stat_result) -> Signature:
    """What tells that a file has changed."""
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def scan(roots: Iterable[str], ignore: Collection[str] = ()) -> Tree:
    """Look at every path; nothing is opened. ``ignore`` names folders to pass over."""
    return _Scan(ignore).run(roots)


class _Scan:
    def __init__(self, ignore: Collection[str]) -> None:
        self.tree = Tree()
        self._seen: set[tuple[int, int]] = set()
        self._ignored = {
            _identity(status) for path in ignore if (status := _try_stat(path)) is not None
        }

    def run(self, roots: Iterable[str]) -> Tree:
        for root in roots:
            if root == STDIN:
                self._add(root, ())
                continue
            try:
                status = Path(root).stat()
            except OSError as error:
                self.tree.troubles[root] = _unreadable(error)
                continue
            if stat.S_ISDIR(status.st_mode):
                self.tree.anchors[root] = _identity(status)
                self._walk(root, status)
            elif stat.S_ISFIFO(status.st_mode) or stat.S_ISCHR(status.st_mode):
                self._add(root, ())  # `-f <(...)` of a shell
            else:
                self._file(root, status)
        return self.tree

    def _add(self, path: str, found: Signature) -> None:
        if path not in self.tree.files:
            self.tree.files[path] = found
            self.tree.order[path] = len(self.tree.order)

    def _file(self, path: str, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            self.tree.troubles[path] = Trouble(
                UNREADABLE, f"it is a {_type(status.st_mode)}, not a file", None
            )
        elif _identity(status) not in self._seen:
            self._seen.add(_identity(status))
            self._add(path, signature(status))

    def _walk(self, root: str, status: os.stat_result) -> None:
        """Folders and files in the order of their names, without recursion."""
        self._seen.add(_identity(status))
        above: tuple[tuple[int, int], ...] = (_identity(status),)
        stack = [(status.st_dev, above, self._entries(root))]
        while stack:
            device, above, entries = stack[-1]
            entry = next(entries, None)
            if entry is None:
                stack.pop()
                continue
            try:
                if (
                    not (entry.is_dir() or entry.name.endswith(SUFFIXES))
                    or entry.name in NO_MANIFESTS
                ):
                    continue
                found = entry.stat()
            except OSError as error:
                self._entry_failed(entry, error)
                continue
            if not stat.S_ISDIR(found.st_mode):
                self._file(entry.path, found)
            elif self._enters(entry.path, _identity(found), above):
                if found.st_dev != device:
                    self.tree.anchors[entry.path] = _identity(found)
                stack.append((found.st_dev, (*above, _identity(found)), self._entries(entry.path)))

    def _entries(self, path: str) -> Iterator[os.DirEntry[str]]:
        try:
            with os.scandir(path) as entries:
                found = sorted(
                    (entry for entry in entries if not entry.name.startswith(".")),
                    key=lambda item: item.name,
                )
        except OSError as error:
            self.tree.anchors.pop(path, None)
            self.tree.troubles[path] = _unreadable(error)
            return iter(())
        return iter(found)

    def _enters(
        self, path: str, identity: tuple[int, int], above: tuple[tuple[int, int], ...]
    ) -> bool:
        if identity in above:
            self.tree.troubles[path] = Trouble(
                SYMLINK_LOOP, "the link leads back to a folder above it; it is not followed", None
            )
            return False
        if identity in self._seen or identity in self._ignored:
            return False
        self._seen.add(identity)
        return True

    def _entry_failed(self, entry: os.DirEntry[str], error: OSError) -> None:
        if error.errno == errno.ELOOP:
            self.tree.troubles[entry.path] = Trouble(SYMLINK_LOOP, "the link leads to itself", None)
        elif error.errno == errno.ENOENT and not entry.is_symlink():
            return  # deleted since its folder was listed
        elif entry.name.endswith(SUFFIXES):
            self.tree.troubles[entry.path] = _unreadable(error)


def read_text(path: str, max_size: int) -> tuple[str, Signature] | Trouble:
    """A file's text and its signature as it was read. A pipe that nobody writes to does not block."""
    try:
        data, found = _read_stdin(max_size) if path == STDIN else _read(path, max_size)
    except OSError as error:
        return _unreadable(error)
    except _NotAFile as error:
        return Trouble(UNREADABLE, str(error), None)
    if data is None or len(data) > max_size:
        return Trouble(TOO_LARGE, f"it is larger than {_size(max_size)}", None, broken=True)
    try:
        return decode(data), found
    except UnreadableError as error:
        return Trouble(NOT_YAML, str(error), (error.line or 1) - 1, broken=True)


class _NotAFile(Exception):
    """What was a file when it was looked at is none now."""


def _read_stdin(limit: int) -> tuple[bytes, Signature]:
    return sys.stdin.buffer.read(limit + 1), ()


def _read(path: str, limit: int) -> tuple[bytes | None, Signature]:
    """What the file holds, or a byte more than the limit; None when it is known to be larger."""
    # Without O_NONBLOCK, to open a pipe that nobody writes to would wait for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode):
            if status.st_size > limit:
                return None, signature(status)
            return _drain(descriptor, limit), signature(status)
        if stat.S_ISFIFO(status.st_mode) or stat.S_ISCHR(status.st_mode):
            return _drain(descriptor, limit), ()
        raise _NotAFile(f"it is a {_type(status.st_mode)}, not a file")
    finally:
        os.close(descriptor)


def _drain(descriptor: int, limit: int) -> bytes:
    parts: list[bytes] = []
    left = limit + 1
    while left > 0:
        try:
            part = os.read(descriptor, min(left, 1 << 20))
        except BlockingIOError:  # somebody writes to the pipe, and takes his time
            select.select([descriptor], [], [])
            continue
        if not part:
            break
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _unreadable(error: OSError) -> Trouble:
    return Trouble(UNREADABLE, (error.strerror or str(error)).lower(), None, broken=True)


def _try_stat(path: str) -> os.stat_result | None:
    try:
        return Path(path).stat()
    except OSError:
        return None


def _identity(status: os.stat_result) -> tuple[int, int]:
    return (status.st_dev, status.st_ino)


def _type(mode: int) -> str:
    names = {
        stat.S_IFDIR: "folder",
        stat.S_IFIFO: "pipe",
        stat.S_IFSOCK: "socket",
        stat.S_IFBLK: "device",
    }
    return names.get(stat.S_IFMT(mode), "device")


def _size(count: int) -> str:
    return f"{count >> 20} MiB" if count >= 1 << 20 else f"{count} bytes"
