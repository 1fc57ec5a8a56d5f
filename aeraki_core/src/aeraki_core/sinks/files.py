"""Filters as files of a directory: one for each, named ``<namespace>.<name>.yaml``.

The directory is flat, so that ``kubectl apply -f`` takes it. Each file is written whole or not at
all. A file is ours when it holds one EnvoyFilter with our label whose namespace and name are those
of the file; no other file is touched. Nothing is written outside the directory, neither by a name
nor through a link.
"""

from __future__ import annotations

import hashlib
import logging
import os
import queue
import re
import secrets
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from aeraki_core.errors import SinkError, UnreadableError
from aeraki_core.filters.envoyfilter import FilterKey, named_instance
from aeraki_core.filters.live import Live
from aeraki_core.findings.codes import NOT_OURS, UNREADABLE_LIVE
from aeraki_core.findings.finding import Finding
from aeraki_core.manifests.patience import PATIENCE, Asking, UnansweredError
from aeraki_core.manifests.read import decode, load_all, split
from aeraki_core.manifests.write import render_objects
from aeraki_core.pipeline.reconcile import Step
from aeraki_core.sinks.base import Sink, Written
from aeraki_core.sinks.live import live_of
from aeraki_core.sinks.writable import UnwritableError, check_key, object_of

__all__ = ["FilesSink", "file_name"]

log = logging.getLogger(__name__)

MAX_SIZE = 16 << 20
"""Bytes of a live file that are read at most.

A filter that packs thousands of services has about one MiB.
"""

RESCAN = 10.0
"""Seconds between two looks at the whole directory: some file systems report no changes."""

POLL = 0.5
"""Seconds between two looks at whether the directory is still the same."""

_OURS = re.compile(r"[a-z0-9-]+\.aeraki-(?:inbound|outbound|weights)-.*\.yaml")
_LONGEST = 255 - len(".yaml")

_TEMPORARY = ".aeraki-{}.tmp"
_LEFTOVER = 60.0  # seconds; a write takes milliseconds
_STOP = 1.0  # seconds; a thread that a file system holds is left to the end of the process
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
_OLD_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK

_Signature = tuple[int, int, int, int]

T = TypeVar("T")


def file_name(key: FilterKey) -> str:
    """The name of a filter's file. A name too long for a file system is cut and gets a hash."""
    stem = f"{key.namespace}.{key.name}"
    if key.kind.is_named:
        stem += f".{key.kind.lower()}"
    if len(stem) > _LONGEST:
        digest = hashlib.sha256(stem.encode()).hexdigest()[:8]
        stem = f"{stem[: _LONGEST - 9]}-{digest}"
    return f"{stem}.yaml"


@dataclass(frozen=True, slots=True)
class _OddFile:
    """A file that is not ours, or cannot be read (``unreadable``): why, and in which line."""

    message: str
    unreadable: bool
    line: int | None = None


class FilesSink(Sink):
    """A directory of filters.

    ``watch`` False: changes by somebody else are not reported. ``instance``: filters of other
    instances are not ours. ``patience``: seconds after which the file system counts as away.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        watch: bool = True,
        instance: str = "",
        patience: float = PATIENCE,
    ) -> None:
        self.name = "files"
        self._instance = instance
        self._directory = Path(directory)
        self._watch = watch
        self._live: dict[FilterKey, Live] = {}
        self._odd: dict[str, _OddFile] = {}
        self._keys: dict[str, FilterKey] = {}
        self._signatures: dict[str, _Signature] = {}
        self._unknown: dict[str, int] = {}
        self._reported: dict[str, _Signature | None] = {}
        self._suspects: queue.SimpleQueue[str] = queue.SimpleQueue()
        # A file changes together with what is known of it: the watch never sees one without the
        # other.
        self._lock = threading.Lock()
        self._asking = Asking(patience)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    # -- what is live -----------------------------------------------------------------------------

    def start(self, changed: Callable[[FilterKey], None]) -> None:
        """Read the directory, which is created if it does not exist.

        Raises:
            SinkError: it cannot be created or listed.
        """
        try:
            self._ask(lambda: self._directory.mkdir(parents=True, exist_ok=True))
            for name in self._ask(self._names):
                self._refresh(name)
            self._ask(self._remove_leftovers)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise SinkError(
                f"{self._directory}: {reason}; the live filters cannot be read", retry=True
            ) from error
        if self._watch:
            self._thread = threading.Thread(
                target=self._run, args=(changed,), name="sink-files", daemon=True
            )
            self._thread.start()

    def live(self) -> Mapping[FilterKey, Live]:
        """Our filters in the directory."""
        # A filter that was read before a plugin's modules were imported may be readable now.
        for name, modules in self._unknown.items():
            if modules != len(sys.modules):
                self._suspects.put(name)
        with suppress(queue.Empty):
            while True:
                name = self._suspects.get_nowait()
                try:
                    self._refresh(name)
                except UnansweredError:
                    # What is known stays until there is an answer.
                    self._suspects.put(name)
                    break
        return MappingProxyType(self._live)

    def findings(self) -> tuple[Finding, ...]:
        """The files that have the name of one of ours and cannot be read."""
        return tuple(
            Finding(UNREADABLE_LIVE, odd.message, source=str(self._directory / name), line=odd.line)
            for name, odd in sorted(self._odd.items())
            if odd.unreadable and _OURS.fullmatch(name)
        )

    def stop(self) -> None:
        """End the watch."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_STOP)
        self._asking.close()

    def _ask(self, function: Callable[[], T]) -> T:
        """What the function returns, which asks the file system.

        While an earlier one has no answer there is no other, so writes keep their order.

        Raises:
            UnansweredError: the file system gives no answer.
        """
        return self._asking.call(str(self._directory), function)

    def _names(self) -> list[str]:
        with os.scandir(self._directory) as entries:
            return sorted(entry.name for entry in entries if _is_manifest(entry.name))

    def _remove_leftovers(self) -> None:
        """Remove what a process left that ended in the middle of a write."""
        for path in self._directory.glob(_TEMPORARY.format("*")):
            with suppress(OSError):
                if time.time() - path.lstat().st_mtime > _LEFTOVER:
                    path.unlink()

    def _refresh(self, name: str) -> None:
        """Look at a file again.

        A file of ours that is damaged now is still ours: it is written anew.

        Raises:
            UnansweredError: the file system gives no answer.
        """
        signature, content = self._ask(lambda: (self._signature(name), self._look(name)))
        known = self._keys.get(name)
        before = self._live.get(known) if known is not None else None
        self._odd.pop(name, None)
        self._unknown.pop(name, None)
        if signature is None:
            self._signatures.pop(name, None)
        else:
            self._signatures[name] = signature
        if isinstance(content, Live):
            self._keys[name] = content.key
            self._live[content.key] = content
            if content.filter is None:
                self._unknown[name] = len(sys.modules)
        elif isinstance(content, _OddFile) and content.unreadable and before is not None:
            # Keep the claim without the content: the next plan rewrites it, and nothing deletes it.
            self._live[before.key] = Live(
                before.key, before.plugin, before.service_ports, None, before.namespaces
            )
        else:
            if before is not None:
                del self._live[before.key]
            if content is not None:
                self._odd[name] = content
            else:
                self._keys.pop(name, None)

    def _signature(self, name: str) -> _Signature | None:
        try:
            return _signature(os.lstat(self._directory / name))
        except OSError:
            return None

    def _look(self, name: str) -> Live | _OddFile | None:
        """What the file holds; None when there is none."""
        path = self._directory / name
        try:
            # lstat: a link could lead out of the folder, and a device could block.
            status = path.lstat()
            if not stat.S_ISREG(status.st_mode):
                return _OddFile("it is no plain file", unreadable=False)
            if status.st_size > MAX_SIZE:
                return _OddFile(f"it is larger than {MAX_SIZE >> 20} MiB", unreadable=True)
            text = decode(_read(path))
            values = [value for piece in split(text) for _, value in load_all(piece)]
        except FileNotFoundError:
            return None
        except OSError as error:
            return _OddFile((error.strerror or str(error)).lower(), unreadable=True)
        except UnreadableError as error:
            return _OddFile(str(error), unreadable=True, line=error.line)
        live = live_of(values[0], self._instance) if len(values) == 1 else None
        if not values:
            return _OddFile("it is empty", unreadable=True)
        if live is None:
            other = (
                named_instance(values[0])
                if len(values) == 1 and isinstance(values[0], dict)
                else None
            )
            whose = (
                f"it is a filter of Aeraki's instance {other}"
                if other
                else "it is not a filter of Aeraki's"
            )
            return _OddFile(whose, unreadable=False)
        if file_name(live.key) != name:
            return _OddFile(
                f"it holds {live.key}, which belongs in {file_name(live.key)}", unreadable=False
            )
        return live

    # -- writing ----------------------------------------------------------------------------------

    def apply(self, steps: Iterable[Step]) -> Iterator[Written]:
        """Write, replace and remove files, each whole."""
        wrote = False
        for step in steps:
            try:
                written = self._do(step)
            except UnwritableError as error:
                written = Written(step, str(error), finding=error.finding)
            except OSError as error:
                reason = (error.strerror or str(error)).lower()
                written = Written(
                    step, f"{self._directory / file_name(step.key)}: {reason}", retry=True
                )
            wrote |= written.error is None
            yield written
        if wrote:
            with suppress(OSError):
                self._ask(lambda: _sync_directory(self._directory))

    def _do(self, step: Step) -> Written:
        check_key(step.key)
        name = file_name(step.key)
        if self._ask(lambda: self._signature(name)) != self._signatures.get(name):
            self._refresh(name)  # it changed, and the watch has not noticed yet
        self._keys[name] = step.key
        path = self._directory / name
        odd = self._odd.get(name)
        if odd is not None:
            code = UNREADABLE_LIVE if odd.unreadable else NOT_OURS
            message = f"{odd.message}; {step.key} is not written"
            finding = Finding(code, message, source=str(path), line=odd.line)
            return Written(step, f"{path}: {odd.message}", retry=False, finding=finding)
        if step.after is None:
            self._ask(lambda: self._remove(path))
            self._live.pop(step.key, None)
            self._keys.pop(name, None)
            return Written(step)
        data = render_objects([object_of(step.after)]).encode()
        self._ask(lambda: self._write(path, data, is_new=step.before is None))
        after = step.after
        self._live[step.key] = Live.of(after)
        return Written(step)

    def _remove(self, path: Path) -> None:
        with self._lock:
            path.unlink(missing_ok=True)
            self._signatures.pop(path.name, None)

    def _write(self, path: Path, data: bytes, *, is_new: bool) -> None:
        """Write a hidden file, then rename it: no reader ever sees half of a content."""
        if not is_new and _holds(path, data):
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        # An attacker cannot put a link there beforehand: the name is unknown, and only a new file
        # is opened.
        temporary = path.with_name(_TEMPORARY.format(secrets.token_hex(8)))
        descriptor = os.open(temporary, _NEW_FILE, 0o666)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                with suppress(FileNotFoundError):
                    before = path.lstat()
                    if stat.S_ISREG(before.st_mode):
                        os.fchmod(file.fileno(), stat.S_IMODE(before.st_mode))
                os.fsync(file.fileno())
                signature = _signature(os.fstat(file.fileno()))
            with self._lock:
                temporary.replace(path)
                self._signatures[path.name] = signature
        except OSError:
            temporary.unlink(missing_ok=True)
            raise

    # -- watching ---------------------------------------------------------------------------------

    def _run(self, changed: Callable[[FilterKey], None]) -> None:
        while not self._stop.is_set():
            try:
                for names in self._changes():
                    self._report(names, changed)
            except Exception:  # whatever went wrong, the watch starts again
                log.warning(
                    "the watch of %s failed and starts again", self._directory, exc_info=True
                )
                self._stop.wait(1.0)

    def _changes(self) -> Iterator[Iterable[str]]:
        """Names of files that may have changed. Ends when the directory is another."""
        from watchfiles import watch

        place = self._place()
        yield self._all_names()
        while place is None:
            if self._stop.wait(POLL) or self._place() is not None:
                return
        seen = time.monotonic()
        for changes in watch(
            self._directory,
            watch_filter=None,
            recursive=False,
            step=50,
            debounce=1000,
            rust_timeout=int(POLL * 1000),
            yield_on_timeout=True,
            stop_event=self._stop,
        ):
            if self._place() != place:
                return
            if changes:
                yield {Path(path).name for _, path in changes}
            elif time.monotonic() - seen > RESCAN:
                seen = time.monotonic()
                yield self._all_names()

    def _place(self) -> tuple[int, int] | None:
        try:
            status = self._directory.stat()
        except OSError:
            return None
        return (status.st_dev, status.st_ino)

    def _all_names(self) -> set[str]:
        known = set(self._signatures.copy())
        with suppress(OSError):
            known.update(self._names())
        return known

    def _report(self, names: Iterable[str], changed: Callable[[FilterKey], None]) -> None:
        """Report once each file that is not as it is known.

        It is read in :meth:`live`, by the thread that owns it.
        """
        for name in sorted(filter(_is_manifest, names)):
            with self._lock:
                now, known = self._signature(name), self._signatures.get(name)
            if now == known:
                self._reported.pop(name, None)
                continue
            if name in self._reported and self._reported[name] == now:
                continue
            self._reported[name] = now
            key = self._keys.get(name)
            if key is None:
                content = self._look(name)
                key = content.key if isinstance(content, Live) else None
            self._suspects.put(name)
            if key is not None:
                log.warning("%s was changed by somebody else", key)
                changed(key)


def _is_manifest(name: str) -> bool:
    return name.endswith(".yaml") and not name.startswith(".")


def _signature(status: os.stat_result) -> _Signature:
    """What differs when a file is another. Not the change time, which renaming changes."""
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _holds(path: Path, data: bytes) -> bool:
    try:
        return _read(path) == data
    except OSError:
        return False


def _read(path: Path) -> bytes:
    """The content of a plain file; a link that takes its place in between is not followed."""
    with os.fdopen(os.open(path, _OLD_FILE), "rb") as file:
        return file.read(MAX_SIZE + 1)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
