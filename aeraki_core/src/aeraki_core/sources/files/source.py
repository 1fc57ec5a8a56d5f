"""Kubernetes manifests in files and folders, watched.

What a path that is named outright, or a mount, held stays in effect when it vanishes: that is not
how somebody deletes a service. A file deleted from a folder takes its objects with it.
"""

from __future__ import annotations

import logging
import stat
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from enum import Enum, auto
from functools import partial
from pathlib import Path
from typing import NamedTuple

from aeraki_core.errors import UnreadableError
from aeraki_core.manifests.locate import STDIN
from aeraki_core.manifests.patience import PATIENCE, UnansweredError
from aeraki_core.manifests.plain_file import identity_of, signature_of
from aeraki_core.model.scope import EVERYWHERE, Scope
from aeraki_core.sources.chain import only_in
from aeraki_core.sources.events import (
    Emit,
    Event,
    Incomplete,
    Problems,
    Removed,
    Source,
    Synced,
    Unsynced,
    Upserted,
)
from aeraki_core.sources.files.fileset import Changes, FileSet, Look
from aeraki_core.sources.files.kinds import Reads
from aeraki_core.sources.files.manifests import DEFAULT_NAMESPACE, Rules
from aeraki_core.sources.files.snapshot import DEFAULT_MAX_SIZE

__all__ = ["FilesSource"]

log = logging.getLogger(__name__)

SETTLE = 0.3
"""Seconds until a second look when something is missing, empty or broken that was not."""

RESCAN = 10.0
"""Seconds between two looks at everything: some file systems report no changes."""

POLL = 0.5
"""Seconds between two looks at the paths themselves: where they lead, and files named outright."""

MOST_LOOKS = 20
"""Looks after which something counts as missing although the files still change."""

_STOP = 1.0  # seconds; a thread that a file system holds is left to the end of the process


class FilesSource(Source):
    """Files as a source of the controller.

    ``watch`` False: everything is given once, as for ``--once``. ``scope``: the namespaces whose
    objects count. ``patience``: seconds that a file system may take for one answer.
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        reads: Reads,
        max_size: int = DEFAULT_MAX_SIZE,
        *,
        default_namespace: str = DEFAULT_NAMESPACE,
        ignore: Collection[str | Path] = (),
        plugin_groups: Collection[str] = (),
        watch: bool = True,
        name: str = "files",
        scope: Scope = EVERYWHERE,
        patience: float = PATIENCE,
    ) -> None:
        self.name = name
        self._scope = scope
        self._paths = tuple(str(path) for path in paths)
        self._files = FileSet(
            self._paths,
            Rules(reads, default_namespace, frozenset(plugin_groups)),
            max_size,
            [str(path) for path in ignore],
            patience=patience,
        )
        self._watch = watch
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._incomplete: Incomplete | None = None

    def start(self, emit: Emit) -> None:
        """Begin to read and to watch.

        Raises:
            UnreadableError: a path does not exist, or cannot be watched (a pipe, standard input).
        """
        for path in self._paths:
            if path == STDIN and not self._watch:
                continue
            if path == STDIN:
                reason = "standard input cannot be watched; name a file or a folder"
                raise UnreadableError(f"{path}: {reason}")
            try:
                kind = self._files.asking.call(path, partial(_place, path)).kind
            except UnansweredError:
                continue  # a finding says so as long as that is so
            if kind is _Kind.NOTHING:
                raise UnreadableError(f"{path}: no such file")
            if self._watch and kind is _Kind.OTHER:
                raise UnreadableError(f"{path}: it is no file or folder, so it cannot be watched")
        emit = only_in(self.name, self._scope)(emit)
        self._thread = threading.Thread(
            target=self._run, args=(emit,), name=f"source-{self.name}", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """End the thread, within a second."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_STOP)

    def _run(self, emit: Emit) -> None:
        self._guarded(
            emit,
            lambda: self._emit_changes(emit, self._files.accept(self._files.look()), first=True),
        )
        while self._watch and not self._stop.is_set():
            self._guarded(emit, lambda: self._follow(emit))
        self._files.asking.close()

    def _guarded(self, emit: Emit, step: Callable[[], None]) -> None:
        """Report a mistake of ours and try again: it must not end the watch in silence."""
        while not self._stop.is_set():
            try:
                step()
            except Exception as error:  # whatever it was, the source goes on
                log.warning("source %s failed and starts again", self.name, exc_info=True)
                emit(
                    Unsynced(
                        self.name, f"reading the files failed: {type(error).__name__}: {error}"
                    )
                )
                self._incomplete = Incomplete("")  # whatever comes next is news
                self._stop.wait(1.0)
            else:
                return

    def _follow(self, emit: Emit) -> None:
        for paths in self._changes():
            look = self._settled(paths)
            if self._stop.is_set():
                return
            self._emit_changes(emit, self._files.accept(look))

    def _settled(self, paths: Collection[str]) -> Look:
        """Look at the files, again while the result is doubtful, until two looks are equal.

        An editor may be about to bring back what is missing.
        """
        look = self._files.look(paths)
        for _ in range(MOST_LOOKS):
            if not look.doubtful or self._stop.wait(SETTLE):
                break
            again = self._files.look()
            same = again.tree.files == look.tree.files
            look = again
            if same:
                break
        return look

    def _changes(self) -> Iterator[Collection[str]]:
        """Yield the paths that changed, at each change; none: look at everything."""
        from watchfiles import watch

        places = self._places()
        # Of the same look: a folder that goes and comes back in between must be noticed.
        folders = [
            path
            for path, place in zip(self._paths, places, strict=True)
            if place.kind is _Kind.FOLDER
        ]
        yield ()  # what changed before the watch began
        while not folders:
            if self._stop.wait(POLL) or self._places() != places:
                return
        # Look when the watch reports nothing for the first time: something may have changed
        # before it began.
        seen = time.monotonic() - RESCAN
        for changes in watch(
            *folders,
            watch_filter=None,
            step=100,
            debounce=2000,
            rust_timeout=int(POLL * 1000),
            yield_on_timeout=True,
            stop_event=self._stop,
            ignore_permission_denied=True,
        ):
            if self._places() != places:
                return  # watch what is there now, after a look at everything
            if changes:
                yield {path for _, path in changes}
            elif time.monotonic() - seen > RESCAN:
                seen = time.monotonic()
                yield ()

    def _places(self) -> list[_Place]:
        """Return what the paths lead to."""
        return [self._place(path) for path in self._paths]

    def _place(self, path: str) -> _Place:
        try:
            return self._files.asking.call(path, partial(_place, path))
        except UnansweredError:
            return _Place(_Kind.AWAY)  # to watch it would wait where nothing ends the waiting

    def _emit_changes(self, emit: Emit, changes: Changes, *, first: bool = False) -> None:
        """Hand the changes on: new objects before deleted ones."""
        events: list[Event] = [Upserted(self.name, item) for item in changes.upserts]
        events += [Removed(self.name, ref) for ref in changes.removals]
        events += [Problems(self.name, place, findings) for place, findings in changes.problems]
        if first or changes.incomplete != self._incomplete:
            self._incomplete = changes.incomplete
            events.append(Synced(self.name, changes.incomplete))
        if events:
            emit(*events)


class _Kind(Enum):
    """What a path leads to."""

    AWAY = auto()
    NOTHING = auto()
    FILE = auto()
    FOLDER = auto()
    OTHER = auto()


class _Place(NamedTuple):
    """What a path leads to: a folder by its identity, anything else by its state too."""

    kind: _Kind
    identity: tuple[int, ...] = ()


def _place(path: str) -> _Place:
    try:
        status = Path(path).stat()
    except OSError:
        return _Place(_Kind.NOTHING)
    if stat.S_ISDIR(status.st_mode):
        return _Place(_Kind.FOLDER, identity_of(status))
    kind = _Kind.FILE if stat.S_ISREG(status.st_mode) else _Kind.OTHER
    return _Place(kind, signature_of(status))
