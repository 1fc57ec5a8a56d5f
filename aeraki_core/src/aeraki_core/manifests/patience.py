"""Questions to a file system that may never answer.

A network file system whose server is away keeps whoever asks waiting, for ever, and no signal ends
that. So a thread of its own asks, and is left behind when time is up. Until it comes back, nobody
asks about the same path again, so one thread waits for each path that is away.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Sequence
from functools import partial
from itertools import takewhile
from queue import Empty, SimpleQueue
from typing import Any, Generic, NamedTuple, TypeVar

__all__ = ["PATIENCE", "Asking", "UnansweredError"]

PATIENCE = 10.0
"""Seconds that one file, or a look at all paths, may take."""

_MOST = 16  # threads that are left behind at once

T = TypeVar("T")


class UnansweredError(OSError):
    """The file system gave no answer in time."""

    def __init__(self, patience: float) -> None:
        super().__init__(errno.ETIMEDOUT, f"its file system gives no answer for {patience:g} s")


class _Answer(NamedTuple):
    """What a function returned or raised."""

    value: Any = None
    error: BaseException | None = None


class _Call:
    """A question, and where its answer goes.

    A queue and not a future: thousands of files are asked for, and a future costs several times as
    much.
    """

    def __init__(self, function: Callable[[], Any]) -> None:
        self.function = function
        self.answers: SimpleQueue[_Answer] = SimpleQueue()

    def run(self) -> None:
        try:
            answer = _Answer(self.function())
        except BaseException as error:  # noqa: BLE001 it is raised where it was asked for
            answer = _Answer(error=error)
        self.answers.put(answer)


class _Batch(Generic[T]):
    """A function of many paths, one after the other."""

    def __init__(self, function: Callable[[str], T], paths: Sequence[str]) -> None:
        self.answers: list[T | OSError] = []
        self.is_abandoned = False
        self._function = function
        self._paths = paths

    def run(self) -> None:
        for path in self._paths:
            answer = self._answer(path)
            # Nobody waits for the rest, which another thread has been asked for.
            if self.is_abandoned:
                return
            self.answers.append(answer)

    def _answer(self, path: str) -> T | OSError:
        try:
            return self._function(path)
        except OSError as error:
            return error


class Asking:
    """Asks for one caller at a time. ``patience`` is in seconds."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self.patience = patience
        self._calls: SimpleQueue[_Call | None] | None = None
        self._thread: threading.Thread | None = None
        self._left: dict[str, threading.Thread] = {}

    def call(
        self, about: str, function: Callable[[], T], place: Callable[[], object] = lambda: None
    ) -> T:
        """What the function returns; what it raises is raised too.

        ``about``: the path that is asked about. While an earlier question about it has no answer,
        there is no other. ``place``: where the function is. While that changes, it has more time.

        Raises:
            UnansweredError: it did not return in time, or too many others have not.
        """
        if self._left:
            self._left = {path: each for path, each in self._left.items() if each.is_alive()}
            if about in self._left or len(self._left) >= _MOST:
                raise UnansweredError(self.patience)
        if self._calls is None or self._thread is None:
            self._calls = SimpleQueue()
            self._thread = threading.Thread(
                target=_serve, args=(self._calls,), name="file-system", daemon=True
            )
            self._thread.start()
        call = _Call(function)
        self._calls.put(call)
        seen = place()
        # A slow scan of many files makes progress. Only standing still counts as no answer.
        while (answer := _answer_of(call, self.patience)) is None:
            if seen == (seen := place()):
                # A thread in a system call cannot be ended. Leave it to its fate and take a new
                # one.
                self._left[about] = self._thread
                self.close()
                raise UnansweredError(self.patience)
        if answer.error is not None:
            raise answer.error
        value: T = answer.value
        return value

    def each(self, paths: Sequence[str], function: Callable[[str], T]) -> list[T | OSError]:
        """What the function returns for each path, or the OSError that it raises.

        One question for all of them: to change threads costs more than to read a small file.
        """
        answers: list[T | OSError] = []
        while rest := paths[len(answers) :]:
            # A path without an answer stands first in its question, which is refused.
            asked = list(takewhile(lambda path: path not in self._left, rest)) or rest[:1]
            batch = _Batch(function, asked)
            try:
                self.call(asked[0], batch.run, partial(len, batch.answers))
                answers += batch.answers
            except UnansweredError as error:
                batch.is_abandoned = True
                done = tuple(batch.answers)
                if done and (thread := self._left.pop(asked[0], None)) is not None:
                    self._left[asked[len(done)]] = thread
                answers += [*done, error]
        return answers

    def close(self) -> None:
        """End the thread once it is free; the next question starts another."""
        if self._calls is not None:
            self._calls.put(None)
        self._calls = self._thread = None


def _answer_of(call: _Call, patience: float) -> _Answer | None:
    """Wait for the answer; None when it does not come in time."""
    try:
        return call.answers.get(timeout=patience)
    except Empty:
        return None


def _serve(calls: SimpleQueue[_Call | None]) -> None:
    while (call := calls.get()) is not None:
        call.run()
